//! What templates may ask beside queries: time zones of this machine, the time, the address. Reads the machine's own table of time zones.

use jiff::Timestamp as Instant;
use jiff::tz::TimeZone;
use tend_template::{Offset, Sample, Time, World};

/// The world of rules and messages of one stack.
#[derive(Clone, Debug)]
pub(crate) struct Around {
    pub(crate) now_ms: i64,
    pub(crate) external_url: String,
}

impl World for Around {
    /// Rules have their queries answered by the engine; messages have none, as in Alertmanager.
    fn query(&mut self, _: &str) -> Result<Vec<Sample>, String> {
        Err("a message cannot ask for metrics; a rule's annotation can".to_owned())
    }

    fn now(&self) -> Time {
        let nanos = u32::try_from(self.now_ms.rem_euclid(1000)).unwrap_or(0) * 1_000_000;
        Time::utc(self.now_ms.div_euclid(1000), nanos)
    }

    fn zone(&self, name: &str, unix: i64) -> Option<Offset> {
        let zone = named(name)?;
        let info = zone.to_offset_info(Instant::from_second(unix).ok()?);
        Some(Offset {
            seconds: info.offset().seconds(),
            name: info.abbreviation().into(),
        })
    }

    fn external_url(&self) -> &str {
        &self.external_url
    }
}

/// Returns how far a zone is from UTC at a moment, in seconds; nothing where there is no such zone.
pub(crate) fn seconds_from_utc(name: &str, unix: i64) -> Option<i32> {
    Some(named(name)?.to_offset(Instant::from_second(unix).ok()?).seconds())
}

fn named(name: &str) -> Option<TimeZone> {
    match name {
        "" | "UTC" => Some(TimeZone::UTC),
        "Local" => Some(TimeZone::system()),
        _ => TimeZone::get(name).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::seconds_from_utc;

    #[test]
    fn zones_are_those_of_the_machine() {
        assert_eq!(seconds_from_utc("UTC", 0), Some(0));
        // No summer time since 1991, so it holds for any table.
        assert_eq!(seconds_from_utc("Asia/Shanghai", 1_700_000_000), Some(8 * 3600));
        assert_eq!(seconds_from_utc("Nowhere/Land", 0), None);
    }
}
