//! Performing steps: each as a task of its own, each reporting its outcome exactly once, whatever happens to it.
//!
//! Knows how, never whether: a step that makes no sense any more fails, and the controller decides what follows.

mod act;
mod probe;
pub(crate) mod quiesce;
mod start;

use std::collections::BTreeMap;
use std::process::{Command as Program, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tend_core::controller::Input;
use tend_core::journal::{Entry, Kind, Principal, Subject};
use tend_core::model::{ProbeAction, ReplicaId};
use tend_core::observed::StartFailure;
use tend_core::plan::{Launch, ProbeKind, Step};
use tend_linux::{Command, Scope, ShimConnection};
use tend_redact::{Patterns, Redactor};
use tokio::sync::Mutex;

use super::edge_link::EdgeLink;
use super::hub::Hub;
use super::identity;
use super::replicas::Life;
use super::secrets;
use super::shared::Shared;
use super::way::Way;

/// A command to a shim that was just lost is tried again until its successor is there, for this long.
const SHIM_WAIT_MAX: Duration = Duration::from_secs(2);

/// Between two tries.
const SHIM_AGAIN: Duration = Duration::from_millis(20);

/// How long a `prepare` command may take.
const PREPARE_MAX: Duration = Duration::from_secs(1800);

/// Performs steps.
pub(crate) struct Performer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) hub: Hub,
    /// The connection to the edge, while there is one.
    pub(crate) edge: Mutex<Option<Arc<EdgeLink>>>,
    /// What the edge had counted when a canary began.
    counted: act::Counted,
}

impl Performer {
    pub(crate) fn new(shared: Arc<Shared>, hub: Hub) -> Self {
        Self {
            shared,
            hub,
            edge: Mutex::default(),
            counted: act::Counted::default(),
        }
    }

    /// Begins to perform a step and returns at once.
    pub(crate) fn perform(self: Arc<Self>, step: Step) {
        tokio::spawn(async move {
            let performer = Arc::clone(&self);
            let under_way = step.clone();
            let outcome = tokio::spawn(async move { performer.outcome(under_way).await }).await;
            // A step that panicked has failed like any other; the daemon lives on.
            let input = outcome.unwrap_or_else(|error| Some(failed(&step, &format!("a bug ended it early: {error}"))));
            if let Some(input) = input {
                self.hub.input(input).await;
            }
        });
    }

    /// Performs a step and returns what became of it; nothing when that is reported in another way.
    async fn outcome(self: Arc<Self>, step: Step) -> Option<Input> {
        match step {
            Step::Prepare { service, launch } => {
                let fingerprint = launch.fingerprint;
                let result = self.prepare(&launch, service.stack.as_str()).await;
                Some(Input::Prepared {
                    service,
                    fingerprint,
                    result,
                })
            }
            Step::Start {
                replica,
                incarnation,
                launch,
            } => {
                let result = start::start(&self, &replica, incarnation, *launch).await;
                Some(Input::Started {
                    replica,
                    incarnation,
                    result,
                })
            }
            Step::Probe {
                replica,
                incarnation,
                kind,
                action,
                port,
                timeout,
            } => {
                let result = self.probe(&replica, incarnation, &action, port, timeout).await;
                Some(Input::Probed {
                    replica,
                    incarnation,
                    kind,
                    result,
                })
            }
            Step::Quiesce {
                replica,
                incarnation,
                port,
                quiesce,
                turn,
            } => {
                let result = quiesce::perform(port, &quiesce, turn).await;
                Some(Input::Quiesced {
                    replica,
                    incarnation,
                    turn,
                    result,
                })
            }
            Step::Signal {
                replica,
                incarnation,
                signal,
                ..
            } => {
                let command = Command::Signal {
                    number: signal,
                    scope: Scope::Replica,
                };
                let result = self.command(&replica, incarnation, command).await;
                Some(Input::Signalled {
                    replica,
                    incarnation,
                    result,
                })
            }
            Step::Kill {
                replica, incarnation, ..
            } => {
                let result = self.command(&replica, incarnation, Command::KillTree).await;
                Some(Input::Killed {
                    replica,
                    incarnation,
                    result,
                })
            }
            Step::ReplaceShim { replica, incarnation } => {
                let result = self.replace_shim(&replica, incarnation).await;
                Some(Input::ShimReplaced {
                    replica,
                    incarnation,
                    result,
                })
            }
            Step::StartEdge => match super::edge_link::start(&self).await {
                Ok(()) => None,
                Err(why) => Some(Input::EdgeStartFailed { why }),
            },
            Step::Publish { generation, endpoints } => {
                let result = super::edge_link::publish(&self, generation, endpoints).await;
                Some(Input::Published { generation, result })
            }
            Step::Act { stack, deployment, act } => {
                let result = act::perform(&self, &stack, deployment, &act).await;
                Some(Input::Acted {
                    stack,
                    deployment,
                    act,
                    result,
                })
            }
            Step::Verify {
                service,
                revision,
                address,
                host,
                path,
            } => {
                let way = self
                    .hub
                    .ask(move |controller, _| Way::to_address(controller.world(), address))
                    .await;
                let answered = probe::through_edge(way, host.as_deref(), &path).await;
                let result = answered.and_then(|replica| {
                    if replica.service_id() == service {
                        Ok(replica)
                    } else {
                        Err(format!("{replica} answered at {path} in place of {service}"))
                    }
                });
                Some(Input::Verified {
                    service,
                    revision,
                    result,
                })
            }
        }
    }

    async fn probe(
        &self,
        replica: &ReplicaId,
        incarnation: u64,
        action: &ProbeAction,
        port: Option<u16>,
        timeout: Duration,
    ) -> Result<(), String> {
        let no_port = || "it has no port to be asked at".to_owned();
        match action {
            ProbeAction::Http { path, port: other } => {
                probe::http(other.or(port).ok_or_else(no_port)?, path, timeout).await
            }
            ProbeAction::Tcp { port: other } => probe::tcp(other.or(port).ok_or_else(no_port)?, timeout).await,
            ProbeAction::Command { command } => {
                let replica_of = replica.clone();
                let launch = self
                    .hub
                    .ask(move |controller, _| super::answer::environment::launch_of(controller.world(), &replica_of));
                let Some(mut launch) = launch.await else {
                    return Err("the service is not wanted any more".to_owned());
                };
                launch.command.clone_from(command);
                launch.port = port;
                let _ = incarnation;
                self.run(&launch, replica.stack.as_str(), timeout).await
            }
        }
    }

    async fn prepare(&self, launch: &Launch, stack: &str) -> Result<(), String> {
        self.run(launch, stack, PREPARE_MAX).await
    }

    /// Runs a command in a service's environment to its end.
    async fn run(&self, launch: &Launch, stack: &str, timeout: Duration) -> Result<(), String> {
        let who = identity::who(&self.shared, launch, stack).map_err(|failure| failure.why)?;
        let environment = identity::environment(&self.shared, launch, stack, &who);
        self.learn(stack, &environment);
        let patterns = self.shared.known_secrets.patterns(stack);
        let (own, name) = (launch.clone(), stack.to_owned());
        let command = launch.command.clone();
        let directory = launch.directory.clone();
        let shared = Arc::clone(&self.shared);
        let run = move || -> Result<(), String> {
            let environment = secrets::environment(&shared, &own, &name, environment)?;
            let mut program = identity::program(&command, &directory, &environment, who.as_ref());
            program
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped());
            run_to_end(&shared, &mut program, timeout, patterns)
        };
        tokio::task::spawn_blocking(run)
            .await
            .map_err(|error| error.to_string())?
    }

    /// Says something to a replica's shim, waiting for its successor if it was just lost.
    async fn command(&self, replica: &ReplicaId, incarnation: u64, command: Command) -> Result<(), String> {
        let mut waited = Duration::ZERO;
        loop {
            let connection: Option<Arc<ShimConnection>> = self.shared.replicas.connection(replica, incarnation);
            let result = match connection {
                Some(connection) => connection.send(command).map_err(|error| error.to_string()),
                None => return Err(format!("{replica} has ended")),
            };
            if result.is_ok() || waited >= SHIM_WAIT_MAX {
                return result;
            }
            tokio::time::sleep(SHIM_AGAIN).await;
            waited += SHIM_AGAIN;
        }
    }

    async fn replace_shim(self: &Arc<Self>, replica: &ReplicaId, incarnation: u64) -> Result<(), String> {
        let gone = || format!("{replica} has ended");
        let folder = self.shared.replicas.folder(replica, incarnation).ok_or_else(gone)?;
        let of = replica.clone();
        let facts = self.hub.ask(move |controller, _| {
            controller
                .world()
                .replicas
                .get(&of)
                .map(|facts| (facts.fingerprint, facts.port))
        });
        let (fingerprint, port) = facts.await.ok_or_else(gone)?;
        let secrets = self.shared.known_secrets.values(replica.stack.as_str());
        let shim = tend_linux::spawn_takeover(&self.shared.program, &folder, &secrets);
        let shim = shim.map_err(|error| error.to_string())?;
        let life = Life {
            replica: replica.clone(),
            incarnation,
            fingerprint,
            port,
        };
        super::replicas::watch_new(self, life, folder, shim, None);
        Ok(())
    }

    /// Takes in what an environment of a stack says is secret, and tells the stack's shims when that is new.
    pub(crate) fn learn(&self, stack: &str, environment: &BTreeMap<String, String>) {
        if self.shared.known_secrets.learn(stack, environment) {
            super::replicas::tell_secrets(&self.shared, stack);
        }
    }

    /// Returns the generation last given out.
    pub(crate) async fn generation(&self) -> u64 {
        self.hub.ask(|controller, _| controller.world().edge.generation).await
    }

    /// Writes down that a replica's output was not all kept.
    pub(crate) fn record_dropped(&self, life: &Life, bytes: u64) {
        let daemon = Principal::Daemon {
            pid: std::process::id(),
            build: self.shared.build.clone(),
        };
        let subject = Subject::from(life.replica.clone()).incarnation(life.incarnation);
        self.shared.store.record(vec![
            Entry::new(daemon, Kind::LogsDropped)
                .on(subject)
                .with(json!({ "bytes": bytes })),
        ]);
    }
}

/// Output of a failed command that is shown: its end tells why.
const FAILURE_BYTES_MAX: usize = 600;

/// How often a command under way is looked at.
const CHILD_AGAIN: Duration = Duration::from_millis(10);

/// How often it is looked whether all that a command said was read, once it has ended.
const SAID_LOOKS: u32 = 50;

fn run_to_end(
    shared: &Shared,
    program: &mut Program,
    timeout: Duration,
    patterns: Arc<Patterns>,
) -> Result<(), String> {
    use std::io::Read;
    let name = program.get_program().to_string_lossy().into_owned();
    let mut child = shared
        .replicas
        .start_child(program)
        .map_err(|error| format!("`{name}` could not be run: {error}"))?;
    let stderr = child.stderr.take();
    // Read beside the waiting: a command that says much must not wait for us to listen.
    let said = std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut buffer = [0; 4096];
        // Before it is cut: half a secret would not be recognised.
        let mut redactor = Redactor::new(patterns);
        if let Some(mut stderr) = stderr {
            while let Ok(count @ 1..) = stderr.read(&mut buffer) {
                redactor.push(&buffer[..count], &mut kept);
                let surplus = kept.len().saturating_sub(FAILURE_BYTES_MAX);
                kept.drain(..surplus);
            }
        }
        redactor.flush(&mut kept);
        let surplus = kept.len().saturating_sub(FAILURE_BYTES_MAX);
        kept.drain(..surplus);
        String::from_utf8_lossy(&kept).trim().to_owned()
    });
    let begun = super::now().mono;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if super::now().mono.since(begun) > timeout => {
                // Killing and waiting cannot fail for a child that is ours and not waited for.
                let _ = child.kill();
                let _ = child.wait();
                break Err(format!(
                    "`{name}` did not end within {}",
                    tend_base::format_duration(timeout)
                ));
            }
            Ok(None) => std::thread::sleep(CHILD_AGAIN),
            Err(error) => break Err(format!("`{name}` could not be waited for: {error}")),
        }
    };
    shared.replicas.end_child(&child);
    let status = status?;
    if status.success() {
        return Ok(());
    }
    // A grandchild may hold the pipe open; then what it said so far is not waited for.
    // It reads beside us and may be a moment behind the end.
    for _ in 0..SAID_LOOKS {
        if said.is_finished() {
            break;
        }
        std::thread::sleep(CHILD_AGAIN);
    }
    let said = if said.is_finished() {
        said.join().unwrap_or_default()
    } else {
        String::new()
    };
    let comma = if said.is_empty() { "" } else { ": " };
    Err(format!("`{name}` ended with {status}{comma}{said}"))
}

/// Returns the input that says a step failed.
fn failed(step: &Step, why: &str) -> Input {
    let result = Err(why.to_owned());
    match step.clone() {
        Step::Prepare { service, launch } => Input::Prepared {
            service,
            fingerprint: launch.fingerprint,
            result,
        },
        Step::Start {
            replica, incarnation, ..
        } => {
            let failure = StartFailure {
                why: why.to_owned(),
                hint: None,
                permanent: false,
                port_taken: false,
            };
            Input::Started {
                replica,
                incarnation,
                result: Err(failure),
            }
        }
        Step::Probe {
            replica,
            incarnation,
            kind,
            ..
        } => probed(replica, incarnation, kind, result),
        Step::Quiesce {
            replica,
            incarnation,
            turn,
            ..
        } => Input::Quiesced {
            replica,
            incarnation,
            turn,
            result: Err(why.to_owned()),
        },
        Step::Signal {
            replica, incarnation, ..
        } => Input::Signalled {
            replica,
            incarnation,
            result,
        },
        Step::Kill {
            replica, incarnation, ..
        } => Input::Killed {
            replica,
            incarnation,
            result,
        },
        Step::ReplaceShim { replica, incarnation } => Input::ShimReplaced {
            replica,
            incarnation,
            result,
        },
        Step::StartEdge => Input::EdgeStartFailed { why: why.to_owned() },
        Step::Publish { generation, .. } => Input::Published { generation, result },
        Step::Act { stack, deployment, act } => Input::Acted {
            stack,
            deployment,
            act,
            result: Err(why.to_owned()),
        },
        Step::Verify { service, revision, .. } => Input::Verified {
            service,
            revision,
            result: Err(why.to_owned()),
        },
    }
}

fn probed(replica: ReplicaId, incarnation: u64, kind: ProbeKind, result: Result<(), String>) -> Input {
    Input::Probed {
        replica,
        incarnation,
        kind,
        result,
    }
}
