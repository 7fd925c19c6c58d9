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
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::ledger::{CheckReport, Outcome, Query, Write};
use crate::{Config, DatabaseUrl, Error, Metrics};

/// Requests that may wait for the database; beyond, they are answered 503 at once. At a thousand a second this is over half
/// a second of work, more than which nobody waits for.
const QUEUE_REQUESTS: usize = 1024;

/// What a request gets back. The error is shared by all requests of a failed commit.
pub type Answer = Result<Outcome, Arc<Error>>;

/// A request in a queue.
pub(crate) struct Job<T> {
    request: T,
    reply: oneshot::Sender<Answer>,
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
}

impl Database {
    /// Opens the database, applies the schema, writes demo data where asked for, and starts the threads.
    pub fn start(config: &Config, metrics: &Arc<Metrics>) -> Result<Database, Error> {
        let busy = BusySince::new();
        let threads = match &config.database {
            DatabaseUrl::Sqlite(path) => sqlite::start(path, config, metrics, &busy)?,
            DatabaseUrl::Postgres(url) => postgres::start(url, config, metrics)?,
        };
        Ok(Database {
            threads,
            busy,
            timeout: config.database_timeout,
            url: config.database.clone(),
            checking: Arc::default(),
        })
    }

    /// Carries out a command and returns when it is durable. On an error it may or may not have taken effect; sending it
    /// again with the same key finds out. Dropping the future leaves it to take effect or not.
    pub async fn write(&self, write: Write) -> Answer {
        ask(&self.threads.writes, write, self.timeout).await
    }

    /// Answers a question from one snapshot.
    pub async fn read(&self, query: Query) -> Answer {
        ask(&self.threads.reads, query, self.timeout).await
    }

    /// Tells within `patience` whether the database answers questions.
    pub async fn answers(&self, patience: Duration) -> bool {
        matches!(ask(&self.threads.reads, Query::Ping, patience).await, Ok(outcome) if outcome.status == 200)
    }

    /// Tells within `patience` whether every database thread lives and one answers, be it that the database does not.
    pub async fn threads_answer(&self, patience: Duration) -> bool {
        let answer = ask(&self.threads.reads, Query::Ping, patience).await;
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
        let (reply, answer) = oneshot::channel();
        let (url, checking) = (self.url.clone(), Arc::clone(&self.checking));
        let name = "check".to_owned();
        std::thread::Builder::new()
            .name(name.clone())
            .spawn(move || {
                let _one_at_a_time = checking.lock();
                // Nobody may wait any more by the time it is this check's turn, or when it is done.
                if !reply.is_closed() {
                    drop(reply.send(check_now(&url)));
                }
            })
            .map_err(|source| Error::StartThread { name, source })?;
        answer.await.map_err(|_| Error::ThreadEnded)?.map_err(Arc::new)
    }
}

/// Opens the database and checks the books in one snapshot.
pub fn check_now(url: &DatabaseUrl) -> Result<CheckReport, Error> {
    match url {
        DatabaseUrl::Sqlite(path) => sqlite::check_now(path),
        DatabaseUrl::Postgres(url) => postgres::check_now(url),
    }
}

async fn ask<T>(queue: &SyncSender<Job<T>>, request: T, patience: Duration) -> Answer {
    let (reply, answer) = oneshot::channel();
    queue
        .try_send(Job { request, reply })
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
