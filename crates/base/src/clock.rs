//! The two kinds of time and the one place that reads them.
//!
//! Decisions receive a [`Now`] as an argument and never ask for the time themselves.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Time since the machine started, in nanoseconds, going on while it sleeps (`CLOCK_BOOTTIME`).
///
/// Never jumps; used for every deadline. It is comparable between processes of one boot, which is why
/// it is preferred over [`std::time::Instant`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Mono(pub u64);

/// Time of day in milliseconds since 1970-01-01 UTC. May jump; used only to tell people when something was.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Wall(pub u64);

/// Both times of one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// For deadlines.
    pub mono: Mono,
    /// For people.
    pub wall: Wall,
}

impl Mono {
    /// Returns how long after `earlier` this is; zero when it is not after.
    #[must_use]
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Mono;
    fn add(self, later: Duration) -> Mono {
        Mono(
            self.0
                .saturating_add(u64::try_from(later.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub<Duration> for Mono {
    type Output = Mono;
    fn sub(self, earlier: Duration) -> Mono {
        Mono(
            self.0
                .saturating_sub(u64::try_from(earlier.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl fmt::Debug for Mono {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:.3}s", Duration::from_nanos(self.0).as_secs_f64())
    }
}

impl Wall {
    /// Returns the moment as `2026-11-21T12:44:35.123Z` (RFC 3339, UTC, milliseconds).
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let (days, millis_of_day) = (self.0 / 86_400_000, self.0 % 86_400_000);
        let (year, month, day) = civil_from_days(days);
        let (hour, minute) = (millis_of_day / 3_600_000, millis_of_day / 60_000 % 60);
        let (second, milli) = (millis_of_day / 1000 % 60, millis_of_day % 1000);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

impl fmt::Debug for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// Returns the Gregorian date of a day counted from 1970-01-01.
///
/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": eras of 400 years starting on 1 March.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// Tells the time. The simulator and the machine each have one.
pub trait Clock {
    /// Returns this moment. Successive calls never go back in [`Mono`]; they may in [`Wall`].
    fn now(&self) -> Now;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// Returns this moment for deadlines alone: half the price of [`Clock::now`], for whoever asks several times for each request.
    #[must_use]
    pub fn mono(&self) -> Mono {
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Mono(boot.tv_sec.unsigned_abs() * 1_000_000_000 + boot.tv_nsec.unsigned_abs())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let mono = self.mono();
        let real = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        Now {
            mono,
            wall: Wall(real.tv_sec.unsigned_abs() * 1000 + real.tv_nsec.unsigned_abs() / 1_000_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_is_written_as_rfc3339() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_265_075_123, "2026-11-21T12:44:35.123Z"),
            (4_102_444_799_999, "2099-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Wall(millis).to_rfc3339(), text);
        }
    }

    #[test]
    fn the_system_clock_does_not_go_back() {
        let first = SystemClock.now();
        let second = SystemClock.now();
        assert!(second.mono >= first.mono);
    }
}
