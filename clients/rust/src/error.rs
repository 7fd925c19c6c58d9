//! What can keep a client from starting. What happens later it mends by itself.

use std::io;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A pattern of keys is none.
    #[error("`{pattern}` is no pattern of keys: a key, `prefix.*` or `*`")]
    Pattern {
        /// What was given.
        pattern: String,
    },
    /// The thread that reads could not be started.
    #[error("could not start the thread that watches the configuration")]
    StartThread {
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// Says what to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Error::Pattern { .. } => "write `a.b` for one key, `a.*` for all below `a`, `*` for all",
            Error::StartThread { .. } => "the process is at its limit of threads or memory",
        }
    }
}
