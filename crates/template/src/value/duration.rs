//! Spans of time as Go writes them, `1h2m3.5s`.

use std::fmt;

/// A span of time, in nanoseconds; it may be negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub i64);

/// Nanoseconds of a second.
pub(crate) const SECOND: i64 = 1_000_000_000;

impl Duration {
    #[allow(clippy::cast_precision_loss, reason = "Go loses it the same way")]
    pub(crate) fn seconds(self) -> f64 {
        (self.0 / SECOND) as f64 + (self.0 % SECOND) as f64 / 1e9
    }

    #[allow(clippy::cast_precision_loss, reason = "Go loses it the same way")]
    pub(crate) fn in_unit(self, unit: i64) -> f64 {
        (self.0 / unit) as f64 + (self.0 % unit) as f64 / unit as f64
    }

    pub(crate) fn truncate(self, to: Self) -> Self {
        if to.0 <= 0 { self } else { Self(self.0 - self.0 % to.0) }
    }

    /// To the nearest, away from zero when half-way.
    pub(crate) fn round(self, to: Self) -> Self {
        if to.0 <= 0 {
            return self;
        }
        let rest = self.0 % to.0;
        let down = self.0 - rest;
        if rest.unsigned_abs() * 2 < to.0.unsigned_abs() {
            Self(down)
        } else {
            Self(down.saturating_add(to.0 * rest.signum()))
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let (unit, name) = match total {
            0 => return f.write_str("0s"),
            1..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => {
                let seconds = total / 1_000_000_000;
                write!(f, "{sign}")?;
                if seconds >= 3600 {
                    write!(f, "{}h", seconds / 3600)?;
                }
                if seconds >= 60 {
                    write!(f, "{}m", seconds / 60 % 60)?;
                }
                return write!(f, "{}{}s", seconds % 60, fraction(total % 1_000_000_000, 9));
            }
        };
        let digits = match unit {
            1_000 => 3,
            1_000_000 => 6,
            _ => 0,
        };
        write!(f, "{sign}{}{}{name}", total / unit, fraction(total % unit, digits))
    }
}

/// A point and its digits without zeros at the end; nothing for zero.
pub(crate) fn fraction(value: u64, digits: usize) -> String {
    if value == 0 {
        return String::new();
    }
    let text = format!("{value:0digits$}");
    format!(".{}", text.trim_end_matches('0'))
}
