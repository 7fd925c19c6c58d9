//! When a group of rules is due.
//!
//! Owns slots: stretches of time as long as the group's interval, one evaluation each. Knows no clock.

use serde::{Deserialize, Serialize};
use tend_base::Fnv64;
use tend_promql::Timestamp;

/// Where the slots of a group begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// At whole multiples of the interval, all groups of an interval together: what several rules ask for is worked out once.
    #[default]
    Aligned,
    /// Each group somewhere else, by a hash of its file and name, as Prometheus does it: the work is spread over time.
    Spread,
}

/// The slots of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// Milliseconds, more than 0.
    interval: i64,
    /// Where the first slot after 1970 begins, in milliseconds.
    offset: i64,
}

impl Schedule {
    pub(crate) fn new(phase: Phase, interval: i64, file: &str, name: &str) -> Self {
        let interval = interval.max(1);
        let offset = match phase {
            Phase::Aligned => 0,
            Phase::Spread => {
                let mut hash = Fnv64::default();
                for text in [file, name] {
                    hash.bytes(text.as_bytes());
                    hash.number(255);
                }
                #[allow(clippy::cast_possible_wrap, reason = "less than an interval, which is an i64")]
                let offset = (hash.value() % interval.unsigned_abs()) as i64;
                offset
            }
        };
        Self { interval, offset }
    }

    /// The number of the slot that a moment is in.
    pub(crate) fn slot(&self, at: Timestamp) -> i64 {
        at.saturating_sub(self.offset).div_euclid(self.interval)
    }

    /// When a slot begins.
    pub(crate) fn start(&self, slot: i64) -> Timestamp {
        slot.saturating_mul(self.interval).saturating_add(self.offset)
    }

    pub(crate) fn interval(&self) -> i64 {
        self.interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_as_long_as_the_interval_and_begin_where_the_phase_says() {
        let aligned = Schedule::new(Phase::Aligned, 15_000, "a.yml", "g");
        assert_eq!((aligned.slot(14_999), aligned.slot(15_000), aligned.slot(-1)), (0, 1, -1));
        assert_eq!(aligned.start(2), 30_000);
        let spread = Schedule::new(Phase::Spread, 15_000, "a.yml", "g");
        assert!(spread.start(0) >= 0 && spread.start(0) < 15_000);
        assert_eq!(spread.slot(spread.start(7)), 7);
        assert_eq!(spread.slot(spread.start(7) - 1), 6);
        let starts: std::collections::BTreeSet<i64> = (0..50)
            .map(|number| Schedule::new(Phase::Spread, 15_000, "a.yml", &format!("g{number}")).start(0))
            .collect();
        assert!(starts.len() > 40, "{starts:?}");
        assert!(starts.iter().any(|start| *start > 10_000) && starts.iter().any(|start| *start < 5_000));
    }
}
