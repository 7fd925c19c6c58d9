//! How a replica is asked whether it lives and whether it can serve.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One kind of question, and how often and how patiently it is asked.
///
/// Defaults are the guides' (R2): every 30 s, 3 s to answer, 3 retries, 5 s start period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What is asked.
    pub action: ProbeAction,
    /// From one question to the next once the replica was ready.
    pub interval: Duration,
    /// An answer later than this is a failure.
    pub timeout: Duration,
    /// This many failures in a row count; fewer do not.
    pub retries: u32,
    /// Failures this soon after the start do not count.
    pub start_period: Duration,
    /// From one question to the next until the first success; the supervisor asks sooner in the first moments.
    pub start_interval: Duration,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeAction {
    /// `GET path` on the replica's port; any status from 200 to 399 is a success.
    Http {
        /// Path with query, starting with `/`.
        path: String,
        /// A port other than the replica's own.
        port: Option<u16>,
    },
    /// A connection to the port is accepted.
    Tcp {
        /// A port other than the replica's own.
        port: Option<u16>,
    },
    /// The command, run in the replica's environment, ends with 0.
    Command {
        /// Program and arguments.
        command: Vec<String>,
    },
}
