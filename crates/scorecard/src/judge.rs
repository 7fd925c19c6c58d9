//! A value compared with its limits.

use serde::Serialize;

/// How a figure stands. What is worse is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing is known of it.
    Unknown,
    /// As it should be.
    Normal,
    /// No longer normal, and not yet critical.
    Warning,
    /// Somebody should act.
    Critical,
}

impl Level {
    /// All of them, the best first.
    pub const ALL: [Level; 4] = [Level::Normal, Level::Warning, Level::Critical, Level::Unknown];

    /// Returns its name in labels and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Level::Unknown => "unknown",
            Level::Normal => "normal",
            Level::Warning => "warning",
            Level::Critical => "critical",
        }
    }
}

/// Judges a value as the guide's table does: below the first limit is normal, beyond the second critical, both limits themselves and what is
/// between them a warning. Where less is worse, the other way round. What is not a number is unknown.
#[must_use]
pub fn judge(value: f64, warning: f64, critical: f64, less_is_worse: bool) -> Level {
    if value.is_nan() {
        return Level::Unknown;
    }
    // Turned round, what is worse is more.
    let [value, warning, critical] = match less_is_worse {
        true => [-value, -warning, -critical],
        false => [value, warning, critical],
    };
    if value > critical {
        Level::Critical
    } else if value >= warning {
        Level::Warning
    } else {
        Level::Normal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tend_core::model::Figure;

    #[test]
    fn each_figure_is_judged_as_the_guides_table_has_it() {
        use Level::{Critical, Normal, Unknown, Warning};
        for (figure, cases) in [
            (
                Figure::ResponseTime,
                [(0.199, Normal), (0.2, Warning), (0.5, Warning), (0.501, Critical)],
            ),
            (
                Figure::SuccessRate,
                [(0.951, Normal), (0.95, Warning), (0.9, Warning), (0.899, Critical)],
            ),
            (
                Figure::DatabaseP95,
                [(0.299, Normal), (0.3, Warning), (1.0, Warning), (1.01, Critical)],
            ),
            (
                Figure::Memory,
                [
                    (536_870_911.0, Normal),
                    (536_870_912.0, Warning),
                    (1_073_741_824.0, Warning),
                    (1_073_741_825.0, Critical),
                ],
            ),
            (
                Figure::Cpu,
                [(0.29, Normal), (0.3, Warning), (0.7, Warning), (0.71, Critical)],
            ),
            (
                Figure::Websockets,
                [(0.0, Normal), (100.0, Warning), (500.0, Warning), (501.0, Critical)],
            ),
            (
                Figure::CacheHits,
                [(0.71, Normal), (0.7, Warning), (0.5, Warning), (0.49, Critical)],
            ),
            (
                Figure::Errors,
                [(0.009, Normal), (0.01, Warning), (0.05, Warning), (f64::NAN, Unknown)],
            ),
        ] {
            let (warning, critical) = figure.reference();
            for (value, level) in cases {
                assert_eq!(
                    judge(value, warning, critical, figure.less_is_worse()),
                    level,
                    "{figure:?} {value}"
                );
            }
        }
    }
}
