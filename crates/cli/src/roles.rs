//! What only the program as a whole can do, handed in by `main`: this crate knows neither the daemon nor the store.

use std::ffi::OsString;
use std::path::Path;

use tend_api::{ApiError, Paths};
use tend_core::model::ConfigTable;

/// Which tend this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Such as `0.1.0`.
    pub number: &'static str,
    /// Names the very build, such as a commit; may be empty.
    pub build: &'static str,
}

/// Whether a daemon had to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaemonStart {
    /// One was there.
    Running,
    /// It was started, and answers.
    Started,
}

/// What a check of the journal found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Events checked.
    pub events: u64,
    /// The newest of them; none in an empty journal.
    pub head: Option<u64>,
    /// The newest event that a signature outside the database vouches for.
    pub anchored: Option<u64>,
    /// Everything that is not as it was written, each in one sentence; the journal is whole when there is none.
    pub findings: Vec<String>,
}

/// What `main` hands in.
#[derive(Clone, Copy)]
pub struct Roles {
    /// Which tend this is.
    pub version: Version,
    /// Is the daemon until it ends; takes the arguments behind `tend daemon` and returns the exit code.
    pub daemon: fn(Vec<OsString>) -> u8,
    /// Is the edge until it ends; as `daemon`.
    pub edge: fn(Vec<OsString>) -> u8,
    /// Returns once a daemon answers at the socket, having started one when there was none. Blocks.
    pub ensure_daemon: fn(&Paths) -> Result<DaemonStart, ApiError>,
    /// Checks the whole journal on the disk, with or without a daemon. Blocks, and only reads.
    pub verify_journal: fn(&Paths) -> Result<Verification, ApiError>,
    /// Makes a table of configuration where it is not there, and has its changes announced; returns which database. Without the last
    /// argument it does nothing and returns the statements. The folder is the one that a path in the URL is below. Blocks.
    pub install_table: fn(&ConfigTable, &Path, bool) -> Result<String, ApiError>,
}
