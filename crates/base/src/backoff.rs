//! How long to wait before trying again. Knows no clock and no randomness: the caller brings both.

use std::time::Duration;

use crate::random::mix64;

/// Delays that double from `first` to `max`, each shortened by up to half so that many waiters do not act at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Delay before the second try; the first try has none.
    pub first: Duration,
    /// No delay is longer.
    pub max: Duration,
}

impl Backoff {
    /// Returns the delay after `failures` failures in a row; `jitter` is any number, the same number giving the same delay.
    ///
    /// Invariant: the delay lies between half the nominal delay and the nominal delay, and never above `max`.
    #[must_use]
    pub fn delay(&self, failures: u32, jitter: u64) -> Duration {
        if failures == 0 {
            return Duration::ZERO;
        }
        let doubled = self
            .first
            .saturating_mul(1u32.checked_shl(failures - 1).unwrap_or(u32::MAX));
        let nominal = doubled.min(self.max);
        let half = nominal / 2;
        let spread = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        half + Duration::from_nanos(if spread == 0 { 0 } else { mix64(jitter) % (spread + 1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_maximum_and_stay_within_their_half() {
        let backoff = Backoff {
            first: Duration::from_millis(100),
            max: Duration::from_secs(30),
        };
        assert_eq!(backoff.delay(0, 7), Duration::ZERO);
        for failures in 1..70 {
            let nominal = Duration::from_millis(100)
                .saturating_mul(2u32.saturating_pow(failures - 1))
                .min(backoff.max);
            for jitter in 0..50 {
                let delay = backoff.delay(failures, jitter);
                assert!(
                    delay >= nominal / 2 && delay <= nominal,
                    "{failures} failures: {delay:?} of {nominal:?}"
                );
            }
        }
    }

    #[test]
    fn different_jitter_gives_different_delays() {
        let backoff = Backoff {
            first: Duration::from_secs(1),
            max: Duration::from_secs(30),
        };
        assert_ne!(backoff.delay(3, 1), backoff.delay(3, 2));
    }
}
