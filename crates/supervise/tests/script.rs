//! A small language for one stack and what happens to it; owns how a script is read and how the reactions are written.
//!
//! ```text
//! service api replicas=2 port readiness retries=2    a service and its keys
//! route api                                          the edge answers for it
//! > 0s apply                                         so much later, this happens
//!     start s/api/1 on port 20000                    a step
//!     * stack.applied s {…}                          an entry of the journal
//!     sleep 1s                                       when the controller wants to be woken, if at all
//! > 0s done                                          every step sent out succeeds
//! > wake                                             time passes until the controller wants to be woken
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tend_base::{Mono, Now, Wall, format_duration, parse_bytes, parse_duration};
use tend_core::controller::{Chapter, Controller, Input, Reaction, restore};
use tend_core::journal::{Kind, Principal, Via};
use tend_core::model::{
    Condition, Dependency, DependencyCondition, DeployPolicy, Edge, Listener, Logs, Port, Probe, ProbeAction, Process,
    Quiesce, ReplicaId, Replicas, Resources, RestartPolicy, Route, RoutePolicy, Schedule, Service, ServiceId, Stack,
    StackSource, Stop, Strategy, Update, WhenBehind, Workload,
};
use tend_core::observed::{Exit, Lived, StartFailure};
use tend_core::plan::{ProbeKind, QuiesceTurn, Step};
use tend_core::world::World;
use tend_supervise::{GoalState, Supervise, goals, replica_state};

type Chapters = Arc<[Box<dyn Chapter>]>;

/// A stack, the controller that keeps it, and what is under way.
pub(crate) struct Script {
    pub(crate) stack: Stack,
    pub(crate) controller: Controller<Chapters>,
    pub(crate) now: Now,
    wake_at: Option<Mono>,
    under_way: Vec<Step>,
    documents: BTreeMap<(String, String), Value>,
    output: String,
}

fn daemon(pid: u32) -> Principal {
    Principal::Daemon {
        pid,
        build: "test".to_owned(),
    }
}

pub(crate) fn person() -> Principal {
    Principal::Person {
        uid: Some(1000),
        name: "ana".to_owned(),
        via: Via::Socket,
    }
}

fn controller(world: World, pid: u32) -> Controller<Chapters> {
    let chapters: Chapters = Arc::from(vec![Box::new(Supervise) as Box<dyn Chapter>]);
    Controller::new(world, chapters, daemon(pid))
}

impl Script {
    pub(crate) fn new() -> Self {
        let world = World {
            cores: 2,
            ports: 20_000..20_010,
            ..World::default()
        };
        Self {
            stack: Stack {
                name: "s".parse().unwrap(),
                source: StackSource {
                    files: vec!["/s/stack.yml".into()],
                    directory: "/s".into(),
                    owner_uid: 1000,
                    owner_gid: 1000,
                },
                services: BTreeMap::new(),
                edge: Edge::default(),
                deploy: DeployPolicy::default(),
                config: None,
                vault: None,
                metrics: None,
                alerts: None,
                rotations: Default::default(),
            },
            controller: controller(world, 1),
            now: Now {
                mono: Mono(100_000_000_000),
                wall: Wall(1_795_265_075_000),
            },
            wake_at: None,
            under_way: Vec::new(),
            documents: BTreeMap::new(),
            output: String::new(),
        }
    }

    /// Reads a whole script and returns it with the reactions in place of those it had.
    pub(crate) fn play(text: &str) -> String {
        let mut script = Self::new();
        for line in text.lines().filter(|line| !line.starts_with("    ")) {
            script.output.push_str(line);
            script.output.push('\n');
            match line.split_once(' ') {
                Some(("service", rest)) => script.service(rest),
                Some(("route", name)) => script.route(name),
                Some((">", what)) => script.happens(what),
                _ => assert!(line.is_empty() || line.starts_with('#'), "what is `{line}`?"),
            }
        }
        script.output
    }

    pub(crate) fn service(&mut self, text: &str) {
        let mut words = text.split_whitespace();
        let mut service = plain(words.next().expect("a name"));
        let mut retries = 1;
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            let time = || parse_duration(value).unwrap();
            match key {
                "replicas" if value == "max" => service.replicas = Replicas::Max,
                "replicas" => service.replicas = Replicas::Count(value.parse().unwrap()),
                "port" if value.is_empty() => service.port = Port::Variable("PORT".to_owned()),
                "port" => service.port = Port::Fixed(value.parse().unwrap()),
                "restart" => {
                    service.restart.condition = match value {
                        "never" => Condition::Never,
                        "on-failure" => Condition::OnFailure,
                        _ => Condition::Always,
                    }
                }
                "delay" => service.restart.delay = time(),
                "delay_max" => service.restart.delay_max = time(),
                "attempts" => service.restart.max_attempts = value.parse().unwrap(),
                "window" => service.restart.window = time(),
                "start_period" => service.start_period = time(),
                "grace" => service.stop.grace_period = time(),
                "drain" => service.stop.drain = time(),
                "quiesce" => {
                    service.quiesce = Some(Quiesce {
                        path: "/quiesce".to_owned(),
                        in_flight_path: "/in-flight".to_owned(),
                        in_flight_metric: None,
                        deadline: time(),
                    });
                }
                "signal" => service.stop.signal = value.parse().unwrap(),
                "retries" => retries = value.parse().unwrap(),
                "readiness" => service.readiness = Some(probe()),
                "liveness" => service.liveness = Some(probe()),
                "memory" => service.resources.memory_max = Some(parse_bytes(value).unwrap()),
                "every" => service.restart_schedule = Some(Schedule::Every(time())),
                "prepare" => match &mut service.workload {
                    Workload::Process(process) => process.prepare = Some(vec![value.to_owned()]),
                    Workload::Container { .. } => panic!("a container is not prepared"),
                },
                "needs" => {
                    let (on, condition) = value.split_once(':').unwrap();
                    let restart = condition.ends_with(":restart");
                    let condition = condition.trim_end_matches(":restart");
                    service.depends_on.push(Dependency {
                        service: on.parse().unwrap(),
                        condition: match condition {
                            "started" => DependencyCondition::Started,
                            "healthy" => DependencyCondition::Healthy,
                            "completed" => DependencyCondition::CompletedSuccessfully,
                            other => panic!("no condition `{other}`"),
                        },
                        restart,
                        required: true,
                    });
                }
                other => panic!("no key `{other}`"),
            }
        }
        for probe in [&mut service.readiness, &mut service.liveness].into_iter().flatten() {
            probe.retries = retries;
        }
        self.stack.services.insert(service.name.clone(), service);
    }

    pub(crate) fn route(&mut self, name: &str) {
        self.stack.edge.listeners = vec![Listener::plain("127.0.0.1:8080".parse().unwrap())];
        self.stack.edge.routes.push(Route {
            listeners: Vec::new(),
            host: None,
            path_prefix: format!("/{name}"),
            service: Some(name.parse().unwrap()),
            policy: RoutePolicy::default(),
        });
    }

    fn happens(&mut self, what: &str) {
        if what == "wake" {
            let at = self.wake_at.expect("the controller wants to be woken");
            self.later(at.since(self.now.mono));
            self.feed(Input::Tick);
            return;
        }
        let (delay, what) = what.split_once(' ').expect("a time and what happens");
        self.later(parse_duration(delay).unwrap());
        let words: Vec<&str> = what.split_whitespace().collect();
        match words.as_slice() {
            ["done"] => {
                for step in std::mem::take(&mut self.under_way) {
                    for input in self.succeeds(&step) {
                        self.feed(input);
                    }
                }
            }
            ["daemon", "killed"] => {
                let documents = self
                    .documents
                    .iter()
                    .map(|((kind, id), value)| (kind.clone(), id.clone(), value.clone()));
                let world = restore(2, 20_000..20_010, documents.collect::<Vec<_>>()).unwrap();
                self.controller = controller(world, 2);
                (self.under_way, self.wake_at) = (Vec::new(), None);
            }
            ["jump", by] => self.now.wall.0 += parse_duration(by).unwrap().as_millis() as u64,
            ["status"] => self.status(),
            ["plan", wish @ ..] => {
                let wish = self.wish(wish);
                let plan = self.controller.rehearse(&self.stack.name, wish, self.now);
                for planned in plan.steps {
                    self.print(&planned.step.to_string());
                }
            }
            words => {
                let input = self.input(words);
                let mut under_way = std::mem::take(&mut self.under_way);
                under_way.retain(|step| !self.answers(&input, step));
                self.under_way = under_way;
                self.feed(input);
            }
        }
    }

    pub(crate) fn later(&mut self, delay: Duration) {
        self.now.mono = self.now.mono + delay;
        self.now.wall.0 += delay.as_millis() as u64;
    }

    /// Feeds one input and writes down the reaction.
    pub(crate) fn feed(&mut self, input: Input) -> Vec<Step> {
        let reaction = self.controller.handle(input, self.now);
        let Reaction {
            steps,
            entries,
            documents,
            wake_at,
        } = reaction;
        for document in documents {
            let key = (document.kind.as_str().to_owned(), document.id);
            match document.value {
                Some(value) => self.documents.insert(key, value),
                None => self.documents.remove(&key),
            };
        }
        for entry in &entries {
            if !matches!(entry.kind, Kind::StepStarted | Kind::StepFinished) {
                self.print(&format!("* {} {} {}", entry.kind, entry.subject, brief(&entry.data)));
            }
        }
        for step in &steps {
            self.print(&step.to_string());
        }
        if wake_at != self.wake_at
            && let Some(at) = wake_at
        {
            assert!(at > self.now.mono, "it would wake without end");
            self.print(&format!("sleep {}", format_duration(at.since(self.now.mono))));
        }
        self.wake_at = wake_at;
        self.under_way.extend(steps.iter().cloned());
        steps
    }

    fn print(&mut self, line: &str) {
        self.output.push_str("    ");
        self.output.push_str(line);
        self.output.push('\n');
    }

    fn status(&mut self) {
        let world = self.controller.world().clone();
        for id in world.replicas.keys() {
            let (state, why) = replica_state(&world, id, self.now);
            let why = why.map_or_else(String::new, |why| format!(": {why}"));
            self.print(&format!("{id} is {state}{why}"));
        }
        for goal in goals(&world, &self.stack.name, self.now) {
            let line = match goal.state {
                GoalState::Pending(what) => format!("goal of {}: pending, {what}", goal.service),
                GoalState::Met(what) => format!("goal of {}: met, {what}", goal.service),
                GoalState::Failed { why, hint, .. } => format!("goal of {}: failed, {why}, {hint:?}", goal.service),
                GoalState::NeedsEngine => format!("goal of {}: needs an engine", goal.service),
            };
            self.print(&line);
        }
    }

    /// Returns the wish a person makes.
    pub(crate) fn wish(&mut self, words: &[&str]) -> Input {
        let by = person();
        let id = |name: &str| ServiceId {
            stack: "s".parse().unwrap(),
            service: name.parse().unwrap(),
        };
        match *words {
            ["apply"] => Input::Apply {
                stack: Box::new(self.stack.clone()),
                by,
            },
            ["change", name] => {
                let service = self.stack.services.get_mut(&id(name).service).unwrap();
                if let Workload::Process(process) = &mut service.workload {
                    let version = process.environment.len().to_string();
                    process.environment.insert(format!("V{version}"), version);
                }
                Input::Apply {
                    stack: Box::new(self.stack.clone()),
                    by,
                }
            }
            ["drop", name] => {
                self.stack.services.remove(&id(name).service);
                Input::Apply {
                    stack: Box::new(self.stack.clone()),
                    by,
                }
            }
            ["remove"] => Input::Remove {
                stack: self.stack.name.clone(),
                by,
            },
            ["scale", name, replicas] => Input::Scale {
                service: id(name),
                replicas: replicas.parse().unwrap(),
                by,
            },
            ["restart", name] => Input::Restart {
                service: id(name),
                slot: None,
                by,
            },
            ["restart", name, slot] => Input::Restart {
                service: id(name),
                slot: slot.parse().ok(),
                by,
            },
            ["stop", name] => Input::Stop {
                service: id(name),
                stopped: true,
                by,
            },
            ["start", name] => Input::Stop {
                service: id(name),
                stopped: false,
                by,
            },
            _ => panic!("nobody can wish `{}`", words.join(" ")),
        }
    }

    fn input(&mut self, words: &[&str]) -> Input {
        let (first, rest) = words.split_first().expect("what happens");
        let why = || "it went wrong".to_owned();
        let failed = rest.contains(&"failed");
        let result = if failed { Err(why()) } else { Ok(()) };
        let world = self.controller.world();
        let replica = || -> (ReplicaId, u64) {
            let id: ReplicaId = format!("s/{}", rest[0]).parse().unwrap();
            let incarnation = world.replicas.get(&id).map_or(0, |replica| replica.incarnation);
            (id, incarnation)
        };
        let service = || ServiceId {
            stack: "s".parse().unwrap(),
            service: rest[0].parse().unwrap(),
        };
        let generation = world.edge.generation;
        match *first {
            "tick" => Input::Tick,
            "surveyed" => Input::Surveyed,
            "prepared" => {
                let fingerprint = self.stack.services[&service().service].fingerprint();
                Input::Prepared {
                    service: service(),
                    fingerprint,
                    result,
                }
            }
            "started" => {
                let (replica, incarnation) = replica();
                let bad = failed.then(|| StartFailure {
                    why: why(),
                    hint: Some("mend it".to_owned()),
                    permanent: rest.contains(&"permanently"),
                    port_taken: rest.contains(&"port"),
                });
                Input::Started {
                    replica,
                    incarnation,
                    result: bad.map_or(Ok(7), Err),
                }
            }
            "ready" | "live" => {
                let (replica, incarnation) = replica();
                let kind = if *first == "ready" {
                    ProbeKind::Readiness
                } else {
                    ProbeKind::Liveness
                };
                Input::Probed {
                    replica,
                    incarnation,
                    kind,
                    result,
                }
            }
            "quiesced" => {
                let (replica, incarnation) = replica();
                let under_way = self.under_way.iter().find_map(|step| match step {
                    Step::Quiesce {
                        replica: of,
                        incarnation,
                        turn,
                        ..
                    } if *of == replica => Some((*incarnation, *turn)),
                    _ => None,
                });
                let (incarnation, turn) = under_way.unwrap_or((incarnation, QuiesceTurn::Ask));
                Input::Quiesced {
                    replica,
                    incarnation,
                    turn,
                    result: result.map(|()| rest[1].parse().unwrap()),
                }
            }
            "signalled" => {
                let (replica, incarnation) = replica();
                Input::Signalled {
                    replica,
                    incarnation,
                    result,
                }
            }
            "killed" => {
                let (replica, incarnation) = replica();
                Input::Killed {
                    replica,
                    incarnation,
                    result,
                }
            }
            "shim-lost" => {
                let (replica, incarnation) = replica();
                Input::ShimLost { replica, incarnation }
            }
            "shim-replaced" => {
                let (replica, incarnation) = replica();
                Input::ShimReplaced {
                    replica,
                    incarnation,
                    result,
                }
            }
            "published" => Input::Published { generation, result },
            "serving" => Input::EdgeServing { generation },
            "verified" => {
                let answered = ReplicaId {
                    stack: "s".parse().unwrap(),
                    service: service().service,
                    slot: 1,
                };
                let revision = world.stacks[&self.stack.name].revision;
                Input::Verified {
                    service: service(),
                    revision,
                    result: result.map(|()| answered),
                }
            }
            "edge-connected" => Input::EdgeConnected {
                serving: rest.first().map_or(0, |text| text.parse().unwrap()),
            },
            "edge-rules-changed" => Input::EdgeRulesChanged,
            "port-taken" => Input::PortsTaken {
                ports: vec![rest[0].parse().unwrap()],
            },
            "inner-port-taken" => {
                let service = service();
                let port = world.services[&service].loopback_port.unwrap();
                Input::InnerPortTaken { service, port }
            }
            "edge-lost" => Input::EdgeLost,
            "edge-failed" => Input::EdgeStartFailed { why: why() },
            "adopted" => {
                let (replica, incarnation) = replica();
                let service = self.stack.services.get(&replica.service);
                let fingerprint = service.map_or(0, Service::fingerprint);
                let port = world.replicas.get(&replica).and_then(|replica| replica.port);
                let since = self.now.mono - Duration::from_secs(60);
                Input::Adopted {
                    replica,
                    incarnation,
                    pid: 7,
                    since,
                    port,
                    fingerprint,
                    quiesce: None,
                    shim_alive: !failed,
                }
            }
            "exited" => {
                let (replica, incarnation) = replica();
                let exit = match rest.get(1) {
                    Some(&"oom") => Exit::OomKilled,
                    Some(&"segv") => Exit::Signalled {
                        signal: 11,
                        core_dumped: true,
                    },
                    Some(code) => Exit::Exited(code.parse().unwrap()),
                    None => Exit::Exited(0),
                };
                // `ran 40s ago 9s`: on record, and only found now.
                let lived = match rest[2.min(rest.len())..] {
                    ["ran", ran, "ago", ago] => {
                        let to = self.now.mono - parse_duration(ago).unwrap();
                        let from = to - parse_duration(ran).unwrap();
                        Some(Lived { from, to })
                    }
                    _ => None,
                };
                Input::Exited {
                    replica,
                    incarnation,
                    exit,
                    lived,
                    last_lines: vec!["last words".to_owned()],
                }
            }
            "uses" => {
                let (replica, incarnation) = replica();
                Input::Measured {
                    replica,
                    incarnation,
                    memory: parse_bytes(rest[1]).unwrap(),
                    cpu_permille: 3,
                }
            }
            "in-flight" => Input::InFlight {
                replica: replica().0,
                count: rest[1].parse().unwrap(),
            },
            _ => self.wish(words),
        }
    }

    /// Returns whether an input is the outcome of a step.
    fn answers(&self, input: &Input, step: &Step) -> bool {
        self.succeeds(step).first().is_some_and(|outcome| {
            let same = std::mem::discriminant(outcome) == std::mem::discriminant(input);
            match (outcome, input) {
                (
                    Input::Probed { replica, kind, .. },
                    Input::Probed {
                        replica: other,
                        kind: asked,
                        ..
                    },
                ) => replica == other && kind == asked,
                (Input::Started { replica, .. }, Input::Started { replica: other, .. })
                | (Input::Quiesced { replica, .. }, Input::Quiesced { replica: other, .. })
                | (Input::Signalled { replica, .. }, Input::Signalled { replica: other, .. })
                | (Input::Killed { replica, .. }, Input::Killed { replica: other, .. }) => replica == other,
                (Input::EdgeConnected { .. }, Input::EdgeStartFailed { .. }) => true,
                _ => same,
            }
        })
    }

    /// Returns what follows when a step succeeds at once.
    pub(crate) fn succeeds(&self, step: &Step) -> Vec<Input> {
        let ended = |replica: &ReplicaId, incarnation: u64, exit: Exit| Input::Exited {
            replica: replica.clone(),
            incarnation,
            exit,
            lived: None,
            last_lines: Vec::new(),
        };
        match step.clone() {
            Step::Prepare { service, launch } => {
                vec![Input::Prepared {
                    service,
                    fingerprint: launch.fingerprint,
                    result: Ok(()),
                }]
            }
            Step::Start {
                replica, incarnation, ..
            } => vec![Input::Started {
                replica,
                incarnation,
                result: Ok(7),
            }],
            Step::Probe {
                replica,
                incarnation,
                kind,
                ..
            } => {
                vec![Input::Probed {
                    replica,
                    incarnation,
                    kind,
                    result: Ok(()),
                }]
            }
            Step::Quiesce {
                replica,
                incarnation,
                turn,
                ..
            } => vec![Input::Quiesced {
                replica,
                incarnation,
                turn,
                result: Ok(0),
            }],
            Step::Signal {
                replica, incarnation, ..
            } => vec![
                Input::Signalled {
                    replica: replica.clone(),
                    incarnation,
                    result: Ok(()),
                },
                ended(&replica, incarnation, Exit::Exited(0)),
            ],
            Step::Kill {
                replica, incarnation, ..
            } => vec![
                Input::Killed {
                    replica: replica.clone(),
                    incarnation,
                    result: Ok(()),
                },
                ended(
                    &replica,
                    incarnation,
                    Exit::Signalled {
                        signal: 9,
                        core_dumped: false,
                    },
                ),
            ],
            Step::ReplaceShim { replica, incarnation } => {
                vec![Input::ShimReplaced {
                    replica,
                    incarnation,
                    result: Ok(()),
                }]
            }
            Step::Act { stack, deployment, act } => vec![Input::Acted {
                stack,
                deployment,
                act,
                result: Ok(Value::Null),
            }],
            Step::StartEdge => vec![Input::EdgeConnected { serving: 0 }],
            Step::Publish { generation, endpoints } => {
                let draining = endpoints.into_values().flatten().filter(|endpoint| endpoint.draining);
                let drained = draining.map(|endpoint| Input::InFlight {
                    replica: endpoint.replica,
                    count: 0,
                });
                let told = [
                    Input::Published {
                        generation,
                        result: Ok(()),
                    },
                    Input::EdgeServing { generation },
                ];
                told.into_iter().chain(drained).collect()
            }
            Step::Verify { service, revision, .. } => {
                let answered = ReplicaId {
                    stack: service.stack.clone(),
                    service: service.service.clone(),
                    slot: 1,
                };
                vec![Input::Verified {
                    service,
                    revision,
                    result: Ok(answered),
                }]
            }
        }
    }

    pub(crate) fn take_under_way(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.under_way)
    }

    pub(crate) fn wake_at(&self) -> Option<Mono> {
        self.wake_at
    }
}

/// Leaves out of an entry what a test of decisions does not turn on.
fn brief(data: &Value) -> String {
    let Some(fields) = data.as_object() else {
        return data.to_string();
    };
    let kept = fields.iter().filter(|(name, value)| {
        !matches!(
            name.as_str(),
            "replica" | "last_lines" | "pid" | "stable_until" | "hint"
        ) && !value.is_null()
    });
    let kept = kept.map(|(name, value)| match value.as_array() {
        Some(items) => format!("{name}={}", items.len()),
        None => format!("{name}={value}"),
    });
    kept.collect::<Vec<_>>().join(" ")
}

fn probe() -> Probe {
    Probe {
        action: ProbeAction::Tcp { port: None },
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(3),
        retries: 1,
        start_period: Duration::from_secs(5),
        start_interval: Duration::from_secs(1),
    }
}

fn plain(name: &str) -> Service {
    Service {
        name: name.parse().unwrap(),
        workload: Workload::Process(Process {
            command: vec!["serve".to_owned()],
            directory: "/s".into(),
            environment: BTreeMap::new(),
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
            delay_max: Duration::from_secs(30),
            max_attempts: 5,
            window: Duration::from_secs(10),
        },
        restart_schedule: None,
        liveness: None,
        readiness: None,
        start_period: Duration::from_secs(1),
        resources: Resources::default(),
        stop: Stop {
            signal: 15,
            grace_period: Duration::from_secs(10),
            drain: Stop::DRAIN,
        },
        logs: Logs {
            file_bytes_max: 1 << 20,
            files_max: 2,
            when_behind: WhenBehind::Drop,
        },
        port: Port::None,
        update: Update::default(),
        rollback: Update::default(),
        strategy: Strategy::default(),
        smoke: Vec::new(),
        quiesce: None,
        secrets: Vec::new(),
        config: None,
        metrics: None,
    }
}
