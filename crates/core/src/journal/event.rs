//! An event of the journal, and what a feature hands in to become one. Knows nothing of how events are hashed or kept.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tend_base::{Mono, Wall};

use super::{Hash, Kind, Principal, Subject};

/// The number of an event: 1 for the first one ever, then without a gap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub u64);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Something to be recorded: an event that has no number, time or hash yet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Who did it.
    pub principal: Principal,
    /// What it was done to.
    pub subject: Subject,
    /// What was done.
    pub kind: Kind,
    /// The particulars, as the page `events.md` says for the kind. No secrets. Numbers should be whole: a float is kept as
    /// written here, but other tools may print it otherwise.
    pub data: Value,
    /// The event that led to this one.
    pub cause: Option<EventId>,
}

impl Entry {
    /// Starts an entry without subject, particulars and cause.
    #[must_use]
    pub fn new(principal: Principal, kind: Kind) -> Self {
        Self {
            principal,
            subject: Subject::default(),
            kind,
            data: Value::Object(serde_json::Map::new()),
            cause: None,
        }
    }

    /// Says what it was done to.
    #[must_use]
    pub fn on(mut self, subject: impl Into<Subject>) -> Self {
        self.subject = subject.into();
        self
    }

    /// Adds the particulars.
    #[must_use]
    pub fn with(mut self, data: Value) -> Self {
        self.data = data;
        self
    }

    /// Names the event that led to this one.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Option<EventId>>) -> Self {
        self.cause = cause.into();
        self
    }
}

/// A recorded event: an [`Entry`] with its place in the chain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Its number.
    pub id: EventId,
    /// When it was handed in, by the time of day (which may jump).
    pub at: Wall,
    /// The same moment since the machine started: for durations between events of one `daemon.started` and the next.
    pub mono: Mono,
    /// Who did it.
    pub principal: Principal,
    /// What it was done to.
    pub subject: Subject,
    /// What was done.
    pub kind: Kind,
    /// The particulars.
    pub data: Value,
    /// The event that led to this one.
    pub cause: Option<EventId>,
    /// The hash of the event before it, [`super::GENESIS`] for the first.
    pub prev_hash: Hash,
    /// The hash over all of the above.
    pub hash: Hash,
}
