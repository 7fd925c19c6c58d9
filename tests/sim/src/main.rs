//! `tend-sim [--seed N | [--from N] --seeds N] [--chapter supervise|deploy|config|alert] [--keep-going] [--trace]`: runs seeds and shows what broke.
//!
//! Owns the command line and what is printed. How many seeds are run side by side is in `sweep`. `cargo xtask sim` calls it.

mod sweep;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;
use std::process::ExitCode;

use tend_sim::{Chapter, Outcome};

use crate::sweep::{Broken, Sweep, Totals};

const USAGE: &str =
    "usage: tend-sim [--seed N | [--from N] --seeds N] [--chapter supervise|deploy|config|alert] [--keep-going] [--trace]

  --seed N      one run, replayed exactly
  --seeds N     so many runs (default 300)
  --from N      the first of them (default 0)
  --chapter C   only this chapter (default all)
  --keep-going  run the rest too after a seed broke a rule, and list all that did
  --trace       the whole trace of one run";

/// Lines kept of what a broken rule says, in a list of many.
const LINES_OF_EACH: usize = 3;

#[derive(Debug, PartialEq, Eq)]
struct Options {
    seeds: Range<u64>,
    chapters: Vec<(&'static str, Chapter)>,
    keep_going: bool,
    trace: bool,
}

fn main() -> ExitCode {
    // A panic of the controller is reported as a broken rule, with its seed; the hook's own text would only stand beside it.
    std::panic::set_hook(Box::new(|_| {}));
    let mut output = io::stdout().lock();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(options) = parse(&arguments) else {
        // When nobody can read what is wrong, the exit code still says it.
        let _ = writeln!(io::stderr(), "{USAGE}");
        return ExitCode::from(2);
    };
    match simulate(&options, &mut output) {
        Ok(true) => ExitCode::SUCCESS,
        // A reader that left early, such as `head`, is no failure to report.
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

fn parse(arguments: &[String]) -> Option<Options> {
    let (mut from, mut count, mut only) = (None, None, None);
    let mut chapters = Chapter::ALL.to_vec();
    let (mut keep_going, mut trace) = (false, false);
    let mut words = arguments.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--trace" => trace = true,
            "--keep-going" => keep_going = true,
            "--seed" => only = Some(words.next()?.parse::<u64>().ok()?),
            "--seeds" => count = Some(words.next()?.parse::<u64>().ok()?),
            "--from" => from = Some(words.next()?.parse::<u64>().ok()?),
            "--chapter" => {
                let name = words.next()?;
                chapters.retain(|(known, _)| *known == name);
                chapters.first()?;
            }
            _ => return None,
        }
    }
    let (first, count) = match (only, from, count) {
        (Some(seed), None, None) => (seed, 1),
        (Some(_), ..) => return None,
        (None, from, count) => (from.unwrap_or(0), count.unwrap_or(300)),
    };
    Some(Options {
        seeds: first..first.checked_add(count)?,
        chapters,
        keep_going,
        trace,
    })
}

/// Runs the chapters one after the other; returns whether every rule held.
fn simulate(options: &Options, output: &mut impl Write) -> io::Result<bool> {
    let mut held = true;
    for (name, chapter) in &options.chapters {
        held &= simulate_chapter(name, *chapter, options, output)?;
        if !held && !options.keep_going {
            break;
        }
    }
    Ok(held)
}

fn simulate_chapter(name: &str, chapter: Chapter, options: &Options, output: &mut impl Write) -> io::Result<bool> {
    let sweep = Sweep {
        name,
        chapter,
        seeds: options.seeds.clone(),
        keep_going: options.keep_going,
        whole_trace: options.trace,
    };
    let totals = sweep.run();
    if let Some(outcome) = totals.only.as_ref().filter(|_| options.trace) {
        lines(outcome, output)?;
    }
    match totals.broken.first() {
        None => writeln!(output, "{name}: {} seeds hold, {}", totals.runs, figures(&totals))?,
        Some(first) if options.keep_going => list(name, first, &totals, output)?,
        Some(first) => {
            let Broken {
                seed,
                outcome,
                violation,
            } = first;
            lines(outcome, output)?;
            writeln!(
                output,
                "\nseed {seed} breaks {}\n  {}",
                violation.invariant, violation.what
            )?;
            replay(name, *seed, output)?;
        }
    }
    Ok(totals.broken.is_empty())
}

fn figures(totals: &Totals) -> String {
    let seconds = totals.took.as_secs();
    format!(
        "{} events, {} daemons, {} of them killed, {} min {:02} s",
        totals.events,
        totals.daemons,
        totals.daemons_killed,
        seconds / 60,
        seconds % 60
    )
}

/// Tells every seed that broke a rule, rule by rule, the rule that most broke first.
fn list(name: &str, first: &Broken, totals: &Totals, output: &mut impl Write) -> io::Result<()> {
    let mut rules: BTreeMap<&str, Vec<&Broken>> = BTreeMap::new();
    for broken in &totals.broken {
        rules.entry(broken.violation.invariant).or_default().push(broken);
    }
    let mut rules: Vec<_> = rules.into_iter().collect();
    rules.sort_by_key(|(_, seeds)| std::cmp::Reverse(seeds.len()));
    for (rule, seeds) in rules {
        writeln!(output, "\n{rule}: {} seeds", seeds.len())?;
        for broken in seeds {
            let what: Vec<_> = broken.violation.what.lines().take(LINES_OF_EACH).collect();
            writeln!(output, "  {:>8}  {}", broken.seed, what.join("\n            "))?;
        }
    }
    let (broken, runs) = (totals.broken.len(), totals.runs);
    writeln!(
        output,
        "\n{name}: {broken} of {runs} seeds break a rule, {}",
        figures(totals)
    )?;
    replay(name, first.seed, output)
}

fn replay(name: &str, seed: u64, output: &mut impl Write) -> io::Result<()> {
    writeln!(output, "replay: cargo xtask sim --seed {seed} --chapter {name}")?;
    writeln!(
        output,
        "trace:  cargo run -p tend-sim -- --seed {seed} --chapter {name} --trace"
    )
}

fn lines(outcome: &Outcome, output: &mut impl Write) -> io::Result<()> {
    for line in outcome.trace.lines() {
        writeln!(output, "{line}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Option<Options> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words)
    }

    #[test]
    fn seeds_are_counted_from_where_they_begin() {
        for (line, seeds) in [
            ("", 0..300),
            ("--seeds 7", 0..7),
            ("--from 20000 --seeds 100", 20_000..20_100),
            ("--seed 5684", 5684..5685),
        ] {
            assert_eq!(parsed(line).map(|options| options.seeds), Some(seeds), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            "--seed 1 --seeds 2",
            "--seed 1 --from 0",
            "--from",
            "--seeds x",
            "--chapter nothing",
            "--sed 1",
            "--from 18446744073709551615 --seeds 2",
        ] {
            assert_eq!(parsed(line), None, "{line}");
        }
    }

    #[test]
    fn all_that_broke_is_told_rule_by_rule() {
        let broken = |seed, invariant, what: &str| {
            let outcome = tend_sim::run(Chapter::Supervise, 0, false);
            let violation = tend_sim::Violation {
                invariant,
                what: what.to_owned(),
            };
            Broken {
                seed,
                outcome,
                violation,
            }
        };
        let totals = Totals {
            runs: 10,
            broken: vec![
                broken(2, "a", "one"),
                broken(3, "b", "two\n3\n4\n5"),
                broken(9, "b", "six"),
            ],
            ..Totals::default()
        };
        let mut output = Vec::new();
        list("deploy", &totals.broken[0], &totals, &mut output).unwrap();
        let text = String::from_utf8(output).unwrap();
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        assert_eq!(
            lines[..9],
            [
                "",
                "b: 2 seeds",
                "3  two",
                "3",
                "4",
                "9  six",
                "",
                "a: 1 seeds",
                "2  one"
            ]
        );
        assert!(text.contains("3 of 10 seeds break a rule"), "{text}");
        assert!(text.contains("--seed 2 --chapter deploy --trace"), "{text}");
    }
}
