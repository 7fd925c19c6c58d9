//! Times of the week and of the year, as `time_intervals` of an `alertmanager.yml` says them, and whether a moment is in one.
//!
//! Knows no table of time zones: how far a zone is from UTC is asked.

use tend_text::{Findings, Node};

use crate::read::Keys;

/// How far a time zone is from UTC at a moment, in seconds; `None` when there is no such zone. Takes its name and seconds since 1970.
pub type Zones<'a> = &'a dyn Fn(&str, i64) -> Option<i32>;

/// A stretch of time that comes again. Whatever is left empty holds at any time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeInterval {
    /// Minutes of the day, from the first to before the second.
    pub times: Vec<(u32, u32)>,
    /// Days of the week, both included; Sunday is 0.
    pub weekdays: Vec<(u32, u32)>,
    /// Days of the month, both included; negative ones count from its end.
    pub days_of_month: Vec<(i32, i32)>,
    /// Months, both included.
    pub months: Vec<(u32, u32)>,
    /// Years, both included.
    pub years: Vec<(i64, i64)>,
    /// The zone in which all that is meant; UTC when nothing is said.
    pub location: Option<String>,
}

const WEEKDAYS: [&str; 7] = [
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

impl TimeInterval {
    /// Returns whether a moment, in milliseconds since 1970, is in it. A zone that is not known is taken for UTC.
    #[must_use]
    pub fn contains(&self, now: i64, zones: Zones<'_>) -> bool {
        let unix = now.div_euclid(1000);
        let offset = self.location.as_deref().and_then(|zone| zones(zone, unix)).unwrap_or(0);
        let local = unix + i64::from(offset);
        let day = local.div_euclid(86_400);
        let (year, month, of_month) = civil(day);
        let minute = u32::try_from(local.rem_euclid(86_400) / 60).unwrap_or(0);
        let weekday = u32::try_from((day + 4).rem_euclid(7)).unwrap_or(0);
        let last = month_length(year, month);
        let any = |empty: bool, found: bool| empty || found;
        any(
            self.times.is_empty(),
            self.times.iter().any(|(from, to)| (*from..*to).contains(&minute)),
        ) && any(
            self.weekdays.is_empty(),
            self.weekdays.iter().any(|(from, to)| (*from..=*to).contains(&weekday)),
        ) && any(
            self.months.is_empty(),
            self.months.iter().any(|(from, to)| (*from..=*to).contains(&month)),
        ) && any(
            self.years.is_empty(),
            self.years.iter().any(|(from, to)| (*from..=*to).contains(&year)),
        ) && any(
            self.days_of_month.is_empty(),
            self.days_of_month.iter().any(|(from, to)| {
                let real = |day: i32| if day < 0 { last + day + 1 } else { day };
                let (from, to) = (real(*from), real(*to));
                // A range that lies behind a short month's end is not in it.
                from <= last && (from.max(1)..=to.min(last)).contains(&of_month)
            }),
        )
    }
}

/// Reads one item of `time_intervals:` under a name.
pub(crate) fn read(findings: &mut Findings, node: &Node) -> Option<TimeInterval> {
    let mut keys = Keys::of(node, "a time interval", findings)?;
    let mut out = TimeInterval::default();
    for item in keys.items("times", findings) {
        let Some(mut keys) = Keys::of(item, "a time of day", findings) else {
            continue;
        };
        let place = keys.place;
        let from = keys.text("start_time", findings).and_then(|(text, _)| minutes(&text));
        let to = keys.text("end_time", findings).and_then(|(text, _)| minutes(&text));
        keys.finish(findings);
        match (from, to) {
            (Some(from), Some(to)) if from < to => out.times.push((from, to)),
            _ => {
                findings
                    .error(place, "a time of day has `start_time` and a later `end_time`")
                    .help("write them in quotes, from '00:00' to '24:00'; a night is two: one to '24:00' and one from '00:00'");
            }
        }
    }
    let word = |names: &'static [&'static str], first: u32| {
        move |text: &str| {
            let lower = text.to_lowercase();
            names
                .iter()
                .position(|name| *name == lower)
                .and_then(|at| u32::try_from(at).ok())
                .map(|at| at + first)
        }
    };
    let weekday = word(&WEEKDAYS, 0);
    let named = word(&MONTHS, 1);
    let month = |text: &str| named(text).or_else(|| text.parse().ok().filter(|number| (1..=12).contains(number)));
    out.weekdays = ranges(
        &mut keys,
        "weekdays",
        findings,
        weekday,
        "days such as monday:friday",
        |from, to| from <= to,
    );
    out.months = ranges(
        &mut keys,
        "months",
        findings,
        month,
        "months such as may:august or 5:8",
        |from, to| from <= to,
    );
    out.years = ranges(
        &mut keys,
        "years",
        findings,
        |text| text.parse().ok(),
        "years such as 2026:2027",
        |from, to| from <= to,
    );
    let day = |text: &str| {
        text.parse()
            .ok()
            .filter(|day: &i32| *day != 0 && (-31..=31).contains(day))
    };
    out.days_of_month = ranges(
        &mut keys,
        "days_of_month",
        findings,
        day,
        "days such as 1:5 or -3:-1",
        |from, to| {
            // The shortest month decides what can never be.
            let at_least = |day: i32| if day < 0 { 28 + day } else { day };
            !(from < 0 && to > 0) && at_least(from) <= at_least(to)
        },
    );
    out.location = keys.text("location", findings).map(|(text, _)| text);
    keys.finish(findings);
    Some(out)
}

fn ranges<T: Copy>(
    keys: &mut Keys<'_>,
    key: &'static str,
    findings: &mut Findings,
    read: impl Fn(&str) -> Option<T>,
    example: &str,
    ordered: impl Fn(T, T) -> bool,
) -> Vec<(T, T)> {
    let mut out = Vec::new();
    for (text, place) in keys.texts(key, findings).unwrap_or_default() {
        let (from, to) = text.split_once(':').unwrap_or((&text, &text));
        match (read(from.trim()), read(to.trim())) {
            (Some(from), Some(to)) if ordered(from, to) => out.push((from, to)),
            _ => {
                _ = findings
                    .error(place, format!("`{text}` is no range of `{key}`"))
                    .help(format!("write {example}"))
            }
        }
    }
    out
}

fn minutes(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |text: &str, max: u32| {
        text.parse()
            .ok()
            .filter(|number: &u32| text.len() == 2 && *number <= max)
    };
    let total = two(hours, 24)? * 60 + two(minutes, 59)?;
    (total <= 24 * 60).then_some(total)
}

fn civil(days: i64) -> (i64, u32, i32) {
    // Years start in March, so that the leap day is their last.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (
        year + era * 400 + i64::from(month <= 2),
        u32::try_from(month).unwrap_or(1),
        i32::try_from(day).unwrap_or(1),
    )
}

fn month_length(year: i64, month: u32) -> i32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds of a date and time in UTC.
    fn at(day: i64, hour: i64, minute: i64) -> i64 {
        ((day * 24 + hour) * 60 + minute) * 60_000
    }

    fn none(_: &str, _: i64) -> Option<i32> {
        None
    }

    #[test]
    fn a_moment_is_in_an_interval_when_all_that_is_said_holds() {
        // 19 000 days after 1970 is Saturday, 8 January 2022.
        let interval = TimeInterval {
            times: vec![(540, 1020)],
            weekdays: vec![(1, 5)],
            ..TimeInterval::default()
        };
        assert!(!interval.contains(at(19_000, 10, 0), &none));
        assert!(interval.contains(at(19_002, 9, 0), &none));
        assert!(!interval.contains(at(19_002, 17, 0), &none));
        assert!(!interval.contains(at(19_002, 8, 59), &none));
    }

    #[test]
    fn days_are_counted_from_the_end_of_the_month_too() {
        let last = TimeInterval {
            days_of_month: vec![(-1, -1)],
            ..TimeInterval::default()
        };
        // 31 January and 28 February 2022.
        assert!(last.contains(at(19_023, 0, 0), &none) && last.contains(at(19_051, 23, 59), &none));
        assert!(!last.contains(at(19_050, 12, 0), &none));
        let behind = TimeInterval {
            days_of_month: vec![(30, 31)],
            ..TimeInterval::default()
        };
        assert!(!behind.contains(at(19_051, 12, 0), &none));
    }

    #[test]
    fn a_time_zone_moves_the_day() {
        let monday = TimeInterval {
            weekdays: vec![(1, 1)],
            location: Some("Asia/Shanghai".to_owned()),
            ..TimeInterval::default()
        };
        let shanghai = |zone: &str, _: i64| (zone == "Asia/Shanghai").then_some(8 * 3600);
        // Sunday 17:00 in UTC is Monday 01:00 there.
        assert!(monday.contains(at(19_001, 17, 0), &shanghai));
        assert!(!monday.contains(at(19_001, 15, 59), &shanghai));
    }
}
