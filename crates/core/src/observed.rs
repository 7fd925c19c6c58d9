//! What is there: the facts about replicas, services and the edge, as far as they were observed.
//!
//! Facts are only changed by folding an input in (see [`crate::controller`]); what follows from them is decided by the chapters.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tend_base::{Mono, Wall};

use crate::model::{Quiesce, ReplicaId, ServiceId, Stop};

/// How a replica's process ended. A zombie counts as ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal.
    Signalled {
        /// Its number.
        signal: i32,
        /// A core was dumped.
        core_dumped: bool,
    },
    /// By the kernel, because its cgroup had no memory left.
    OomKilled,
    /// Nobody can tell; the text says why.
    Unknown(String),
}

impl Exit {
    /// Returns whether the process itself reported success.
    #[must_use]
    pub fn is_success(&self) -> bool {
        *self == Exit::Exited(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Exited(code) => write!(f, "exited with code {code}"),
            Exit::Signalled { signal, core_dumped } => {
                write!(f, "was killed by signal {signal}")?;
                if let Some(name) = signal_name(*signal) {
                    write!(f, " ({name})")?;
                }
                if *core_dumped {
                    f.write_str(" and dumped core")
                } else {
                    Ok(())
                }
            }
            Exit::OomKilled => f.write_str("was killed by the kernel: out of memory"),
            Exit::Unknown(why) => write!(f, "ended, how is not known: {why}"),
        }
    }
}

/// Returns the name of a signal of Linux, for the ones a person meets.
#[must_use]
pub fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return None,
    })
}

/// Where a replica is in its life.
///
/// ```text
///            Start            started             exit
///  Absent ─────────► Starting ────────► Running ────────► Ended ──(restart policy)──► Starting
///                        │                 │ Drain/Signal    ▲
///                        └── failed ──► Ended                │
///                                          └──► Stopping ────┘   (SIGTERM, then SIGKILL of the tree)
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Phase {
    /// Never started.
    #[default]
    Absent,
    /// The start is being performed.
    Starting,
    /// There is a process.
    Running {
        /// Its process id.
        pid: u32,
        /// When it was started.
        since: Mono,
    },
    /// There is a process, and it has been told to go or is being drained first.
    Stopping {
        /// Its process id.
        pid: u32,
        /// When stopping began.
        since: Mono,
        /// When the stop signal was sent; absent while the edge drains it.
        signalled: Option<Mono>,
        /// SIGKILL was sent to the tree.
        killed: bool,
    },
    /// There is no process any more.
    Ended {
        /// Since when.
        at: Mono,
    },
}

/// Why a replica is made to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It is wanted no longer: scaled down, stopped, or the stack removed.
    Unwanted,
    /// A person asked for a restart.
    Restart,
    /// A service it depends on with `restart: true` was restarted on purpose.
    DependencyRestarted,
    /// Its definition changed.
    Changed,
    /// Its schedule says so.
    Scheduled,
    /// Its liveness probe failed.
    NotLive,
    /// It used more memory than its limit.
    OverMemory,
}

impl StopReason {
    /// Returns the reason as a person would say it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            StopReason::Unwanted => "it is no longer wanted",
            StopReason::Restart => "a restart was asked for",
            StopReason::DependencyRestarted => "a service it depends on was restarted",
            StopReason::Changed => "its definition changed",
            StopReason::Scheduled => "its scheduled restart is due",
            StopReason::NotLive => "its liveness probe failed",
            StopReason::OverMemory => "it used more memory than its limit",
        }
    }

    /// Returns whether somebody's wish is behind it and the replica is to run again: what depends on it may have to be restarted too.
    #[must_use]
    pub fn is_renewal(self) -> bool {
        matches!(
            self,
            StopReason::Restart | StopReason::DependencyRestarted | StopReason::Changed
        )
    }
}

/// What a probe has told so far about one incarnation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeFacts {
    /// The last question, answered or not.
    pub asked: Option<Mono>,
    /// A question is on its way.
    pub asking: bool,
    /// Failures since the last success.
    pub failures: u32,
    /// Successes since the last failure.
    pub successes: u32,
    /// The last counted answer was a success.
    pub passing: bool,
    /// What the last failure said.
    pub why: Option<String>,
}

/// What is known of the emptying of one incarnation that is to be stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuiesceFacts {
    /// When it was first told to take no new work; its deadline counts from here.
    pub since: Option<Mono>,
    /// The last time it was told or asked, answered or not.
    pub asked: Option<Mono>,
    /// A question is on its way.
    pub asking: bool,
    /// What it said last that it has in flight. It said so after it had agreed to take no new work.
    pub in_flight: Option<u64>,
    /// Why the last question was not answered.
    pub why: Option<String>,
}

/// The end of an incarnation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastExit {
    /// How.
    pub exit: Exit,
    /// When, for people.
    pub at: Wall,
    /// How long it had run.
    pub uptime: Duration,
    /// Whether it had been asked to end, and why.
    pub asked: Option<StopReason>,
    /// Its last lines of output.
    pub last_lines: Vec<String>,
}

/// When a life of a replica began and ended, as who watched it saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lived {
    /// When its process was started.
    pub from: Mono,
    /// When it ended.
    pub to: Mono,
}

/// Why a replica could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFailure {
    /// For a person: what was attempted, and why it failed.
    pub why: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Trying again without a change cannot help (no such command, no such user).
    pub permanent: bool,
    /// The port it was to listen on was taken by someone else.
    pub port_taken: bool,
}

/// The facts about one replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replica {
    /// Where it is in its life.
    pub phase: Phase,
    /// Number of the latest incarnation, unique on the machine; 0 before the first.
    pub incarnation: u64,
    /// What definition the latest incarnation was started from.
    pub fingerprint: u64,
    /// The port it was given; kept from one incarnation to the next.
    pub port: Option<u16>,
    /// When the current incarnation was started.
    pub started_at: Option<Mono>,
    /// It can serve: its readiness probe passes, or it has none and stayed up for its start period.
    pub ready_since: Option<Mono>,
    /// It was ready at least once since it is wanted.
    pub was_ready: bool,
    /// When it last counted as stable.
    pub stable_at: Option<Mono>,
    /// Readiness.
    pub readiness: ProbeFacts,
    /// Liveness.
    pub liveness: ProbeFacts,
    /// Ends in a row without a stable run between them.
    pub failures: u32,
    /// Starts after the first.
    pub restarts: u64,
    /// How it is stopped, by the last definition it was known under: that may be gone when it has to go.
    pub stop: Option<Stop>,
    /// How it is emptied before it is stopped, by the definition it was started from: another one may name other paths.
    pub quiesce: Option<Quiesce>,
    /// How far that is.
    pub quiescing: QuiesceFacts,
    /// The last end.
    pub last_exit: Option<LastExit>,
    /// The last start that did not succeed; cleared by one that does.
    pub start_failure: Option<StartFailure>,
    /// It ended and its policy leaves it so, whether that was a success (see `last_exit`) or not.
    pub completed: bool,
    /// It is being made to end.
    pub stop_reason: Option<StopReason>,
    /// A person asked for a restart that has not happened yet.
    pub restart_requested: bool,
    /// A service it depends on with `restart: true` was restarted on purpose: it is restarted too, once that one is ready again.
    pub restart_follows: bool,
    /// Its shim was lost and no other has taken over yet.
    pub shim_lost: bool,
    /// The last try to give it a new shim failed at this moment.
    pub shim_failed: Option<Mono>,
    /// As kept by the daemon before this one, until the host was looked at: it could serve.
    pub served_before: bool,
    /// As kept by the daemon before this one, until the host was looked at: it was sent its stop signal.
    pub signalled_before: bool,
    /// As kept by the daemon before this one, until the host was looked at: its start was under way.
    pub starting_before: bool,
    /// Memory it used when last measured, bytes (PSS, or the cgroup's figure).
    pub memory: Option<u64>,
    /// Processor share when last measured, in thousandths of one processor.
    pub cpu_permille: Option<u32>,
    /// Requests the edge had in flight on it while draining, when last heard.
    pub in_flight: Option<u64>,
}

impl Replica {
    /// Returns the process id while there is a process.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match self.phase {
            Phase::Running { pid, .. } | Phase::Stopping { pid, .. } => Some(pid),
            _ => None,
        }
    }

    /// Returns why it is being stopped, and what is still waited for where it is emptied first.
    #[must_use]
    pub fn why_stopping(&self) -> Option<String> {
        let reason = self.stop_reason?.text();
        let waits = matches!(self.phase, Phase::Stopping { signalled: None, .. });
        Some(match (&self.quiescing.in_flight, &self.quiescing.why) {
            (_, Some(why)) if waits => format!("{reason}; it does not say what it has in flight: {why}"),
            (Some(count @ 1..), None) if waits => format!("{reason}; it has {count} in flight"),
            _ => reason.to_owned(),
        })
    }

    /// Returns whether it can serve and is not being stopped.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Running { .. }) && self.ready_since.is_some()
    }

    /// Returns whether there is, or is about to be, a process.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(
            self.phase,
            Phase::Starting | Phase::Running { .. } | Phase::Stopping { .. }
        )
    }
}

/// The facts about one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceFacts {
    /// The loopback port at which the edge answers for it, given to other services as its address.
    pub loopback_port: Option<u16>,
    /// The definition its `prepare` command last succeeded for.
    pub prepared: Option<u64>,
    /// Why `prepare` failed.
    pub prepare_failure: Option<String>,
    /// The definition it failed for; another one is worth another try.
    pub prepare_failed_for: Option<u64>,
    /// The revision of the stack for which it was seen to answer through the edge.
    pub answered_revision: Option<u64>,
    /// Why the last try to reach it through the edge failed, and when.
    pub answer_failure: Option<(Mono, String)>,
    /// How often in a row that try failed.
    pub answer_failures: u32,
}

/// A replica as the edge is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Which.
    pub replica: ReplicaId,
    /// Which life of it.
    pub incarnation: u64,
    /// Its loopback port.
    pub port: u16,
    /// No new requests, please.
    pub draining: bool,
    /// It runs a new release that is only looked at so far: it gets the requests that ask for it on purpose, and a canary's share.
    #[serde(default)]
    pub candidate: bool,
}

/// All endpoints, by service.
pub type Endpoints = BTreeMap<ServiceId, Vec<Endpoint>>;

/// The facts about the edge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgeFacts {
    /// It is connected to this daemon.
    pub connected: bool,
    /// A start was tried and failed at this moment.
    pub failed: Option<(Mono, String)>,
    /// Since when it is connected.
    pub connected_since: Option<Mono>,
    /// When it was last lost, or failed to start.
    pub ended_at: Option<Mono>,
    /// Starts in a row that failed or did not last.
    pub failures: u32,
    /// It could not be told of the last snapshot, at this moment.
    pub publish_failed: Option<Mono>,
    /// The generation last given out.
    pub generation: u64,
    /// What was published under that generation.
    pub published: Option<Endpoints>,
    /// [`crate::world::World::revisions`] when it was made: a changed route table needs a new generation too.
    pub published_revision: u64,
    /// The generation the edge says it serves.
    pub serving: u64,
    /// How often something changed that the edge is told of and that stands in no stack.
    pub rules: u64,
}
