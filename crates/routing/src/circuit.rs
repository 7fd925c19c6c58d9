//! Stops asking a service for a while when most of its answers are failures, so that it can recover. Knows no clock.
//!
//! ```text
//!            most answers of the window failed
//!   closed ────────────────────────────────────► open ◄────────────┐
//!      ▲                                          │ time passes    │ it fails
//!      │ it succeeds                              ▼                │
//!      └────────────────────── trial ◄──────── one request ────────┘
//!                                │ it is abandoned: another may try
//! ```
//!
//! Answers are counted in ten buckets that together are the window; what is older than the window is forgotten bucket by bucket.

use std::time::Duration;

use tend_base::Mono;
use tend_core::model::Breaker;

/// Parts of a window.
const BUCKETS: usize = 10;

/// Others than the trial are told to come again after so long while it runs.
const TRIAL_RETRY: Duration = Duration::from_secs(1);

/// Given out with each request and handed back with its outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Pass {
    trial: bool,
}

/// A change worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switched {
    /// Nothing is asked from now on, but for trials.
    Opened,
    /// It serves again.
    Closed,
}

/// The answers in one part of a window.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    /// Which part since the clock began.
    number: u64,
    answers: u32,
    failures: u32,
}

/// The record of one service.
#[derive(Clone, Debug, Default)]
pub struct Circuit {
    buckets: [Counted; BUCKETS],
    open_until: Option<Mono>,
    trial_runs: bool,
}

impl Circuit {
    /// Says that every request is let through.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.open_until.is_none()
    }

    /// Lets a request through at `now`.
    ///
    /// # Errors
    /// How long until there is a chance, when it is not let through.
    pub fn ask(&mut self, now: Mono) -> Result<Pass, Duration> {
        match self.open_until {
            None => Ok(Pass { trial: false }),
            Some(until) if now < until => Err(until.since(now)),
            Some(_) if self.trial_runs => Err(TRIAL_RETRY),
            Some(_) => {
                self.trial_runs = true;
                Ok(Pass { trial: true })
            }
        }
    }

    /// Notes how a request ended.
    pub fn note(&mut self, pass: Pass, failed: bool, rules: &Breaker, now: Mono) -> Option<Switched> {
        if pass.trial {
            self.trial_runs = false;
            if failed {
                self.open_until = Some(now + rules.open);
                return None;
            }
            *self = Self::default();
            return Some(Switched::Closed);
        }
        // What was sent before it opened says nothing about the time after.
        if self.open_until.is_some() {
            return None;
        }
        let part = part_of(rules);
        let number = now.0 / part;
        let bucket = &mut self.buckets[(number % BUCKETS as u64) as usize];
        if bucket.number != number {
            *bucket = Counted {
                number,
                ..Counted::default()
            };
        }
        bucket.answers = bucket.answers.saturating_add(1);
        bucket.failures = bucket.failures.saturating_add(u32::from(failed));
        let counted = self
            .buckets
            .iter()
            .filter(|bucket| bucket.number + BUCKETS as u64 > number);
        let (answers, failures) = counted.fold((0u64, 0u64), |(answers, failures), bucket| {
            (
                answers + u64::from(bucket.answers),
                failures + u64::from(bucket.failures),
            )
        });
        // Only a failure opens it: a success that fills the window up to the least number says the opposite.
        if failed
            && answers >= u64::from(rules.requests_min)
            && failures * 1000 >= answers * u64::from(rules.failures_permille)
        {
            self.open_until = Some(now + rules.open);
            return Some(Switched::Opened);
        }
        None
    }

    /// Notes that a request ended without telling anything about the service, such as a client that went away.
    pub fn abandoned(&mut self, pass: Pass) {
        if pass.trial {
            self.trial_runs = false;
        }
    }
}

/// Returns how long a part of the window is, in nanoseconds.
fn part_of(rules: &Breaker) -> u64 {
    let window = u64::try_from(rules.window.as_nanos()).unwrap_or(u64::MAX);
    (window / BUCKETS as u64).max(1)
}
