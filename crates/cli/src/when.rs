//! Reads times as people write them and writes them as people read them. Knows no clock.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use tend_base::{Wall, parse_duration};

/// A moment as it is written on the command line: an age such as `10m`, or a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// This long ago.
    Ago(std::time::Duration),
    /// At this moment.
    At(Timestamp),
    /// At this moment of the user's time zone.
    Local(DateTime),
}

impl std::str::FromStr for When {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(age) = parse_duration(text) {
            return Ok(When::Ago(age));
        }
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(When::At(at));
        }
        text.parse::<DateTime>().map(When::Local).map_err(|_| {
            "write an age such as 10m or 2h, or a time such as 2026-11-21T13:00:00Z or 2026-11-21T13:00".to_owned()
        })
    }
}

impl When {
    /// Returns the moment where it lies ahead: an age is a duration from now on.
    pub(crate) fn ahead(&self, now: Wall, zone: &TimeZone) -> Wall {
        match self {
            When::Ago(after) => Wall(
                now.0
                    .saturating_add(u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            ),
            When::At(_) | When::Local(_) => self.resolve(now, zone),
        }
    }

    /// Returns the moment; times before 1970 are 1970.
    pub(crate) fn resolve(&self, now: Wall, zone: &TimeZone) -> Wall {
        let millis = |timestamp: Timestamp| Wall(u64::try_from(timestamp.as_millisecond()).unwrap_or(0));
        match self {
            When::Ago(age) => Wall(now.0.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))),
            When::At(at) => millis(*at),
            // A time that the clock change skips or repeats is read as the earlier offset has it; one out of range as now.
            When::Local(at) => zone.to_ambiguous_timestamp(*at).compatible().map_or(now, millis),
        }
    }
}

/// Writes a moment in the user's time zone, to the millisecond: `2026-11-21 13:00:00.123`.
pub(crate) fn local_time(at: Wall, zone: &TimeZone) -> String {
    local(at, zone).map_or_else(
        || at.to_rfc3339(),
        |at| at.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
    )
}

/// As [`local_time`] without the day.
pub(crate) fn local_time_of_day(at: Wall, zone: &TimeZone) -> String {
    local(at, zone).map_or_else(|| at.to_rfc3339(), |at| at.strftime("%H:%M:%S").to_string())
}

fn local(at: Wall, zone: &TimeZone) -> Option<jiff::Zoned> {
    let millis = i64::try_from(at.0).ok()?;
    Some(Timestamp::from_millisecond(millis).ok()?.to_zoned(zone.clone()))
}

/// Writes an age with its two largest units: `3d 4h`, `12m 5s`, `0s`.
pub(crate) fn age(seconds: u64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, _) => format!("{minutes}m {rest}s"),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_ages_and_as_times() {
        let now = Wall(1_795_265_075_123);
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        for (text, expected) in [
            ("10m", "2026-11-21T12:34:35.123Z"),
            ("2026-11-21T12:00:00Z", "2026-11-21T12:00:00.000Z"),
            ("2026-11-21T12:00:00+02:00", "2026-11-21T10:00:00.000Z"),
            ("2026-11-21T12:00", "2026-11-21T04:00:00.000Z"),
            ("2026-11-21 12:00:01.5", "2026-11-21T04:00:01.500Z"),
            ("2026-11-21", "2026-11-20T16:00:00.000Z"),
        ] {
            let when: When = text.parse().unwrap();
            assert_eq!(when.resolve(now, &zone).to_rfc3339(), expected, "{text}");
        }
        for text in ["", "yesterday", "10", "2026-13-01"] {
            assert!(text.parse::<When>().is_err(), "{text}");
        }
    }

    #[test]
    fn moments_are_shown_in_the_time_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        let at = Wall(1_795_265_075_123);
        assert_eq!(local_time(at, &zone), "2026-11-21 20:44:35.123");
        assert_eq!(local_time_of_day(at, &zone), "20:44:35");
    }

    #[test]
    fn ages_have_two_units() {
        for (seconds, text) in [(0, "0s"), (65, "1m 5s"), (7300, "2h 1m"), (273_600, "3d 4h")] {
            assert_eq!(age(seconds), text);
        }
    }
}
