//! The leaking bucket of nginx's `limit_req`, number for number. Knows neither the clock nor where buckets are kept.
//!
//! ```text
//! excess ── falls by the rate as time passes, never below 0 ── rises by 1000 with each request that is admitted
//! 0 ≤ excess ≤ delay_after   let through at once
//!     excess ≤ burst         let through when it has fallen to `delay_after`
//!     excess > burst         refused, and the bucket stays as it was
//! ```
//!
//! Excess is counted in thousandths of a request and time in whole milliseconds, as nginx does: with finer units the two would admit
//! different requests of the same trace.

use tend_core::model::Rate;

/// One request, as excess counts it.
const REQUEST: u64 = 1000;

/// What is remembered of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Requests above the rate, in thousandths.
    pub excess: u64,
    /// When `excess` was right, in milliseconds of any clock that does not go back.
    pub at_ms: u64,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaked {
    /// Let through, after a wait of so many milliseconds; the bucket is this from now on.
    Admitted {
        /// 0: at once.
        wait_ms: u64,
        /// What to keep.
        bucket: Bucket,
    },
    /// Above the burst. The next request of this key has a chance after so many milliseconds, at least 1.
    Refused {
        /// See above.
        retry_ms: u64,
    },
}

/// A rate, made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leak {
    /// Excess falls by `fall` in `fall_ms` milliseconds.
    fall: u64,
    fall_ms: u64,
    burst: u64,
    delay_after: u64,
}

impl From<&Rate> for Leak {
    fn from(rate: &Rate) -> Self {
        let per_ms = u64::try_from(rate.per.as_millis()).unwrap_or(u64::MAX).max(1);
        let requests = u64::from(rate.requests.get());
        // nginx knows rates a second and a minute, and cuts them to whole thousandths a second: 5r/m is 83, not 83.3.
        let whole = requests * 1_000_000 / per_ms;
        let (fall, fall_ms) = match per_ms {
            1000 | 60_000 if whole > 0 => (whole, 1000),
            _ => (requests * REQUEST, per_ms),
        };
        let burst = u64::from(rate.burst) * REQUEST;
        Self {
            fall,
            fall_ms,
            burst,
            delay_after: rate.delay_after.map_or(burst, |after| u64::from(after) * REQUEST),
        }
    }
}

impl Leak {
    /// Decides about a request at `now_ms`; `bucket` is what was kept of its key, none when nothing was.
    #[must_use]
    pub fn ask(&self, bucket: Option<Bucket>, now_ms: u64) -> Leaked {
        let excess = match bucket {
            None => 0,
            Some(bucket) => {
                let passed = now_ms.saturating_sub(bucket.at_ms);
                let fallen = u128::from(passed) * u128::from(self.fall) / u128::from(self.fall_ms);
                (bucket.excess + REQUEST).saturating_sub(u64::try_from(fallen).unwrap_or(u64::MAX))
            }
        };
        if excess > self.burst {
            let Bucket { excess, at_ms } = bucket.unwrap_or_default();
            let free_ms = at_ms.saturating_add(self.time_for(excess + REQUEST - self.burst, self.fall - 1));
            let retry_ms = free_ms.saturating_sub(now_ms).max(1);
            return Leaked::Refused { retry_ms };
        }
        let at_ms = bucket.map_or(now_ms, |bucket| bucket.at_ms.max(now_ms));
        Leaked::Admitted {
            wait_ms: if excess > self.delay_after {
                // Cut off, not rounded up: nginx sets its timer so.
                self.time_for(excess - self.delay_after, 0)
            } else {
                0
            },
            bucket: Bucket { excess, at_ms },
        }
    }

    /// Returns how long it takes until excess has fallen by so much, in milliseconds; cut off, or with `fall - 1` rounded up.
    fn time_for(&self, excess: u64, rounding: u64) -> u64 {
        let time = (u128::from(excess) * u128::from(self.fall_ms) + u128::from(rounding)) / u128::from(self.fall);
        u64::try_from(time).unwrap_or(u64::MAX)
    }
}
