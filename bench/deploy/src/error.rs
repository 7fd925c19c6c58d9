//! Why the deploys could not be made or judged. What they cost, and a deploy that fails, are figures and not errors.

use std::io;
use std::path::PathBuf;

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Something that has to be installed or built first.
    #[error("`{}` is not there; {hint}", path.display())]
    Missing { path: PathBuf, hint: &'static str },
    /// A file or folder of the run.
    #[error("could not {what} `{}`", path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// A program could not be run at all.
    #[error("could not run `{command}`")]
    Run { command: String, source: io::Error },
    /// A program ended otherwise than with success.
    #[error("`{command}` ended with {status}: {said}")]
    Failed {
        command: String,
        status: String,
        said: String,
    },
    /// A program did not end.
    #[error("`{command}` was ended after {seconds} s")]
    Late { command: String, seconds: u64 },
    /// The system did not come up.
    #[error("not within {seconds} s: {what}; --keep leaves its folders to be looked at")]
    NotUp { what: &'static str, seconds: u64 },
    /// There is no free port.
    #[error("no port of the loopback address could be had")]
    Port(#[source] io::Error),
    /// The threads or the runtime of the clients could not be started.
    #[error("could not start the clients")]
    Clients(#[source] io::Error),
    /// The payments could not be made or judged.
    #[error("the payments could not be made or judged")]
    Load(#[from] bench_mps::Error),
}
