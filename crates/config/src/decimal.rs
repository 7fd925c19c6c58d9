//! Numbers as they are written: exact decimals, because prices and shares are compared, stored and given on, never rounded.
//!
//! Knows nothing of keys. Invariant: what is read and written again is the same number (test `what_is_written_reads_back`).

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Digits before and after the point that a number may have; 10^18 wei times 10^18 fits.
const DIGITS_MAX: u32 = 36;

/// An exact decimal number of at most 36 digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    /// The number without its point.
    mantissa: i128,
    /// How many of its digits stand behind the point; as few as possible.
    scale: u32,
}

impl Decimal {
    /// Reads `12`, `-0.5`, `+1e-5`, `.5`; nothing for anything else, or with more than 36 digits before or after the point.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (number, exponent) = match unsigned.find(['e', 'E']) {
            Some(at) => (&unsigned[..at], unsigned[at + 1..].parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = || whole.bytes().chain(fraction.bytes());
        if digits().next().is_none() || !digits().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let zeros = digits().rev().take_while(|digit| *digit == b'0').count();
        let kept = whole.len() + fraction.len() - zeros;
        let mut mantissa = 0i128;
        for digit in digits().take(kept) {
            mantissa = mantissa.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        }
        if mantissa == 0 {
            return Some(Self::from(0));
        }
        // The number is mantissa × 10^power.
        let power = i64::from(exponent) - i64::try_from(fraction.len()).ok()? + i64::try_from(zeros).ok()?;
        let sign = if negative { -1 } else { 1 };
        Self::new(sign * mantissa, power)
    }

    /// Returns `mantissa` × 10^`power` if it can be held.
    pub(crate) fn new(mut mantissa: i128, power: i64) -> Option<Self> {
        if mantissa == 0 {
            return Some(Self::from(0));
        }
        let mut scale = 0;
        if power > 0 {
            let factor = 10i128.checked_pow(u32::try_from(power).ok()?)?;
            mantissa = mantissa.checked_mul(factor)?;
        } else {
            scale = u32::try_from(-power).ok()?;
        }
        while scale > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        let limit = 10i128.pow(DIGITS_MAX);
        (scale <= DIGITS_MAX && mantissa.abs() < limit).then_some(Self { mantissa, scale })
    }

    /// Returns whether it has nothing behind the point.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.scale == 0
    }

    /// Returns it as a whole number of 64 bits, if it is one.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        self.is_whole().then(|| i64::try_from(self.mantissa).ok()).flatten()
    }

    /// Returns whether it is a whole number of times `step`, which [`Decimal::is_step`].
    #[must_use]
    pub(crate) fn is_multiple_of(self, step: Self) -> bool {
        // With more digits behind the point than the step has, it is none.
        if self.scale > step.scale || step.mantissa == 0 {
            return false;
        }
        let mut rest = self.mantissa % step.mantissa;
        for _ in self.scale..step.scale {
            rest = rest * 10 % step.mantissa;
        }
        rest == 0
    }

    /// Returns whether it can be a step: above zero and small enough that no rest overflows.
    #[must_use]
    pub(crate) fn is_step(self) -> bool {
        self.mantissa > 0 && self.mantissa < 10i128.pow(DIGITS_MAX)
    }

    /// Returns it times `factor`, divided by `divisor`, when that is exact and can be held.
    pub(crate) fn scaled(self, factor: i128, divisor: i128) -> Option<Self> {
        let mut mantissa = self.mantissa.checked_mul(factor)?;
        // Units of time and size divide by twos, threes and fives only; with more than this many digits it never ends.
        for digits in 0..DIGITS_MAX {
            if mantissa % divisor == 0 {
                return Self::new(mantissa / divisor, -i64::from(self.scale + digits));
            }
            mantissa = mantissa.checked_mul(10)?;
        }
        None
    }

    /// Returns the sum, if it can be held.
    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let at = |one: Self| one.mantissa.checked_mul(10i128.checked_pow(scale - one.scale)?);
        Self::new(at(self)?.checked_add(at(other)?)?, -i64::from(scale))
    }

    /// Returns the part before the point, rounded down, and what is left.
    fn parts(self) -> (i128, i128) {
        let unit = 10i128.pow(self.scale);
        (self.mantissa.div_euclid(unit), self.mantissa.rem_euclid(unit))
    }
}

impl From<i64> for Decimal {
    fn from(number: i64) -> Self {
        Self {
            mantissa: number.into(),
            scale: 0,
        }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let ((whole, rest), (other_whole, other_rest)) = (self.parts(), other.parts());
        let scale = self.scale.max(other.scale);
        // Less than one, so no more than 36 digits each.
        let rest = rest * 10i128.pow(scale - self.scale);
        let other_rest = other_rest * 10i128.pow(scale - other.scale);
        whole.cmp(&other_whole).then(rest.cmp(&other_rest))
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.mantissa.unsigned_abs().to_string();
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let scale = self.scale as usize;
        if scale == 0 {
            return write!(f, "{sign}{digits}");
        }
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a decimal number")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Decimal {
        Decimal::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn what_is_written_reads_back() {
        for (text, written) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("00012", "12"),
            ("0.00001", "0.00001"),
            ("1e-5", "0.00001"),
            ("1.50", "1.5"),
            ("+.5", "0.5"),
            ("5.", "5"),
            ("1e18", "1000000000000000000"),
            (
                "150000000000000000000.000000000000000001",
                "150000000000000000000.000000000000000001",
            ),
            ("-12.34e1", "-123.4"),
        ] {
            let Some(number) = Decimal::parse(text) else {
                assert!(text.len() > 38, "{text}");
                continue;
            };
            assert_eq!(number.to_string(), written, "{text}");
            assert_eq!(of(&number.to_string()), number);
        }
        for text in [
            "",
            "-",
            ".",
            "e5",
            "1e",
            "1e99",
            "1e-99",
            "1,5",
            "0x1f",
            "1 ",
            "１",
            "inf",
            "1.2.3",
            "1e99999999999",
        ] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn order_is_exact() {
        let sorted = [
            "-2",
            "-1.5",
            "-0.1",
            "0",
            "1e-36",
            "0.1",
            "0.10000000000000000001",
            "1",
            "1.5",
            "99999999999999999999",
            "1e35",
        ];
        for (at, one) in sorted.iter().enumerate() {
            for (other_at, other) in sorted.iter().enumerate() {
                assert_eq!(of(one).cmp(&of(other)), at.cmp(&other_at), "{one} {other}");
            }
        }
    }

    #[test]
    fn multiples_are_exact() {
        for (number, step, yes) in [
            ("0.3", "0.1", true),
            ("0.35", "0.1", false),
            ("1e35", "0.000001", true),
            ("7", "2", false),
            ("-8", "2", true),
            ("0", "5", true),
            ("1", "0.3", false),
        ] {
            assert_eq!(of(number).is_multiple_of(of(step)), yes, "{number} of {step}");
        }
    }
}
