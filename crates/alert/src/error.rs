//! What cannot be done with rules, alerts and silences, for a person. Knows no exit codes.

/// Why a rule gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Two elements of the result became the same.
    #[error(
        "rule `{rule}`: two elements of the result have the same labels {labels} once the rule's labels are applied"
    )]
    Twice {
        /// Its name.
        rule: String,
        /// The labels.
        labels: String,
    },
    /// The group's `limit` was exceeded.
    #[error("rule `{rule}`: {found} results, and the group's limit is {limit}")]
    Limit {
        /// Its name.
        rule: String,
        /// The limit.
        limit: u64,
        /// How many there were.
        found: u64,
    },
    /// It records and was asked for alerts.
    #[error("rule `{rule}` records a series and raises no alerts")]
    NotAlerting {
        /// Its name.
        rule: String,
    },
}

/// Why something asked of alerts is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlertError {
    /// An alert that came in is none.
    #[error("alert {labels}: {what}")]
    Alert {
        /// Its labels as far as there are any.
        labels: String,
        /// What is wrong.
        what: String,
    },
    /// A silence that is none.
    #[error("silence: {what}")]
    Silence {
        /// What is wrong.
        what: String,
    },
    /// No silence of that name.
    #[error("there is no silence `{id}`")]
    NoSilence {
        /// Its name.
        id: String,
    },
    /// No alert of that fingerprint.
    #[error("no alert {fingerprint:016x} is firing")]
    NoAlert {
        /// The fingerprint.
        fingerprint: u64,
    },
    /// A matcher that is none.
    #[error("matcher `{text}`: {what}")]
    Matcher {
        /// As it was written.
        text: String,
        /// What is wrong.
        what: String,
    },
}

impl RuleError {
    /// Returns what a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Twice { .. } => {
                "the expression gives elements that differ only in labels the rule sets; aggregate them first"
            }
            Self::Limit { .. } => "make the expression narrower, aggregate, or raise `limit` of the group",
            Self::NotAlerting { .. } => "ask an alerting rule",
        }
    }
}

impl AlertError {
    /// Returns what a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Alert { .. } => "an alert has at least one label with a value, and does not end before it starts",
            Self::Silence { .. } => "a silence has matchers, an end in the future, an author and a reason",
            Self::NoSilence { .. } => "look at the list of silences; those that ended are removed after five days",
            Self::NoAlert { .. } => "look at the list of alerts; what resolved needs no one any more",
            Self::Matcher { .. } => "write it like severity=\"critical\" or job=~\"a.*\"",
        }
    }
}
