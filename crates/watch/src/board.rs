//! What one replica may read: its newest revision, and some before it, so that a reader can be told the difference only.
//!
//! Readers look here when they are ready for more. Nothing is queued for them, so a slow one skips what it missed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::revision::Revision;

/// Revisions kept to take differences from; a reader further behind gets everything. Sets are shared among the replicas of a
/// service, and who changes a configuration more often than this while a replica reconnects is a script.
const KEPT: usize = 32;

pub(crate) struct Board {
    recent: Mutex<VecDeque<Arc<Revision>>>,
    newest: watch::Sender<Option<Arc<Revision>>>,
}

impl Board {
    pub(crate) fn new() -> Board {
        Board {
            recent: Mutex::default(),
            newest: watch::Sender::new(None),
        }
    }

    /// Makes `revision` the newest. The newest again changes nothing.
    pub(crate) fn publish(&self, replica: &str, revision: &Arc<Revision>) -> Result<()> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(newest) = recent.back().filter(|newest| newest.number >= revision.number) {
            let why = if newest.number > revision.number {
                "older"
            } else if newest.values != revision.values {
                "the same number with other values"
            } else {
                return Ok(());
            };
            return Err(Error::NotNewer {
                replica: replica.to_owned(),
                newest: newest.number,
                revision: revision.number,
                why,
            });
        }
        if recent.len() == KEPT {
            recent.pop_front();
        }
        recent.push_back(Arc::clone(revision));
        self.newest.send_replace(Some(Arc::clone(revision)));
        Ok(())
    }

    pub(crate) fn newest(&self) -> Option<Arc<Revision>> {
        self.newest.borrow().clone()
    }

    /// Tells of every newer one from now on; its sender goes away with the replica.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Arc<Revision>>> {
        self.newest.subscribe()
    }

    /// Returns a revision that is still known.
    pub(crate) fn known(&self, number: u64) -> Option<Arc<Revision>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().find(|revision| revision.number == number).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(number: u64) -> Arc<Revision> {
        let values = [("n".to_owned(), number.into())].into();
        Arc::new(Revision { number, values })
    }

    #[test]
    fn a_replica_only_goes_forward_and_a_number_means_one_set() {
        let board = Board::new();
        board.publish("api/1", &revision(7)).expect("the first");
        board.publish("api/1", &revision(7)).expect("the same again");
        board.publish("api/1", &revision(9)).expect("numbers may be left out");
        assert!(board.publish("api/1", &revision(8)).is_err());
        let other = Revision {
            number: 9,
            values: [].into(),
        };
        let error = board
            .publish("api/1", &Arc::new(other))
            .expect_err("other values")
            .to_string();
        assert!(error.contains("api/1") && error.contains("other values"), "{error}");
        assert_eq!(board.newest().map(|newest| newest.number), Some(9));
    }

    #[test]
    fn only_so_many_revisions_are_kept() {
        let board = Board::new();
        for number in 1..=100 {
            board.publish("api/1", &revision(number)).expect("newer");
        }
        assert!(board.known(68).is_none());
        assert!(board.known(69).is_some() && board.known(100).is_some());
    }
}
