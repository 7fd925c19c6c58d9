//! Durations and sizes with their units, exact, and turned into the number that a key's unit asks for.
//!
//! `tend_base` reads the same forms into clock values, which have nanoseconds at most; a configuration gives on what was written.

use crate::decimal::Decimal;

/// Units of time and how many nanoseconds each has.
const TIMES: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Units of size, powers of 1024 as Compose has them.
const SIZES: [(&str, i128); 13] = [
    ("b", 1),
    ("k", 1 << 10),
    ("kb", 1 << 10),
    ("kib", 1 << 10),
    ("m", 1 << 20),
    ("mb", 1 << 20),
    ("mib", 1 << 20),
    ("g", 1 << 30),
    ("gb", 1 << 30),
    ("gib", 1 << 30),
    ("t", 1 << 40),
    ("tb", 1 << 40),
    ("tib", 1 << 40),
];

/// What a text with units is an amount of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// `900s`, `15m`, `1h30m`.
    Time,
    /// `100m`, `1.5gb`.
    Size,
}

impl Measure {
    fn units(self) -> &'static [(&'static str, i128)] {
        match self {
            Self::Time => &TIMES,
            Self::Size => &SIZES,
        }
    }

    /// Returns how many nanoseconds or bytes a unit has.
    pub(crate) fn unit(self, name: &str) -> Option<i128> {
        self.units()
            .iter()
            .find(|(unit, _)| *unit == name)
            .map(|(_, factor)| *factor)
    }

    /// Reads an amount in nanoseconds or bytes; a number alone is none, except `0`.
    pub(crate) fn parse(self, text: &str) -> Option<Decimal> {
        if text == "0" {
            return Some(Decimal::from(0));
        }
        let lower = match self {
            Self::Time => text.to_owned(),
            Self::Size => text.to_ascii_lowercase(),
        };
        let mut rest = lower.as_str();
        let mut sum = Decimal::from(0);
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let is_digit = |c: char| c.is_ascii_digit() || c == '.';
            let number = rest.find(|c| !is_digit(c))?;
            let after = &rest[number..];
            let unit = after.find(is_digit).unwrap_or(after.len());
            let factor = self.unit(&after[..unit])?;
            sum = sum.plus(Decimal::parse(&rest[..number])?.scaled(factor, 1)?)?;
            rest = &after[unit..];
            // `1gb512mb` is nobody's way to write a size.
            if self == Self::Size && !rest.is_empty() {
                return None;
            }
        }
        Some(sum)
    }

    /// Reads an amount and returns it as a number of `unit`.
    pub(crate) fn parse_in(self, text: &str, unit: &str) -> Option<Decimal> {
        self.parse(text)?.scaled(1, self.unit(unit)?)
    }

    /// The regular expression of all texts that [`Measure::parse`] reads, but for those too long to be held.
    pub(crate) fn pattern(self) -> &'static str {
        match self {
            Self::Time => r"^(?:0|(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|ms|s|m|h|d))+)$",
            Self::Size => r"^(?:0|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[bB]|[kKmMgGtT](?:[iI]?[bB])?))$",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_in_the_unit_asked_for() {
        for (measure, text, unit, number) in [
            (Measure::Time, "15m", "s", Some("900")),
            (Measure::Time, "900s", "s", Some("900")),
            (Measure::Time, "1h30m", "m", Some("90")),
            (Measure::Time, "0.1s", "ms", Some("100")),
            (Measure::Time, "1ms", "s", Some("0.001")),
            (Measure::Time, "0", "s", Some("0")),
            (Measure::Time, "7y", "s", None),
            (Measure::Time, "900", "s", None),
            (Measure::Time, "1s", "d", None),
            (Measure::Time, "12h", "d", Some("0.5")),
            (Measure::Size, "100m", "b", Some("104857600")),
            (Measure::Size, "1.5GB", "mb", Some("1536")),
            (Measure::Size, "1gb5mb", "b", None),
            (Measure::Size, "", "b", None),
        ] {
            let wanted = number.map(|number| Decimal::parse(number).unwrap());
            assert_eq!(measure.parse_in(text, unit), wanted, "{text} in {unit}");
        }
    }

    #[test]
    fn the_pattern_takes_what_the_reader_takes() {
        let pieces = [
            "", "0", "1", "1.5", ".5", "5.", ".", "s", "ms", "µs", "h", "k", "MiB", "gb", "x", " ", "-1",
        ];
        for measure in [Measure::Time, Measure::Size] {
            let pattern = regex_lite::Regex::new(measure.pattern()).unwrap();
            for a in pieces {
                for b in pieces {
                    for c in pieces {
                        for d in pieces {
                            let text = format!("{a}{b}{c}{d}");
                            assert_eq!(
                                pattern.is_match(&text),
                                measure.parse(&text).is_some(),
                                "{measure:?} {text}"
                            );
                        }
                    }
                }
            }
        }
    }
}
