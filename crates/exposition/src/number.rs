//! Numbers as Go reads and writes them, since every exporter and every reader of ours was tested against Go. Knows no line.

use std::fmt::Write as _;

/// Integers of so many digits are exact in a double, whatever their digits.
const EXACT_DIGITS_MAX: usize = 15;

/// Returns the number that `text` is, as Prometheus reads it: Go's `ParseFloat` without the hexadecimal and `_` forms, which it has refused
/// since Go got them. Every `NaN` is the ordinary one, so that none of them is taken for a marker of staleness.
///
/// `None` when it is no number or too large for a double.
#[must_use]
pub fn parse_value(text: &[u8]) -> Option<f64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    // Most values are short whole numbers.
    if !digits.is_empty() && digits.len() <= EXACT_DIGITS_MAX && digits.iter().all(u8::is_ascii_digit) {
        let whole = digits
            .iter()
            .fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0')) as f64;
        return Some(if negative { -whole } else { whole });
    }
    match digits.first()? {
        b'0'..=b'9' | b'.' => {
            let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
            value.is_finite().then_some(value)
        }
        _ if digits.eq_ignore_ascii_case(b"inf") || digits.eq_ignore_ascii_case(b"infinity") => {
            Some(if negative { f64::NEG_INFINITY } else { f64::INFINITY })
        }
        _ if text.eq_ignore_ascii_case(b"nan") => Some(f64::NAN),
        _ => None,
    }
}

/// Appends `value` as Go's `FormatFloat(value, 'g', -1, 64)` writes it: the fewest digits that read the same, with an exponent below
/// 1e-4 and from 1e6 on; `+Inf`, `-Inf`, `NaN`.
pub fn write_value(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("NaN");
        return;
    }
    if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
        return;
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e6).contains(&magnitude) {
        let scientific = format!("{value:e}");
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(rest) => ('-', rest),
            None => ('+', exponent),
        };
        let _ = write!(out, "{digits}e{sign}{exponent:0>2}");
    } else {
        let _ = write!(out, "{value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_prometheus_reads_them() {
        for (text, wanted) in [
            ("0", 0.0),
            ("1", 1.0),
            ("+1", 1.0),
            ("-17", -17.0),
            ("999999999999999", 999_999_999_999_999.0),
            ("9007199254740993", 9_007_199_254_740_992.0),
            ("1.5", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("1E-3", 0.001),
            ("1e-400", 0.0),
            ("4.9e-324", 5e-324),
            ("Inf", f64::INFINITY),
            ("+iNf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
        ] {
            assert_eq!(parse_value(text.as_bytes()), Some(wanted), "{text}");
        }
        assert!(parse_value(b"-0").is_some_and(|zero| zero.is_sign_negative()));
        assert_eq!(parse_value(b"nan").map(f64::to_bits), Some(f64::NAN.to_bits()));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "", "+", "-", ".", "e5", "1e", "1e+", "--1", "+-1", "1_0", "0x1p-2", "0x10", "1p3", "+nan", "-NaN",
            "infinit", "1e999", "-1e999", "1,5", "1 ", "１", "\u{0}", "12\r", "1.5.2",
        ] {
            assert_eq!(parse_value(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        for (value, wanted) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1_234_567.0, "1.234567e+06"),
            (100_000.0, "100000"),
            (123_456.0, "123456"),
            (1e6, "1e+06"),
            (1e21, "1e+21"),
            (1e20, "1e+20"),
            (123_456_789_012_345_680_000.0, "1.2345678901234568e+20"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            let mut out = String::new();
            write_value(&mut out, value);
            assert_eq!(out, wanted);
        }
    }
}
