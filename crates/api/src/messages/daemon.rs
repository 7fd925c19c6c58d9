//! The daemon on itself.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Which tend answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionReport {
    /// Such as `0.1.0`.
    pub version: String,
    /// Names the very program file, so that two builds of one version can be told apart.
    pub build: String,
    /// Version of the protocol.
    pub protocol: u32,
}

/// What was asked for is under way, or done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// One sentence for a person.
    pub message: String,
}

/// What the edge counts. Its counters begin at 0 with each process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeMetrics {
    /// In Prometheus's text form, 0.0.4.
    pub text: String,
}

/// What the daemon knows of a stack, as figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackMetrics {
    /// In Prometheus's text form, 0.0.4.
    pub text: String,
}

/// The daemon on itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonReport {
    /// Its process.
    pub pid: u32,
    /// Numeric user it runs as.
    pub uid: u32,
    /// Such as `0.1.0`.
    pub version: String,
    /// Names the very program file.
    pub build: String,
    /// Folder of its state.
    pub state: PathBuf,
    /// Folder of its sockets.
    pub run: PathBuf,
    /// Since it started.
    pub uptime_seconds: u64,
    /// Of the daemon's process alone (proportional set size), in bytes; absent where the kernel does not tell.
    pub memory_bytes: Option<u64>,
    /// The data plane.
    pub edge: EdgeReport,
    /// What this machine can enforce.
    pub limits: LimitsReport,
    /// Stacks it looks after.
    pub stacks: u32,
    /// Replicas that have a process.
    pub replicas: u32,
}

/// The data plane's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeReport {
    /// Whether it runs.
    pub state: EdgeState,
    /// Its process, when it has one.
    pub pid: Option<u32>,
    /// The routing snapshot the daemon wants served; 0 before the first.
    pub snapshot: u64,
    /// The snapshot the edge attested last.
    pub attested: Option<u64>,
    /// Proportional set size in bytes; absent where the kernel does not tell.
    pub memory_bytes: Option<u64>,
}

/// Whether the edge runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EdgeState {
    /// No stack asks for it.
    NotNeeded,
    /// Started, nothing attested yet.
    Starting,
    /// Serves.
    Running,
    /// Ended, and is about to be started again.
    BackingOff,
    /// A state this version does not know.
    #[serde(other)]
    Unknown,
}

/// What of a service's `resources` this machine can enforce, and by what means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsReport {
    /// Memory.
    pub memory: Enforcement,
    /// Processors.
    pub cpus: Enforcement,
    /// Processes and threads.
    pub pids: Enforcement,
    /// Why it is not the kernel that enforces all of them; empty when it is.
    #[serde(default)]
    pub why: String,
}

/// Who enforces a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// The kernel, through a cgroup.
    Cgroup,
    /// The daemon, which measures and acts.
    Measured,
    /// Nobody.
    #[serde(other)]
    None,
}
