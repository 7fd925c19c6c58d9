//! The writer and the reader of a SQLite file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use super::{Answer, BusySince, QUEUE_REQUESTS, ReadJob, Threads, WriteJob};
use crate::db::sqlite::Sqlite;
use crate::ledger::{self, CheckReport, Context};
use crate::migrate::{self, Applied, Migration};
use crate::{Breakage, Config, Error, Metrics, clock};

/// Most commands of one transaction: bounds how long other replicas and the first of the batch wait (about 10 ms of work).
const BATCH_MAX: usize = 128;

/// Applies migrations to the file at `path`, each in a transaction of its own, and tells of each.
pub(super) fn migrate(
    path: &Path,
    config: &Config,
    to: Option<u32>,
    tell: &mut dyn FnMut(&Migration),
) -> Result<Vec<Applied>, Error> {
    let mut writer = Writer::open(path, &config.replica)?;
    if config.breakage == Breakage::MigrateFail {
        writer.exclusively(|db, _| migrate::fail_half_way(db))?;
    }
    while let Some(migration) = writer.exclusively(|db, _| migrate::apply_next(db, to))? {
        tell(migration);
    }
    writer.exclusively(|db, context| {
        let applied = migrate::applied(db)?;
        if config.seed_demo && migrate::misfit(&applied).is_none() {
            ledger::seed_demo(db, context)?;
        }
        Ok(applied)
    })
}

/// Reads which migrations the file at `path` has had.
pub(super) fn applied(path: &Path) -> Result<Vec<Applied>, Error> {
    Sqlite::open_existing(path)?.reading(|db| migrate::applied(db))
}

/// Opens the file at `path` and starts its two threads.
pub(super) fn start(path: &Path, config: &Config, metrics: &Arc<Metrics>, busy: &BusySince) -> Result<Threads, Error> {
    let mut writer = Writer::open(path, &config.replica)?;
    let mut reader = Sqlite::open(path)?;
    let (writes, write_queue) = sync_channel::<WriteJob>(QUEUE_REQUESTS);
    let (reads, read_queue) = sync_channel::<ReadJob>(QUEUE_REQUESTS);
    let (metrics, busy) = (Arc::clone(metrics), busy.clone());
    let writer = spawn("writer", move || write_all(&mut writer, &write_queue, &metrics, &busy))?;
    let reader = spawn("reader", move || read_all(&mut reader, &read_queue))?;
    Ok(Threads {
        writes,
        reads,
        handles: vec![writer, reader],
    })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(work).map_err(|source| Error::StartThread {
        name: name.to_owned(),
        source,
    })
}

/// Checks the books of the file at `path`.
pub(super) fn check_now(path: &Path) -> Result<CheckReport, Error> {
    Sqlite::open_existing(path)?.reading(|db| ledger::check(db))
}

/// The connection that writes, and the lock on which the writers of all replicas queue.
struct Writer {
    db: Sqlite,
    turn: File,
    turn_path: PathBuf,
    replica: String,
}

impl Writer {
    fn open(path: &Path, replica: &str) -> Result<Self, Error> {
        let mut turn_path = path.as_os_str().to_owned();
        turn_path.push("-writers");
        let turn_path = PathBuf::from(turn_path);
        let create_folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let turn = create_folder
            .and_then(|()| {
                File::options()
                    .create(true)
                    .truncate(false)
                    .write(true)
                    .open(&turn_path)
            })
            .map_err(|source| Error::WritersLock {
                path: turn_path.clone(),
                source,
            })?;
        // Turning on the write-ahead log needs the file to oneself, so even opening is done by turns.
        turn.lock().map_err(|source| Error::WritersLock {
            path: turn_path.clone(),
            source,
        })?;
        let db = Sqlite::open(path);
        let unlocked = turn.unlock().map_err(|source| Error::WritersLock {
            path: turn_path.clone(),
            source,
        });
        Ok(Writer {
            db: unlocked.and(db)?,
            turn,
            turn_path,
            replica: replica.to_owned(),
        })
    }

    /// Runs `work` in one transaction, alone among all replicas; durable when this returns without error.
    fn exclusively<T>(&mut self, work: impl FnOnce(&mut Sqlite, Context<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let taken = self.turn.lock();
        taken.map_err(|source| Error::WritersLock {
            path: self.turn_path.clone(),
            source,
        })?;
        let done = self.transaction(work);
        let given_back = self.turn.unlock();
        given_back.map_err(|source| Error::WritersLock {
            path: self.turn_path.clone(),
            source,
        })?;
        done
    }

    fn transaction<T>(&mut self, work: impl FnOnce(&mut Sqlite, Context<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.db.control("BEGIN IMMEDIATE")?;
        let context = Context {
            now_ms: clock::now_ms(),
            replica: &self.replica,
        };
        let done = work(&mut self.db, context).and_then(|value| self.db.control("COMMIT").map(|()| value));
        if done.is_err() && self.db.in_transaction() {
            // The first error is the one to tell; a rollback that fails too leaves the transaction to the next BEGIN, which
            // then fails loudly.
            drop(self.db.control("ROLLBACK"));
        }
        done
    }
}

/// Commits what queues up until every sender is gone.
fn write_all(writer: &mut Writer, queue: &Receiver<WriteJob>, metrics: &Metrics, busy: &BusySince) {
    let mut batch: Vec<WriteJob> = Vec::with_capacity(BATCH_MAX);
    while let Ok(first) = queue.recv() {
        busy.begin();
        batch.push(first);
        let answers = writer.exclusively(|db, context| {
            // Taken only now: what came in while we waited for our turn goes along.
            batch.extend(queue.try_iter().take(BATCH_MAX - 1));
            batch.retain(|job| !job.reply.is_closed());
            batch
                .iter()
                .map(|job| one_of_batch(db, job, context))
                .collect::<Result<Vec<Answer>, Error>>()
        });
        busy.end();
        match answers {
            Ok(answers) => {
                metrics.batch(answers.len());
                for (job, answer) in batch.drain(..).zip(answers) {
                    // A client that has gone away finds out by its key.
                    drop(job.reply.send(answer));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for job in batch.drain(..) {
                    drop(job.reply.send(Err(Arc::clone(&error))));
                }
            }
        }
    }
}

/// Carries out one command of a batch: its failure undoes itself only, unless SQLite has undone the whole transaction.
fn one_of_batch(db: &mut Sqlite, job: &WriteJob, context: Context<'_>) -> Result<Answer, Error> {
    db.control("SAVEPOINT command")?;
    match ledger::apply(db, &job.request, context) {
        Ok(outcome) => {
            db.control("RELEASE command")?;
            Ok(Ok(outcome))
        }
        Err(error) if db.in_transaction() => {
            db.control("ROLLBACK TO command")?;
            db.control("RELEASE command")?;
            Ok(Err(Arc::new(error)))
        }
        Err(error) => Err(error),
    }
}

/// Answers questions until every sender is gone.
fn read_all(db: &mut Sqlite, queue: &Receiver<ReadJob>) {
    while let Ok(job) = queue.recv() {
        if !job.reply.is_closed() {
            let answer = db.reading(|db| ledger::answer(db, &job.request));
            drop(job.reply.send(answer.map_err(Arc::new)));
        }
    }
}
