//! What can go wrong, said of what it was attempted on.

use std::io;
use std::path::PathBuf;

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be made or listed.
    #[error("could not open the store of metrics in `{path}`")]
    Folder {
        /// The store's folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has the store open.
    #[error("the store of metrics in `{path}` is open in another process")]
    Locked {
        /// The store's folder.
        path: PathBuf,
    },
    /// A segment of the log cannot be read.
    #[error("could not read the log of metrics `{path}`")]
    ReadLog {
        /// The segment.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was appended could not be made durable. It is still served from memory.
    #[error("could not write the log of metrics `{path}`")]
    WriteLog {
        /// The segment.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A block could not be written. What it was to hold is still in memory and, as far as that was written, in the log.
    #[error("could not write the block of metrics `{path}`")]
    WriteBlock {
        /// The block.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A block cannot be read.
    #[error("could not read the block of metrics `{path}`")]
    ReadBlock {
        /// The block.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A block says what was never written.
    #[error("the block of metrics `{path}` is damaged: {part}")]
    Damaged {
        /// The block.
        path: PathBuf,
        /// Which part of it.
        part: &'static str,
    },
    /// A block or segment that has had its time cannot be removed.
    #[error("could not remove `{path}`")]
    Remove {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// Returns what to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "see that the folder exists and that tend may write to it",
            Self::Locked { .. } => "stop the other tend, or give this one a state folder of its own",
            Self::ReadLog { .. } | Self::ReadBlock { .. } => {
                "see that tend may read the file and that the disk is well"
            }
            Self::WriteLog { .. } | Self::WriteBlock { .. } => {
                "make room on the disk, or keep less with the retention of metrics; it is tried again by itself"
            }
            Self::Damaged { .. } => "the rest of the store is served; remove the file, or restore it from a backup",
            Self::Remove { .. } => "see that tend may write to the folder",
        }
    }
}

/// Why a sample of a new series was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "job `{job}` has {series} series and may have {limit}; the label `{label}` has the most values, {values}: drop it with \
     metric_relabel_configs, or raise the job's limit"
)]
pub struct Refusal {
    /// The job whose series they are; empty where the whole store is full.
    pub job: String,
    /// How many it has.
    pub series: usize,
    /// How many it may have.
    pub limit: usize,
    /// The label with the most values among the job's series, the refused ones among them.
    pub label: String,
    /// How many values that are.
    pub values: usize,
}
