//! Steps and plans: what is to be done, as values that can be printed, stored and undone.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::deployment::Act;
use crate::model::{Grant, Logs, Port, ProbeAction, Quiesce, ReplicaId, Resources, ServiceId, StackName};
use crate::observed::{Endpoints, StopReason};

/// Everything needed to start one replica; the environment may hold secrets, so it is never printed.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Absolute working folder.
    pub directory: PathBuf,
    /// What the service file asks for and what tend adds (`PORT`, `TEND_…`).
    pub environment: BTreeMap<String, String>,
    /// As the stack file has it.
    pub user: Option<String>,
    /// Owner of the stack file, who it runs as when `user` is absent and the daemon is root.
    pub owner: (u32, u32),
    /// The port it is to listen on.
    pub port: Option<u16>,
    /// How it learns of it.
    pub port_form: Port,
    /// What it may use.
    pub resources: Resources,
    /// What happens to its output.
    pub logs: Logs,
    /// Largest number of open files.
    pub open_files_max: Option<u64>,
    /// The definition this was made from.
    pub fingerprint: u64,
    /// How it is emptied before it is stopped; kept beside the process, so that a daemon which finds it knows.
    #[serde(default)]
    pub quiesce: Option<Quiesce>,
    /// The secrets it is given: their names and versions. The values are looked up when it is started.
    #[serde(default)]
    pub secrets: Vec<Grant>,
    /// It takes the configuration of its stack, and is not started before that is known.
    #[serde(default)]
    pub is_configured: bool,
    /// The revision of its configuration that it is started for, 0 before the first: what it finds when it starts is at least that.
    #[serde(default)]
    pub configuration: u64,
    /// Variables whose secret values stand outside of the store, with the mark of the value that each was taken with.
    #[serde(default)]
    pub outside: BTreeMap<String, String>,
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch")
            .field("command", &self.command)
            .field("directory", &self.directory)
            .field("environment", &format_args!("{} variables", self.environment.len()))
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// Which of the two questions a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// Does it live?
    Liveness,
    /// Can it serve?
    Readiness,
}

impl ProbeKind {
    /// Returns the word for it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            ProbeKind::Liveness => "liveness",
            ProbeKind::Readiness => "readiness",
        }
    }
}

/// What a replica that is to be emptied is told and asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuiesceTurn {
    /// The first time: to take no new work, and how much it has in flight.
    Tell,
    /// The same once more, since it did not answer well.
    TellAgain,
    /// It was told: only how much it has in flight.
    Ask,
}

/// One act. Performing it twice does no harm: an incarnation is started once, and the others say which state they leave behind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Run the service's `prepare` command.
    Prepare {
        /// For which service.
        service: ServiceId,
        /// How it is run; `command` is the `prepare` command.
        launch: Box<Launch>,
    },
    /// Start a replica.
    Start {
        /// Which.
        replica: ReplicaId,
        /// As which incarnation.
        incarnation: u64,
        /// How.
        launch: Box<Launch>,
    },
    /// Ask a replica whether it lives or can serve.
    Probe {
        /// Which.
        replica: ReplicaId,
        /// Which life of it.
        incarnation: u64,
        /// Which question.
        kind: ProbeKind,
        /// How it is asked.
        action: ProbeAction,
        /// The replica's port.
        port: Option<u16>,
        /// How long the answer may take.
        timeout: Duration,
    },
    /// Have a replica take no new work and say how much it has in flight.
    Quiesce {
        /// Which.
        replica: ReplicaId,
        /// Which life of it.
        incarnation: u64,
        /// The replica's port.
        port: u16,
        /// How it is told and asked.
        quiesce: Quiesce,
        /// Which of both it is this time.
        turn: QuiesceTurn,
    },
    /// Send the stop signal.
    Signal {
        /// Which.
        replica: ReplicaId,
        /// Which life of it.
        incarnation: u64,
        /// The signal's number.
        signal: i32,
        /// Why.
        why: StopReason,
    },
    /// End the replica and everything it started by SIGKILL.
    Kill {
        /// Which.
        replica: ReplicaId,
        /// Which life of it.
        incarnation: u64,
        /// Why.
        why: StopReason,
    },
    /// Start a new shim for a replica whose shim was lost.
    ReplaceShim {
        /// Which.
        replica: ReplicaId,
        /// Which life of it.
        incarnation: u64,
    },
    /// Start the edge.
    StartEdge,
    /// Tell the edge who serves.
    Publish {
        /// Number of this snapshot, higher than any before.
        generation: u64,
        /// Who serves.
        endpoints: Endpoints,
    },
    /// Do something for a deployment.
    Act {
        /// In which stack.
        stack: StackName,
        /// For which deployment.
        deployment: u64,
        /// What.
        act: Act,
    },
    /// Ask through the edge, as a client would, and see who answers.
    Verify {
        /// Which service has to answer.
        service: ServiceId,
        /// For which revision of the stack.
        revision: u64,
        /// At which listener.
        address: SocketAddr,
        /// With which host name.
        host: Option<String>,
        /// At which path.
        path: String,
    },
}

/// What names a step while it is performed: no two steps of the same key are performed at once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKey {
    /// [`Step::Prepare`].
    Prepare(ServiceId),
    /// [`Step::Start`].
    Start(ReplicaId),
    /// [`Step::Probe`].
    Probe(ReplicaId, ProbeKind),
    /// [`Step::Quiesce`].
    Quiesce(ReplicaId),
    /// [`Step::Signal`].
    Signal(ReplicaId),
    /// [`Step::Kill`].
    Kill(ReplicaId),
    /// [`Step::ReplaceShim`].
    ReplaceShim(ReplicaId),
    /// [`Step::StartEdge`].
    StartEdge,
    /// [`Step::Publish`].
    Publish,
    /// [`Step::Act`].
    Act(StackName, Act),
    /// [`Step::Verify`].
    Verify(ServiceId),
}

/// What takes a step back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// This does, said for a person.
    By(String),
    /// Nothing needs to: the step changes nothing that lasts.
    NotNeeded,
    /// Nothing can; the text says what is left.
    None(String),
}

impl Step {
    /// Returns what names this step while it is performed.
    #[must_use]
    pub fn key(&self) -> StepKey {
        match self {
            Step::Prepare { service, .. } => StepKey::Prepare(service.clone()),
            Step::Start { replica, .. } => StepKey::Start(replica.clone()),
            Step::Probe { replica, kind, .. } => StepKey::Probe(replica.clone(), *kind),
            Step::Quiesce { replica, .. } => StepKey::Quiesce(replica.clone()),
            Step::Signal { replica, .. } => StepKey::Signal(replica.clone()),
            Step::Kill { replica, .. } => StepKey::Kill(replica.clone()),
            Step::ReplaceShim { replica, .. } => StepKey::ReplaceShim(replica.clone()),
            Step::StartEdge => StepKey::StartEdge,
            Step::Publish { .. } => StepKey::Publish,
            Step::Act { stack, act, .. } => StepKey::Act(stack.clone(), act.clone()),
            Step::Verify { service, .. } => StepKey::Verify(service.clone()),
        }
    }

    /// Returns whether the step goes into the journal: all but the questions, which are asked over and over.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        match self {
            Step::Probe { .. } | Step::Act { act: Act::Count(_), .. } => false,
            Step::Quiesce { turn, .. } => *turn == QuiesceTurn::Tell,
            _ => true,
        }
    }

    /// Returns what takes this step back.
    #[must_use]
    pub fn undo(&self) -> Undo {
        match self {
            Step::Prepare { service, .. } => Undo::None(format!("what the prepare command of {service} made stays")),
            Step::Start { replica, .. } => Undo::By(format!("stop {replica}")),
            Step::Quiesce { replica, .. } | Step::Signal { replica, .. } | Step::Kill { replica, .. } => {
                Undo::By(format!("start {replica} again"))
            }
            Step::Publish { generation, .. } => Undo::By(format!("publish the routes that were before {generation}")),
            Step::StartEdge => Undo::By("stop the edge".to_owned()),
            Step::Act { act: Act::Migrate, .. } => {
                Undo::None("a migration stays: going back to the code before never touches data".to_owned())
            }
            Step::Act { act: Act::Prune, .. } => Undo::None("what was removed is gone".to_owned()),
            Step::Act { .. } | Step::Probe { .. } | Step::ReplaceShim { .. } | Step::Verify { .. } => Undo::NotNeeded,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Prepare { service, launch } => write!(f, "prepare {service}: {}", launch.command.join(" ")),
            Step::Start { replica, launch, .. } => match launch.port {
                Some(port) => write!(f, "start {replica} on port {port}"),
                None => write!(f, "start {replica}"),
            },
            Step::Probe { replica, kind, .. } => write!(f, "ask {replica} for its {}", kind.text()),
            Step::Quiesce { replica, turn, .. } => match turn {
                QuiesceTurn::Tell | QuiesceTurn::TellAgain => {
                    write!(f, "quiesce {replica}: no new work, and what it has is finished")
                }
                QuiesceTurn::Ask => write!(f, "ask {replica} how much it has in flight"),
            },
            Step::Signal {
                replica, signal, why, ..
            } => {
                let name = crate::observed::signal_name(*signal).unwrap_or("a signal");
                write!(f, "stop {replica} with {name}: {}", why.text())
            }
            Step::Kill { replica, why, .. } => write!(f, "kill {replica} and all it started: {}", why.text()),
            Step::ReplaceShim { replica, .. } => write!(f, "give {replica} a new shim"),
            Step::StartEdge => f.write_str("start the edge"),
            Step::Publish { endpoints, .. } => {
                let serving: Vec<_> = endpoints.iter().filter(|(_, all)| !all.is_empty()).collect();
                if serving.is_empty() {
                    return f.write_str("route nothing");
                }
                f.write_str("route ")?;
                for (index, (service, all)) in serving.iter().enumerate() {
                    let ready = all.iter().filter(|endpoint| !endpoint.draining).count();
                    let draining = all.len() - ready;
                    let comma = if index == 0 { "" } else { ", " };
                    write!(
                        f,
                        "{comma}{service} to {ready} replica{}",
                        if ready == 1 { "" } else { "s" }
                    )?;
                    if draining > 0 {
                        write!(f, " ({draining} draining)")?;
                    }
                }
                Ok(())
            }
            Step::Act { act, .. } => write!(f, "{act}"),
            Step::Verify {
                service,
                address,
                host,
                path,
                ..
            } => {
                let host = host.as_deref().map_or_else(|| address.to_string(), str::to_owned);
                write!(f, "see {service} answer at http://{host}{path}")
            }
        }
    }
}

/// A step of a plan, with what takes it back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// The act.
    pub step: Step,
    /// What takes it back.
    pub undo: Undo,
}

/// What will be done to bring one stack to what is wanted, in order, if nothing fails on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// For which stack.
    pub stack: StackName,
    /// The steps; none when everything is as wanted.
    pub steps: Vec<PlannedStep>,
}
