//! A histogram of durations that many threads add to without a lock. Knows nothing of what is timed.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Four buckets for each doubling from 1 µs to 2^28 µs (4.5 minutes): a quantile is at most a quarter too high.
const BUCKETS: usize = 4 * 28;

/// Counts by duration.
#[derive(Debug)]
pub(crate) struct Latency {
    buckets: [AtomicU32; BUCKETS],
}

impl Latency {
    pub(crate) fn new() -> Self {
        Self {
            buckets: [const { AtomicU32::new(0) }; BUCKETS],
        }
    }

    pub(crate) fn add(&self, duration: Duration) {
        let bucket = bucket_of(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns a duration in microseconds that `per_cent` of a hundred did not pass; 0 when nothing was counted.
    pub(crate) fn quantile_us(&self, per_cent: u64) -> u64 {
        let total: u64 = self.counts().sum();
        let mut wanted = (total * per_cent).div_ceil(100);
        for (bucket, count) in self.counts().enumerate() {
            if count >= wanted && total > 0 {
                return limit_of(bucket);
            }
            wanted -= count.min(wanted);
        }
        0
    }

    fn counts(&self) -> impl Iterator<Item = u64> {
        self.buckets
            .iter()
            .map(|count| u64::from(count.load(Ordering::Relaxed)))
    }
}

fn bucket_of(micros: u64) -> usize {
    let micros = micros.max(1);
    let octave = micros.ilog2() as usize;
    // The two bits below the highest one tell the quarter of the octave.
    let quarter = if octave >= 2 {
        (micros >> (octave - 2)) & 3
    } else {
        (micros << (2 - octave)) & 3
    };
    (4 * octave + quarter as usize).min(BUCKETS - 1)
}

/// Returns the largest number of microseconds that falls into the bucket.
fn limit_of(bucket: usize) -> u64 {
    let (octave, quarter) = (bucket / 4, (bucket % 4) as u64);
    ((5 + quarter) << octave).div_ceil(4) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_never_too_low_and_at_most_a_quarter_too_high() {
        for micros in (1..5000).chain([60_000_000, 120_000_000]) {
            let latency = Latency::new();
            latency.add(Duration::from_micros(micros));
            let found = latency.quantile_us(50);
            assert!(found >= micros && found * 4 <= micros * 5, "{micros}: {found}");
        }
    }

    #[test]
    fn quantiles_count_from_below() {
        let latency = Latency::new();
        assert_eq!(latency.quantile_us(50), 0);
        for _ in 0..94 {
            latency.add(Duration::from_micros(100));
        }
        for _ in 0..6 {
            latency.add(Duration::from_millis(50));
        }
        assert!((100..125).contains(&latency.quantile_us(50)));
        assert!(latency.quantile_us(95) >= 50_000);
    }
}
