//! Numbers for people, as Prometheus writes them. Knows no templates.

use crate::format::{Float, float};
use crate::value::{Time, Value};

/// Four digits, as `%.4g` writes them.
fn four(value: f64) -> String {
    let text = float(value, Float::Either, Some(4));
    // Infinity keeps its sign; any other number shows only a minus.
    if value.is_infinite() {
        text
    } else {
        text.strip_prefix('+').unwrap_or(&text).to_owned()
    }
}

/// What a function that takes a number makes of a value.
pub(crate) fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Float(value) => Ok(*value),
        #[allow(clippy::cast_precision_loss, reason = "Go loses it the same way")]
        Value::Int(value) => Ok(*value as f64),
        Value::Duration(duration) => Ok(duration.seconds()),
        Value::Text(text) => parse(text).ok_or_else(|| format!("`{text}` is not a number")),
        other => Err(format!("a {} is not a number", other.type_name())),
    }
}

fn parse(text: &str) -> Option<f64> {
    // Rust takes `infinity` and `nan` as Go does; only Rust takes a lone exponent sign differently.
    text.parse().ok()
}

pub(crate) fn humanize(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return four(value);
    }
    if value.abs() >= 1.0 {
        return large(value, 1000.0, ["k", "M", "G", "T", "P", "E", "Z", "Y"]);
    }
    let (value, prefix) = small(value);
    format!("{}{prefix}", four(value))
}

pub(crate) fn humanize_1024(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return four(value);
    }
    large(value, 1024.0, ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"])
}

fn large(mut value: f64, base: f64, prefixes: [&'static str; 8]) -> String {
    let mut prefix = "";
    for next in prefixes {
        if value.abs() < base {
            break;
        }
        prefix = next;
        value /= base;
    }
    format!("{}{prefix}", four(value))
}

fn small(mut value: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if value.abs() >= 1.0 {
            break;
        }
        prefix = next;
        value *= 1000.0;
    }
    (value, prefix)
}

pub(crate) fn humanize_duration(value: f64) -> String {
    if !value.is_finite() {
        return four(value);
    }
    if value == 0.0 {
        return format!("{}s", four(value));
    }
    if value.abs() < 1.0 {
        let (value, prefix) = small(value);
        return format!("{}{prefix}s", four(value));
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let value = value.abs();
    #[allow(clippy::cast_possible_truncation, reason = "it saturates, which no one sees")]
    let whole = value as i64;
    let (seconds, minutes, hours, days) = (whole % 60, whole / 60 % 60, whole / 3600 % 24, whole / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", four(value)),
        (0, 0, _) => format!("{sign}{minutes}m {seconds}s"),
        (0, _, _) => format!("{sign}{hours}h {minutes}m {seconds}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
    }
}

pub(crate) fn humanize_percentage(value: f64) -> String {
    format!("{}%", four(value * 100.0))
}

pub(crate) fn humanize_timestamp(value: f64) -> Result<String, String> {
    if !value.is_finite() {
        return Ok(four(value));
    }
    moment(value).map(|time| time.text())
}

/// The moment so many seconds after 1970, to the millisecond.
pub(crate) fn moment(seconds: f64) -> Result<Time, String> {
    if !seconds.is_finite() {
        return Err("a value that is not a number is no moment".to_owned());
    }
    let nanos = seconds * 1e9;
    if nanos.abs() > 9.223_372_036_854_775e18 {
        return Err(format!("{seconds} is too far away for a moment"));
    }
    #[allow(clippy::cast_possible_truncation, reason = "it was just seen that it fits")]
    Ok(Time::from_millis(nanos as i64 / 1_000_000))
}
