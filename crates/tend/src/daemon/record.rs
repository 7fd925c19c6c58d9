//! Handing what the controller wants kept to the store. Knows nothing of what it means.

use tend_core::controller::Document;
use tend_core::journal::Entry;
use tend_store::{Batch, Store};
use tokio::sync::oneshot;

/// Whether something would survive a loss of power; if not, why not.
pub(crate) type Durable = Result<(), String>;

/// The controller's way to the store.
pub(crate) struct Recorder {
    store: Store,
}

impl Recorder {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Keeps entries and documents in one transaction, and tells `durable` when it is certain.
    ///
    /// Nobody waits for most of them: what runs is found again by looking, not by reading.
    pub(crate) fn record(
        &mut self,
        entries: Vec<Entry>,
        documents: Vec<Document>,
        durable: Option<oneshot::Sender<Durable>>,
    ) {
        if documents.is_empty() && durable.is_none() {
            if !entries.is_empty() {
                self.store.record(entries);
            }
            return;
        }
        let mut batch = Batch {
            entries,
            ..Batch::default()
        };
        for Document { kind, id, value } in documents {
            match value {
                Some(value) => {
                    batch = batch
                        .put(kind, id, &value)
                        .expect("invariant: a JSON value has a JSON form");
                }
                None => batch = batch.delete(kind, id),
            }
        }
        self.store.commit_then(batch, move |result| {
            if let Some(durable) = durable {
                let why = result.map(drop).map_err(|error| {
                    let cause = std::error::Error::source(&error)
                        .map(|cause| format!(": {cause}"))
                        .unwrap_or_default();
                    format!("{error}{cause}")
                });
                // Who waited may have left.
                let _ = durable.send(why);
            }
        });
    }
}
