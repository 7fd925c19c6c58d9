//! One line of a replica's output.

use serde::{Deserialize, Serialize};
use tend_base::Wall;
use tend_core::model::ReplicaId;

/// One line of a replica's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was captured, in milliseconds since 1970 UTC; absent where the log does not hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Wall>,
    /// Whose it is.
    pub replica: ReplicaId,
    /// From where.
    pub source: LogSource,
    /// Without line end; bytes that are no UTF-8 are replaced.
    pub text: String,
}

/// Where a line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSource {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Written by tend into the log: a start, an exit, output that was dropped.
    #[serde(other)]
    Tend,
}
