//! What can go wrong in a development command.
//!
//! Owns the texts. A rule of `tidy` that is broken is not an error but a finding: see `tidy::Finding`.

use std::io;
use std::path::PathBuf;

/// One variant per thing attempted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{what}")]
    Usage { what: String },

    #[error("could not start `{command}`")]
    Start { command: String, source: io::Error },

    #[error("`{command}` failed ({status})")]
    Failed { command: String, status: String },

    #[error("`{command}` was ended after {seconds} s; above stands what it waited for")]
    TooLong { command: String, seconds: u64 },

    #[error("could not read `{path}`")]
    Read { path: PathBuf, source: io::Error },

    #[error("could not write `{path}`")]
    Write { path: PathBuf, source: io::Error },

    #[error("could not understand what `{command}` printed")]
    Metadata { command: String, source: serde_json::Error },

    #[error("{count} tidy finding(s); each line above names the file and what to do")]
    Untidy { count: usize },

    #[error("{count} of {total} stages failed: {names}")]
    Stages { count: usize, total: usize, names: String },

    #[error(
        "no test replays the corpus of: {targets}; name it `fuzz_corpus_<target>` in the crate that owns the parser"
    )]
    NotReplayed { targets: String },

    #[error("scenario `{path}`: {what}")]
    Scenario { path: PathBuf, what: String },

    #[error("apt's sources name no mirror for the release {release}; `debootstrap` needs one")]
    NoMirror { release: String },

    #[error("the image of the virtual machine is made by debootstrap, which needs root; run it once as root")]
    NotRoot,

    #[error("{count} of {total} claims do not hold: {names}")]
    Claims { count: usize, total: usize, names: String },
}
