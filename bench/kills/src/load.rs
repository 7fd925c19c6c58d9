//! Payments in a thread of their own, and when each was acknowledged. Knows no kills.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bench_mps::{Address, Config, Progress};

use crate::error::{Error, Result};

/// How often the count of acknowledged payments is looked at: gaps are known to this.
const LOOK: Duration = Duration::from_micros(500);

/// A run of the load driver.
pub(crate) struct Load {
    run: JoinHandle<std::result::Result<bench_mps::Report, bench_mps::Error>>,
    progress: Arc<Progress>,
    /// When payments were acknowledged, oldest first: as many as the run makes, and no more.
    successes: Arc<Mutex<Vec<Instant>>>,
    over: Arc<AtomicBool>,
    watch: JoinHandle<()>,
    pub(crate) concurrency: usize,
}

impl Load {
    /// Begins to pay.
    pub(crate) fn begin(url: &str, rate: u32, duration: Duration) -> Result<Self> {
        let address: Address = url.parse()?;
        let progress = Arc::new(Progress::default());
        let config = Config {
            rate,
            duration,
            progress: Arc::clone(&progress),
            ..Config::new(vec![address])
        };
        let concurrency = config.concurrency;
        let run = std::thread::spawn(move || bench_mps::run(&config));
        let successes: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let over = Arc::new(AtomicBool::new(false));
        let watch = {
            let (progress, successes, over) = (Arc::clone(&progress), Arc::clone(&successes), Arc::clone(&over));
            std::thread::spawn(move || {
                let mut known = 0;
                while !over.load(Ordering::Relaxed) {
                    let count = progress.acknowledged();
                    if count != known {
                        known = count;
                        let mut successes = successes.lock().unwrap_or_else(PoisonError::into_inner);
                        successes.push(Instant::now());
                    }
                    std::thread::sleep(LOOK);
                }
            })
        };
        Ok(Self {
            run,
            progress,
            successes,
            over,
            watch,
            concurrency,
        })
    }

    /// Returns how many payments were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.progress.acknowledged()
    }

    /// Returns how many requests failed so far.
    pub(crate) fn failed(&self) -> u64 {
        self.progress.failed_requests()
    }

    /// Returns whether no more payments are made.
    pub(crate) fn is_over(&self) -> bool {
        self.run.is_finished()
    }

    /// Returns the longest time without an acknowledged payment between two moments, in milliseconds.
    pub(crate) fn longest_gap_ms(&self, from: Instant, to: Instant) -> f64 {
        let successes = self.successes.lock().unwrap_or_else(PoisonError::into_inner);
        let gap = longest_gap(&successes, from, to);
        gap.as_micros() as f64 / 1000.0
    }

    /// Waits for the last payment and the judging of the books.
    pub(crate) fn end(self) -> Result<bench_mps::Report> {
        let report = self.run.join().expect("invariant: the load driver does not panic");
        self.over.store(true, Ordering::Relaxed);
        self.watch.join().expect("invariant: the watch does not panic");
        report.map_err(Error::Load)
    }
}

fn longest_gap(successes: &[Instant], from: Instant, to: Instant) -> Duration {
    let between = successes.iter().copied().filter(|at| *at > from && *at < to);
    let mut last = from;
    let mut longest = Duration::ZERO;
    for at in between.chain([to]) {
        longest = longest.max(at - last);
        last = at;
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_lies_between_successes_or_at_either_end() {
        let from = Instant::now();
        let at = |ms| from + Duration::from_millis(ms);
        let gap = |successes: &[Instant]| longest_gap(successes, from, at(100)).as_millis();
        assert_eq!(gap(&[]), 100);
        assert_eq!(gap(&[at(10), at(60), at(90)]), 50);
        assert_eq!(gap(&[at(70), at(90)]), 70);
        assert_eq!(gap(&[at(20), at(500)]), 80);
    }
}
