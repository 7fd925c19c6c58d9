//! What can go wrong with keys and callbacks on disk, for a person. Knows no exit codes and no HTTP.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// A failure. Can be copied, because one failed commit is told to everyone who waited for it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The folder could not be made.
    #[error("could not create the folder `{path}`")]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The file that shows that this edge lives could not be locked.
    #[error("could not lock `{path}`")]
    Lock {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The database could not be opened.
    #[error("could not open `{path}`, which keeps idempotency keys")]
    Open {
        /// Which.
        path: PathBuf,
        /// What SQLite said.
        source: Arc<rusqlite::Error>,
    },
    /// The database was written by a newer tend.
    #[error("`{path}` has format {found}, and this tend knows formats up to {known}")]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest we know.
        known: u32,
    },
    /// The thread that writes could not be started.
    #[error("could not start the thread that writes `{path}`")]
    Thread {
        /// The database.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Something could not be written or read.
    #[error("could not write to `{path}`")]
    Write {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: Arc<rusqlite::Error>,
    },
    /// More is asked than can be written.
    #[error("`{path}` is behind: too much is waiting to be written")]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// What was claimed is not any more.
    #[error("the key {key} is no longer claimed by this edge")]
    Lost {
        /// The first digits of its digest.
        key: String,
    },
    /// As many callbacks as may wait do.
    #[error("{waiting} callbacks of {route} wait already, which is as many as may")]
    Full {
        /// Of which route.
        route: String,
        /// So many wait.
        waiting: u64,
    },
    /// Nothing has this key.
    #[error("no idempotency key `{name}` is known")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// No service refused such a callback.
    #[error("no refused callback `{id}` is known")]
    UnknownCallback {
        /// What was asked for.
        id: String,
    },
    /// Several begin so.
    #[error("`{id}` names several callbacks: {}", .candidates.join(", "))]
    AmbiguousCallback {
        /// What was asked for.
        id: String,
        /// The ids of all that fit.
        candidates: Vec<String>,
    },
    /// Nobody refused it yet.
    #[error("the callback {id} was not refused: it waits to be delivered")]
    StillWaits {
        /// Which.
        id: String,
    },
    /// Several have it.
    #[error("`{name}` names several keys: {}", .candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// The ids of all that fit.
        candidates: Vec<String>,
    },
    /// What became of it is known already.
    #[error("the key {name} is not in doubt: it is {state}")]
    NotInDoubt {
        /// Which.
        name: String,
        /// What it is.
        state: &'static str,
    },
}

impl Error {
    /// Returns what to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Folder { .. } | Self::Lock { .. } | Self::Open { .. } | Self::Write { .. } => {
                "check that the state folder belongs to the user tend runs as and that its disk is not full"
            }
            Self::Newer { .. } => "run the tend that wrote it, or a newer one",
            Self::Thread { .. } => "the machine is out of memory or threads",
            Self::Busy { .. } => "the disk is slower than requests come; limit the rate of the route",
            Self::Lost { .. } => "look at it with `tend money show`",
            Self::Full { .. } => "see why the service takes none with `tend money spool` and `tend status`",
            Self::Unknown { .. } => "see what is known with `tend money list`",
            Self::Ambiguous { .. } => "name one by its id",
            Self::UnknownCallback { .. } => "see what was refused with `tend money spool`",
            Self::AmbiguousCallback { .. } => "write more digits of the one you mean",
            Self::StillWaits { .. } => "only what the service refused can be dropped; see `tend money spool`",
            Self::NotInDoubt { .. } => "nothing is to be done; `tend money show` has the answer",
        }
    }
}
