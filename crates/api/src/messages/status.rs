//! Stacks, services and replicas as they are at the moment.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tend_core::model::{ReplicaId, ServiceName, StackName};

use super::{CertificateStatus, DeploymentReport};

/// All stacks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackList {
    /// By name.
    pub stacks: Vec<StackSummary>,
}

/// One stack in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackSummary {
    /// Its name.
    pub name: StackName,
    /// Its main file.
    pub file: PathBuf,
    /// Counts how often it was applied.
    pub revision: u64,
    /// Its worst service's.
    pub state: ServiceState,
    /// How many services.
    pub services: u32,
    /// Replicas wanted, of all services.
    pub wanted_replicas: u32,
    /// Replicas that are ready.
    pub ready_replicas: u32,
    /// Where to reach it.
    #[serde(default)]
    pub urls: Vec<String>,
}

/// One stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StackStatus {
    /// Its name.
    pub name: StackName,
    /// Its main file.
    pub file: PathBuf,
    /// Counts how often it was applied.
    pub revision: u64,
    /// Its worst service's.
    pub state: ServiceState,
    /// By name.
    pub services: Vec<ServiceStatus>,
    /// Where the edge listens for it.
    #[serde(default)]
    pub listeners: Vec<ListenerStatus>,
    /// Which requests go where.
    #[serde(default)]
    pub routes: Vec<RouteStatus>,
    /// What is not as the file asks.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Those that clients are shown, or are to be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateStatus>,
    /// The release that runs; absent for a stack that runs in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<u64>,
    /// The deployment under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentReport>,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name in the stack.
    pub name: ServiceName,
    /// What its replicas are.
    pub workload: WorkloadKind,
    /// In one word.
    pub state: ServiceState,
    /// Why it is not running; may be empty.
    #[serde(default)]
    pub why: String,
    /// How many are wanted.
    pub wanted_replicas: u32,
    /// How many are ready.
    pub ready_replicas: u32,
    /// Where clients reach it.
    #[serde(default)]
    pub urls: Vec<String>,
    /// Where other services of this machine reach it (`TEND_<SERVICE>_URL`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_url: Option<String>,
    /// By slot.
    pub replicas: Vec<ReplicaStatus>,
}

/// What a service's replicas are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkloadKind {
    /// Processes of this machine.
    Process,
    /// Containers.
    Container,
}

/// A service in one word, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// All wanted replicas are ready.
    Running,
    /// A one-off that ended with 0.
    Completed,
    /// Stopped by a person, or none wanted.
    Stopped,
    /// On its way to running.
    Starting,
    /// Waits for what it depends on.
    Waiting,
    /// On its way to being stopped.
    Stopping,
    /// Needs a container engine, which there is not.
    NeedsEngine,
    /// Some wanted replicas are ready, others are not.
    Degraded,
    /// None is ready, and not for being new.
    Down,
    /// A state this version does not know.
    #[serde(other)]
    Unknown,
}

impl ServiceState {
    /// Returns the word shown for the state.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ServiceState::Running => "running",
            ServiceState::Completed => "completed",
            ServiceState::Stopped => "stopped",
            ServiceState::Starting => "starting",
            ServiceState::Waiting => "waiting",
            ServiceState::Stopping => "stopping",
            ServiceState::NeedsEngine => "needs engine",
            ServiceState::Degraded => "degraded",
            ServiceState::Down => "down",
            ServiceState::Unknown => "unknown",
        }
    }
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    /// Which.
    pub id: ReplicaId,
    /// In one word.
    pub state: ReplicaState,
    /// Why it is in this state; may be empty.
    #[serde(default)]
    pub why: String,
    /// Its process.
    #[serde(default)]
    pub pid: Option<u32>,
    /// Where it listens.
    #[serde(default)]
    pub port: Option<u16>,
    /// Counts how often it was started since the stack was first applied.
    #[serde(default)]
    pub incarnation: u64,
    /// Since its process was started.
    #[serde(default)]
    pub uptime_seconds: Option<u64>,
    /// How often it was started again after it ended by itself.
    #[serde(default)]
    pub restarts: u64,
    /// How it ended last, such as `exit code 1`, `SIGKILL`, `out of memory`.
    #[serde(default)]
    pub last_exit: Option<String>,
    /// Of all its processes: the cgroup's, or their proportional set size.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Over the last few seconds; 100 is one processor.
    #[serde(default)]
    pub cpu_percent: Option<f64>,
    /// The release it runs; absent for a stack that runs in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<u64>,
}

/// A replica in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    /// For what its service depends on.
    Waiting,
    /// Being started.
    Starting,
    /// Has a process, and has not been ready yet.
    Running,
    /// Answers its readiness, or stayed up for its start period.
    Ready,
    /// Was ready and is not any more.
    Unready,
    /// Being stopped.
    Stopping,
    /// Stopped by a person.
    Stopped,
    /// Ended as its restart policy allows.
    Completed,
    /// Ended, and is started again after a delay.
    BackingOff,
    /// Ended too often in a row; still tried, rarely.
    Failing,
    /// Needs a container engine, which there is not.
    NeedsEngine,
    /// A state this version does not know.
    #[serde(other)]
    Unknown,
}

impl ReplicaState {
    /// Returns the word shown for the state.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ReplicaState::Waiting => "waiting",
            ReplicaState::Starting => "starting",
            ReplicaState::Running => "running",
            ReplicaState::Ready => "ready",
            ReplicaState::Unready => "unready",
            ReplicaState::Stopping => "stopping",
            ReplicaState::Stopped => "stopped",
            ReplicaState::Completed => "completed",
            ReplicaState::BackingOff => "backing off",
            ReplicaState::Failing => "failing",
            ReplicaState::NeedsEngine => "needs engine",
            ReplicaState::Unknown => "unknown",
        }
    }
}

/// An address the edge listens at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// Address and port.
    pub address: SocketAddr,
    /// Whether the socket is bound.
    pub bound: bool,
    /// Why it is not.
    #[serde(default)]
    pub why: String,
}

/// Requests that match go to the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// Any of them; all listeners of the stack when empty.
    #[serde(default)]
    pub listeners: Vec<SocketAddr>,
    /// Host name; any when absent.
    #[serde(default)]
    pub host: Option<String>,
    /// Path prefix.
    pub path_prefix: String,
    /// Who answers; the edge itself when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
}
