//! Everything that can go wrong between a client and the daemon, seen from the client.

use std::io;
use std::path::PathBuf;

use crate::{ApiError, Class, PROTOCOL_VERSION};

/// Result of what this crate does for a client.
pub type Result<T> = std::result::Result<T, Error>;

/// What a client attempted and could not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither `HOME` nor an XDG variable is set.
    #[error("there is no folder to keep state in: neither HOME nor XDG_STATE_HOME is set")]
    NoHome,
    /// A folder was given relative to nobody knows what.
    #[error("{variable} is `{path}`, which is not an absolute path", path = path.display())]
    RelativeFolder {
        /// The environment variable.
        variable: String,
        /// Its value.
        path: PathBuf,
    },
    /// The kernel allows 107 bytes.
    #[error("the path of the daemon's socket is too long: `{path}`", path = path.display())]
    SocketPathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// Nobody answers at the socket, or there is none.
    #[error("no daemon answers at `{path}`", path = path.display())]
    NoDaemon {
        /// The socket.
        path: PathBuf,
        /// Missing, or refused.
        source: io::Error,
    },
    /// The socket belongs to somebody else.
    #[error("the daemon at `{path}` is not for this user", path = path.display())]
    NotForThisUser {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The socket is there, yet connecting failed.
    #[error("could not connect to the daemon at `{path}`", path = path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The request is larger than the daemon takes.
    #[error("the request has {bytes} bytes, more than the daemon takes ({limit})")]
    RequestTooLarge {
        /// Of the body.
        bytes: usize,
        /// Largest body.
        limit: usize,
    },
    /// The connection broke.
    #[error("the connection to the daemon broke during `{call}`")]
    Broken {
        /// Method and path.
        call: String,
        /// Where it broke.
        source: hyper::Error,
    },
    /// No answer in time.
    #[error("the daemon did not answer `{call}` within {seconds} s")]
    NoAnswer {
        /// Method and path.
        call: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The answer is no message of this protocol.
    #[error("the answer to `{call}` is not understood")]
    Answer {
        /// Method and path.
        call: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A line of an answer is longer than any message.
    #[error("the answer to `{call}` has a line of more than {limit} bytes")]
    LineTooLong {
        /// Method and path.
        call: String,
        /// Longest line.
        limit: usize,
    },
    /// Whoever answers at the socket does not speak this version, or is no daemon at all.
    #[error("the daemon speaks protocol {found}, this program speaks {PROTOCOL_VERSION}")]
    OtherProtocol {
        /// What the daemon says, or "none".
        found: String,
    },
    /// The daemon understood and said no.
    #[error("{0}")]
    Refused(ApiError),
}

impl Error {
    /// Returns what the error means to a program.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Error::NoHome
            | Error::RelativeFolder { .. }
            | Error::SocketPathTooLong { .. }
            | Error::RequestTooLarge { .. } => Class::Usage,
            Error::NoDaemon { .. } | Error::Connect { .. } | Error::Broken { .. } | Error::NoAnswer { .. } => {
                Class::Unavailable
            }
            Error::NotForThisUser { .. } => Class::Denied,
            Error::OtherProtocol { .. } => Class::Conflict,
            Error::Answer { .. } | Error::LineTooLong { .. } => Class::Bug,
            Error::Refused(refused) => refused.class,
        }
    }

    /// Returns what to do next; empty when there is nothing to say.
    #[must_use]
    pub fn hint(&self) -> &str {
        match self {
            Error::NoHome | Error::RelativeFolder { .. } => {
                "set TEND_STATE to an absolute path of a folder this user may write"
            }
            Error::SocketPathTooLong { .. } => "set TEND_RUN to the path of a folder nearer the root",
            Error::NoDaemon { .. } => "`tend up` starts the daemon, `tend install` keeps it started",
            Error::NotForThisUser { .. } => "run the command as the user who started the daemon, or as root",
            Error::Connect { .. } | Error::NoAnswer { .. } => {
                "see whether the daemon is alive and what it says: its log is `daemon.log` in the state folder"
            }
            Error::RequestTooLarge { .. } => "make the stack file smaller: put large values into files",
            Error::Broken { .. } => "the daemon may have been restarted: replicas go on meanwhile; try again",
            Error::Answer { .. } | Error::LineTooLong { .. } | Error::OtherProtocol { .. } => {
                "use the same version of tend for both: `tend upgrade` brings the daemon to this program's"
            }
            Error::Refused(refused) => &refused.hint,
        }
    }

    /// Returns whether the same call may succeed a moment later: a daemon that is starting or being replaced.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Error::NoDaemon { .. } | Error::Connect { .. } | Error::Broken { .. } | Error::NoAnswer { .. }
        )
    }

    /// Returns the error as one that can be shown or sent on, causes included.
    #[must_use]
    pub fn to_api_error(&self) -> ApiError {
        match self {
            Error::Refused(refused) => refused.clone(),
            other => ApiError::from_error(other.class(), other).hint(other.hint()),
        }
    }
}
