//! `tend-sim [--seed N | --seeds N] [--chapter supervise|deploy] [--trace]`: runs seeds and shows the first that breaks a rule.
//!
//! Owns the command line. `cargo xtask sim` calls it.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

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
    let runs = options.seeds.end - options.seeds.start;
    let (events, daemons) = match all(chapter, options) {
        Ok(Totals { events, daemons, only }) => {
            if let Some(outcome) = only.filter(|_| options.trace) {
                lines(&outcome, output)?;
            }
            (events, daemons)
        }
        Err(broken) => {
            let Broken {
                seed,
                outcome,
                violation: Violation { invariant, what },
            } = *broken;
            lines(&outcome, output)?;
            writeln!(output, "\nseed {seed} breaks {invariant}\n  {what}")?;
            writeln!(output, "replay: cargo xtask sim --seed {seed} --chapter {name}")?;
            writeln!(
                output,
                "trace:  cargo run -p tend-sim -- --seed {seed} --chapter {name} --trace"
            )?;
            return Ok(false);
        }
    };
    writeln!(output, "{name}: {runs} seeds hold, {events} events, {daemons} daemons")?;
    Ok(true)
}

/// What all runs came to.
#[derive(Default)]
struct Totals {
    events: u64,
    daemons: u64,
    /// The outcome, where there was one run only.
    only: Option<Outcome>,
}

/// A run that broke a rule.
struct Broken {
    seed: u64,
    outcome: Outcome,
    violation: Violation,
}

/// Runs all seeds on all processors; a run knows nothing of another. Of those that break a rule the lowest is told.
fn all(chapter: Chapter, options: &Options) -> Result<Totals, Box<Broken>> {
    let next = AtomicU64::new(options.seeds.start);
    let one = options.seeds.end - options.seeds.start == 1;
    let worker = || {
        let mut totals = Totals::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= options.seeds.end {
                return Ok(totals);
            }
            let mut outcome = run(chapter, seed, options.trace);
            if let Some(violation) = outcome.violation.take() {
                // The others finish what they have begun and stop.
                next.fetch_max(options.seeds.end, Ordering::Relaxed);
                return Err(Box::new(Broken {
                    seed,
                    outcome,
                    violation,
                }));
            }
            (totals.events, totals.daemons) = (totals.events + outcome.events, totals.daemons + outcome.daemons);
            totals.only = one.then_some(outcome);
        }
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(worker)).collect();
        // A panic outside a run is a bug of the simulator and ends it.
        workers
            .into_iter()
            .map(|worker| worker.join().expect("invariant: a worker catches what a run throws"))
            .collect()
    });
    let mut totals = Totals::default();
    let mut first: Option<Box<Broken>> = None;
    for result in results {
        match result {
            Ok(part) => {
                (totals.events, totals.daemons) = (totals.events + part.events, totals.daemons + part.daemons);
                totals.only = totals.only.or(part.only);
            }
            Err(broken) if first.as_ref().is_none_or(|first| broken.seed < first.seed) => first = Some(broken),
            Err(_) => {}
        }
    }
    match first {
        Some(broken) => Err(broken),
        None => Ok(totals),
    }
}

fn lines(outcome: &Outcome, output: &mut impl Write) -> io::Result<()> {
    for line in outcome.trace.lines() {
        writeln!(output, "{line}")?;
    }
    Ok(())
}
