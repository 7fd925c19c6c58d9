//! Percentiles of durations.

use std::time::Duration;

use serde::Serialize;

/// Percentiles in milliseconds, by nearest rank; all zero where nothing was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Half were faster.
    pub p50_ms: f64,
    /// 95 of 100 were faster.
    pub p95_ms: f64,
    /// 99 of 100 were faster.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

impl Latency {
    /// Sorts the durations and reads off the percentiles.
    pub fn of(mut durations: Vec<Duration>) -> Latency {
        durations.sort_unstable();
        let rank = |percent: usize| {
            let rank = (durations.len() * percent).div_ceil(100).max(1);
            durations
                .get(rank - 1)
                .map_or(0.0, |duration| duration.as_micros() as f64 / 1000.0)
        };
        Latency {
            p50_ms: rank(50),
            p95_ms: rank(95),
            p99_ms: rank(99),
            max_ms: rank(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let hundred = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(
            Latency::of(hundred),
            Latency {
                p50_ms: 50.0,
                p95_ms: 95.0,
                p99_ms: 99.0,
                max_ms: 100.0
            }
        );
        assert_eq!(Latency::of(vec![Duration::from_millis(7)]).p50_ms, 7.0);
        assert_eq!(Latency::of(Vec::new()), Latency::default());
    }
}
