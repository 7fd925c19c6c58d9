//! What can go wrong with journal and state, for a person. Knows no exit codes and no HTTP.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tend_core::journal::RowError;

use crate::Holder;

/// A failure of the store. Can be copied, because one failed commit is told to everyone who waited for it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The database could not be opened.
    #[error("could not open the journal `{path}`")]
    Open {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: Arc<rusqlite::Error>,
    },
    /// The file is an SQLite database, or something else, that is not ours.
    #[error("`{path}` is not a journal of tend")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The database was written by a newer tend.
    #[error("the journal `{path}` has format {found}, and this tend knows formats up to {known}")]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest we know.
        known: u32,
    },
    /// Another process writes this journal.
    #[error("the journal `{path}` is being written by {holder}")]
    Held {
        /// The database.
        path: PathBuf,
        /// Who.
        holder: Box<Holder>,
    },
    /// Another process writes this journal and cannot be named: it is just starting or ending.
    #[error("the journal `{path}` is being written by another process, which is just starting or ending")]
    HeldBySomeone {
        /// The database.
        path: PathBuf,
    },
    /// Another process took over while we were writing.
    #[error("the journal `{path}` was taken over by {holder}")]
    TakenOver {
        /// The database.
        path: PathBuf,
        /// Who.
        holder: Box<Holder>,
    },
    /// The lock file beside the database could not be used.
    #[error("could not lock `{path}`")]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// The machine's key could not be read or made.
    #[error("could not use the machine's key `{path}`")]
    Key {
        /// The key file.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// Others may read the machine's key.
    #[error("the machine's key `{path}` may be read by others (mode {mode:04o})")]
    KeyExposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file holds something else.
    #[error("`{path}` does not hold an Ed25519 key of tend")]
    KeyMalformed {
        /// The key file.
        path: PathBuf,
    },
    /// The anchor file could not be read or written.
    #[error("could not use the anchor file `{path}`")]
    Anchor {
        /// The anchor file.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// A commit failed; nothing of it was written.
    #[error("could not write to the journal `{path}`")]
    Commit {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: Arc<rusqlite::Error>,
    },
    /// A commit failed because the disk is full; nothing of it was written.
    #[error("could not write to the journal `{path}`: its disk is full")]
    DiskFull {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: Arc<rusqlite::Error>,
    },
    /// More is waiting to be written than may wait; nothing of this was written.
    #[error("the journal does not keep up: {waiting} entries are waiting to be written already")]
    Behind {
        /// How many.
        waiting: usize,
    },
    /// Rows that were to be pruned are not as they were written; removing them would remove the evidence.
    #[error("event {event} of `{path}` was changed from outside: nothing was pruned")]
    PruneDamaged {
        /// The database.
        path: PathBuf,
        /// The first such row.
        event: tend_core::journal::EventId,
    },
    /// The store was closed before this was written.
    #[error("the journal is closed")]
    Closed,
    /// The store was closed while entries that nobody waited for could still not be written.
    #[error("{entries} entries could not be written before the journal was closed")]
    LostAtClose {
        /// How many.
        entries: u64,
        /// Why.
        source: Box<Error>,
    },
    /// The writer's thread could not be started.
    #[error("could not start the thread that writes the journal")]
    Thread {
        /// Why.
        source: Arc<io::Error>,
    },
    /// Reading failed.
    #[error("could not read {what} from `{path}`")]
    Read {
        /// What was to be read: `events`, `documents`.
        what: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: Arc<rusqlite::Error>,
    },
    /// A row is not an event: it was changed from outside.
    #[error("the journal `{path}` was changed from outside")]
    Row {
        /// The database.
        path: PathBuf,
        /// Which row and field.
        source: Arc<RowError>,
    },
    /// A field of a row has a form that is never written: it was changed from outside.
    #[error("event {event} of the journal `{path}` was changed from outside")]
    Malformed {
        /// The database.
        path: PathBuf,
        /// The row.
        event: tend_core::journal::EventId,
    },
    /// A document is not what its kind says.
    #[error("the {kind} `{id}` kept in `{path}` cannot be read")]
    Document {
        /// Its kind.
        kind: &'static str,
        /// Its id.
        id: String,
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        source: Arc<serde_json::Error>,
    },
    /// A document could not be sealed; it was not written.
    #[error("the {name} could not be sealed to be kept in `{path}`")]
    Seal {
        /// The document: kind and id.
        name: String,
        /// The database.
        path: PathBuf,
        /// Why.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A sealed document could not be opened.
    #[error("the {name} kept in `{path}` could not be opened")]
    Unseal {
        /// The document: kind and id.
        name: String,
        /// The database.
        path: PathBuf,
        /// Why.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A document is sealed, and nothing was given to open it with.
    #[error("the {name} kept in `{path}` is sealed, and there is no key to open it")]
    NoSeal {
        /// The document: kind and id.
        name: String,
        /// The database.
        path: PathBuf,
    },
    /// A value has no JSON form, so it cannot be kept as a document.
    #[error("the {kind} `{id}` has no JSON form")]
    NoJson {
        /// Its kind.
        kind: &'static str,
        /// Its id.
        id: String,
        /// Why.
        source: Arc<serde_json::Error>,
    },
}

impl Error {
    /// Tells whether the same may succeed later without anyone repairing the journal itself.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::DiskFull { .. } | Self::Behind { .. } | Self::Held { .. } | Self::HeldBySomeone { .. } => true,
            Self::Commit { source, .. } | Self::Read { source, .. } => is_passing(source),
            _ => false,
        }
    }

    /// Says what to do next, in one sentence.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Open { .. } | Self::Lock { .. } | Self::Anchor { .. } => {
                "check that the folder exists, that its disk has room and that this user may write there".to_owned()
            }
            Self::Foreign { .. } => "name the file `tend.db` of a tend state folder".to_owned(),
            Self::Newer { .. } => "use the tend that wrote it, or a newer one".to_owned(),
            Self::Held { holder, .. } | Self::TakenOver { holder, .. } => {
                format!("talk to that one, or stop it first: kill {}", holder.pid)
            }
            Self::HeldBySomeone { .. } => "try again in a second".to_owned(),
            Self::KeyExposed { path, .. } => {
                format!("if nobody else can have read it: chmod 600 {}", path.display())
            }
            Self::Key { .. } | Self::KeyMalformed { .. } => {
                "put the key back from a backup; with a new one, older anchors no longer verify".to_owned()
            }
            Self::Unseal { .. } | Self::NoSeal { .. } => {
                "put `tend.db` and the folder `secrets` back from one and the same backup".to_owned()
            }
            Self::DiskFull { .. } => "make room on that disk; writing goes on by itself".to_owned(),
            Self::Row { .. } | Self::Malformed { .. } | Self::PruneDamaged { .. } => {
                "run `tend events verify`".to_owned()
            }
            _ => return None,
        };
        Some(hint)
    }

    /// Wraps a failed commit.
    pub(crate) fn of_commit(path: &std::path::Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        let is_full = source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
        let source = Arc::new(source);
        if is_full {
            Self::DiskFull { path, source }
        } else {
            Self::Commit { path, source }
        }
    }
}

/// Tells whether SQLite failed for want of something that may come back: space, memory, the disk, a lock.
fn is_passing(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode;
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::OutOfMemory
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
        )
    )
}
