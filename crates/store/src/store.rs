//! The handle through which the daemon writes the journal and its state. Knows no SQL; the work is done by the writer's thread.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tend_base::{Clock, SystemClock, Wall};
use tend_core::journal::{Entry, EventId, Hash, Principal, Statement, StatementKind};

use crate::queue::{Queue, Request, Waiting};
use crate::sealing::{self, Seal};
use crate::writer::{Shared, Writer};
use crate::{Batch, Committed, Error, MachineKey, Pruned};

/// Where the store keeps its files, all in the state folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Files {
    /// The database, `tend.db`; SQLite adds `-wal` and `-shm`, and the lock file is `tend.db.lock`.
    pub database: PathBuf,
    /// The anchor file, `journal.anchor`.
    pub anchors: PathBuf,
    /// The machine's key, `machine.key`.
    pub key: PathBuf,
    /// Its public half, `machine.pub`.
    pub public_key: PathBuf,
}

impl Files {
    /// Returns the files of a state folder.
    #[must_use]
    pub fn of(state: &Path) -> Self {
        Self {
            database: state.join("tend.db"),
            anchors: state.join("journal.anchor"),
            key: state.join("machine.key"),
            public_key: state.join("machine.pub"),
        }
    }
}

/// How a store is opened.
pub struct Options {
    /// What this writer is called when another one is refused: `tend daemon 0.1.0`.
    pub name: String,
    /// Who records what the store itself finds: a gap, damage, a checkpoint it was not asked for by anyone.
    pub principal: Principal,
    /// Tells the time that events carry.
    pub clock: Arc<dyn Clock + Send + Sync>,
    /// Is told the new head after each commit, on the writer's thread: to wake those who follow the journal. Must be quick.
    pub on_commit: Option<Box<dyn Fn(EventId) + Send>>,
    /// Seals documents before they are written; with none they are kept in clear.
    pub seal: Option<Arc<dyn Seal>>,
}

impl Options {
    /// Returns the options of a daemon: the machine's clock, and nobody told.
    #[must_use]
    pub fn new(name: impl Into<String>, principal: Principal) -> Self {
        Self {
            name: name.into(),
            principal,
            clock: Arc::new(SystemClock),
            on_commit: None,
            seal: None,
        }
    }
}

/// How the writer is doing.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The last durable event.
    pub head: EventId,
    /// The last event that is anchored outside the database.
    pub anchored: EventId,
    /// Entries that nobody waits for and that are kept in memory until they can be written.
    pub retained: usize,
    /// Entries lost since the store was opened; each loss is, or will be, an event `journal.gap`.
    pub lost: u64,
    /// Why the last try to write failed; none when it did not.
    pub commit_error: Option<Error>,
    /// Why the last try to anchor failed; none when it did not.
    pub anchor_error: Option<Error>,
}

/// The one writer of journal and state. Cheap to clone; the last clone that is dropped closes it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    queue: Arc<Queue>,
    shared: Arc<Mutex<Shared>>,
    key: Arc<MachineKey>,
    clock: Arc<dyn Clock + Send + Sync>,
    files: Files,
    seal: Option<Arc<dyn Seal>>,
    thread: Mutex<Option<JoinHandle<Result<(), Error>>>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.inner.files.database.display())
    }
}

/// Stands for a batch that was handed in.
#[derive(Debug)]
#[must_use = "without waiting nobody learns whether it was written; `Store::record` is for entries that nobody waits for"]
pub struct Ticket<T = Committed> {
    receiver: Receiver<Result<T, Error>>,
}

impl<T> Ticket<T> {
    /// Waits until it is durable, or certain not to be.
    ///
    /// # Errors
    /// When it was not written: nothing of it was.
    pub fn wait(self) -> Result<T, Error> {
        self.receiver.recv().unwrap_or(Err(Error::Closed))
    }

    /// Waits for at most `patience`; gives the ticket back when nothing is known by then.
    ///
    /// # Errors
    /// The ticket itself when it is too early to tell.
    pub fn wait_for(self, patience: Duration) -> Result<Result<T, Error>, Self> {
        match self.receiver.recv_timeout(patience) {
            Ok(result) => Ok(result),
            Err(RecvTimeoutError::Timeout) => Err(self),
            Err(RecvTimeoutError::Disconnected) => Ok(Err(Error::Closed)),
        }
    }
}

impl Store {
    /// Opens the journal and state of a state folder, which must exist, and makes what is missing in it: database, key.
    ///
    /// Where the journal is found changed from outside (its end cut off, rows added after it was closed), that is recorded in it as
    /// `journal.damaged`, and the anchors that show it are put aside beside the anchor file.
    ///
    /// # Errors
    /// When another process writes it, or files cannot be used; see [`Error::hint`].
    pub fn open(files: &Files, options: Options) -> Result<Self, Error> {
        let key = Arc::new(MachineKey::open_or_create(&files.key, &files.public_key)?);
        let queue = Arc::new(Queue::default());
        let shared = Arc::new(Mutex::new(Shared::default()));
        let clock = Arc::clone(&options.clock);
        let seal = options.seal.clone();
        let writer = Writer::open(
            files,
            Arc::clone(&key),
            options,
            Arc::clone(&queue),
            Arc::clone(&shared),
        )?;
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| Error::Thread {
                source: Arc::new(source),
            })?;
        Ok(Self {
            inner: Arc::new(Inner {
                queue,
                shared,
                key,
                clock,
                files: files.clone(),
                seal,
                thread: Mutex::new(Some(thread)),
            }),
        })
    }

    /// Hands entries in that somebody waits for. Never blocks; the ticket tells.
    pub fn append(&self, entries: Vec<Entry>) -> Ticket {
        self.commit(entries)
    }

    /// Hands a batch in that somebody waits for. Never blocks; the ticket tells.
    pub fn commit(&self, batch: impl Into<Batch>) -> Ticket {
        let (sender, receiver) = sync_channel(1);
        self.commit_then(batch, move |result| {
            // Nobody is left to be told when the ticket was dropped.
            let _ = sender.send(result);
        });
        Ticket { receiver }
    }

    /// Hands a batch in; `done` is called, on the writer's thread, or at once on this one when the batch is refused. It must be quick.
    pub fn commit_then(&self, batch: impl Into<Batch>, done: impl FnOnce(Result<Committed, Error>) + Send + 'static) {
        let batch = match self.sealed(batch.into()) {
            Ok(batch) => batch,
            Err(error) => return done(Err(error)),
        };
        self.inner.queue.push(Request::Commit(Waiting {
            batch,
            at: self.inner.clock.now(),
            done: Some(Box::new(done)),
        }));
    }

    /// Returns a batch as it is written: no document in clear where they are to be sealed.
    fn sealed(&self, mut batch: Batch) -> Result<Batch, Error> {
        if let Some(seal) = &self.inner.seal {
            for document in &mut batch.puts {
                let (kind, path) = (document.kind.as_str(), &self.inner.files.database);
                document.json = sealing::sealed(&**seal, path, kind, &document.id, &document.json)?;
            }
        }
        Ok(batch)
    }

    /// Hands entries in that nobody waits for. While they cannot be written they are kept in memory, up to a bound, and tried again;
    /// what does not fit is counted and told by an event `journal.gap`.
    pub fn record(&self, entries: Vec<Entry>) {
        self.inner.queue.push(Request::Commit(Waiting {
            batch: entries.into(),
            at: self.inner.clock.now(),
            done: None,
        }));
    }

    /// Removes events older than `before`, at most some thousands in one call, and leaves a signed checkpoint in their place.
    /// The last event always stays.
    pub fn prune(&self, before: Wall, by: Principal) -> Ticket<Pruned> {
        let (sender, receiver) = sync_channel(1);
        self.inner.queue.push(Request::Prune {
            before,
            by,
            at: self.inner.clock.now(),
            done: Box::new(move |result| {
                let _ = sender.send(result);
            }),
        });
        Ticket { receiver }
    }

    /// Returns how the writer is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared().status.clone()
    }

    /// Returns the last durable event.
    #[must_use]
    pub fn head(&self) -> EventId {
        self.shared().status.head
    }

    /// Signs the last durable event, to be put into a backup or report; record that as `journal.anchored`.
    #[must_use]
    pub fn signed_head(&self) -> Statement {
        let (seq, hash): (EventId, Hash) = {
            let shared = self.shared();
            (shared.status.head, shared.head_hash)
        };
        let at = self.inner.clock.now().wall;
        Statement::sign(StatementKind::Anchor, seq, hash, at, |text| self.inner.key.sign(text))
    }

    /// Returns where the files are.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.inner.files
    }

    /// Writes what was handed in, anchors the head as that of a closed journal, and gives the right to write back.
    ///
    /// # Errors
    /// When entries could not be written, or the head could not be anchored. What is handed in later fails with [`Error::Closed`].
    pub fn close(&self) -> Result<(), Error> {
        self.inner.close()
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.inner.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn close(&self) -> Result<(), Error> {
        self.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        match thread {
            // The last clone may be dropped by a callback on the writer's own thread, which ends by itself.
            Some(thread) if thread.thread().id() != std::thread::current().id() => {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Whoever wants to know calls `Store::close`.
        let _ = self.close();
    }
}
