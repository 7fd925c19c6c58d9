//! Many seeds, on all processors: a run knows nothing of another.
//!
//! Owns who runs which seed, what all came to, and the progress on standard error. Prints no result.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tend_sim::{Chapter, Outcome, Violation, run};

/// Runs between two lines of progress.
const PROGRESS_EVERY: u64 = 1000;

/// What is to be run.
pub(crate) struct Sweep<'a> {
    /// The chapter's name, for the progress.
    pub(crate) name: &'a str,
    pub(crate) chapter: Chapter,
    pub(crate) seeds: Range<u64>,
    /// Go on after a seed broke a rule.
    pub(crate) keep_going: bool,
    pub(crate) whole_trace: bool,
}

/// What all runs came to.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) runs: u64,
    pub(crate) events: u64,
    pub(crate) daemons: u64,
    pub(crate) daemons_killed: u64,
    /// The seeds that broke a rule, the lowest first.
    pub(crate) broken: Vec<Broken>,
    /// The outcome, where there was one run only and it held.
    pub(crate) only: Option<Outcome>,
    pub(crate) took: Duration,
}

/// A run that broke a rule.
pub(crate) struct Broken {
    pub(crate) seed: u64,
    pub(crate) outcome: Outcome,
    pub(crate) violation: Violation,
}

/// What the workers share.
struct Shared {
    /// The seed nobody has taken yet.
    next: AtomicU64,
    done: AtomicU64,
    broken: AtomicU64,
    began: Instant,
}

impl Sweep<'_> {
    /// Runs the seeds; without `keep_going` the others finish what they have begun when one breaks a rule.
    pub(crate) fn run(&self) -> Totals {
        let shared = Shared {
            next: AtomicU64::new(self.seeds.start),
            done: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            began: Instant::now(),
        };
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let mut totals = Totals::default();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..processors).map(|_| scope.spawn(|| self.work(&shared))).collect();
            for worker in workers {
                // A panic outside a run is a bug of the simulator and ends it.
                totals.add(worker.join().expect("invariant: a worker catches what a run throws"));
            }
        });
        totals.broken.sort_by_key(|broken| broken.seed);
        totals.took = shared.began.elapsed();
        totals
    }

    fn work(&self, shared: &Shared) -> Totals {
        let one = self.seeds.end - self.seeds.start == 1;
        let mut totals = Totals::default();
        loop {
            let seed = shared.next.fetch_add(1, Ordering::Relaxed);
            if seed >= self.seeds.end {
                return totals;
            }
            let mut outcome = run(self.chapter, seed, self.whole_trace);
            totals.runs += 1;
            totals.events += outcome.events;
            totals.daemons += outcome.daemons;
            totals.daemons_killed += outcome.daemons_killed;
            let violation = outcome.violation.take();
            self.progress(seed, violation.as_ref(), shared);
            match violation {
                Some(violation) => {
                    totals.broken.push(Broken {
                        seed,
                        outcome,
                        violation,
                    });
                    if !self.keep_going {
                        shared.next.fetch_max(self.seeds.end, Ordering::Relaxed);
                    }
                }
                None => totals.only = one.then_some(outcome),
            }
        }
    }

    /// Says now and then how far it is, and at once what broke when more is to come.
    fn progress(&self, seed: u64, violation: Option<&Violation>, shared: &Shared) {
        let done = shared.done.fetch_add(1, Ordering::Relaxed) + 1;
        let now_broken = u64::from(violation.is_some());
        let broken = shared.broken.fetch_add(now_broken, Ordering::Relaxed) + now_broken;
        // Progress that cannot be shown is no reason to stop.
        if let Some(violation) = violation.filter(|_| self.keep_going) {
            let _ = writeln!(
                io::stderr(),
                "{}: seed {seed} breaks {}",
                self.name,
                violation.invariant
            );
        }
        if done.is_multiple_of(PROGRESS_EVERY) {
            let (of, seconds) = (self.seeds.end - self.seeds.start, shared.began.elapsed().as_secs_f64());
            let speed = done as f64 / seconds.max(0.001);
            let _ = writeln!(
                io::stderr(),
                "{}: {done} of {of} runs, {speed:.1} a second, {broken} broke a rule",
                self.name
            );
        }
    }
}

impl Totals {
    fn add(&mut self, part: Totals) {
        self.runs += part.runs;
        self.events += part.events;
        self.daemons += part.daemons;
        self.daemons_killed += part.daemons_killed;
        self.broken.extend(part.broken);
        self.only = self.only.take().or(part.only);
    }
}
