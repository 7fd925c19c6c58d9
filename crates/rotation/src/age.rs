//! How old a secret is and when it is due to be rotated. Knows no rotation.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use tend_base::Wall;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A secret is rotated after so long where nothing else is said (requirement S3: 90 days).
pub const ROTATE_EVERY: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// So long before it is due people are told: two weeks hold a holiday.
pub const WARN_BEFORE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// The age of the version that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Age {
    /// How long it is in use. 0 when the clock was set back.
    pub age: Duration,
    /// When the next one is due.
    pub due_at: Wall,
    /// What people must hear, if anything.
    pub warning: Option<AgeWarning>,
}

/// What people must hear of an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgeWarning {
    /// It is due soon.
    Soon {
        /// In so long.
        left: Duration,
    },
    /// It is past its time.
    Overdue {
        /// Since so long.
        by: Duration,
    },
}

impl Age {
    /// Returns the age at `now` of a version that is in use since `since` and due `every` so often.
    #[must_use]
    pub fn of(since: Wall, every: Duration, now: Wall) -> Self {
        let age = Duration::from_millis(now.0.saturating_sub(since.0));
        let due_at = Wall(
            since
                .0
                .saturating_add(u64::try_from(every.as_millis()).unwrap_or(u64::MAX)),
        );
        let left = every.saturating_sub(age);
        // A secret that is rotated every week is not «due soon» all its life.
        let warn_before = WARN_BEFORE.min(every / 4);
        let warning = if age >= every {
            Some(AgeWarning::Overdue { by: age - every })
        } else if left <= warn_before {
            Some(AgeWarning::Soon { left })
        } else {
            None
        };
        Self { age, due_at, warning }
    }
}

impl std::fmt::Display for AgeWarning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Whole days: nobody plans a rotation by the second.
        let days = |time: Duration| match time.as_secs() / DAY.as_secs() {
            0 => "less than a day".to_owned(),
            1 => "1 day".to_owned(),
            many => format!("{many} days"),
        };
        match self {
            Self::Soon { left } => write!(f, "due in {}", days(*left)),
            Self::Overdue { by } => write!(f, "overdue by {}", days(*by)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_hear_of_a_secret_before_and_after_it_is_due() {
        let now = Wall(1_795_265_075_123);
        let aged = |days: u64, every: u64| {
            let since = Wall(now.0 - days * 86_400_000);
            Age::of(since, DAY * u32::try_from(every).unwrap(), now)
                .warning
                .map(|warning| warning.to_string())
        };
        for (days, every, text) in [
            (0, 90, None),
            (75, 90, None),
            (76, 90, Some("due in 14 days")),
            (89, 90, Some("due in 1 day")),
            (90, 90, Some("overdue by less than a day")),
            (91, 90, Some("overdue by 1 day")),
            (400, 90, Some("overdue by 310 days")),
            (4, 8, None),
            (6, 8, Some("due in 2 days")),
        ] {
            assert_eq!(aged(days, every).as_deref(), text, "{days} of {every} days");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nothing_old() {
        let age = Age::of(Wall(5000), ROTATE_EVERY, Wall(1000));
        assert_eq!((age.age, age.warning), (Duration::ZERO, None));
    }
}
