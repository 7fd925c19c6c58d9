//! The thread that writes: takes what many requests handed in, commits it at once, and tells them when it is on disk.
//!
//! Between commits it looks whether an edge that began something has died, and removes what is over.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tend_base::{Clock, Mono, SystemClock};

use crate::instance::{self, Instance};
use crate::key::KeyId;
use crate::window;
use crate::{Error, schema};

/// One transaction takes so many at most, so that no one waits long for the others.
const GROUP_MAX: usize = 256;

/// How often it is looked who has died and what is over.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What a piece of work sees and changes beside the database.
pub(crate) struct Desk {
    pub(crate) folder: PathBuf,
    pub(crate) instance: Instance,
    /// What this process has begun and not ended.
    pub(crate) claimed: HashSet<KeyId>,
    /// What the work under way begins and ends: it holds once it is committed.
    pub(crate) begins: Vec<KeyId>,
    pub(crate) ends: Vec<KeyId>,
    /// Something came to be in doubt.
    pub(crate) doubted: bool,
}

impl Desk {
    /// Says what is known of an edge that began something with this key.
    pub(crate) fn beginner(&self, name: &str, id: KeyId) -> window::Beginner {
        if name == self.instance.name {
            if self.claimed.contains(&id) || self.begins.contains(&id) {
                window::Beginner::Has
            } else {
                // A commit failed, and reached the disk all the same. Who asked was told that it failed, and sent nothing.
                window::Beginner::HasNot
            }
        } else if instance::lives(&self.folder, name) {
            window::Beginner::Has
        } else {
            window::Beginner::Dead
        }
    }
}

/// A piece of work: done in a transaction with others, and told when that is on disk or failed.
pub(crate) trait Work: Send {
    fn perform(&mut self, transaction: &Transaction<'_>, desk: &mut Desk) -> rusqlite::Result<()>;
    fn tell(self: Box<Self>, outcome: Result<(), Error>);
}

/// A piece of work made of a function and of who is told what it returned.
pub(crate) struct Task<F, T, R> {
    pub(crate) work: Option<F>,
    pub(crate) result: Option<T>,
    pub(crate) reply: R,
}

impl<F, T, R> Work for Task<F, T, R>
where
    F: FnOnce(&Transaction<'_>, &mut Desk) -> rusqlite::Result<T> + Send,
    T: Send,
    R: FnOnce(Result<T, Error>) + Send,
{
    fn perform(&mut self, transaction: &Transaction<'_>, desk: &mut Desk) -> rusqlite::Result<()> {
        let work = self.work.take().expect("a piece of work is done once");
        self.result = Some(work(transaction, desk)?);
        Ok(())
    }

    fn tell(self: Box<Self>, outcome: Result<(), Error>) {
        let result = self.result;
        (self.reply)(outcome.map(|()| result.expect("work that was committed was done")));
    }
}

pub(crate) type Queue = SyncSender<Box<dyn Work>>;

pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) desk: Desk,
    pub(crate) on_doubt: Box<dyn Fn() + Send>,
}

impl Writer {
    /// Writes until nobody can hand in anything any more.
    pub(crate) fn run(mut self, work: &Receiver<Box<dyn Work>>) {
        let mut looked: Option<Mono> = None;
        loop {
            let now = SystemClock.now().mono;
            if looked.is_none_or(|looked| now.since(looked) >= LOOK_EVERY) {
                looked = Some(now);
                self.look();
            }
            let mut group = match work.recv_timeout(LOOK_EVERY) {
                Ok(first) => vec![first],
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            group.extend(work.try_iter().take(GROUP_MAX - 1));
            let outcome = self.commit(&mut group).map_err(|source| Error::Write {
                path: schema::path_in(&self.desk.folder),
                source: Arc::new(source),
            });
            self.settle(outcome.is_ok());
            for one in group {
                one.tell(outcome.clone());
            }
        }
    }

    fn commit(&mut self, group: &mut [Box<dyn Work>]) -> rusqlite::Result<()> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        for work in group {
            work.perform(&transaction, &mut self.desk)?;
        }
        transaction.commit()
    }

    /// Makes what was begun and ended hold, or not.
    fn settle(&mut self, committed: bool) {
        let desk = &mut self.desk;
        let (begins, ends) = (std::mem::take(&mut desk.begins), std::mem::take(&mut desk.ends));
        let doubted = std::mem::take(&mut desk.doubted);
        if committed {
            desk.claimed.extend(begins);
            for id in ends {
                desk.claimed.remove(&id);
            }
            if doubted {
                (self.on_doubt)();
            }
        }
    }

    /// Has what the dead began in doubt, and removes what is over. What fails now is done the next time.
    fn look(&mut self) {
        let Ok(others) = window::others_with_begun(&self.connection, &self.desk.instance.name) else {
            return;
        };
        let dead: Vec<String> = others
            .into_iter()
            .filter(|name| !instance::lives(&self.desk.folder, name))
            .collect();
        let now = SystemClock.now().wall;
        let mut change = || -> rusqlite::Result<usize> {
            let transaction = self
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut buried = 0;
            for name in &dead {
                buried += window::bury(&transaction, name, now)?;
            }
            window::expire(&transaction, now)?;
            transaction.commit()?;
            Ok(buried)
        };
        if change().is_ok_and(|buried| buried > 0) {
            (self.on_doubt)();
        }
    }
}
