//! What is asked about releases and deployments, and how each of these requests is written.
//!
//! Knows the shape of the requests, not what a deployment is.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tend_core::model::{Stack, StackName};

/// Body of [`crate::Call::Deploy`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Deploy {
    /// The definition as its file says.
    pub stack: Box<Stack>,
    /// Build although the checkout has changes that are in no revision.
    #[serde(default)]
    pub allow_dirty: bool,
    /// The git revision to build from; what is checked out when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Undone by itself unless confirmed within so many milliseconds after it settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_ms: Option<u64>,
    /// What the caller says of it; kept in the journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

// A stack holds its services' environment, which may hold secrets: it is never formatted.
impl fmt::Debug for Deploy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.stack.name)?;
        let flags = [
            self.allow_dirty.then(|| "allow_dirty".to_owned()),
            self.revision.as_ref().map(|revision| format!("revision: {revision}")),
            self.confirm_ms.map(|confirm| format!("confirm_ms: {confirm}")),
            self.reason.as_ref().map(|reason| format!("reason: {reason}")),
        ];
        let flags: Vec<String> = flags.into_iter().flatten().collect();
        if flags.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", flags.join(", "))
    }
}

/// To run an earlier release again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// Of which stack.
    pub stack: StackName,
    /// Which; the one that ran before when absent.
    pub to: Option<u64>,
    /// Undone by itself unless confirmed within so many milliseconds after it settled.
    pub confirm_ms: Option<u64>,
    /// What the caller says of it; kept in the journal.
    pub reason: Option<String>,
}

/// Body of [`crate::Call::Rollback`]; the stack stands in the path.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct RollbackBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) confirm_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// Whether an earlier release could be run again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollbackQuery {
    /// Of which stack.
    pub stack: StackName,
    /// Which; the one that ran before when absent.
    pub to: Option<u64>,
}

/// One release of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseQuery {
    /// Of which stack.
    pub stack: StackName,
    /// Its number.
    pub number: u64,
}

/// What a person says to the deployment that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decide {
    /// In which stack.
    pub stack: StackName,
    /// What.
    pub word: DecideWord,
    /// Why; kept in the journal.
    pub why: String,
}

/// Body of [`crate::Call::Decide`]; the stack stands in the path.
#[derive(Serialize, Deserialize)]
pub(crate) struct DecideBody {
    pub(crate) word: DecideWord,
    #[serde(default)]
    pub(crate) why: String,
}

/// What can be said to a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecideWord {
    /// Let it go on.
    Approve,
    /// Do not let it go on: taken only while it waits to be approved.
    Reject,
    /// End it and undo what it changed.
    Abort,
    /// It is good: do not undo it when its time is over.
    Confirm,
}

impl DecideWord {
    /// Returns the word itself.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DecideWord::Approve => "approve",
            DecideWord::Reject => "reject",
            DecideWord::Abort => "abort",
            DecideWord::Confirm => "confirm",
        }
    }
}

/// To run in one stack what runs in another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promote {
    /// The stack whose running release is taken.
    pub from: StackName,
    /// The stack that is to run it.
    pub to: StackName,
    /// Undone by itself unless confirmed within so many milliseconds after it settled.
    pub confirm_ms: Option<u64>,
    /// What the caller says of it; kept in the journal.
    pub reason: Option<String>,
}

/// Body of [`crate::Call::Promote`]; the stack that is to run it stands in the path.
#[derive(Serialize, Deserialize)]
pub(crate) struct PromoteBody {
    pub(crate) from: StackName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) confirm_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// Returns a duration as the calls carry it; what does not fit is longer than anybody waits.
#[must_use]
pub fn confirm_ms(confirm: Duration) -> u64 {
    u64::try_from(confirm.as_millis()).unwrap_or(u64::MAX)
}
