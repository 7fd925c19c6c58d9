//! The fake store: documents and journal entries, durable a while after they were handed in, in the order they were.
//!
//! What is not durable when the daemon is killed is gone, as with the real store, whose writer is a thread of the daemon.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;
use tend_base::Mono;
use tend_core::controller::Document;
use tend_core::journal::Entry;

/// What depends on a transaction being durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// A person waits for the answer to wish number so.
    Wish(u64),
    /// The host may forget how this incarnation ended.
    End(u64),
}

/// What was handed in together.
#[derive(Clone, Debug)]
struct Transaction {
    number: u64,
    durable_at: Mono,
    documents: Vec<Document>,
    entries: Vec<Entry>,
    waiting: Option<Waiting>,
}

/// What is on the disk, and what is on its way there.
#[derive(Debug, Default)]
pub(crate) struct Store {
    documents: BTreeMap<(String, String), Value>,
    pub(crate) journal: Vec<Entry>,
    pending: VecDeque<Transaction>,
    handed_in: u64,
    /// Incarnations that ever were on the disk.
    pub(crate) incarnations: BTreeSet<u64>,
    /// The last transaction that is durable.
    pub(crate) durable: u64,
}

impl Store {
    /// Hands in a transaction; returns its number and when it is durable.
    pub(crate) fn commit(
        &mut self,
        documents: Vec<Document>,
        entries: Vec<Entry>,
        waiting: Option<Waiting>,
        durable_at: Mono,
    ) -> (u64, Mono) {
        let last = self.pending.back().map_or(Mono(0), |last| last.durable_at);
        let durable_at = durable_at.max(last);
        self.handed_in += 1;
        self.pending.push_back(Transaction {
            number: self.handed_in,
            durable_at,
            documents,
            entries,
            waiting,
        });
        (self.handed_in, durable_at)
    }

    /// Writes what is due; returns what waited for it.
    pub(crate) fn write(&mut self, now: Mono) -> Vec<Waiting> {
        let mut answered = Vec::new();
        while self.pending.front().is_some_and(|first| first.durable_at <= now) {
            let Some(transaction) = self.pending.pop_front() else {
                break;
            };
            for document in transaction.documents {
                let key = (document.kind.as_str().to_owned(), document.id);
                if let Some(incarnation) = document.value.as_ref().and_then(|value| value["incarnation"].as_u64()) {
                    self.incarnations.insert(incarnation);
                }
                match document.value {
                    Some(value) => self.documents.insert(key, value),
                    None => self.documents.remove(&key),
                };
            }
            self.journal.extend(transaction.entries);
            self.durable = transaction.number;
            answered.extend(transaction.waiting);
        }
        answered
    }

    /// The daemon is gone, and with it what was on its way. Numbers of lost transactions are never given again.
    pub(crate) fn lose_pending(&mut self) -> Vec<(u64, Option<Waiting>)> {
        let lost = self.pending.drain(..);
        lost.map(|transaction| (transaction.number, transaction.waiting))
            .collect()
    }

    /// Returns all documents, as the store gives them to a daemon that starts.
    pub(crate) fn documents(&self) -> Vec<(String, String, Value)> {
        let all = self.documents.iter();
        all.map(|((kind, id), value)| (kind.clone(), id.clone(), value.clone()))
            .collect()
    }

    /// Returns what each document is about: its kind and id.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.documents.keys().map(|(kind, id)| (kind.as_str(), id.as_str()))
    }

    /// Returns one document.
    pub(crate) fn document(&self, kind: &str, id: &str) -> Option<&Value> {
        self.documents.get(&(kind.to_owned(), id.to_owned()))
    }
}
