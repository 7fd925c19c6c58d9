//! Durations and sizes as people write them in a Compose file: `1h30m`, `500ms`, `512m`, `1.5gb`.
//!
//! Source of the forms: the Compose specification, "Specifying durations" and "Specifying byte values".

use std::time::Duration;

/// Says what is wrong with a duration or a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseQuantityError {
    /// Not a duration.
    #[error("`{text}` is not a duration: write a number with a unit (us, ms, s, m, h, d), such as `1m30s`")]
    Duration {
        /// What was written.
        text: String,
    },
    /// Not a size.
    #[error("`{text}` is not a size: write a number with a unit (b, k, m, g), such as `512m`")]
    Bytes {
        /// What was written.
        text: String,
    },
}

/// Reads a duration: one or more numbers each with its unit (`us`, `ms`, `s`, `m`, `h`, `d`), as in `1h30m`.
///
/// `d` is ours; the rest is Compose's. Fractions are allowed (`1.5s`). `0` needs no unit.
///
/// # Errors
/// When the text is anything else, or longer than 584 years.
pub fn parse_duration(text: &str) -> Result<Duration, ParseQuantityError> {
    let wrong = || ParseQuantityError::Duration { text: text.to_owned() };
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanos = 0f64;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let after = &rest[digits..];
        let unit_len = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let unit = match &after[..unit_len] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            "d" => 86_400e9,
            _ => return Err(wrong()),
        };
        nanos += number * unit;
        rest = &after[unit_len..];
    }
    Duration::try_from_secs_f64(nanos / 1e9)
        .ok()
        .filter(|d| d.as_nanos() <= u128::from(u64::MAX))
        .ok_or_else(wrong)
}

/// Writes a duration the way [`parse_duration`] reads it, in at most two units: `1h30m`, `4s`, `250ms`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    let millis = duration.subsec_millis();
    match secs {
        0 if millis == 0 && duration.subsec_micros() > 0 => {
            format!("{}us", duration.subsec_micros())
        }
        0 => format!("{millis}ms"),
        1..60 if millis > 0 => {
            let tenths = format!("{secs}.{millis:03}");
            format!("{}s", tenths.trim_end_matches('0'))
        }
        1..60 => format!("{secs}s"),
        60..3600 => join((secs / 60, "m"), (secs % 60, "s")),
        3600..86_400 => join((secs / 3600, "h"), (secs / 60 % 60, "m")),
        _ => join((secs / 86_400, "d"), (secs / 3600 % 24, "h")),
    }
}

fn join((large, large_unit): (u64, &str), (small, small_unit): (u64, &str)) -> String {
    if small == 0 {
        format!("{large}{large_unit}")
    } else {
        format!("{large}{large_unit}{small}{small_unit}")
    }
}

/// Reads a size in bytes: a number and `b`, `k`, `m`, `g` or `kb`, `mb`, `gb` in either case, powers of 1024; no unit is bytes.
///
/// # Errors
/// When the text is anything else or does not fit 63 bits.
pub fn parse_bytes(text: &str) -> Result<u64, ParseQuantityError> {
    let wrong = || ParseQuantityError::Bytes { text: text.to_owned() };
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(lower.len());
    let factor: u64 = match lower[digits..].trim() {
        "" | "b" => 1,
        "k" | "kb" | "kib" | "ki" => 1 << 10,
        "m" | "mb" | "mib" | "mi" => 1 << 20,
        "g" | "gb" | "gib" | "gi" => 1 << 30,
        "t" | "tb" | "tib" | "ti" => 1 << 40,
        _ => return Err(wrong()),
    };
    let number = &lower[..digits];
    if let Ok(whole) = number.parse::<u64>() {
        return whole
            .checked_mul(factor)
            .filter(|bytes| *bytes <= i64::MAX as u64)
            .ok_or_else(wrong);
    }
    let bytes = number.parse::<f64>().map_err(|_| wrong())? * factor as f64;
    if bytes.is_finite() && bytes < i64::MAX as f64 {
        Ok(bytes as u64)
    } else {
        Err(wrong())
    }
}

/// Writes a size for a person: `512 B`, `1.5 MB`, `20 GB` (powers of 1024).
#[must_use]
pub fn format_bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in ["KB", "MB", "GB", "TB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if unit == "B" || value >= 100.0 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.1} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_compose_writes_them() {
        for (text, millis) in [
            ("0", 0),
            ("250ms", 250),
            ("1.5s", 1500),
            ("1m30s", 90_000),
            ("12h", 43_200_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "1x", "-1s", "1s2", "1e99h", "1..2s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["250ms", "1.5s", "4s", "1m30s", "1h30m", "12h", "2d3h"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn sizes_are_read_as_compose_writes_them() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512m", 512 << 20),
            ("1G", 1 << 30),
            ("1.5gb", 3 << 29),
            ("64 kb", 64 << 10),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "m", "1x", "-1m", "9999999999g", "1.2.3m"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_written_duration_reads_back_no_longer_and_hardly_shorter() {
        let mut nanos = 1u64;
        while nanos < u64::MAX / 3 {
            for nanos in [nanos - 1, nanos, nanos + 1, nanos + nanos / 2, nanos * 2 + 999_999] {
                let duration = Duration::from_nanos(nanos);
                let text = format_duration(duration);
                let read = parse_duration(&text).unwrap();
                // What is left out is less than the smaller of the two units that are written.
                let unit = match duration.as_secs() {
                    0..60 => Duration::from_millis(1),
                    60..3600 => Duration::from_secs(1),
                    3600..86_400 => Duration::from_secs(60),
                    _ => Duration::from_secs(3600),
                };
                assert!(
                    read <= duration + Duration::from_micros(1) && duration - read.min(duration) < unit,
                    "{text} of {nanos} ns"
                );
            }
            nanos = nanos * 3 + 1;
        }
    }

    #[test]
    fn no_text_makes_a_quantity_panic() {
        let pieces = [
            "",
            "0",
            "9",
            ".",
            "1e9",
            "-",
            " ",
            "s",
            "ms",
            "µs",
            "h",
            "g",
            "kb",
            "支",
            "18446744073709551616",
        ];
        for first in pieces {
            for second in pieces {
                for third in pieces {
                    let text = format!("{first}{second}{third}");
                    let _ = (parse_duration(&text), parse_bytes(&text));
                }
            }
        }
    }
}
