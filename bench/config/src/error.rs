//! What can keep the benchmark from measuring, and what it finds broken.

use std::io;
use std::path::PathBuf;

/// What was attempted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("could not write the output")]
    Say { source: io::Error },
    #[error("could not {act} `{path}`", path = path.display())]
    File {
        act: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("could not start a replica")]
    StartReplica { source: io::Error },
    #[error("`tend {command}` failed: {said}")]
    Tend { command: String, said: String },
    #[error("the database refused")]
    Database { source: postgres::Error },
    #[error("could not start the client")]
    Client { source: tend_config_client::Error },
    #[error("the variable {name} is not set: this role is started by tend")]
    NoVariable { name: &'static str },
    #[error("replica {replica} did not have change {number} in use within {seconds} s")]
    NotInUse { replica: usize, number: u64, seconds: u64 },
    #[error("{said}")]
    Broken { said: String },
}

impl Error {
    pub(crate) fn file(act: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::File { act, path, source }
    }
}

impl From<postgres::Error> for Error {
    fn from(source: postgres::Error) -> Self {
        Error::Database { source }
    }
}
