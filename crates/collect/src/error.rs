//! What can go wrong while collecting, for a person. Knows no exit codes; no password ever stands in it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tend_base::format_duration;
use tend_database::DatabaseError;

/// A failure.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// A file of the kernel's was not read.
    #[error("could not read `{}`", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the kernel's does not say what it says everywhere else.
    #[error("`{}` is not understood", path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
    },
    /// The kernel did not tell something that stands in no file.
    #[error("the kernel did not tell its {what}")]
    Kernel {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A round took too long.
    #[error("{what} took longer than {}", format_duration(*within))]
    Silent {
        /// What was asked.
        what: String,
        /// So long was waited.
        within: Duration,
    },
    /// A database did not answer.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The address of a Redis is not understood. It is not shown: a password may stand in it.
    #[error("the address of the Redis is not understood: {why}")]
    RedisAddress {
        /// What about it.
        why: &'static str,
    },
    /// A Redis was not reached, or the connection broke.
    #[error("{at} was not reached")]
    RedisUnreachable {
        /// Which.
        at: String,
        /// Why.
        source: io::Error,
    },
    /// A Redis refused a command.
    #[error("{at} refused {command}: {why}")]
    RedisRefused {
        /// Which.
        at: String,
        /// The command, without its arguments.
        command: &'static str,
        /// In the server's words.
        why: String,
    },
    /// What came is no answer of a Redis.
    #[error("{at} does not answer as Redis does")]
    RedisGarbled {
        /// Which.
        at: String,
    },
}

impl CollectError {
    /// Returns whether the same may succeed later, with nothing changed by anybody here.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => error.is_transient(),
            Self::Silent { .. } | Self::RedisUnreachable { .. } => true,
            _ => false,
        }
    }

    /// Returns the error and all its causes as one sentence.
    #[must_use]
    pub fn with_causes(&self) -> String {
        tend_base::without_os_numbers(&tend_base::with_causes(self))
    }

    /// Returns what a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Read { .. } | Self::Kernel { .. } => {
                "does tend run as root, or may its user read this? the other metrics are there without it"
            }
            Self::Parse { .. } => "please report it, with the file and the version of the kernel",
            Self::Silent { .. } => {
                "nothing to do here when it is answered again; what was asked hangs, or the machine is overloaded"
            }
            Self::Database(error) => error.hint(),
            Self::RedisAddress { .. } => {
                "write redis://USER:PASSWORD@HOST:PORT or unix:///PATH, with % signs for @, / and : in the password"
            }
            Self::RedisUnreachable { .. } => "nothing to do here when the server comes back",
            Self::RedisRefused { .. } => "may this user do it? the server's own words say what it wants",
            Self::RedisGarbled { .. } => "is it a Redis that listens there? TLS is not spoken here",
        }
    }
}
