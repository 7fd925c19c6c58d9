//! Why the kills could not be made or judged. What they cost is a figure and not an error.

use std::io;
use std::path::PathBuf;

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
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
    #[error("`{command}` failed: {said}")]
    Failed { command: String, said: String },
    /// A program printed something else than the JSON it promised.
    #[error("`{command}` printed no JSON that can be read")]
    Json { command: String, source: serde_json::Error },
    /// Something did not come about.
    #[error("not within {seconds} s: {what}")]
    Late { what: String, seconds: u64 },
    /// There is no free port.
    #[error("no port of the loopback address could be had")]
    Port(#[source] io::Error),
    /// The payments came to their end before the kills did.
    #[error(
        "the payments were over before the last kill: the machine is too slow for a kill each {seconds} s; give more with --interval"
    )]
    LoadOver { seconds: f64 },
    /// The payments could not be made or judged.
    #[error("the payments could not be made or judged")]
    Load(#[from] bench_mps::Error),
}
