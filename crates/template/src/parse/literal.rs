//! Numbers and quoted texts as Go writes them. Knows nothing of templates.

/// A number as it was written; its type depends on what asks for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Number {
    /// Its value as a whole number, where it is one.
    pub(crate) int: Option<i64>,
    /// Its value as a float.
    pub(crate) float: Option<f64>,
    /// Whether it was written as a float, with a point or an exponent.
    pub(crate) is_float: bool,
}

impl Number {
    /// Reads a number; `None` when it is none, or does not fit.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (negative, digits) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let lower = digits.to_ascii_lowercase();
        let hexadecimal = lower.starts_with("0x");
        let is_float = if hexadecimal {
            lower.contains('p')
        } else {
            lower.contains(['.', 'e'])
        };
        if !underscores_are_between_digits(&lower) {
            return None;
        }
        let plain = lower.replace('_', "");
        if is_float {
            let value = if hexadecimal {
                hexadecimal_float(&plain[2..])?
            } else {
                decimal_float(&plain)?
            };
            let value = if negative { -value } else { value };
            // A float without a fraction may stand where a whole number is asked for.
            #[allow(clippy::cast_possible_truncation, reason = "it was just seen that it fits")]
            let int = (value.fract() == 0.0 && value.abs() < 9e18).then_some(value as i64);
            return Some(Self {
                int,
                float: Some(value),
                is_float,
            });
        }
        let (radix, body) = match plain.as_bytes() {
            [b'0', b'x', ..] => (16, &plain[2..]),
            [b'0', b'o', ..] => (8, &plain[2..]),
            [b'0', b'b', ..] => (2, &plain[2..]),
            [b'0', _, ..] => (8, &plain[1..]),
            _ => (10, plain.as_str()),
        };
        let magnitude = i128::from(u64::from_str_radix(body, radix).ok()?);
        let value = i64::try_from(if negative { -magnitude } else { magnitude }).ok()?;
        #[allow(clippy::cast_precision_loss, reason = "a float is what was asked for")]
        let float = value as f64;
        Some(Self {
            int: Some(value),
            float: Some(float),
            is_float,
        })
    }

    /// A character in single quotes: its number.
    pub(crate) fn of_char(character: char) -> Self {
        let value = u32::from(character);
        Self {
            int: Some(i64::from(value)),
            float: Some(f64::from(value)),
            is_float: false,
        }
    }
}

fn underscores_are_between_digits(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().all(|(at, byte)| {
        let before = at.checked_sub(1).map(|at| bytes[at]);
        *byte != b'_'
            || before.is_some_and(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'x' | b'o' | b'b'))
                && bytes.get(at + 1).is_some_and(u8::is_ascii_hexdigit)
                // Only a number with a prefix, or a plain decimal one, may be divided.
                && (bytes[0] != b'0' || matches!(bytes.get(1), Some(b'x' | b'o' | b'b' | b'.')))
    })
}

fn decimal_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if digits == 0 || exponent.is_empty() || !exponent.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

fn hexadecimal_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + fraction.len() == 0 || whole.len() + fraction.len() > 13 {
        return None;
    }
    let bits = u64::from_str_radix(&format!("{whole}{fraction}"), 16).ok()?;
    let exponent: i32 = exponent.parse().ok()?;
    let scale = exponent.checked_sub(4 * i32::try_from(fraction.len()).ok()?)?;
    // Thirteen hexadecimal digits fit into the 53 bits of a float.
    #[allow(clippy::cast_precision_loss, reason = "they fit")]
    let value = bits as f64 * 2f64.powi(scale.clamp(-2000, 2000));
    value.is_finite().then_some(value)
}

/// What stands between double quotes, with the escapes of Go; `None` when one is none of them.
pub(crate) fn unquote(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(character) = chars.next() {
        if character == '\\' {
            escape(&mut chars, '"', &mut out)?;
        } else {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    // `\xff` may make bytes that are no text; what is rendered is text.
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// What stands between single quotes: one character.
pub(crate) fn unquote_char(text: &str) -> Option<char> {
    let mut chars = text.chars();
    let character = chars.next()?;
    let found = if character == '\\' {
        let mut out = Vec::new();
        let number = escape(&mut chars, '\'', &mut out)?;
        char::from_u32(number)?
    } else {
        character
    };
    chars.next().is_none().then_some(found)
}

/// Reads what follows a backslash, appends its bytes and returns its number.
fn escape(chars: &mut std::str::Chars<'_>, quote: char, out: &mut Vec<u8>) -> Option<u32> {
    let next = chars.next()?;
    let mut digits = |count: usize, radix: u32, first: u32| {
        (0..count).try_fold(first, |number, _| {
            let digit = chars.next()?.to_digit(radix)?;
            number.checked_mul(radix)?.checked_add(digit)
        })
    };
    let number = match next {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => 10,
        'r' => 13,
        't' => 9,
        'v' => 11,
        '\\' => 92,
        _ if next == quote => u32::from(quote),
        'x' => {
            let number = digits(2, 16, 0)?;
            out.push(u8::try_from(number).ok()?);
            return Some(number);
        }
        '0'..='7' => {
            let number = digits(2, 8, next.to_digit(8)?)?;
            out.push(u8::try_from(number).ok()?);
            return Some(number);
        }
        'u' => digits(4, 16, 0)?,
        'U' => digits(8, 16, 0)?,
        _ => return None,
    };
    out.extend_from_slice(char::from_u32(number)?.encode_utf8(&mut [0; 4]).as_bytes());
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_go() {
        for (text, int, is_float) in [
            ("1", Some(1), false),
            ("-12", Some(-12), false),
            ("0x1F", Some(31), false),
            ("017", Some(15), false),
            ("0o17", Some(15), false),
            ("0b101", Some(5), false),
            ("1_000", Some(1000), false),
            ("1e3", Some(1000), true),
            ("1.5", None, true),
            ("0x1p4", Some(16), true),
        ] {
            let number = Number::read(text).unwrap_or_else(|| panic!("{text} is a number"));
            assert_eq!((number.int, number.is_float), (int, is_float), "{text}");
        }
        for text in [
            "",
            "-",
            "0x",
            "1__0",
            "_1",
            "08",
            "1e",
            "1.e",
            "9223372036854775808",
            "1e999",
            "0x1.p",
        ] {
            assert_eq!(Number::read(text), None, "{text}");
        }
    }

    #[test]
    fn escapes_are_those_of_go() {
        assert_eq!(
            unquote(r#"a\n\t\"\\\x41\101\u4e2d\U0001f600"#).as_deref(),
            Some("a\n\t\"\\AA中😀")
        );
        assert_eq!(unquote(r"\'"), None);
        assert_eq!(unquote(r"\q"), None);
        assert_eq!(unquote(r"\xff").as_deref(), Some("\u{fffd}"));
        assert_eq!(unquote_char(r"\n"), Some('\n'));
        assert_eq!(unquote_char("中"), Some('中'));
        assert_eq!(unquote_char("ab"), None);
    }
}
