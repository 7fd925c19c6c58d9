//! Names, quoted texts and numbers, as PromQL writes them.
//!
//! Owns what may stand without quotes and how the rest is quoted, and how a number is printed. Knows no grammar.

use std::fmt::{self, Write};

/// Whether a text may be written as a metric's name without quotes.
pub fn is_metric_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
}

/// Whether a text may be written as a label's name without quotes.
pub fn is_label_name(text: &str) -> bool {
    is_metric_name(text) && !text.contains(':')
}

/// Writes a text in double quotes, with the escapes of Go's strings.
pub fn write_quoted(to: &mut impl Write, text: &str) -> fmt::Result {
    to.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' => to.write_str("\\\"")?,
            '\\' => to.write_str("\\\\")?,
            '\n' => to.write_str("\\n")?,
            '\r' => to.write_str("\\r")?,
            '\t' => to.write_str("\\t")?,
            '\u{7}' => to.write_str("\\a")?,
            '\u{8}' => to.write_str("\\b")?,
            '\u{b}' => to.write_str("\\v")?,
            '\u{c}' => to.write_str("\\f")?,
            control if control.is_control() && (control as u32) < 0x80 => write!(to, "\\x{:02x}", control as u32)?,
            control if control.is_control() => write!(to, "\\u{:04x}", control as u32)?,
            plain => to.write_char(plain)?,
        }
    }
    to.write_char('"')
}

/// A text in double quotes.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    // Writing into a String cannot fail.
    let _ = write_quoted(&mut quoted, text);
    quoted
}

/// A number as Prometheus prints it in expressions, answers and labels: the shortest decimal that reads back the same, never
/// with an exponent; `+Inf`, `-Inf`, `NaN`.
pub fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    format!("{value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_as_go_does() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (1e20, "100000000000000000000"),
            (1e21, "1000000000000000000000"),
            (1.5e-7, "0.00000015"),
            (0.0001, "0.0001"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn what_needs_quotes() {
        assert!(is_metric_name("job:up:sum") && !is_label_name("job:up") && is_label_name("_a1"));
        assert!(!is_metric_name("1a") && !is_metric_name("") && !is_metric_name("a.b"));
        assert_eq!(quoted("a\"\\\n\u{1}é"), "\"a\\\"\\\\\\n\\x01é\"");
    }
}
