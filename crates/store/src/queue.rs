//! The bounded queue between those who hand in and the thread that writes. Knows nothing of how it is written.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tend_base::{Now, Wall};
use tend_core::journal::Entry;

use crate::{Batch, Committed, Error, Pruned};

/// So much may wait to be written, in entries and documents. At about 1 KB each this is some 16 MB.
pub(crate) const WAITING_MAX: usize = 16_384;

/// What is called when a batch is durable, or will never be.
pub(crate) type Done<T> = Box<dyn FnOnce(Result<T, Error>) + Send>;

/// A batch with the moment it was handed in and whoever waits for it.
pub(crate) struct Waiting {
    pub(crate) batch: Batch,
    pub(crate) at: Now,
    /// None when nobody waits: the entries are then kept and tried again.
    pub(crate) done: Option<Done<Committed>>,
}

/// Something the writer is asked to do.
pub(crate) enum Request {
    Commit(Waiting),
    Prune {
        before: Wall,
        by: tend_core::journal::Principal,
        at: Now,
        done: Done<Pruned>,
    },
}

impl Request {
    fn size(&self) -> usize {
        match self {
            Self::Commit(waiting) => waiting.batch.size(),
            Self::Prune { .. } => 0,
        }
    }

    /// Tells whoever waits that it will not be done.
    fn refuse(self, error: Error) {
        match self {
            Self::Commit(waiting) => {
                if let Some(done) = waiting.done {
                    done(Err(error));
                }
            }
            Self::Prune { done, .. } => done(Err(error)),
        }
    }
}

/// Entries that nobody waited for and that could not be kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Lost {
    pub(crate) entries: u64,
    pub(crate) kinds: BTreeMap<String, u64>,
    pub(crate) first_at: Wall,
    pub(crate) last_at: Wall,
    pub(crate) reason: String,
}

impl Lost {
    /// Adds what was lost later.
    pub(crate) fn merge(&mut self, later: Lost) {
        self.entries += later.entries;
        self.last_at = later.last_at;
        for (kind, entries) in later.kinds {
            *self.kinds.entry(kind).or_default() += entries;
        }
    }

    /// Counts entries as lost.
    pub(crate) fn count(lost: &mut Option<Lost>, entries: &[Entry], at: Wall, reason: &str) {
        if entries.is_empty() {
            return;
        }
        let lost = lost.get_or_insert_with(|| Lost {
            entries: 0,
            kinds: BTreeMap::new(),
            first_at: at,
            last_at: at,
            reason: reason.to_owned(),
        });
        lost.last_at = at;
        for entry in entries {
            lost.entries += 1;
            *lost.kinds.entry(entry.kind.as_str().to_owned()).or_default() += 1;
        }
    }
}

/// The queue. Handing in never blocks: what finds no room is refused, or counted as lost when nobody waits.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    requests: VecDeque<Request>,
    /// Sum of the sizes of the batches in `requests`.
    waiting: usize,
    lost: Option<Lost>,
    is_closed: bool,
}

/// What the writer found when it looked into the queue.
pub(crate) struct Taken {
    pub(crate) requests: Vec<Request>,
    pub(crate) lost: Option<Lost>,
    /// Nothing will come any more, and nothing is left.
    pub(crate) is_over: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing below panics while it holds the lock with the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands something in, or refuses it at once.
    pub(crate) fn push(&self, request: Request) {
        let size = request.size();
        let mut state = self.lock();
        // A single batch that is larger than the bound finds room in an empty queue.
        let refused = if state.is_closed {
            Some(Error::Closed)
        } else if state.waiting > 0 && state.waiting + size > WAITING_MAX {
            let waiting = state.waiting;
            Some(Error::Behind { waiting })
        } else {
            None
        };
        let Some(error) = refused else {
            state.waiting += size;
            state.requests.push_back(request);
            drop(state);
            return self.changed.notify_one();
        };
        if let Request::Commit(Waiting { batch, at, done: None }) = &request {
            Lost::count(&mut state.lost, &batch.entries, at.wall, &error.to_string());
        }
        // Whoever waits may hand in again from the callback.
        drop(state);
        request.refuse(error);
    }

    /// Takes what is waiting, up to `size_max` (at least one request); waits for something when there is nothing, at most for
    /// `patience`.
    pub(crate) fn take(&self, size_max: usize, patience: Option<Duration>) -> Taken {
        let mut state = self.lock();
        if state.requests.is_empty() && !state.is_closed {
            let is_idle = |state: &mut State| state.requests.is_empty() && !state.is_closed;
            state = match patience {
                Some(patience) => {
                    self.changed
                        .wait_timeout_while(state, patience, is_idle)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                None => self
                    .changed
                    .wait_while(state, is_idle)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
        let mut requests = Vec::new();
        let mut size = 0;
        while let Some(next) = state.requests.front() {
            let next_size = next.size();
            if !requests.is_empty() && size + next_size > size_max {
                break;
            }
            size += next_size;
            requests.extend(state.requests.pop_front());
        }
        state.waiting -= size;
        Taken {
            is_over: state.is_closed && requests.is_empty(),
            requests,
            lost: state.lost.take(),
        }
    }

    /// Lets nothing more in and refuses what is in: for when the writer is gone.
    pub(crate) fn abandon(&self) {
        let requests = {
            let mut state = self.lock();
            state.is_closed = true;
            state.waiting = 0;
            std::mem::take(&mut state.requests)
        };
        for request in requests {
            request.refuse(Error::Closed);
        }
    }

    /// Lets nothing more in; what is in is still written.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }
}
