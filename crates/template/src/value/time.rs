//! Moments seen from a time zone, and Go's way to write them by an example of the moment it takes as the model.
//!
//! Knows no clock and no table of time zones: what a zone's offset is at a moment is told to it.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::value::duration::fraction;

/// How far local time is from UTC at one moment, and what it is called then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offset {
    /// Seconds to add to UTC.
    pub seconds: i32,
    /// Its abbreviation, such as `CST`.
    pub name: Arc<str>,
}

impl Offset {
    /// UTC.
    #[must_use]
    pub fn utc() -> Self {
        Self {
            seconds: 0,
            name: "UTC".into(),
        }
    }
}

/// A moment and from which zone it is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Time {
    /// Seconds since 1970 UTC; before it, negative.
    pub unix: i64,
    /// Nanoseconds in that second, below 1 000 000 000.
    pub nanos: u32,
    /// Local time.
    pub offset: Offset,
}

/// Seconds since 1970 of the first of January of the year 1: Go's moment that means "none".
pub(crate) const ZERO: i64 = -62_135_596_800;

pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(crate) const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// A moment taken apart.
pub(crate) struct Civil {
    pub(crate) year: i64,
    /// From 1.
    pub(crate) month: u32,
    pub(crate) day: u32,
    pub(crate) hour: u32,
    pub(crate) minute: u32,
    pub(crate) second: u32,
    /// Sunday is 0.
    pub(crate) weekday: u32,
    /// From 1.
    pub(crate) yearday: u32,
}

impl Time {
    /// A moment in UTC.
    #[must_use]
    pub fn utc(unix: i64, nanos: u32) -> Self {
        Self {
            unix,
            nanos,
            offset: Offset::utc(),
        }
    }

    /// A moment in UTC from milliseconds since 1970.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        let nanos = u32::try_from(millis.rem_euclid(1000)).unwrap_or(0) * 1_000_000;
        Self::utc(millis.div_euclid(1000), nanos)
    }

    /// The moment that stands for none.
    #[must_use]
    pub fn none() -> Self {
        Self::utc(ZERO, 0)
    }

    /// Returns whether it stands for none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.unix == ZERO && self.nanos == 0
    }

    /// The moment as RFC 3339 with as many digits of the second as it has: how JSON has it.
    #[must_use]
    pub fn rfc3339(&self) -> String {
        self.format("2006-01-02T15:04:05.999999999Z07:00")
    }

    pub(crate) fn civil(&self) -> Civil {
        let local = self.unix.saturating_add(i64::from(self.offset.seconds));
        let days = local.div_euclid(86_400);
        let rest = local.rem_euclid(86_400);
        let (year, month, day) = date_of(days);
        let small = |value: i64| u32::try_from(value).unwrap_or(0);
        Civil {
            year,
            month,
            day,
            hour: small(rest / 3600),
            minute: small(rest / 60 % 60),
            second: small(rest % 60),
            weekday: small((days + 4).rem_euclid(7)),
            yearday: small(days - days_of(year, 1, 1) + 1),
        }
    }

    /// Nanoseconds since 1970, as near as they fit.
    pub(crate) fn unix_nanos(&self) -> i64 {
        self.unix
            .saturating_mul(1_000_000_000)
            .saturating_add(i64::from(self.nanos))
    }

    pub(crate) fn plus_nanos(&self, nanos: i64) -> Self {
        let total = i128::from(self.unix) * 1_000_000_000 + i128::from(self.nanos) + i128::from(nanos);
        let unix = i64::try_from(total.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
        let nanos = u32::try_from(total.rem_euclid(1_000_000_000)).unwrap_or(0);
        Self {
            unix,
            nanos,
            offset: self.offset.clone(),
        }
    }

    /// What Go's `String` writes.
    pub(crate) fn text(&self) -> String {
        self.format("2006-01-02 15:04:05.999999999 -0700 MST")
    }

    /// Writes the moment the way the layout writes 2 January 2006, 15:04:05, in the zone seven hours west of UTC.
    #[must_use]
    pub fn format(&self, layout: &str) -> String {
        let civil = self.civil();
        let mut out = String::with_capacity(layout.len() + 8);
        let mut rest = layout;
        while !rest.is_empty() {
            let Some((part, length)) = part(rest) else {
                let length = rest.chars().next().map_or(1, char::len_utf8);
                out.push_str(&rest[..length]);
                rest = &rest[length..];
                continue;
            };
            self.write(&mut out, &civil, part);
            rest = &rest[length..];
        }
        out
    }

    fn write(&self, out: &mut String, civil: &Civil, part: Part) {
        let month = MONTHS[(civil.month as usize + 11) % 12];
        let weekday = DAYS[civil.weekday as usize % 7];
        let hour12 = if civil.hour.is_multiple_of(12) {
            12
        } else {
            civil.hour % 12
        };
        let afternoon = civil.hour >= 12;
        // Writing to a string cannot fail.
        let _ = match part {
            Part::Year if civil.year < 0 => write!(out, "-{:04}", -civil.year),
            Part::Year => write!(out, "{:04}", civil.year),
            Part::ShortYear => write!(out, "{:02}", civil.year.rem_euclid(100)),
            Part::MonthName => write!(out, "{month}"),
            Part::MonthShort => write!(out, "{}", &month[..3]),
            Part::Month => write!(out, "{}", civil.month),
            Part::Month2 => write!(out, "{:02}", civil.month),
            Part::WeekdayName => write!(out, "{weekday}"),
            Part::WeekdayShort => write!(out, "{}", &weekday[..3]),
            Part::Day => write!(out, "{}", civil.day),
            Part::DayBlank => write!(out, "{:2}", civil.day),
            Part::Day2 => write!(out, "{:02}", civil.day),
            Part::YearDayBlank => write!(out, "{:3}", civil.yearday),
            Part::YearDay3 => write!(out, "{:03}", civil.yearday),
            Part::Hour24 => write!(out, "{:02}", civil.hour),
            Part::Hour12 => write!(out, "{hour12}"),
            Part::Hour12Two => write!(out, "{hour12:02}"),
            Part::Minute => write!(out, "{}", civil.minute),
            Part::Minute2 => write!(out, "{:02}", civil.minute),
            Part::Second => write!(out, "{}", civil.second),
            Part::Second2 => write!(out, "{:02}", civil.second),
            Part::Half => write!(out, "{}", if afternoon { "PM" } else { "AM" }),
            Part::HalfSmall => write!(out, "{}", if afternoon { "pm" } else { "am" }),
            Part::ZoneName if self.offset.name.is_empty() => self.zone(
                out,
                ZoneStyle {
                    colon: false,
                    seconds: false,
                },
                false,
            ),
            Part::ZoneName => write!(out, "{}", self.offset.name),
            Part::Zone { style, z } => self.zone(out, style, z),
            Part::Fraction {
                mark,
                digits,
                trim: false,
            } => {
                let nanos = format!("{:09}", self.nanos);
                write!(out, "{mark}{}", &nanos[..digits])
            }
            Part::Fraction {
                mark,
                digits,
                trim: true,
            } => {
                let shown = u64::from(self.nanos) / 10u64.pow(9 - u32::try_from(digits).unwrap_or(9));
                let text = fraction(shown, digits);
                if let Some(text) = text.strip_prefix('.') {
                    write!(out, "{mark}{text}")
                } else {
                    Ok(())
                }
            }
        };
    }

    fn zone(&self, out: &mut String, style: ZoneStyle, z: bool) -> std::fmt::Result {
        let seconds = self.offset.seconds;
        if z && seconds == 0 {
            out.push('Z');
            return Ok(());
        }
        let sign = if seconds < 0 { '-' } else { '+' };
        let total = seconds.unsigned_abs();
        let colon = if style.colon { ":" } else { "" };
        write!(out, "{sign}{:02}{colon}{:02}", total / 3600, total / 60 % 60)?;
        if style.seconds {
            write!(out, "{colon}{:02}", total % 60)?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct ZoneStyle {
    colon: bool,
    seconds: bool,
}

enum Part {
    Year,
    ShortYear,
    MonthName,
    MonthShort,
    Month,
    Month2,
    WeekdayName,
    WeekdayShort,
    Day,
    DayBlank,
    Day2,
    YearDayBlank,
    YearDay3,
    Hour24,
    Hour12,
    Hour12Two,
    Minute,
    Minute2,
    Second,
    Second2,
    Half,
    HalfSmall,
    ZoneName,
    Zone { style: ZoneStyle, z: bool },
    Fraction { mark: char, digits: usize, trim: bool },
}

/// The part of a layout that stands at the start of a text, and its length.
fn part(rest: &str) -> Option<(Part, usize)> {
    let zone = |colon, seconds, z| Part::Zone {
        style: ZoneStyle { colon, seconds },
        z,
    };
    // Longer names first: `Jan` is the start of `January`.
    let table: [(&str, Part); 33] = [
        ("January", Part::MonthName),
        ("Jan", Part::MonthShort),
        ("Monday", Part::WeekdayName),
        ("Mon", Part::WeekdayShort),
        ("MST", Part::ZoneName),
        ("002", Part::YearDay3),
        ("01", Part::Month2),
        ("02", Part::Day2),
        ("03", Part::Hour12Two),
        ("04", Part::Minute2),
        ("05", Part::Second2),
        ("06", Part::ShortYear),
        ("15", Part::Hour24),
        ("1", Part::Month),
        ("2006", Part::Year),
        ("2", Part::Day),
        ("__2", Part::YearDayBlank),
        ("_2", Part::DayBlank),
        ("3", Part::Hour12),
        ("4", Part::Minute),
        ("5", Part::Second),
        ("PM", Part::Half),
        ("pm", Part::HalfSmall),
        ("-07:00:00", zone(true, true, false)),
        ("-070000", zone(false, true, false)),
        ("-07:00", zone(true, false, false)),
        ("-0700", zone(false, false, false)),
        ("Z07:00:00", zone(true, true, true)),
        ("Z070000", zone(false, true, true)),
        ("Z07:00", zone(true, false, true)),
        ("Z0700", zone(false, false, true)),
        ("-07", zone(false, false, false)),
        ("Z07", zone(false, false, true)),
    ];
    if let Some(found) = fraction_part(rest) {
        return Some(found);
    }
    // `_2006` is a line below and a year, not a day with a blank.
    if rest.starts_with("_2006") {
        return None;
    }
    for (text, part) in table {
        if let Some(after) = rest.strip_prefix(text) {
            // `Month` is no `Mon`, `Janitor` no `Jan`.
            let after = after.chars().next();
            if matches!(text, "Jan" | "Mon") && after.is_some_and(|next| next.is_ascii_lowercase()) {
                continue;
            }
            return Some((part, text.len()));
        }
    }
    None
}

fn fraction_part(rest: &str) -> Option<(Part, usize)> {
    let mark = rest.chars().next().filter(|mark| matches!(mark, '.' | ','))?;
    let digit = rest[1..].chars().next().filter(|digit| matches!(digit, '0' | '9'))?;
    let digits = rest[1..].len() - rest[1..].trim_start_matches(digit).len();
    // Digits that go on are a number and no fraction.
    if digits > 9 || rest[1 + digits..].starts_with(|next: char| next.is_ascii_digit()) {
        return None;
    }
    Some((
        Part::Fraction {
            mark,
            digits,
            trim: digit == '9',
        },
        digits + 1,
    ))
}

/// Days since 1970 of a date.
pub(crate) fn days_of(year: i64, month: u32, day: u32) -> i64 {
    // Years start in March, so that the leap day is their last: Howard Hinnant's well-known arithmetic.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let shifted = i64::from((month + 9) % 12);
    let of_year = (153 * shifted + 2) / 5 + i64::from(day) - 1;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

fn date_of(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, u32::try_from(month).unwrap_or(1), u32::try_from(day).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_comes_back() {
        for days in (-800_000..800_000).step_by(97) {
            let (year, month, day) = date_of(days);
            assert_eq!(days_of(year, month, day), days);
        }
    }

    #[test]
    fn layouts_are_those_of_go() {
        let time = Time {
            unix: 1_700_000_000,
            nanos: 120_000_000,
            offset: Offset {
                seconds: 28_800,
                name: "CST".into(),
            },
        };
        for (layout, expected) in [
            ("2006-01-02T15:04:05Z07:00", "2023-11-15T06:13:20+08:00"),
            ("Mon Jan _2 15:04:05 MST 2006", "Wed Nov 15 06:13:20 CST 2023"),
            (
                "Monday, 02-Jan-06 15:04:05 -0700",
                "Wednesday, 15-Nov-23 06:13:20 +0800",
            ),
            ("3:04PM .000 .999 .99", "6:13AM .120 .12 .12"),
            ("2006年1月2日 __2 002", "2023年11月15日 319 319"),
        ] {
            assert_eq!(time.format(layout), expected, "{layout}");
        }
        assert_eq!(Time::none().text(), "0001-01-01 00:00:00 +0000 UTC");
    }
}
