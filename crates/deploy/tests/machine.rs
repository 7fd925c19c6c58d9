//! A machine for one stack: the controller with its chapters, processes that do as they are told, and documents a daemon comes back to.
//!
//! Knows nothing of deployments but that their acts succeed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tend_base::{Mono, Now, Wall};
use tend_core::controller::{Chapter, Controller, DeployWish, Input, Word, restore};
use tend_core::deployment::Purpose;
use tend_core::journal::{Kind, Principal};
use tend_core::model::{
    Condition, Dependency, DependencyCondition, DeployPolicy, Edge, FailureAction, Logs, Port, Process, Release,
    ReplicaId, Replicas, Resources, RestartPolicy, Service, Stack, StackSource, Stop, Update, WhenBehind, Workload,
};
use tend_core::observed::{Exit, StartFailure};
use tend_core::plan::Step;
use tend_deploy::Deploy;
use tend_supervise::Supervise;

type Chapters = Arc<[Box<dyn Chapter>]>;

/// A service that runs until it is stopped, and whose replicas count as ready after a second.
pub(crate) fn service(name: &str, version: u32) -> Service {
    Service {
        name: name.parse().unwrap(),
        workload: Workload::Process(Process {
            command: vec![name.to_owned()],
            directory: "/s".into(),
            environment: BTreeMap::from([("VERSION".to_owned(), version.to_string())]),
            user: None,
            prepare: None,
            open_files_max: None,
            artifact: Vec::new(),
            artifact_digest: None,
        }),
        replicas: Replicas::Count(1),
        depends_on: Vec::new(),
        restart: RestartPolicy {
            condition: Condition::Always,
            delay: Duration::from_secs(1),
            delay_max: Duration::from_secs(10),
            max_attempts: 3,
            window: Duration::from_secs(5),
        },
        restart_schedule: None,
        liveness: None,
        readiness: None,
        start_period: Duration::from_secs(1),
        resources: Resources::default(),
        stop: Stop {
            signal: 15,
            grace_period: Duration::from_secs(5),
            drain: Duration::from_secs(1),
        },
        logs: Logs {
            file_bytes_max: 1,
            files_max: 1,
            when_behind: WhenBehind::Drop,
        },
        port: Port::None,
        update: Update {
            monitor: Duration::from_secs(2),
            ready_within: Duration::from_secs(30),
            failure_action: FailureAction::Rollback,
            ..Update::default()
        },
        rollback: Update::default(),
        strategy: Default::default(),
        smoke: Vec::new(),
        quiesce: None,
        secrets: Vec::new(),
        config: None,
        metrics: None,
    }
}

/// A service that runs once.
pub(crate) fn job(name: &str, version: u32) -> Service {
    let mut job = service(name, version);
    job.restart.condition = Condition::Never;
    job
}

/// The same, started once another ended well.
pub(crate) fn after(mut service: Service, other: &str) -> Service {
    service.depends_on.push(Dependency {
        service: other.parse().unwrap(),
        condition: DependencyCondition::CompletedSuccessfully,
        restart: false,
        required: true,
    });
    service
}

/// The stack `s` of these services.
pub(crate) fn stack(services: Vec<Service>) -> Stack {
    Stack {
        name: "s".parse().unwrap(),
        source: StackSource {
            files: Vec::new(),
            directory: "/s".into(),
            owner_uid: 0,
            owner_gid: 0,
        },
        services: services
            .into_iter()
            .map(|service| (service.name.clone(), service))
            .collect(),
        edge: Edge::default(),
        deploy: DeployPolicy::default(),
        config: None,
        vault: None,
        metrics: None,
        alerts: None,
        rotations: Default::default(),
    }
}

/// The machine.
pub(crate) struct Machine {
    controller: Controller<Chapters>,
    now: Mono,
    wake_at: Option<Mono>,
    documents: BTreeMap<(String, String), Value>,
    /// The launch of what runs, by replica.
    running: BTreeMap<String, (u64, u64)>,
    /// How the next starts of a replica fail.
    pub(crate) start_failures: BTreeMap<String, Vec<StartFailure>>,
    /// The phases deployments went through and how they ended, as the journal has it.
    pub(crate) phases: Vec<String>,
    /// Every start, as `s/a/1`.
    pub(crate) starts: Vec<String>,
}

fn chapters() -> Chapters {
    Arc::from(vec![Box::new(Supervise) as Box<dyn Chapter>, Box::new(Deploy)])
}

fn daemon() -> Principal {
    Principal::Daemon {
        pid: 1,
        build: "test".to_owned(),
    }
}

impl Machine {
    /// A machine on which the stack is up.
    pub(crate) fn with(stack: Stack) -> Self {
        let world = restore(2, 20_000..20_010, []).unwrap();
        let mut machine = Self {
            controller: Controller::new(world, chapters(), daemon()),
            now: Mono(1_000_000_000),
            wake_at: None,
            documents: BTreeMap::new(),
            running: BTreeMap::new(),
            start_failures: BTreeMap::new(),
            phases: Vec::new(),
            starts: Vec::new(),
        };
        machine.tell(Input::Surveyed);
        let stack = Box::new(stack);
        machine.tell(Input::Apply { stack, by: daemon() });
        machine.pass(10);
        machine
    }

    fn time(&self) -> Now {
        Now {
            mono: self.now,
            wall: Wall(1_795_265_075_000 + self.now.0 / 1_000_000),
        }
    }

    /// Tells the daemon something, and does what it wants done until it wants nothing more.
    pub(crate) fn tell(&mut self, input: Input) {
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let reaction = self.controller.handle(input, self.time());
            for document in reaction.documents {
                let key = (document.kind.as_str().to_owned(), document.id);
                match document.value {
                    Some(value) => self.documents.insert(key, value),
                    None => self.documents.remove(&key),
                };
            }
            for entry in reaction.entries {
                match entry.kind {
                    Kind::DeployPhase => self.phases.push(word(&entry.data["phase"])),
                    Kind::DeployFinished => {
                        let why = entry.data["why"].as_str().map(|why| format!(": {why}"));
                        let result = word(&entry.data["result"]);
                        self.phases.push(format!("{result}{}", why.unwrap_or_default()));
                    }
                    _ => {}
                }
            }
            self.wake_at = reaction.wake_at;
            for step in reaction.steps {
                inputs.extend(self.perform(step));
            }
        }
    }

    fn perform(&mut self, step: Step) -> Vec<Input> {
        match step {
            Step::Start {
                replica,
                incarnation,
                launch,
            } => {
                let id = replica.to_string();
                self.starts.push(id.clone());
                let failures = self.start_failures.get_mut(&id);
                let result = match failures.filter(|left| !left.is_empty()).map(|left| left.remove(0)) {
                    Some(failure) => Err(failure),
                    None => {
                        self.running.insert(id, (incarnation, launch.fingerprint));
                        Ok(7)
                    }
                };
                vec![Input::Started {
                    replica,
                    incarnation,
                    result,
                }]
            }
            Step::Signal {
                replica, incarnation, ..
            } => {
                let signalled = Input::Signalled {
                    replica: replica.clone(),
                    incarnation,
                    result: Ok(()),
                };
                vec![signalled, self.end(&replica.to_string(), 0)]
            }
            Step::Act { stack, deployment, act } => vec![Input::Acted {
                stack,
                deployment,
                act,
                result: Ok(json!({})),
            }],
            Step::Prepare { service, launch } => vec![Input::Prepared {
                service,
                fingerprint: launch.fingerprint,
                result: Err("exit code 2".to_owned()),
            }],
            Step::StartEdge => vec![Input::EdgeConnected { serving: 0 }],
            Step::Publish { generation, .. } => vec![
                Input::Published {
                    generation,
                    result: Ok(()),
                },
                Input::EdgeServing { generation },
            ],
            other => panic!("nothing here should want to {other}"),
        }
    }

    fn end(&mut self, replica: &str, code: i32) -> Input {
        let (incarnation, _) = self.running.remove(replica).expect("it runs");
        Input::Exited {
            replica: replica.parse().unwrap(),
            incarnation,
            exit: Exit::Exited(code),
            lived: None,
            last_lines: Vec::new(),
        }
    }

    /// A process ends by itself.
    pub(crate) fn ends(&mut self, replica: &str, code: i32) {
        let input = self.end(replica, code);
        self.tell(input);
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.wake_at.filter(|at| *at <= until) {
            self.now = at;
            self.tell(Input::Tick);
        }
        self.now = until;
        self.tell(Input::Tick);
    }

    /// The daemon is killed and comes back to what it wrote down and to what runs.
    pub(crate) fn restart_daemon(&mut self) {
        let documents = self.documents.iter();
        let documents = documents.map(|((kind, id), value)| (kind.clone(), id.clone(), value.clone()));
        let world = restore(2, 20_000..20_010, documents).unwrap();
        self.controller = Controller::new(world, chapters(), daemon());
        let found: Vec<_> = self
            .running
            .iter()
            .map(|(id, (incarnation, fingerprint))| Input::Adopted {
                replica: id.parse().unwrap(),
                incarnation: *incarnation,
                pid: 7,
                since: self.now,
                port: None,
                fingerprint: *fingerprint,
                quiesce: None,
                shim_alive: true,
            })
            .collect();
        for input in found {
            self.tell(input);
        }
        self.tell(Input::Surveyed);
    }

    /// Somebody deploys the stack as it is now, which has to be confirmed within `confirm` seconds where that is given.
    pub(crate) fn deploy(&mut self, next: Stack, confirm: Option<u64>) {
        let world = self.controller.world();
        let before = world.stacks[&next.name].stack.clone();
        let last = world.releases.get(&next.name).map_or(0, |releases| releases.last);
        let baseline = (last == 0).then(|| release(1, before));
        let number = last.max(1) + 1;
        self.tell(Input::Deploy(Box::new(DeployWish {
            stack: next.name.clone(),
            baseline,
            release: Some(release(number, next)),
            target: number,
            purpose: Purpose::Deploy,
            confirm: confirm.map(Duration::from_secs),
            by: daemon(),
            reason: None,
        })));
    }

    /// Somebody wants all replicas of a service restarted.
    pub(crate) fn restart(&mut self, service: &str) {
        let id: ReplicaId = format!("{service}/1").parse().unwrap();
        self.tell(Input::Restart {
            service: id.service_id(),
            slot: None,
            by: daemon(),
        });
    }

    /// Somebody says a word about the deployment under way.
    pub(crate) fn decide(&mut self, word: Word) {
        let stack = "s".parse().unwrap();
        let deployment = self.controller.world().deployment(&stack).expect("one is under way");
        let deployment = deployment.number;
        self.tell(Input::Decide {
            stack,
            deployment,
            word,
            by: daemon(),
            why: String::new(),
        });
    }
}

fn release(number: u64, stack: Stack) -> Release {
    Release {
        number,
        file: stack.clone(),
        stack,
        artifacts: BTreeMap::new(),
        configuration: number.to_string(),
        secrets: BTreeMap::new(),
        schema: Default::default(),
        made_at: Wall(0),
        made_by: daemon(),
        promoted_from: None,
    }
}

/// A phase as a word: `rolling`, or `finishing committed`.
fn word(value: &Value) -> String {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, ending)| format!("{name} {}", word(ending)))
            .collect(),
        other => other.as_str().unwrap_or("?").to_owned(),
    }
}
