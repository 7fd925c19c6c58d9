//! What is said about a migration: a place, a rule, what it does and what to write instead.
//!
//! Owns the form of a finding; the rules and their reasons stand in `rule`. Knows nothing of SQL.

use std::fmt;

use serde::Serialize;

use crate::Rule;

/// One thing found in a migration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Line of the file, from 1.
    pub line: u32,
    /// Which rule it breaks.
    pub rule: Rule,
    /// Whether a deploy should go on in spite of it.
    pub severity: Severity,
    /// What the statement does, and to what.
    pub what: String,
    /// What to write instead.
    pub instead: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Clients wait or fail, or a promise about the way back is broken: a deploy is refused.
    Error,
    /// May well be right; somebody should have looked at it.
    Warning,
}

impl Severity {
    /// Returns the word for it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line, what, instead, ..
        } = self;
        write!(
            f,
            "line {line}: {} [{}]: {what}; {instead}",
            self.severity.text(),
            self.rule.id()
        )
    }
}
