//! What both APIs write: the envelope of Prometheus, labels, values and times of samples.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use tend_promql::{Labels, Sample, Timestamp};

use crate::error::DoorError;
use crate::request::{JSON, Response};

/// What is said beside a result.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    /// The result is probably not what was meant.
    pub(crate) warnings: Vec<String>,
    /// The result may not be what was meant.
    pub(crate) infos: Vec<String>,
}

impl Notes {
    /// That a result was cut to `limit`.
    pub(crate) fn truncated() -> Notes {
        Notes {
            warnings: vec!["results truncated due to limit".to_owned()],
            infos: Vec::new(),
        }
    }
}

/// Wraps what is JSON already.
pub(crate) fn success_of(data: &str, notes: &Notes) -> Response {
    let mut body = String::with_capacity(data.len() + 64);
    body.push_str("{\"status\":\"success\",\"data\":");
    body.push_str(data);
    for (name, notes) in [("warnings", &notes.warnings), ("infos", &notes.infos)] {
        if !notes.is_empty() {
            body.push_str(",\"");
            body.push_str(name);
            body.push_str("\":");
            body.push_str(&text(notes));
        }
    }
    body.push('}');
    Response::new(200, JSON, body)
}

/// Wraps a value.
pub(crate) fn success<T: Serialize + ?Sized>(data: &T) -> Response {
    success_of(&text(data), &Notes::default())
}

/// Wraps an error.
pub(crate) fn failure(error: &DoorError) -> Response {
    let body = serde_json::json!({
        "status": "error",
        "errorType": error.kind(),
        "error": error.to_string(),
    });
    Response::new(error.status(), JSON, body.to_string())
}

/// JSON of what is always JSON: names are texts.
pub(crate) fn text<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

/// Labels as an object.
pub(crate) fn pairs<S: Serializer>(labels: &Labels, to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(None)?;
    for (name, value) in labels.iter() {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

/// Labels that can be serialized.
pub(crate) struct Pairs<'a>(pub(crate) &'a Labels);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        pairs(self.0, to)
    }
}

/// Appends a text in quotes.
pub(crate) fn push_text(out: &mut String, value: &str) {
    out.push_str(&text(value));
}

/// Appends labels as an object.
pub(crate) fn push_labels(out: &mut String, labels: &Labels) {
    out.push('{');
    for (at, (name, value)) in labels.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_text(out, name);
        out.push(':');
        push_text(out, value);
    }
    out.push('}');
}

/// Appends a time in seconds, with as many digits as milliseconds need.
pub(crate) fn push_time(out: &mut String, time: Timestamp) {
    if time < 0 {
        out.push('-');
    }
    let (whole, rest) = (time.unsigned_abs() / 1000, time.unsigned_abs() % 1000);
    out.push_str(&whole.to_string());
    if rest > 0 {
        out.push_str(&format!(".{rest:03}"));
    }
}

/// Appends a value as text: without an exponent, unless it is tiny or huge.
pub(crate) fn push_value(out: &mut String, value: f64) {
    out.push('"');
    let magnitude = value.abs();
    if value.is_finite() && magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        out.push_str(&exponential(value));
    } else {
        out.push_str(&tend_promql::number(value));
    }
    out.push('"');
}

/// A number as Go's `%e` with as many digits as are needed.
pub(crate) fn exponential(value: f64) -> String {
    if !value.is_finite() {
        return tend_promql::number(value);
    }
    let written = format!("{value:e}");
    let (digits, power) = written.split_once('e').unwrap_or((&written, "0"));
    let (sign, power) = match power.strip_prefix('-') {
        Some(power) => ('-', power),
        None => ('+', power),
    };
    format!("{digits}e{sign}{power:0>2}")
}

/// Appends `[time,"value"]`.
pub(crate) fn push_sample(out: &mut String, sample: Sample) {
    out.push('[');
    push_time(out, sample.time);
    out.push(',');
    push_value(out, sample.value);
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_written_as_prometheus_writes_them() {
        for (time, value, wanted) in [
            (1_435_781_451_781, 1.0, "[1435781451.781,\"1\"]"),
            (-5, 0.1, "[-0.005,\"0.1\"]"),
            (60_000, f64::NAN, "[60,\"NaN\"]"),
            (60_010, f64::NEG_INFINITY, "[60.010,\"-Inf\"]"),
            (0, 1e21, "[0,\"1e+21\"]"),
            (0, 123_456_789_012_345_680_000.0, "[0,\"123456789012345680000\"]"),
            (0, 1e-7, "[0,\"1e-07\"]"),
            (0, 0.000_001, "[0,\"0.000001\"]"),
            (0, -0.0, "[0,\"-0\"]"),
            (0, f64::MAX, "[0,\"1.7976931348623157e+308\"]"),
        ] {
            let mut out = String::new();
            push_sample(&mut out, Sample { time, value });
            assert_eq!(out, wanted);
        }
        assert_eq!(
            (exponential(0.0).as_str(), exponential(95.5).as_str()),
            ("0e+00", "9.55e+01")
        );
    }
}
