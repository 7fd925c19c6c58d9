//! Handing what the controller wants kept to the store, entries without secrets. Knows nothing of what it means.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tend_core::controller::{Document, DocumentKind};
use tend_core::journal::Entry;
use tend_store::{Batch, Error, Store};
use tokio::sync::oneshot;

/// Whether something would survive a loss of power; if not, why not.
pub(crate) type Durable = Result<(), String>;

/// Documents by kind and id; none stands for one to be removed.
type Documents = BTreeMap<(DocumentKind, String), Option<Value>>;

/// Takes secrets out of an entry.
type Screen = Box<dyn Fn(&mut Entry) + Send>;

/// The controller's way to the store.
pub(crate) struct Recorder {
    store: Store,
    screen: Screen,
    /// Documents that could not be written, such as while the disk was full; they go along with the next ones.
    unwritten: Arc<Mutex<Documents>>,
}

impl Recorder {
    pub(crate) fn new(store: Store, screen: impl Fn(&mut Entry) + Send + 'static) -> Self {
        Self {
            store,
            screen: Box::new(screen),
            unwritten: Arc::default(),
        }
    }

    /// Keeps what follows from something that happened, in one transaction. Nobody waits for it: what runs is found again by looking,
    /// not by reading. Where it cannot be written, the store keeps the entries until they can, or says how many were lost.
    pub(crate) fn record(&mut self, mut entries: Vec<Entry>, documents: Vec<Document>) {
        entries.iter_mut().for_each(&self.screen);
        let mut waiting = self.take_unwritten();
        waiting.extend(
            documents
                .into_iter()
                .map(|Document { kind, id, value }| ((kind, id), value)),
        );
        if waiting.is_empty() {
            if !entries.is_empty() {
                self.store.record(entries);
            }
            return;
        }
        let (store, unwritten) = (self.store.clone(), Arc::clone(&self.unwritten));
        self.store.commit_then(batch(entries.clone(), &waiting), move |result| {
            if result.is_err() {
                store.record(entries);
                let mut unwritten = unwritten.lock().unwrap_or_else(PoisonError::into_inner);
                for (key, value) in waiting {
                    unwritten.entry(key).or_insert(value);
                }
            }
        });
    }

    /// Writes down what follows from a wish, and returns once it would survive a loss of power, or is certain not to.
    pub(crate) async fn write(&mut self, mut entries: Vec<Entry>, documents: Vec<Document>) -> Durable {
        entries.iter_mut().for_each(&self.screen);
        let documents = documents
            .into_iter()
            .map(|Document { kind, id, value }| ((kind, id), value));
        commit(&self.store, batch(entries, &documents.collect())).await
    }

    fn take_unwritten(&self) -> Documents {
        std::mem::take(&mut *self.unwritten.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes a batch down, with all that was handed in before it, and returns once it would survive a loss of power, or is certain not to.
pub(crate) async fn commit(store: &Store, batch: Batch) -> Durable {
    let (answer, answered) = oneshot::channel();
    store.commit_then(batch, move |result| {
        // Waited for below; it is gone only with the daemon.
        let _ = answer.send(result.map(drop).map_err(|error| with_cause(&error)));
    });
    answered.await.unwrap_or_else(|_| Err("the store is closed".to_owned()))
}

fn batch(entries: Vec<Entry>, documents: &Documents) -> Batch {
    let mut batch = Batch {
        entries,
        ..Batch::default()
    };
    for ((kind, id), value) in documents {
        batch = match value {
            Some(value) => batch
                .put(*kind, id.clone(), value)
                .expect("invariant: a JSON value has a JSON form"),
            None => batch.delete(*kind, id.clone()),
        };
    }
    batch
}

fn with_cause(error: &Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}
