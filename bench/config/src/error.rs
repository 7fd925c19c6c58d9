//! What can keep the benchmark from measuring.

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
    #[error("could not start the thread that watches the file")]
    StartThread { source: io::Error },
    #[error("could not serve the configuration")]
    Watch { source: tend_watch::Error },
    #[error("could not start the client")]
    Client { source: tend_config_client::Error },
    #[error("the thread that watches the file has failed")]
    ThreadFailed,
    #[error("replica {replica} did not have change {number} in use within {seconds} s")]
    NotInUse { replica: usize, number: u64, seconds: u64 },
    #[error("replica {replica} has ended")]
    ReplicaEnded { replica: usize },
}

impl Error {
    pub(crate) fn file(act: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::File { act, path, source }
    }
}
