//! Who may write: a lock file the kernel gives back when its holder dies, and a row in the database that names the holder.
//!
//! The lock keeps a second writer out; the row says who the first one is, and is looked at in every transaction, so that a writer
//! whose lock file was removed and replaced notices that it is not the writer any more. Knows nothing of what is written.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tend_base::Wall;

use crate::{Error, schema};

/// Who writes the journal, or did last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// What it calls itself: `tend daemon 0.1.0`.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// When that process was started, in the kernel's ticks since boot: tells it from another that was given the same number.
    pub start_ticks: u64,
    /// The boot it runs in.
    pub boot_id: String,
    /// Device and number of the database file it opened: a copy of the database is not held by it.
    pub file: String,
    /// Since when.
    pub since: Wall,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {}, since {})", self.name, self.pid, self.since)
    }
}

/// The right to write, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Lease {
    path: PathBuf,
    holder: Holder,
    /// Holds the lock; the kernel gives it back when this is closed.
    _lock: File,
}

impl Lease {
    /// Takes the right to write the database at `path`.
    ///
    /// # Errors
    /// When another living process has it, or lock file or database cannot be used.
    pub(crate) fn take(connection: &mut Connection, path: &Path, name: &str, since: Wall) -> Result<Self, Error> {
        let lock = lock_file(path);
        let failed = |source: std::io::Error| Error::Lock {
            path: lock.clone(),
            source: Arc::new(source),
        };
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock)
            .map_err(failed)?;
        let is_locked = match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => true,
            Err(Errno::WOULDBLOCK) => false,
            Err(error) => return Err(failed(error.into())),
        };
        let open_failed = |source| Error::Open {
            path: path.to_owned(),
            source: Arc::new(source),
        };
        let metadata = fs::metadata(path).map_err(failed)?;
        let holder = Holder {
            name: name.to_owned(),
            pid: std::process::id(),
            start_ticks: start_ticks(std::process::id()).unwrap_or(0),
            boot_id: boot_id().map_err(failed)?,
            file: format!("{}:{}", metadata.dev(), metadata.ino()),
            since,
        };
        if !is_locked {
            // Its holder has not written its name yet, or is just ending, when it cannot be read.
            let path = path.to_owned();
            return Err(match read(connection) {
                Ok(Some(holder)) => Error::Held {
                    path,
                    holder: Box::new(holder),
                },
                _ => Error::HeldBySomeone { path },
            });
        }
        schema::migrate(connection, path)?;
        let transaction = connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(open_failed)?;
        if let Some(last) = read(&transaction).map_err(open_failed)?
            && last.is_alive_beside(&holder)
        {
            return Err(Error::Held {
                path: path.to_owned(),
                holder: Box::new(last),
            });
        }
        transaction
            .execute(
                "INSERT OR REPLACE INTO lease (id, name, pid, start_ticks, boot_id, file, since) \
                 VALUES (1, ?, ?, ?, ?, ?, ?)",
                params![
                    holder.name,
                    holder.pid,
                    holder.start_ticks.cast_signed(),
                    holder.boot_id,
                    holder.file,
                    holder.since.0.cast_signed()
                ],
            )
            .map_err(open_failed)?;
        transaction.commit().map_err(open_failed)?;
        Ok(Self {
            path: path.to_owned(),
            holder,
            _lock: file,
        })
    }

    /// Looks, within a transaction, whether the right is still ours.
    ///
    /// # Errors
    /// When it is another's, or cannot be looked at.
    pub(crate) fn check(&self, connection: &Connection) -> Result<(), Error> {
        match read(connection).map_err(|source| Error::of_commit(&self.path, source))? {
            Some(holder) if holder != self.holder => Err(Error::TakenOver {
                path: self.path.clone(),
                holder: Box::new(holder),
            }),
            // Without a row nobody else has taken it, and the lock is still ours.
            _ => Ok(()),
        }
    }

    /// Gives the right back. Failing to is harmless: a dead holder's row is taken over.
    pub(crate) fn release(self, connection: &Connection) {
        if self.check(connection).is_ok() {
            let _ = connection.execute("DELETE FROM lease", []);
        }
    }
}

impl Holder {
    /// Tells whether this one lives and has the very file open that `other` opens: the lock file was then removed under it.
    fn is_alive_beside(&self, other: &Holder) -> bool {
        self.boot_id == other.boot_id && self.file == other.file && start_ticks(self.pid) == Some(self.start_ticks)
    }
}

fn read(connection: &Connection) -> rusqlite::Result<Option<Holder>> {
    connection
        .prepare_cached("SELECT name, pid, start_ticks, boot_id, file, since FROM lease WHERE id = 1")?
        .query_row([], |row| {
            Ok(Holder {
                name: row.get(0)?,
                pid: row.get(1)?,
                start_ticks: row.get::<_, i64>(2)?.cast_unsigned(),
                boot_id: row.get(3)?,
                file: row.get(4)?,
                since: Wall(row.get::<_, i64>(5)?.cast_unsigned()),
            })
        })
        .optional()
}

/// Returns the lock file of a database: `tend.db.lock` beside `tend.db`.
fn lock_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

fn boot_id() -> std::io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim_end()
        .to_owned())
}

/// Returns when a process was started (field 22 of `/proc/PID/stat`); none when there is no such process or it is a zombie.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, field 2, stands in brackets and may hold anything, brackets and spaces too.
    let after_name = &stat[stat.rfind(')')? + 1..];
    let mut fields = after_name.split_ascii_whitespace();
    let is_zombie = matches!(fields.next(), Some("Z" | "X"));
    // Field 3 was the state; field 22 is the nineteenth after it.
    let ticks = fields.nth(18)?.parse().ok()?;
    (!is_zombie).then_some(ticks)
}
