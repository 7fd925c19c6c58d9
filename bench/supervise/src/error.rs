//! What can go wrong with a comparison. A peer that misbehaves is a figure and not an error.

use std::io;
use std::path::PathBuf;

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a comparison could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("`{}` is not there; {hint}", path.display())]
    Missing { path: PathBuf, hint: &'static str },

    #[error("could not write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },

    #[error("could not run `{command}`")]
    Run { command: String, source: io::Error },

    #[error("`{command}` ended with {status}: {said}")]
    Failed {
        command: String,
        status: String,
        said: String,
    },

    #[error("{supervisor}: {count} of {wanted} services answer after {seconds} s; its folder is `{}`", folder.display())]
    NotUp {
        supervisor: String,
        count: usize,
        wanted: usize,
        seconds: u64,
        folder: PathBuf,
    },

    #[error("port {port} is taken; choose others with --base")]
    PortTaken { port: u16 },
}
