//! Rows of configuration as values, from whatever a database calls them. Knows no connection.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use tend_base::Wall;

/// A row that counts.
#[derive(Clone, PartialEq)]
pub struct Row {
    /// The table or query it is from.
    pub from: Arc<str>,
    /// Its key, as written there.
    pub key: String,
    /// Its value; `null` unsets what lies beneath.
    pub value: Value,
    /// When it was made, where the table says so.
    pub created_at: Option<Wall>,
    /// When it was last changed, where the table says so.
    pub updated_at: Option<Wall>,
    /// By whom, where the table says so.
    pub updated_by: Option<String>,
}

/// A row that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The table or query it is in.
    pub from: Arc<str>,
    /// Its key, when it has one.
    pub key: Option<String>,
    /// What is wrong with it, and what to write instead. The value is not in it.
    pub why: String,
}

/// All rows at one moment, in the order of the table and the queries, and in each of their keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Those that can be used.
    pub rows: Vec<Row>,
    /// Those that cannot. What to do about the rest is for the reader to say.
    pub faults: Vec<Fault>,
}

impl fmt::Debug for Row {
    /// Without the value: it may be what nobody should see.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row({} of {})", self.key, self.from)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{}, key `{key}`: {}", self.from, self.why),
            None => write!(f, "{}: {}", self.from, self.why),
        }
    }
}

/// A value as a database gave it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Raw {
    Null,
    /// The text of a JSON value: of a JSON column, a number, a boolean.
    Json(String),
    Text(String),
    /// Bytes that are no text.
    Bytes,
}

/// A row as a database gave it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RawRow {
    pub(crate) key: Raw,
    pub(crate) value: Raw,
    pub(crate) created_at: Option<Wall>,
    pub(crate) updated_at: Option<Wall>,
    pub(crate) updated_by: Option<String>,
}

impl Rows {
    /// Adds what one table or query gave.
    pub(crate) fn add(&mut self, from: &str, text_is_json: bool, raw_rows: Vec<RawRow>) {
        let from: Arc<str> = from.into();
        let mut by_key = BTreeMap::<String, Vec<RawRow>>::new();
        for row in raw_rows {
            match &row.key {
                Raw::Text(key) | Raw::Json(key) if !key.is_empty() => {
                    let key = key.clone();
                    by_key.entry(key).or_default().push(row);
                }
                _ => self.fault(&from, None, "a row has no key; write one or remove the row".to_owned()),
            }
        }
        for (key, mut same) in by_key {
            if same.len() > 1 {
                let why = format!("it is there {} times; leave one row of it active", same.len());
                self.fault(&from, Some(key), why);
                continue;
            }
            let row = same.remove(0);
            match value(row.value, text_is_json) {
                Ok(value) => self.rows.push(Row {
                    from: from.clone(),
                    key,
                    value,
                    created_at: row.created_at,
                    updated_at: row.updated_at,
                    updated_by: row.updated_by,
                }),
                Err(why) => self.fault(&from, Some(key), why),
            }
        }
    }

    fn fault(&mut self, from: &Arc<str>, key: Option<String>, why: String) {
        let from = from.clone();
        self.faults.push(Fault { from, key, why });
    }
}

fn value(raw: Raw, text_is_json: bool) -> Result<Value, String> {
    match raw {
        Raw::Null => {
            Err("its value is NULL; write the JSON value `null` to unset the key, or make the row inactive".to_owned())
        }
        Raw::Bytes => Err("its value is neither text nor JSON".to_owned()),
        Raw::Text(text) if !text_is_json => Ok(Value::String(text)),
        Raw::Json(text) | Raw::Text(text) => serde_json::from_str(&text).map_err(|error| {
            format!(
                "its value is not JSON (line {}, column {}); a text needs double quotes, as in \"on\"",
                error.line(),
                error.column()
            )
        }),
    }
}

/// Returns a moment from the parts of a date and a time of day, in UTC; none before 1970 or when there is no such day.
pub(crate) fn moment(date: [u64; 3], time: [u64; 3], millis: u64) -> Option<Wall> {
    let [year, month, day] = date;
    let [hour, minute, second] = time;
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 || millis > 999 {
        return None;
    }
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": eras of 400 years starting on 1 March.
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    Some(Wall((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis))
}

/// Returns a moment from a text such as `2026-11-22 00:12:33.5`, with `T` or `Z` too, in UTC.
pub(crate) fn moment_of_text(text: &str) -> Option<Wall> {
    let text = text.trim().trim_end_matches('Z').trim_end_matches("+00:00");
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00:00"));
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let three = |text: &str, by: char| -> Option<[u64; 3]> {
        let parts: Vec<u64> = text.split(by).map(str::parse).collect::<Result<_, _>>().ok()?;
        parts.try_into().ok()
    };
    let fraction: String = fraction.chars().chain("000".chars()).take(3).collect();
    moment(three(date, '-')?, three(time, ':')?, fraction.parse().ok()?)
}

/// Returns a moment from a number: seconds since 1970, or milliseconds when seconds would lie beyond the year 5000.
pub(crate) fn moment_of_number(number: i64) -> Option<Wall> {
    let number = u64::try_from(number).ok()?;
    Some(Wall(if number < 100_000_000_000 {
        number * 1000
    } else {
        number
    }))
}

/// Returns whether a text means true where a database has no booleans.
pub(crate) fn is_true(text: &str) -> bool {
    matches!(
        text.to_ascii_lowercase().as_str(),
        "1" | "t" | "true" | "y" | "yes" | "on"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(key: &str, value: Raw) -> RawRow {
        RawRow {
            key: Raw::Text(key.to_owned()),
            value,
            created_at: None,
            updated_at: None,
            updated_by: None,
        }
    }

    #[test]
    fn each_malformed_row_says_where_it_is_and_what_to_write() {
        let text = |text: &str| Raw::Text(text.to_owned());
        let mut rows = Rows::default();
        let mut nameless = raw("x", Raw::Null);
        nameless.key = Raw::Null;
        rows.add(
            "system_config",
            true,
            vec![
                raw("log.level", text("debug")),
                raw("qr.ttl", Raw::Null),
                raw("twice", text("1")),
                raw("twice", text("2")),
                raw("odd", Raw::Bytes),
                raw("good", text("{\"a\": [1, null]}")),
                raw("unset", text("null")),
                nameless,
            ],
        );
        let faults: Vec<String> = rows.faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            faults,
            [
                "system_config: a row has no key; write one or remove the row",
                "system_config, key `log.level`: its value is not JSON (line 1, column 1); a text needs double quotes, as in \"on\"",
                "system_config, key `odd`: its value is neither text nor JSON",
                "system_config, key `qr.ttl`: its value is NULL; write the JSON value `null` to unset the key, or make the row inactive",
                "system_config, key `twice`: it is there 2 times; leave one row of it active",
            ]
        );
        assert_eq!(rows.rows.len(), 2);
        assert_eq!(rows.rows[1].value, Value::Null);
    }

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (text, shown) in [
            ("2026-11-22 00:12:33", Some("2026-11-22T00:12:33.000Z")),
            ("2000-02-29T23:59:59.5Z", Some("2000-02-29T23:59:59.500Z")),
            ("2026-11-22", Some("2026-11-22T00:00:00.000Z")),
            ("2026-13-01 00:00:00", None),
            ("yesterday", None),
        ] {
            assert_eq!(moment_of_text(text).map(Wall::to_rfc3339).as_deref(), shown, "{text}");
        }
        assert_eq!(moment_of_number(1_795_265_075), moment_of_number(1_795_265_075_000));
    }
}
