//! Everything that can go wrong here, for a person: what, on what, and what to do next.

use std::io;
use std::path::{Path, PathBuf};

/// Result of what this crate does.
pub type Result<T> = std::result::Result<T, Error>;

/// What was attempted and could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The thread of the endpoint, or what it runs on, was not to be had.
    #[error("could not start the watch endpoint")]
    Start {
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel allows 107 bytes.
    #[error("the path of the socket of {replica} is too long: `{path}`", path = path.display())]
    SocketPathTooLong {
        /// For whom it was.
        replica: String,
        /// The path.
        path: PathBuf,
    },
    /// A socket was not to be had.
    #[error("could not {act} the socket `{path}` of {replica}", path = path.display())]
    Socket {
        /// Such as `listen on`.
        act: &'static str,
        /// For whom it was.
        replica: String,
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Something was published for a replica that has no socket.
    #[error("{replica} has no watch socket to publish revision {revision} on")]
    NoSuchReplica {
        /// The replica.
        replica: String,
        /// What was to be published.
        revision: u64,
    },
    /// A replica may only go forward, and a number stands for one set of values.
    #[error("{replica} has revision {newest}; what was published is {revision}, which is {why}")]
    NotNewer {
        /// The replica.
        replica: String,
        /// What it has.
        newest: u64,
        /// What was published.
        revision: u64,
        /// `older`, or `the same number with other values`.
        why: &'static str,
    },
    /// A rendered file could not be written.
    #[error("could not {act} `{path}`", path = path.display())]
    Render {
        /// Such as `write`.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Files are watched by absolute paths.
    #[error("`{path}` is not an absolute path of a file", path = path.display())]
    RelativePath {
        /// What was given.
        path: PathBuf,
    },
    /// The kernel gives no way to be woken or to wait.
    #[error("could not wait for changes of files")]
    Wait {
        /// What the kernel said.
        source: io::Error,
    },
    /// inotify is not to be had at all.
    #[error("the kernel does not tell of changed files")]
    NoNotifications {
        /// What it said.
        source: io::Error,
    },
    /// One folder is not watched.
    #[error("the kernel does not tell of changes in `{folder}`", folder = folder.display())]
    FolderUnwatched {
        /// The folder.
        folder: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl Error {
    /// Says what a person may do; none where there is nothing but looking at the cause.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::SocketPathTooLong { .. } => {
                Some("give the stack or the service a shorter name, or tend a shorter folder for its sockets")
            }
            Self::Socket { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Some(
                "tend gives a socket to another user only as root; run the service as tend's own user, or tend as root",
            ),
            Self::NoNotifications { source } if is_errno(source, rustix::io::Errno::MFILE) => Some(
                "until then changes are seen by looking every second; raise the limit: sysctl fs.inotify.max_user_instances=1024",
            ),
            Self::FolderUnwatched { source, .. } if is_errno(source, rustix::io::Errno::NOSPC) => Some(
                "until then changes are seen by looking every second; raise the limit: sysctl fs.inotify.max_user_watches=524288",
            ),
            Self::FolderUnwatched { .. } | Self::NoNotifications { .. } => {
                Some("until then changes are seen by looking every second")
            }
            _ => None,
        }
    }

    pub(crate) fn render(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Render { act, path, source }
    }
}

fn is_errno(error: &io::Error, errno: rustix::io::Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}
