//! Why the monitor did not start. What goes wrong later is told where it shows: in a rule, a target, a delivery.

use std::io;
use std::path::PathBuf;

/// Why the monitor did not start.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// Its folder.
    #[error("the folder `{}` cannot be used", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its socket.
    #[error("the socket `{}` cannot be opened", path.display())]
    Socket {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store.
    #[error("the store of metrics cannot be opened")]
    Store(#[source] tend_metrics::Error),
    /// The event loop.
    #[error("the event loop could not be started")]
    Start(#[source] io::Error),
    /// Another one runs.
    #[error("another monitor uses `{}`", path.display())]
    Taken {
        /// Its lock.
        path: PathBuf,
    },
}

impl MonitorError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "make it writable for this user, or name another with TEND_STATE",
            Self::Socket { .. } => "make its folder writable for this user, or name another with TEND_RUN",
            Self::Store(_) => "free some space where the state folder is; the store keeps what it can read",
            Self::Start(_) => "raise the limits of processes and descriptors of this user",
            Self::Taken { .. } => "end it first, or leave it be: a daemon finds it by itself",
        }
    }
}
