//! Times as both APIs write and read them: RFC 3339 to the millisecond. Knows no zone but the one that stands in a text.

use serde::{Serialize, Serializer};
use tend_promql::Timestamp;

/// What Go writes for a time that is none.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Days from 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_1970: i64 = 719_468;
/// Days in 400 years.
const DAYS_OF_ERA: i64 = 146_097;

/// Writes a time as Go's `RFC3339Nano`: without a fraction, or with one that has no zero at its end.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    let millis = time.rem_euclid(1000);
    let plain = seconds(time);
    if millis == 0 {
        return format!("{plain}Z");
    }
    format!("{plain}.{}Z", format!("{millis:03}").trim_end_matches('0'))
}

/// Writes a time as Alertmanager does: always with milliseconds.
pub(crate) fn with_millis(time: Timestamp) -> String {
    format!("{}.{:03}Z", seconds(time), time.rem_euclid(1000))
}

fn seconds(time: Timestamp) -> String {
    // What the calendar of four digits does not hold, is its end.
    let total = time.div_euclid(1000).clamp(-62_135_596_800, 253_402_300_799);
    let (days, second) = (total.div_euclid(86_400), total.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// The date of a day since 1970-01-01. Years begin in March, so that the day that comes and goes is the last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_BEFORE_1970;
    let (era, of_era) = (days.div_euclid(DAYS_OF_ERA), days.rem_euclid(DAYS_OF_ERA));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// The day since 1970-01-01 of a date.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * DAYS_OF_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - DAYS_BEFORE_1970
}

/// Reads RFC 3339, with any number of digits after the second; what is below a millisecond is left out.
pub(crate) fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        digits
            .iter()
            .all(u8::is_ascii_digit)
            .then(|| digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
    };
    let sign = |at: usize, wanted: u8| (bytes.get(at) == Some(&wanted)).then_some(());
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    for (at, wanted) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
        sign(at, wanted)?;
    }
    let lengths = [
        31,
        28 + i64::from(is_leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let length = *lengths.get(usize::try_from(month - 1).ok()?)?;
    if !(1..=length).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut at = 19;
    let mut millis = 0;
    if matches!(bytes.get(at), Some(b'.')) {
        let digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let shown = digits.min(3);
        millis = number(at + 1, at + 1 + shown)? * [100, 10, 1][shown - 1];
        at += 1 + digits;
    }
    let shift = match bytes.get(at)? {
        b'Z' if bytes.len() == at + 1 => 0,
        sign @ (b'+' | b'-') if bytes.len() == at + 6 && bytes[at + 3] == b':' => {
            let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let shift = hours * 3600 + minutes * 60;
            if *sign == b'+' { shift } else { -shift }
        }
        _ => return None,
    };
    let total = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - shift;
    Some(total * 1000 + millis)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// A time that may not have been yet, as Go writes it.
pub(crate) fn written<S: Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => rfc3339(*time).serialize(to),
        None => NEVER.serialize(to),
    }
}

/// The same as text.
pub(crate) fn or_never(time: Option<Timestamp>) -> String {
    time.map_or_else(|| NEVER.to_owned(), rfc3339)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read() {
        for (time, nano, millis) in [
            (0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
            (1_700_000_000_120, "2023-11-14T22:13:20.12Z", "2023-11-14T22:13:20.120Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z", "2000-02-28T23:59:59.999Z"),
            (951_825_600_000, "2000-02-29T12:00:00Z", "2000-02-29T12:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
            (-62_135_596_800_000, NEVER, "0001-01-01T00:00:00.000Z"),
        ] {
            assert_eq!((rfc3339(time).as_str(), with_millis(time).as_str()), (nano, millis));
            assert_eq!(parse_rfc3339(nano), Some(time), "{nano}");
        }
        assert_eq!(
            parse_rfc3339("2023-11-14T23:13:20.123456789+01:00"),
            Some(1_700_000_000_123)
        );
        for wrong in [
            "",
            "2023",
            "2023-11-14",
            "2023-02-29T00:00:00Z",
            "2023-11-14T24:00:00Z",
            "2023-11-14 22:13:20Z",
            "2023-11-14T22:13:20",
            "2023-11-14T22:13:20.Z",
            "2023-11-14T22:13:20+1:00",
            "2023-13-14T22:13:20Z",
        ] {
            assert_eq!(parse_rfc3339(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_day_comes_back() {
        for day in (-719_162..2_932_896).step_by(997) {
            let (year, month, of_month) = civil(day);
            assert_eq!(days(year, month, of_month), day);
        }
    }
}
