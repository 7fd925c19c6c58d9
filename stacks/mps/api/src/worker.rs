//! The threads that own the database connections, and the queues in front of them.
//!
//! On SQLite one thread writes for all requests of this process: it takes what has queued up, carries it out in one
//! transaction with a savepoint for each command, syncs once and answers then (group commit). Other replicas do the same on
//! the same file; they take turns by a lock on a file beside it, on which the kernel queues them, where SQLite's own waiting
//! is by sleeping and trying again. A second thread reads. On PostgreSQL a pool of threads, each with a connection, does
//! both, a transaction for each command.
//!
//! Invariant: a command is answered only after its commit is durable (test `acknowledged_payments_survive_kill_9`).

mod postgres;
mod sqlite;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::ledger::{CheckReport, Outcome, Query, Write};
use crate::migrate::{self, Applied, Migration};
use crate::{Breakage, Config, DatabaseUrl, Error, Metrics};

/// Requests that may wait for the database; beyond, they are answered 503 at once. At a thousand a second this is over half
/// a second of work, more than which nobody waits for.
const QUEUE_REQUESTS: usize = 1024;

/// What a request gets back. The error is shared by all requests of a failed commit.
pub type Answer = Result<Outcome, Arc<Error>>;

/// A request in a queue.
pub(crate) struct Job<T> {
    request: T,
    reply: oneshot::Sender<Answer>,
    /// Counts it as in flight until the job is dropped, which is after its commit, whether somebody still waits or not.
    _counted: Option<InFlight>,
}

/// One command that is in flight, counted as long as this lives.
pub struct InFlight(Arc<AtomicU64>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) type WriteJob = Job<Write>;
pub(crate) type ReadJob = Job<Query>;

/// Since when the writer has been at its present transaction, readable from outside its thread.
#[derive(Clone)]
pub(crate) struct BusySince {
    start: Instant,
    /// Milliseconds from `start`, plus one; zero while idle.
    since: Arc<AtomicU64>,
}

impl BusySince {
    fn new() -> Self {
        BusySince {
            start: Instant::now(),
            since: Arc::default(),
        }
    }

    fn begin(&self) {
        let ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.since.store(ms + 1, Ordering::Relaxed);
    }

    fn end(&self) {
        self.since.store(0, Ordering::Relaxed);
    }

    fn elapsed(&self) -> Duration {
        match self.since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => self.start.elapsed().saturating_sub(Duration::from_millis(since - 1)),
        }
    }
}

/// Both queues and the threads behind them.
struct Threads {
    writes: SyncSender<WriteJob>,
    reads: SyncSender<ReadJob>,
    handles: Vec<JoinHandle<()>>,
}

/// A handle to the database threads.
pub struct Database {
    threads: Threads,
    busy: BusySince,
    timeout: Duration,
    url: DatabaseUrl,
    /// One check at a time: it reads everything.
    checking: Arc<Mutex<()>>,
    in_flight: Arc<AtomicU64>,
    /// Why the database does not fit this release, as last seen; once it fits, it is not looked at again.
    misfit: Mutex<Option<String>>,
}

impl Database {
    /// Opens the database and starts the threads. In place it first applies the migrations and writes demo data where asked
    /// for; a release leaves both to `mps-api migrate`, which is a step of its own in a deploy.
    pub fn start(config: &Config, metrics: &Arc<Metrics>) -> Result<Database, Error> {
        let in_place = match &config.release {
            Some(_) => None,
            None => Some(migrate(config, None, &mut |_| {})?),
        };
        let busy = BusySince::new();
        let threads = match &config.database {
            DatabaseUrl::Sqlite(path) => sqlite::start(path, config, metrics, &busy)?,
            DatabaseUrl::Postgres(url) => postgres::start(url, config, metrics)?,
        };
        // Looked at only now: opening a SQLite file makes it where it is missing.
        let applied = in_place.map_or_else(|| applied(&config.database), Ok)?;
        Ok(Database {
            misfit: Mutex::new(migrate::misfit(&applied)),
            in_flight: Arc::default(),
            threads,
            busy,
            timeout: config.database_timeout,
            url: config.database.clone(),
            checking: Arc::default(),
        })
    }

    /// Counts one more command as in flight, from before its body has arrived.
    pub fn count_in_flight(&self) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(&self.in_flight))
    }

    /// Returns how many commands are in flight: begun, and neither answered nor given up.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Carries out a command and returns when it is durable. On an error it may or may not have taken effect; sending it
    /// again with the same key finds out. Dropping the future leaves it to take effect or not.
    pub async fn write(&self, write: Write, counted: InFlight) -> Answer {
        ask(&self.threads.writes, write, Some(counted), self.timeout).await
    }

    /// Returns why the database does not fit this release; none where it does. Somebody may migrate it meanwhile, so it is
    /// looked at anew until it fits.
    pub async fn misfit(&self) -> Option<String> {
        let known = self.misfit.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let url = self.url.clone();
        let now = match self.beside("schema", move || applied(&url)).await {
            Ok(applied) => migrate::misfit(&applied),
            // It cannot be asked at present, so what was seen before still stands.
            Err(_) => Some(known),
        };
        self.misfit
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(&now);
        now
    }

    /// Answers a question from one snapshot.
    pub async fn read(&self, query: Query) -> Answer {
        ask(&self.threads.reads, query, None, self.timeout).await
    }

    /// Tells within `patience` whether the database answers questions.
    pub async fn answers(&self, patience: Duration) -> bool {
        matches!(ask(&self.threads.reads, Query::Ping, None, patience).await, Ok(outcome) if outcome.status == 200)
    }

    /// Tells within `patience` whether every database thread lives and one answers, be it that the database does not.
    pub async fn threads_answer(&self, patience: Duration) -> bool {
        let answer = ask(&self.threads.reads, Query::Ping, None, patience).await;
        let silent = answer.is_err_and(|error| matches!(*error, Error::Busy | Error::TimedOut | Error::ThreadEnded));
        !silent && !self.threads.handles.iter().any(JoinHandle::is_finished)
    }

    /// Returns for how long the writer has been at its present transaction; zero while it waits for work.
    ///
    /// Long means that the disk does not answer, or that another replica holds the database and does not go on.
    pub fn writer_busy_for(&self) -> Duration {
        self.busy.elapsed()
    }

    /// Checks the books in one snapshot, on a connection and thread of its own.
    pub async fn check(&self) -> Result<CheckReport, Arc<Error>> {
        let url = self.url.clone();
        self.beside("check", move || check_now(&url)).await
    }

    /// Runs `work`, which opens a connection of its own, on a thread of its own; one such work at a time.
    async fn beside<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Arc<Error>> {
        let (reply, answer) = oneshot::channel();
        let checking = Arc::clone(&self.checking);
        let name = name.to_owned();
        std::thread::Builder::new()
            .name(name.clone())
            .spawn(move || {
                let _one_at_a_time = checking.lock();
                // Nobody may wait any more by the time it is this work's turn, or when it is done.
                if !reply.is_closed() {
                    drop(reply.send(work()));
                }
            })
            .map_err(|source| Error::StartThread { name, source })?;
        answer.await.map_err(|_| Error::ThreadEnded)?.map_err(Arc::new)
    }
}

/// Brings the database to migration `to`, all of them without it, tells of each, writes demo data where asked for, and
/// returns what the database has had.
///
/// May be killed at any moment and run again, and may be run by several programs at once: they queue.
pub fn migrate(config: &Config, to: Option<u32>, tell: &mut dyn FnMut(&Migration)) -> Result<Vec<Applied>, Error> {
    if config.breakage == Breakage::MigrateHang {
        loop {
            std::thread::park();
        }
    }
    match &config.database {
        DatabaseUrl::Sqlite(path) => sqlite::migrate(path, config, to, tell),
        DatabaseUrl::Postgres(url) => postgres::migrate(url, config, to, tell),
    }
}

/// Opens the database and reads which migrations it has had.
fn applied(url: &DatabaseUrl) -> Result<Vec<Applied>, Error> {
    match url {
        DatabaseUrl::Sqlite(path) => sqlite::applied(path),
        DatabaseUrl::Postgres(url) => postgres::applied(url),
    }
}

/// Opens the database and checks the books in one snapshot.
pub fn check_now(url: &DatabaseUrl) -> Result<CheckReport, Error> {
    match url {
        DatabaseUrl::Sqlite(path) => sqlite::check_now(path),
        DatabaseUrl::Postgres(url) => postgres::check_now(url),
    }
}

async fn ask<T>(queue: &SyncSender<Job<T>>, request: T, counted: Option<InFlight>, patience: Duration) -> Answer {
    let (reply, answer) = oneshot::channel();
    queue
        .try_send(Job {
            request,
            reply,
            _counted: counted,
        })
        .map_err(|refused| match refused {
            TrySendError::Full(_) => Error::Busy,
            TrySendError::Disconnected(_) => Error::ThreadEnded,
        })?;
    match tokio::time::timeout(patience, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(Arc::new(Error::ThreadEnded)),
        Err(_) => Err(Arc::new(Error::TimedOut)),
    }
}
