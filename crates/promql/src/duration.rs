//! Durations as Prometheus writes them, and arithmetic over them.
//!
//! Owns units and bounds. Does not know where in a query a duration stands.

use crate::ast::{BinaryOp, DurationExpr};
use crate::error::ParseError;

/// The units from the longest, in milliseconds, and whether one is written only when nothing is left over.
const UNITS: [(&str, i64, bool); 7] = [
    ("y", 365 * 86_400_000, true),
    ("w", 7 * 86_400_000, true),
    ("d", 86_400_000, false),
    ("h", 3_600_000, false),
    ("m", 60_000, false),
    ("s", 1000, false),
    ("ms", 1, false),
];

/// The longest length of time there is, in seconds: what a 64-bit count of nanoseconds holds, as in Prometheus.
pub(crate) const SECONDS_MAX: f64 = 9_223_372_036.854_775;

/// Reads `1h30m`: units from long to short, each once. Milliseconds; `None` when it is no duration or too long.
pub fn parse_duration(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut total, mut from) = (text, 0_i64, 0);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: i64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let letters = unit.bytes().take_while(u8::is_ascii_alphabetic).count();
        let at = (from..UNITS.len()).find(|at| UNITS[*at].0 == &unit[..letters])?;
        total = total.checked_add(count.checked_mul(UNITS[at].1)?)?;
        from = at + 1;
        rest = &unit[letters..];
    }
    (!text.is_empty() && total as f64 / 1000.0 <= SECONDS_MAX).then_some(total)
}

/// Writes a length in milliseconds as `1h30m`; years and weeks only when they come out even.
pub fn format_duration(milliseconds: i64) -> String {
    if milliseconds == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    if milliseconds < 0 {
        text.push('-');
    }
    let mut left = milliseconds.unsigned_abs();
    for (unit, length, exact) in UNITS {
        let length = length.unsigned_abs();
        if left >= length && (!exact || left.is_multiple_of(length)) {
            text.push_str(&format!("{}{unit}", left / length));
            left %= length;
        }
    }
    text
}

/// What durations are computed from: both in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings {
    /// The query's step.
    pub(crate) step: f64,
    /// From the query's first to its last step.
    pub(crate) range: f64,
}

/// Computes a duration, in milliseconds. An error names the place by `span` and has no query yet.
pub(crate) fn compute(expr: &DurationExpr, around: Surroundings, may_be_negative: bool) -> Result<i64, ParseError> {
    let seconds = seconds(expr, around)?;
    let fail = |text: &str| Err(ParseError::new(expr.span(), text));
    if !seconds.is_finite() {
        return fail("duration is NaN or infinite");
    }
    if seconds <= 0.0 && !may_be_negative {
        return fail("duration must be greater than 0");
    }
    if seconds.abs() > SECONDS_MAX {
        return fail("duration is out of range");
    }
    Ok((seconds * 1000.0) as i64)
}

fn seconds(expr: &DurationExpr, around: Surroundings) -> Result<f64, ParseError> {
    Ok(match expr {
        DurationExpr::Number(number) => number.value,
        DurationExpr::Step(_) => around.step,
        DurationExpr::Range(_) => around.range,
        DurationExpr::Negative(inner, _) => -seconds(inner, around)?,
        DurationExpr::Paren(inner, _) => seconds(inner, around)?,
        DurationExpr::MinOf(one, two, _) => seconds(one, around)?.min(seconds(two, around)?),
        DurationExpr::MaxOf(one, two, _) => seconds(one, around)?.max(seconds(two, around)?),
        DurationExpr::Binary(op, left, right) => {
            let (left, right) = (seconds(left, around)?, seconds(right, around)?);
            match op {
                BinaryOp::Divide if right == 0.0 => return Err(ParseError::new(expr.span(), "division by zero")),
                BinaryOp::Modulo if right == 0.0 => return Err(ParseError::new(expr.span(), "modulo by zero")),
                BinaryOp::Add => left + right,
                BinaryOp::Subtract => left - right,
                BinaryOp::Multiply => left * right,
                BinaryOp::Divide => left / right,
                BinaryOp::Modulo => left % right,
                BinaryOp::Power => left.powf(right),
                other => {
                    let text = format!("unexpected duration expression operator \"{}\"", other.as_str());
                    return Err(ParseError::new(expr.span(), text));
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, milliseconds) in [
            ("1h30m", 5_400_000),
            ("1w", 604_800_000),
            ("90d", 7_776_000_000),
            ("1s5ms", 1005),
        ] {
            assert_eq!(parse_duration(text), Some(milliseconds));
            assert_eq!(format_duration(milliseconds), text);
        }
        assert_eq!(format_duration(-90_000), "-1m30s");
        for wrong in ["", "1", "m", "5m1h", "1m1m", "1.5h", "-1s", "300000000000y", "1x"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }
}
