//! What can go wrong with a comparison. A front that is slow or does not answer is a figure and not an error.

use std::io;
use std::path::PathBuf;

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("missing: {missing}; install with `apt-get install --no-install-recommends {packages}`")]
    Tools { missing: String, packages: String },

    #[error("`{}` is not there; {hint}", path.display())]
    Missing { path: PathBuf, hint: &'static str },

    #[error("{cores} core is too few: one carries the fronts, another the load and the upstreams")]
    Cores { cores: usize },

    #[error("could not {what} `{}`", path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },

    #[error("could not run `{command}`")]
    Run { command: String, source: io::Error },

    #[error("`{command}` failed with {status}: {said}")]
    Failed {
        command: String,
        status: String,
        said: String,
    },

    #[error("the upstream could not {what}")]
    Upstream { what: &'static str, source: io::Error },

    #[error("{front} does not answer at port {port} after {seconds} s: {said}")]
    NotUp {
        front: String,
        port: u16,
        seconds: u64,
        said: String,
    },

    #[error("could not talk to the edge: {what}")]
    Edge { what: String },

    #[error("port {port} is taken; choose others with --base")]
    PortTaken { port: u16 },

    #[error("{wanted} open files are needed and {allowed} allowed; raise the limit with `ulimit -n {wanted}`")]
    OpenFiles { wanted: u64, allowed: u64 },
}
