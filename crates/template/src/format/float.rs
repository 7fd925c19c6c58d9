//! Numbers with a fraction as Go's strconv writes them.

/// How a float is written.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Float {
    /// `1.5e+06`
    Exponent,
    /// `1500000.0`
    Plain,
    /// Whichever is shorter.
    Either,
}

/// Writes a float with its sign, `+` included, and as many digits after the point (or, for `Either`, in all) as asked for; without a number of
/// digits, as few as tell it apart from its neighbours.
pub(crate) fn float(value: f64, style: Float, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "+NaN".to_owned();
    }
    let sign = if value.is_sign_negative() { '-' } else { '+' };
    if value.is_infinite() {
        return format!("{sign}Inf");
    }
    let value = value.abs();
    let body = match style {
        Float::Plain => match precision {
            Some(digits) => format!("{value:.digits$}"),
            None => format!("{value}"),
        },
        Float::Exponent => exponent(&match precision {
            Some(digits) => format!("{value:.digits$e}"),
            None => format!("{value:e}"),
        }),
        Float::Either => either(value, precision),
    };
    format!("{sign}{body}")
}

/// Rust writes `1.5e6` where Go writes `1.5e+06`.
fn exponent(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, digits) = exponent
        .strip_prefix('-')
        .map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

fn either(value: f64, precision: Option<usize>) -> String {
    let wanted = precision.map(|digits| digits.max(1));
    let scientific = match wanted {
        Some(digits) => format!("{value:.*e}", digits - 1),
        None => format!("{value:e}"),
    };
    let (mantissa, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    let mut digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    // Digits that say nothing are not written.
    let kept = digits.trim_end_matches('0').len().max(1);
    digits.truncate(kept);
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    // Go changes over to an exponent at this power of ten.
    let limit = match wanted.map(|wanted| i32::try_from(wanted).unwrap_or(i32::MAX)) {
        None => 6,
        Some(wanted) if wanted > count && count > power => count,
        Some(wanted) => wanted,
    };
    if power < -4 || power >= limit {
        let rest = if digits.len() > 1 {
            format!(".{}", &digits[1..])
        } else {
            String::new()
        };
        return exponent(&format!("{}{rest}e{power}", &digits[..1]));
    }
    if power < 0 {
        return format!("0.{}{digits}", "0".repeat(usize::try_from(-power - 1).unwrap_or(0)));
    }
    let whole = usize::try_from(power).unwrap_or(0) + 1;
    if digits.len() <= whole {
        return format!("{digits}{}", "0".repeat(whole - digits.len()));
    }
    format!("{}.{}", &digits[..whole], &digits[whole..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_go_writes_them() {
        for (value, precision, expected) in [
            (1_234_567.0, None, "+1.234567e+06"),
            (123_456.0, None, "+123456"),
            (0.0001, None, "+0.0001"),
            (0.00001, None, "+1e-05"),
            (0.1 + 0.2, None, "+0.30000000000000004"),
            (1234.5, Some(4), "+1234"),
            (12345.0, Some(4), "+1.234e+04"),
            (100.0, Some(4), "+100"),
            (0.0, None, "+0"),
            (-0.0, None, "-0"),
            (f64::INFINITY, None, "+Inf"),
            (1e21, None, "+1e+21"),
        ] {
            assert_eq!(float(value, Float::Either, precision), expected, "{value}");
        }
        assert_eq!(float(1.5e6, Float::Exponent, Some(2)), "+1.50e+06");
        assert_eq!(float(2.5, Float::Plain, Some(0)), "+2");
    }
}
