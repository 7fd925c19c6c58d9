//! What is wanted of one service: how its replicas run, how many, in what order, within which limits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Delivery, Grant, Probe, Quiesce, ServiceMetrics, ServiceName, Smoke, Strategy, Update};

/// One service of a stack, fully resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its name in the stack.
    pub name: ServiceName,
    /// What a replica is.
    pub workload: Workload,
    /// How many replicas.
    pub replicas: Replicas,
    /// What has to be there before it starts.
    pub depends_on: Vec<Dependency>,
    /// What happens when a replica ends.
    pub restart: RestartPolicy,
    /// Restarted on purpose at these times (R5).
    pub restart_schedule: Option<Schedule>,
    /// Fails: the replica is killed and started again.
    pub liveness: Option<Probe>,
    /// Fails: the replica gets no requests.
    pub readiness: Option<Probe>,
    /// Without a readiness probe, a replica counts as ready once it stayed up for this long.
    pub start_period: Duration,
    /// What it may use.
    pub resources: Resources,
    /// How it is stopped.
    pub stop: Stop,
    /// What happens to its output.
    pub logs: Logs,
    /// How it learns where to listen.
    pub port: Port,
    /// How its replicas are replaced by those of another release.
    #[serde(default)]
    pub update: Update,
    /// How they are replaced when going back.
    #[serde(default)]
    pub rollback: Update,
    /// How a new release is given traffic.
    #[serde(default)]
    pub strategy: Strategy,
    /// What a new release has to answer.
    #[serde(default)]
    pub smoke: Vec<Smoke>,
    /// How it is emptied before it is stopped, beside requests through the edge.
    #[serde(default)]
    pub quiesce: Option<Quiesce>,
    /// The secrets its replicas are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Grant>,
    /// How its replicas are given the stack's configuration; not at all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Delivery>,
    /// How its replicas are asked for their metrics; not at all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<ServiceMetrics>,
}

impl Service {
    /// Returns whether it runs as a process of this machine.
    #[must_use]
    pub fn is_process(&self) -> bool {
        matches!(self.workload, Workload::Process(_))
    }

    /// Returns whether it is a job: it runs to its end, nothing can be asked of it and nobody connects to it.
    #[must_use]
    pub fn is_job(&self) -> bool {
        self.restart.condition != Condition::Always && self.readiness.is_none() && self.port == Port::None
    }
}

/// What a replica of a service is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// A process of this machine.
    Process(Process),
    /// A container: needs an engine, which a later chapter brings; until then the service is reported and not started.
    Container {
        /// The image, or the folder it is built from.
        image: String,
    },
}

/// A process to run.
///
/// Texts may hold `{{.Task.Slot}}`, `{{.Service.Name}}` and `${service.NAME.url}`; they are replaced when a replica starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Program and arguments; a program with a `/` is relative to `directory`, one without is searched in `PATH`.
    pub command: Vec<String>,
    /// Absolute working folder.
    pub directory: PathBuf,
    /// The whole environment but for what tend adds (`PORT`, `TEND_…`) and `PATH`, `HOME`, `LANG`, `TZ` of the daemon.
    pub environment: BTreeMap<String, String>,
    /// User name or number, optionally `:group`; absent means the stack file's owner, see design section 2.
    pub user: Option<String>,
    /// Run once in `directory` before the first start of this service on `up`, such as a build.
    pub prepare: Option<Vec<String>>,
    /// Largest number of open files, `ulimits.nofile`.
    pub open_files_max: Option<u64>,
    /// What a release keeps of the folder after `prepare`, relative to `directory`: the whole folder when empty. Without `prepare`, and
    /// empty, the service is run in place and nothing is kept.
    #[serde(default)]
    pub artifact: Vec<PathBuf>,
    /// The SHA-256 of the artifact that `directory` holds; none for a folder that is run in place.
    #[serde(default)]
    pub artifact_digest: Option<String>,
}

/// How many replicas are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replicas {
    /// So many; zero keeps the service defined and stopped.
    Count(u32),
    /// One for each core of the machine, PM2's `max`.
    Max,
}

/// One entry of `depends_on`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// On whom.
    pub service: ServiceName,
    /// What has to be true of it.
    pub condition: DependencyCondition,
    /// Restart this service after `service` was restarted by a person.
    pub restart: bool,
    /// When false, start anyway if the other is not there.
    pub required: bool,
}

/// Compose's three conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyCondition {
    /// Its replicas were started.
    Started,
    /// Its replicas are ready.
    Healthy,
    /// It ran and ended with 0.
    CompletedSuccessfully,
}

/// When a replica that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Whatever the exit was.
    Always,
    /// Unless the exit was 0.
    OnFailure,
    /// Never.
    Never,
}

/// What happens when a replica ends without being asked to.
///
/// The first restart after a stable run is immediate; further ones wait `delay`, doubled each time up to `delay_max`, with jitter.
/// After `max_attempts` failures in a row the replica is *failing*: tried once every `delay_max`, for ever, and said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// On which exits.
    pub condition: Condition,
    /// Before the second restart in a row.
    pub delay: Duration,
    /// The delay grows no longer than this, and a failing replica is tried this often.
    pub delay_max: Duration,
    /// After so many failures in a row the replica counts as failing.
    pub max_attempts: u32,
    /// A replica that was up (and ready, where it has a probe) for this long was stable: failures before it are forgotten.
    pub window: Duration,
}

/// Restarts on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// This long after each start of the replica, one replica at a time.
    Every(Duration),
}

/// What a replica may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// Memory in bytes: more and the replica is killed and restarted.
    pub memory_max: Option<u64>,
    /// Processors, 0.5 being half of one.
    pub cpus_max: Option<f64>,
    /// Processes and threads.
    pub pids_max: Option<u64>,
    /// Memory in bytes the kernel tries to leave it (`memory.low`).
    pub memory_reserved: Option<u64>,
    /// Share of the processors it gets under contention (`cpu.weight`).
    pub cpus_reserved: Option<f64>,
}

/// How a replica is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Number of the first signal, 15 (SIGTERM) unless the file says otherwise.
    pub signal: i32,
    /// From that signal to SIGKILL of the whole tree; Compose's default is 10 s.
    pub grace_period: Duration,
    /// Longest wait, before that signal, for what the edge has in flight on it: requests are over soon, a WebSocket may never be.
    #[serde(default = "drain_default")]
    pub drain: Duration,
}

impl Stop {
    /// [`Stop::drain`] where the stack file says nothing.
    pub const DRAIN: Duration = Duration::from_secs(30);
}

fn drain_default() -> Duration {
    Stop::DRAIN
}

/// What happens to a replica's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// A file is rotated when it would pass this many bytes.
    pub file_bytes_max: u64,
    /// Files kept for each stream, the current one included.
    pub files_max: u32,
    /// What gives when the disk is slower than the replica.
    pub when_behind: WhenBehind,
}

/// What gives when output comes faster than it can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenBehind {
    /// Output is dropped and counted, a marker line says how much; the replica never waits.
    Drop,
    /// The replica waits in `write`.
    Block,
}

/// How a replica learns where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Port {
    /// It does not listen.
    None,
    /// In this environment variable, usually `PORT`.
    Variable(String),
    /// It inherits the listening socket as this file descriptor, 3 or above, with `LISTEN_FDS` set as systemd does.
    Descriptor(i32),
    /// It always listens on this port, so it can have one replica only.
    Fixed(u16),
}
