//! What an edge holds: hands work to the writer and gives each request its claim. Each answer comes from the writer's thread, by the
//! function that was given with the question. Knows no event loop.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{TrySendError, sync_channel};
use std::time::Duration;

use rusqlite::Transaction;
use tend_base::Wall;

use crate::instance::{self, Instance};
use crate::key::{Key, KeyId, RequestHash};
use crate::spool::{self, Callback, Delivery, Kept};
use crate::window::{self, Answer, Beginning, Found};
use crate::writer::{Desk, Queue, Task, Work, Writer};
use crate::{Error, schema};

/// So much may wait to be written; more is refused at once, since the disk is behind.
const WAITING_MAX: usize = 4096;

/// Why a key is in doubt that was sent again and not taken.
const STILL_IN_DOUBT: &str = "it was in doubt, and the service did not take it when it was sent again";

/// Keys and callbacks on disk, as one edge uses them. Other edges may use the same folder at the same time.
///
/// The writer ends when the store and every claim are dropped; nobody waits for it, since what was acknowledged is on disk.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    instance: String,
    queue: Queue,
}

/// What became of a request with a key.
#[derive(Debug)]
pub enum Begun {
    /// It is to be sent: its key is on disk.
    Claimed(Claim),
    /// It was answered before.
    Answered(Answer),
    /// It was answered before, and the answer was too large to be kept.
    NotKept,
    /// The first with this key is being answered.
    UnderWay,
    /// Nobody knows what became of the first.
    InDoubt,
    /// The key was used for another request.
    Reused,
}

/// The right to send a request, and the duty to say what became of it. Dropped without a word, it is in doubt.
pub struct Claim {
    id: KeyId,
    /// An earlier request with the key may have been carried out.
    again: bool,
    instance: String,
    /// None once it was said what became of it.
    queue: Option<Queue>,
    folder: PathBuf,
}

impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Claim({:?})", self.id)
    }
}

/// The right to deliver callbacks, which one process has at a time.
#[derive(Debug)]
pub struct ReplayLock {
    _file: File,
}

fn submit<T: Send + 'static>(
    queue: &Queue,
    folder: &Path,
    work: impl FnOnce(&Transaction<'_>, &mut Desk) -> rusqlite::Result<T> + Send + 'static,
    reply: impl FnOnce(Result<T, Error>) + Send + 'static,
) {
    let task: Box<dyn Work> = Box::new(Task {
        work: Some(work),
        result: None,
        reply,
    });
    match queue.try_send(task) {
        Ok(()) => {}
        Err(TrySendError::Full(task) | TrySendError::Disconnected(task)) => task.tell(Err(Error::Busy {
            path: schema::path_in(folder),
        })),
    }
}

impl Store {
    /// Opens the store in a folder of its own, making both when there are none; `on_doubt` is called when something came to be in doubt.
    ///
    /// # Errors
    /// When the folder or the database cannot be used.
    pub fn open(folder: &Path, on_doubt: impl Fn() + Send + 'static) -> Result<Self, Error> {
        let connection = schema::open(folder)?;
        instance::sweep(folder);
        let instance = Instance::begin(folder)?;
        let name = instance.name.clone();
        let (queue, work) = sync_channel(WAITING_MAX);
        let writer = Writer {
            connection,
            desk: Desk {
                folder: folder.to_owned(),
                instance,
                claimed: Default::default(),
                begins: Vec::new(),
                ends: Vec::new(),
                doubted: false,
            },
            on_doubt: Box::new(on_doubt),
        };
        std::thread::Builder::new()
            .name("money".to_owned())
            .spawn(move || writer.run(&work))
            .map_err(|source| Error::Thread {
                path: schema::path_in(folder),
                source: Arc::new(source),
            })?;
        Ok(Self {
            folder: folder.to_owned(),
            instance: name,
            queue,
        })
    }

    fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>, &mut Desk) -> rusqlite::Result<T> + Send + 'static,
        reply: impl FnOnce(Result<T, Error>) + Send + 'static,
    ) {
        submit(&self.queue, &self.folder, work, reply);
    }

    /// Begins a request with a key, unless it was begun before. The key is on disk when `reply` is called.
    pub fn begin(
        &self,
        key: Key,
        request: RequestHash,
        request_id: String,
        upstream_idempotent: bool,
        now: Wall,
        reply: impl FnOnce(Result<Begun, Error>) + Send + 'static,
    ) {
        let asked = Beginning {
            key,
            request,
            request_id,
            upstream_idempotent,
            now,
        };
        let id = asked.key.id();
        let work = move |transaction: &Transaction<'_>, desk: &mut Desk| {
            let found = window::begin(transaction, &asked, &desk.instance.name, |by| desk.beginner(by, id))?;
            if matches!(found, Found::Claimed { .. }) {
                desk.begins.push(id);
            }
            Ok(found)
        };
        let queue = self.queue.clone();
        let (instance, folder) = (self.instance.clone(), self.folder.clone());
        self.submit(work, move |found| {
            reply(found.map(|found| match found {
                Found::Claimed { again } => Begun::Claimed(Claim {
                    id,
                    again,
                    instance,
                    queue: Some(queue),
                    folder,
                }),
                Found::Answered(answer) => Begun::Answered(answer),
                Found::NotKept => Begun::NotKept,
                Found::UnderWay => Begun::UnderWay,
                Found::InDoubt => Begun::InDoubt,
                Found::Reused => Begun::Reused,
            }));
        });
    }

    /// Keeps a callback, unless `entries_max` of its route wait. It is on disk when `reply` is called.
    pub fn keep(
        &self,
        callback: Callback,
        entries_max: u64,
        now: Wall,
        reply: impl FnOnce(Result<Kept, Error>) + Send + 'static,
    ) {
        self.submit(
            move |transaction, _| spool::keep(transaction, &callback, entries_max, now),
            reply,
        );
    }

    /// Says whether any callback of a route waits.
    pub fn any_waits(&self, route: String, reply: impl FnOnce(Result<bool, Error>) + Send + 'static) {
        self.submit(move |transaction, _| spool::any_waits(transaction, &route), reply);
    }

    /// Returns the routes of which callbacks wait.
    pub fn routes_waiting(&self, reply: impl FnOnce(Result<Vec<String>, Error>) + Send + 'static) {
        self.submit(|transaction, _| spool::routes(transaction), reply);
    }

    /// Returns the callback of a route that is to be delivered next.
    pub fn next(&self, route: String, reply: impl FnOnce(Result<Option<Delivery>, Error>) + Send + 'static) {
        self.submit(move |transaction, _| spool::next(transaction, &route), reply);
    }

    /// Removes a callback that the service has taken.
    pub fn delivered(&self, seq: i64, reply: impl FnOnce(Result<(), Error>) + Send + 'static) {
        self.submit(move |transaction, _| spool::delivered(transaction, seq), reply);
    }

    /// Sets a callback aside that the service does not want.
    pub fn refused(&self, seq: i64, why: String, now: Wall, reply: impl FnOnce(Result<(), Error>) + Send + 'static) {
        self.submit(move |transaction, _| spool::refused(transaction, seq, &why, now), reply);
    }

    /// Notes that a delivery failed; it is still the next.
    pub fn failed(&self, seq: i64, why: String, reply: impl FnOnce(Result<(), Error>) + Send + 'static) {
        self.submit(move |transaction, _| spool::failed(transaction, seq, &why), reply);
    }

    /// Returns the error for a question that nobody answered.
    #[must_use]
    pub fn gone(&self) -> Error {
        Error::Busy {
            path: schema::path_in(&self.folder),
        }
    }

    /// Takes the right to deliver callbacks; none while another process has it.
    ///
    /// # Errors
    /// When its file cannot be used.
    pub fn try_replay(&self) -> Result<Option<ReplayLock>, Error> {
        let path = self.folder.join("replay.lock");
        let taken = instance::try_lock(&path).map_err(|source| Error::Lock {
            path,
            source: Arc::new(source),
        })?;
        Ok(taken.map(|file| ReplayLock { _file: file }))
    }
}

impl Claim {
    /// Writes down what the request was answered, to be given again within `window`. The answer is on disk when `reply` is called; where
    /// that fails, the claim comes back with the answer.
    pub fn finish(
        mut self,
        answer: Answer,
        now: Wall,
        window: Duration,
        reply: impl FnOnce(Result<(), (Claim, Answer, Error)>) + Send + 'static,
    ) {
        let Some(queue) = self.queue.take() else { return };
        let (id, again, instance, folder) = (self.id, self.again, self.instance.clone(), self.folder.clone());
        let answer = Arc::new(answer);
        let written = answer.clone();
        let work = move |transaction: &Transaction<'_>, desk: &mut Desk| {
            let expires_at = window::later(now, window);
            let finished = window::finish(transaction, id, &desk.instance.name, &written, expires_at)?;
            desk.ends.push(id);
            Ok(finished)
        };
        let same_queue = queue.clone();
        submit(&queue, &folder.clone(), work, move |finished| {
            let error = match finished {
                Ok(true) => return reply(Ok(())),
                Ok(false) => Error::Lost { key: id.short() },
                Err(error) => error,
            };
            let claim = Claim {
                id,
                again,
                instance,
                queue: Some(same_queue),
                folder,
            };
            reply(Err((claim, Arc::unwrap_or_clone(answer), error)));
        });
    }

    /// Gives the key free: nothing was done by this request. Where an earlier one with the key may have been carried out, the key is in
    /// doubt as it was before.
    pub fn release(mut self, now: Wall, reply: impl FnOnce(Result<(), Error>) + Send + 'static) {
        if self.again {
            return self.tell_doubt(STILL_IN_DOUBT, now, reply);
        }
        let Some(queue) = self.queue.take() else { return };
        let id = self.id;
        let work = move |transaction: &Transaction<'_>, desk: &mut Desk| {
            window::release(transaction, id, &desk.instance.name)?;
            desk.ends.push(id);
            Ok(())
        };
        submit(&queue, &self.folder, work, reply);
    }

    /// Writes down that nobody knows what became of the request, and why.
    pub fn doubt(mut self, why: &str, now: Wall, reply: impl FnOnce(Result<(), Error>) + Send + 'static) {
        self.tell_doubt(why, now, reply);
    }

    fn tell_doubt(&mut self, why: &str, now: Wall, reply: impl FnOnce(Result<(), Error>) + Send + 'static) {
        let Some(queue) = self.queue.take() else { return };
        let (id, why) = (self.id, why.to_owned());
        let work = move |transaction: &Transaction<'_>, desk: &mut Desk| {
            window::doubt(transaction, id, &desk.instance.name, &why, now)?;
            desk.ends.push(id);
            desk.doubted = true;
            Ok(())
        };
        submit(&queue, &self.folder, work, reply);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let now = tend_base::Clock::now(&tend_base::SystemClock).wall;
        // Where even this cannot be written the key stays claimed, and is in doubt when this process has ended.
        self.tell_doubt("the edge lost track of it", now, |_| {});
    }
}
