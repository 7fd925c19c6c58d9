//! `tend-sim [--seed N | --seeds N] [--chapter supervise|deploy] [--trace]`: runs seeds and shows the first that breaks a rule.
//!
//! Owns the command line. `cargo xtask sim` calls it.

use std::io::{self, Write};
use std::process::ExitCode;

use tend_sim::{Chapter, Outcome, Violation, run};

const USAGE: &str = "usage: tend-sim [--seed N | --seeds N] [--chapter supervise|deploy] [--trace]

  --seed N      one run, replayed exactly
  --seeds N     the runs 0 to N-1 (default 300)
  --chapter C   only this chapter (default all)
  --trace       the whole trace of one run";

struct Options {
    seeds: std::ops::Range<u64>,
    chapters: Vec<(&'static str, Chapter)>,
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
    let mut options = Options {
        seeds: 0..300,
        chapters: Chapter::ALL.to_vec(),
        trace: false,
    };
    let mut words = arguments.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--trace" => options.trace = true,
            "--seed" => {
                let seed: u64 = words.next()?.parse().ok()?;
                options.seeds = seed..seed.checked_add(1)?;
            }
            "--seeds" => options.seeds = 0..words.next()?.parse().ok()?,
            "--chapter" => {
                let name = words.next()?;
                options.chapters.retain(|(known, _)| *known == name);
                options.chapters.first()?;
            }
            _ => return None,
        }
    }
    Some(options)
}

fn simulate(options: &Options, output: &mut impl Write) -> io::Result<bool> {
    for (name, chapter) in &options.chapters {
        if !simulate_chapter(name, *chapter, options, output)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn simulate_chapter(name: &str, chapter: Chapter, options: &Options, output: &mut impl Write) -> io::Result<bool> {
    let (mut events, mut daemons) = (0, 0);
    for seed in options.seeds.clone() {
        let outcome = run(chapter, seed, options.trace);
        (events, daemons) = (events + outcome.events, daemons + outcome.daemons);
        let whole = options.trace && options.seeds.end - options.seeds.start == 1;
        if whole && outcome.violation.is_none() {
            lines(&outcome, output)?;
        }
        if let Some(violation) = &outcome.violation {
            lines(&outcome, output)?;
            let Violation { invariant, what } = violation;
            writeln!(output, "\nseed {seed} breaks {invariant}\n  {what}")?;
            writeln!(output, "replay: cargo xtask sim --seed {seed} --chapter {name}")?;
            writeln!(
                output,
                "trace:  cargo run -p tend-sim -- --seed {seed} --chapter {name} --trace"
            )?;
            return Ok(false);
        }
    }
    let runs = options.seeds.end - options.seeds.start;
    writeln!(output, "{name}: {runs} seeds hold, {events} events, {daemons} daemons")?;
    Ok(true)
}

fn lines(outcome: &Outcome, output: &mut impl Write) -> io::Result<()> {
    for line in outcome.trace.lines() {
        writeln!(output, "{line}")?;
    }
    Ok(())
}
