//! Why a rule gave nothing, for a person. Knows no exit codes.

use tend_alert::RuleError;

/// Why an evaluation of a rule gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// Its expression could not be evaluated.
    #[error("rule `{rule}`: its expression could not be evaluated")]
    Evaluate {
        /// The name of the rule.
        rule: String,
        /// Why.
        source: tend_promql::Error,
    },
    /// Its expression gives no series: a text, or windows of samples.
    #[error("rule `{rule}`: its expression gives a {got}, and a rule takes a number or a value for each series")]
    Type {
        /// The name of the rule.
        rule: String,
        /// What it gives.
        got: &'static str,
    },
    /// Its result is not what the rule may give; says which rule.
    #[error(transparent)]
    Result(#[from] RuleError),
    /// The times of a look back make no sense.
    #[error("from {from} to {to} each {step} ms is no stretch of time to look back over")]
    Times {
        /// Milliseconds since 1970.
        from: i64,
        /// Milliseconds since 1970.
        to: i64,
        /// Milliseconds.
        step: i64,
    },
}

impl RulesError {
    /// Returns what a person can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Evaluate { source, .. } => source
                .hint()
                .unwrap_or_else(|| "ask the expression as a query, and take it apart until it answers".to_owned()),
            Self::Type { .. } => "aggregate the window, as in rate(x[5m]) or last_over_time(x[5m])".to_owned(),
            Self::Result(error) => error.hint().to_owned(),
            Self::Times { .. } => "the start is not after the end, and the step is longer than nothing".to_owned(),
        }
    }
}
