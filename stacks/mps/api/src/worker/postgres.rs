//! The pool of a PostgreSQL database.

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::{Answer, QUEUE_REQUESTS, ReadJob, Threads, WriteJob};
use crate::db::Statements;
use crate::db::postgres::{Begin, Postgres};
use crate::ledger::{self, CheckReport, Context};
use crate::migrate::{self, Applied, Migration};
use crate::{Breakage, Config, Error, Metrics, clock};

/// One program at a time migrates. The number is arbitrary ("mps" in ASCII) and only has to be the same in every one.
const MIGRATE_LOCK: &str = "SELECT pg_advisory_xact_lock(7172211)";

/// Times a transaction is run again after a deadlock, a serialization failure, or two requests with one new key.
const ATTEMPTS: u32 = 5;

/// Applies migrations, each in a transaction of its own, and tells of each.
pub(super) fn migrate(
    url: &str,
    config: &Config,
    to: Option<u32>,
    tell: &mut dyn FnMut(&Migration),
) -> Result<Vec<Applied>, Error> {
    let mut db = Postgres::connect(url)?;
    if config.breakage == Breakage::MigrateFail {
        locked(&mut db, |db| migrate::fail_half_way(db))?;
    }
    while let Some(migration) = locked(&mut db, |db| migrate::apply_next(db, to))? {
        tell(migration);
    }
    locked(&mut db, |db| {
        let applied = migrate::applied(db)?;
        if config.seed_demo && migrate::misfit(&applied).is_none() {
            let context = Context {
                now_ms: clock::now_ms(),
                replica: &config.replica,
            };
            ledger::seed_demo(db, context)?;
        }
        Ok(applied)
    })
}

/// Runs `work` in a transaction, alone among all programs that migrate.
fn locked<T>(db: &mut Postgres, work: impl FnOnce(&mut dyn Statements) -> Result<T, Error>) -> Result<T, Error> {
    db.transaction(Begin::Write, |db| {
        db.script("the lock on migrating", MIGRATE_LOCK)?;
        work(db)
    })
}

/// Reads which migrations the database has had.
pub(super) fn applied(url: &str) -> Result<Vec<Applied>, Error> {
    Postgres::connect(url)?.transaction(Begin::Snapshot, |db| migrate::applied(db))
}

/// Starts the pool. A quarter of the connections, at least one, is kept for questions, so that health and readiness are
/// answered while payments queue.
pub(super) fn start(url: &str, config: &Config, metrics: &Arc<Metrics>) -> Result<Threads, Error> {
    let readers = (config.pool_size / 4).max(1);
    let writers = config.pool_size.saturating_sub(readers).max(1);
    let (writes, write_queue) = sync_channel::<WriteJob>(QUEUE_REQUESTS);
    let (reads, read_queue) = sync_channel::<ReadJob>(QUEUE_REQUESTS);
    let replica: Arc<str> = config.replica.as_str().into();
    let mut handles = spawn("writer", writers, url, write_queue, {
        let metrics = Arc::clone(metrics);
        move |db, job: WriteJob| {
            if !job.reply.is_closed() {
                let answer = write(db, &job, &replica, &metrics);
                drop(job.reply.send(answer));
            }
        }
    })?;
    let questions = spawn("reader", readers, url, read_queue, |db, job: ReadJob| {
        if !job.reply.is_closed() {
            let read = db
                .connected()
                .and_then(|db| db.transaction(Begin::Snapshot, |db| ledger::answer(db, &job.request)));
            drop(job.reply.send(read.map_err(Arc::new)));
        }
    })?;
    handles.extend(questions);
    Ok(Threads { writes, reads, handles })
}

/// Checks the books of the database at `url`.
pub(super) fn check_now(url: &str) -> Result<CheckReport, Error> {
    Postgres::connect(url)?.transaction(Begin::Snapshot, |db| ledger::check(db))
}

/// A connection that is made when it is needed, and anew after it was lost.
struct Lazy {
    url: String,
    db: Option<Postgres>,
}

impl Lazy {
    fn connected(&mut self) -> Result<&mut Postgres, Error> {
        self.db.take_if(|db| db.is_closed());
        match &mut self.db {
            Some(db) => Ok(db),
            empty => Ok(empty.insert(Postgres::connect(&self.url)?)),
        }
    }
}

fn spawn<J: Send + 'static>(
    name: &str,
    threads: usize,
    url: &str,
    queue: Receiver<J>,
    work: impl Fn(&mut Lazy, J) + Clone + Send + 'static,
) -> Result<Vec<JoinHandle<()>>, Error> {
    let queue = Arc::new(Mutex::new(queue));
    let start = |_| {
        let (queue, work) = (Arc::clone(&queue), work.clone());
        let mut db = Lazy {
            url: url.to_owned(),
            db: None,
        };
        let builder = std::thread::Builder::new().name(name.to_owned());
        let started = builder.spawn(move || {
            loop {
                // The lock is held while waiting: the others queue on it, and it is free again as soon as one has work.
                let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                match job {
                    Ok(job) => work(&mut db, job),
                    Err(_) => break,
                }
            }
        });
        started.map_err(|source| Error::StartThread {
            name: name.to_owned(),
            source,
        })
    };
    (0..threads).map(start).collect()
}

fn write(db: &mut Lazy, job: &WriteJob, replica: &str, metrics: &Metrics) -> Answer {
    let mut attempt = 1;
    loop {
        let context = Context {
            now_ms: clock::now_ms(),
            replica,
        };
        let written = db
            .connected()
            .and_then(|db| db.transaction(Begin::Write, |db| ledger::apply(db, &job.request, context)));
        match written {
            Err(error) if error.is_transient() && attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(Arc::new(error)),
            Ok(outcome) => {
                metrics.batch(1);
                return Ok(outcome);
            }
        }
    }
}
