//! When a target is asked. Pure: times come in.
//!
//! A target is due at the moments that leave the same rest when divided by its interval. The rest follows from what the target is, so each
//! is asked at the same moments after a restart, by any process.
//!
//! Targets are spread over the last twentieth of the interval. Rules are evaluated when it ends, so what a scrape saw waits for a fortieth of it on
//! the average, where Prometheus, which spreads scrapes and groups over all of it, has half: an alert is told that much sooner. The work
//! comes in bursts for it; 200 targets of 1000 series are a third of a second of one core.

use tend_base::Fnv64;

/// A wake-up this much after the moment that was due still counts as that moment, in milliseconds, so that times come out even and the store
/// need not keep the difference. From Prometheus (`scrapeTimestampTolerance`), as is the hundredth of an interval below.
const LATE_MS_MAX: i64 = 2;

/// Which part of the interval targets are spread over.
const SPREAD: i64 = 20;

/// The moments at which one target is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    interval_ms: i64,
    offset_ms: i64,
}

impl Schedule {
    /// The schedule of a target with this hash.
    pub(crate) fn new(interval_ms: i64, hash: u64) -> Self {
        let interval_ms = interval_ms.max(1);
        let spread_ms = (interval_ms / SPREAD).max(1);
        Self {
            interval_ms,
            offset_ms: interval_ms - spread_ms + (hash % spread_ms.unsigned_abs()).cast_signed(),
        }
    }

    /// The first moment after `time_ms`.
    pub(crate) fn after(self, time_ms: i64) -> i64 {
        let since = (time_ms - self.offset_ms).rem_euclid(self.interval_ms);
        time_ms - since + self.interval_ms
    }

    /// The next moment, when a scrape that was due at `due_ms` began at `begun_ms` and it is now `now_ms`.
    ///
    /// Moments that passed meanwhile are left out. A clock that was set back does not make the target wait for the old time to come again.
    pub(crate) fn next(self, due_ms: i64, begun_ms: i64, now_ms: i64) -> i64 {
        if (begun_ms - due_ms).abs() < self.interval_ms {
            // A timer may wake a little early by the wall clock; the moment is not to come twice.
            self.after(due_ms.max(now_ms))
        } else {
            self.after(now_ms)
        }
    }

    /// How long to wait for `due_ms`, in milliseconds: never longer than the interval, whatever was done to the clock.
    pub(crate) fn wait(self, due_ms: i64, now_ms: i64) -> u64 {
        (due_ms - now_ms).clamp(0, self.interval_ms).unsigned_abs()
    }

    /// The time that the samples of a scrape get which was due at `due_ms` and began at `begun_ms`.
    pub(crate) fn stamp(self, due_ms: i64, begun_ms: i64) -> i64 {
        let tolerance = LATE_MS_MAX.min(self.interval_ms / 100);
        if (begun_ms - due_ms).abs() <= tolerance {
            due_ms
        } else {
            begun_ms
        }
    }
}

/// The hash of what a target is: its job, labels and URL.
pub(crate) fn hash<'a>(parts: impl Iterator<Item = &'a str>) -> u64 {
    let mut fnv = Fnv64::default();
    for part in parts {
        fnv.bytes(part.as_bytes());
        fnv.number(0);
    }
    // The last bytes of a text move only the low bits of such a hash much; these steps (MurmurHash3's end) spread them.
    let mut mixed = fnv.value();
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_due_at_the_same_moments_whoever_asks_and_whenever() {
        let schedule = Schedule::new(15_000, 7_004_321);
        let first = schedule.after(1_000_000);
        assert!((1_000_001..=1_015_000).contains(&first));
        assert_eq!(schedule.after(first - 1), first);
        assert_eq!(schedule.after(first), first + 15_000);
        assert_eq!(schedule.after(first + 150_000_000), first + 150_015_000);
    }

    #[test]
    fn targets_are_spread_over_the_last_twentieth_of_the_interval() {
        let mut tenths = [0; 10];
        for number in 0..1000 {
            let instance = format!("10.0.0.1:{number}");
            let schedule = Schedule::new(15_000, hash(["job", &instance].into_iter()));
            tenths[usize::try_from((schedule.offset_ms - 14_250) / 75).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|count| (60..=140).contains(count)), "{tenths:?}");
    }

    #[test]
    fn whatever_the_clock_does_the_next_moment_is_within_an_interval_of_now() {
        let schedule = Schedule::new(10_000, 3);
        let due = schedule.after(5_000_000);
        for (begun, now, next) in [
            // On time, and a little early.
            (due, due + 50, due + 10_000),
            (due - 1, due - 1, due + 10_000),
            // It took long: the moments in between are left out.
            (due, due + 25_000, due + 30_000),
            // The clock was set back by an hour, or forth.
            (due - 3_600_000, due - 3_599_000, due - 3_590_000),
            (due + 3_600_000, due + 3_600_100, due + 3_610_000),
        ] {
            assert_eq!(schedule.next(due, begun, now), next, "{begun} {now}");
            assert!(schedule.wait(next, now) <= 10_001, "{begun} {now}");
        }
        assert_eq!(
            schedule.wait(due + 3_600_000, due),
            10_000,
            "no longer than an interval"
        );
        assert_eq!(schedule.wait(due, due + 5), 0);
    }

    #[test]
    fn a_scrape_that_begins_almost_on_time_has_the_time_that_was_due() {
        let schedule = Schedule::new(10_000, 3);
        assert_eq!(schedule.stamp(1000, 1002), 1000);
        assert_eq!(schedule.stamp(1000, 999), 1000);
        assert_eq!(schedule.stamp(1000, 1003), 1003);
        assert_eq!(
            Schedule::new(100, 3).stamp(1000, 1002),
            1002,
            "a hundredth of the interval"
        );
    }
}
