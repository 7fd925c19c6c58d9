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

/// Why an escape in a text in quotes cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EscapeError {
    NotTerminated,
    Unknown(char),
    BadDigit(char),
    BadCodePoint,
}

impl EscapeError {
    pub(crate) fn text(self) -> String {
        let named = |character: char| format!("U+{:04X} '{character}'", u32::from(character));
        match self {
            EscapeError::NotTerminated => "escape sequence not terminated".to_owned(),
            EscapeError::Unknown(character) => format!("unknown escape sequence {}", named(character)),
            EscapeError::BadDigit(character) => format!("illegal character {} in escape sequence", named(character)),
            EscapeError::BadCodePoint => "escape sequence is an invalid Unicode code point".to_owned(),
        }
    }
}

/// What an escape stands for: a character, or a single byte, which may be part of one.
pub(crate) enum Escaped {
    Character(char),
    Byte(u8),
}

/// Reads one escape that begins with a backslash; with it how many bytes it takes.
pub(crate) fn escape(bytes: &[u8], quote: u8) -> Result<(Escaped, usize), EscapeError> {
    let simple = |character| Ok((Escaped::Character(character), 2));
    let kind = *bytes.get(1).ok_or(EscapeError::NotTerminated)?;
    let (from, count, base) = match kind {
        b'a' => return simple('\u{7}'),
        b'b' => return simple('\u{8}'),
        b'f' => return simple('\u{c}'),
        b'n' => return simple('\n'),
        b'r' => return simple('\r'),
        b't' => return simple('\t'),
        b'v' => return simple('\u{b}'),
        b'\\' => return simple('\\'),
        _ if kind == quote => return simple(char::from(quote)),
        b'0'..=b'7' => (1, 3, 8),
        b'x' => (2, 2, 16),
        b'u' => (2, 4, 16),
        b'U' => (2, 8, 16),
        _ => return Err(EscapeError::Unknown(char::from(kind))),
    };
    let mut value = 0;
    for at in from..from + count {
        let digit = char::from(*bytes.get(at).ok_or(EscapeError::NotTerminated)?);
        value = value * base + digit.to_digit(base).ok_or(EscapeError::BadDigit(digit))?;
    }
    let escaped = match kind {
        b'u' | b'U' => Escaped::Character(char::from_u32(value).ok_or(EscapeError::BadCodePoint)?),
        _ => Escaped::Byte(u8::try_from(value).map_err(|_| EscapeError::BadCodePoint)?),
    };
    Ok((escaped, from + count))
}

/// Takes quotes and escapes off. `None` when the text is not in quotes, has a bad escape, or is not UTF-8 without them.
pub fn unquote(text: &str) -> Option<String> {
    let quote = *text.as_bytes().first()?;
    if text.len() < 2 || !matches!(quote, b'"' | b'\'' | b'`') {
        return None;
    }
    let inner = text.get(1..)?.strip_suffix(char::from(quote))?;
    if quote == b'`' {
        return (!inner.contains('`')).then(|| inner.replace('\r', ""));
    }
    let (bytes, mut plain, mut at) = (inner.as_bytes(), Vec::with_capacity(inner.len()), 0);
    while let Some(byte) = bytes.get(at) {
        if *byte == quote || *byte == b'\n' {
            return None;
        }
        if *byte != b'\\' {
            plain.push(*byte);
            at += 1;
            continue;
        }
        let (escaped, length) = escape(&bytes[at..], quote).ok()?;
        match escaped {
            Escaped::Byte(byte) => plain.push(byte),
            Escaped::Character(character) => plain.extend(character.encode_utf8(&mut [0; 4]).bytes()),
        }
        at += length;
    }
    String::from_utf8(plain).ok()
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

    #[test]
    fn quotes_come_off_as_they_went_on() {
        for text in ["", "a\"\\\n\u{1}é\u{85}", "plain"] {
            assert_eq!(unquote(&quoted(text)).as_deref(), Some(text));
        }
        assert_eq!(unquote(r#"'\x41\101\u00e9\''"#).as_deref(), Some("AAé'"));
        assert_eq!(unquote(r"`a\n`").as_deref(), Some(r"a\n"));
        for wrong in [
            "",
            "\"",
            "a",
            "\"a'",
            r#""\q""#,
            r#""\xff""#,
            r#""\ud800""#,
            r#""\400""#,
        ] {
            assert_eq!(unquote(wrong), None, "{wrong}");
        }
    }
}
