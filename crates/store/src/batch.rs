//! What is handed to the store in one piece, and what comes back. Knows no SQL.

use std::sync::Arc;

use serde::Serialize;
use tend_core::controller::DocumentKind;
use tend_core::journal::{Entry, EventId};

use crate::Error;

/// A document as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Document {
    /// Its kind.
    pub kind: DocumentKind,
    /// Its id, unique within the kind.
    pub id: String,
    /// Its content.
    pub json: String,
}

/// Events and changes of documents that are written together or not at all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    /// What happened, in order.
    pub entries: Vec<Entry>,
    /// Documents to be put in place of those of the same kind and id.
    pub puts: Vec<Document>,
    /// Documents to be removed, after the puts; one that does not exist is no error.
    pub deletes: Vec<(DocumentKind, String)>,
}

impl Batch {
    /// Starts an empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry.
    #[must_use]
    pub fn entry(mut self, entry: Entry) -> Self {
        self.entries.push(entry);
        self
    }

    /// Adds a document to be put.
    ///
    /// # Errors
    /// When the value has no JSON form (a map whose keys are not texts).
    pub fn put(mut self, kind: DocumentKind, id: impl Into<String>, value: &impl Serialize) -> Result<Self, Error> {
        let id = id.into();
        match serde_json::to_string(value) {
            Ok(json) => {
                self.puts.push(Document { kind, id, json });
                Ok(self)
            }
            Err(source) => Err(Error::NoJson {
                kind: kind.as_str(),
                id,
                source: Arc::new(source),
            }),
        }
    }

    /// Adds a document to be removed.
    #[must_use]
    pub fn delete(mut self, kind: DocumentKind, id: impl Into<String>) -> Self {
        self.deletes.push((kind, id.into()));
        self
    }

    /// Returns how many things are to be written, for the bounds of the queue.
    pub(crate) fn size(&self) -> usize {
        self.entries.len() + self.puts.len() + self.deletes.len()
    }
}

impl From<Vec<Entry>> for Batch {
    fn from(entries: Vec<Entry>) -> Self {
        Self {
            entries,
            ..Self::default()
        }
    }
}

impl From<Entry> for Batch {
    fn from(entry: Entry) -> Self {
        vec![entry].into()
    }
}

/// A batch that is durable: where its entries stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Committed {
    /// The event its first entry became; the others follow it without a gap. Without entries, the head at that moment.
    pub first: EventId,
    /// How many entries it had.
    pub entries: usize,
}

impl Committed {
    /// Returns the events the entries became, in their order.
    pub fn ids(&self) -> impl Iterator<Item = EventId> + use<> {
        (self.first.0..).take(self.entries).map(EventId)
    }
}

/// What pruning did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pruned {
    /// How many rows it removed.
    pub rows: u64,
    /// The last row that is gone; none when nothing ever was pruned.
    pub upto: Option<EventId>,
    /// Whether there is more to prune: one call removes a bounded number, so that others are not kept waiting.
    pub is_partial: bool,
}
