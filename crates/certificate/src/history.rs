//! What was tried before to get a certificate: the memory that keeps us below an authority's limits. Decides nothing.

use serde::{Deserialize, Serialize};
use tend_base::Wall;

/// Tries that are remembered; more than any window of [`crate::next`] counts, so forgetting older ones changes no decision.
const TRIES_KEPT: usize = 64;

/// How one try to get a certificate ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It began, and how it ended was never written down: the bounds count it as one that failed.
    Begun,
    /// The certificate was issued and is kept.
    Issued,
    /// It was not.
    Failed,
}

/// One try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// When it began.
    pub at: Wall,
    /// How it ended.
    pub outcome: Outcome,
}

/// The tries for one set of names, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The tries.
    #[serde(default)]
    pub tries: Vec<Try>,
    /// The authority said not to come back before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Wall>,
    /// Why the last try failed, for a person; none when it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

impl History {
    /// Notes that a try begins. It is to be written down before anybody is asked for anything.
    pub fn begin(&mut self, now: Wall) {
        let forget = (self.tries.len() + 1).saturating_sub(TRIES_KEPT);
        self.tries.drain(..forget);
        self.tries.push(Try {
            at: now,
            outcome: Outcome::Begun,
        });
    }

    /// Notes that the try that began last brought a certificate.
    pub fn issued(&mut self) {
        self.end(Outcome::Issued);
        self.not_before = None;
        self.last_error = None;
    }

    /// Notes that the try that began last failed; `not_before` is what the authority said about coming back.
    pub fn failed(&mut self, error: String, not_before: Option<Wall>) {
        self.end(Outcome::Failed);
        self.not_before = not_before;
        self.last_error = Some(error);
    }

    /// Notes that the try that began last was broken off by us, with nothing decided: it leaves no trace.
    pub fn withdrawn(&mut self) {
        if self.tries.last().is_some_and(|last| last.outcome == Outcome::Begun) {
            self.tries.pop();
        }
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some(last) = self.tries.last_mut() {
            last.outcome = outcome;
        }
    }

    /// Counts the tries since the last certificate.
    #[must_use]
    pub fn failures(&self) -> u32 {
        let failed = self.tries.iter().rev().take_while(|t| t.outcome != Outcome::Issued);
        u32::try_from(failed.count()).unwrap_or(u32::MAX)
    }
}
