//! A daemon with canned answers, behind a real unix socket on a thread of its own. It notes what it is asked.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde::Serialize;
use tend_api::messages::*;
use tend_api::{ApiError, Call, Caller, Class, Handler, Purpose, Reply, lines, serve};
use tend_base::{Mono, Now, Secret, Wall};
use tend_core::journal::{Change, CrashCard, Entry, Event, EventId, GENESIS, Kind, Principal, Subject, Via, chain};
use tend_core::model::{ReplicaId, StackName};
use tokio::net::UnixListener;
use tokio::sync::oneshot;

use crate::folder::Folder;

/// When everything happens.
const AT: Wall = Wall(1_795_265_075_123);

/// Which stacks there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// None.
    Empty,
    /// `mps`, one of whose replicas is in trouble.
    One,
    /// `mps`, and `shop` of another folder.
    Two,
}

/// The daemon; ends when dropped.
pub(crate) struct Fake {
    folder: Folder,
    asked: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Answers {
    scene: Scene,
    /// Where the file of `mps` lies.
    stacks: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// Starts the daemon; `stacks` is the folder that holds `mps/stack.yml`.
    pub(crate) fn start(scene: Scene, stacks: &Path) -> Self {
        let folder = Folder::new();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answers = Arc::new(Answers {
            scene,
            stacks: stacks.to_owned(),
            asked: Arc::clone(&asked),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let socket = folder.path().join("tend.sock");
        let (bound, is_bound) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = UnixListener::bind(socket).unwrap();
                bound.send(()).unwrap();
                serve(listener, answers, async {
                    let _ = stopped.await;
                })
                .await;
            });
        });
        is_bound.recv().unwrap();
        Self {
            folder,
            asked,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Returns the folder of its socket.
    pub(crate) fn run(&self) -> &Path {
        self.folder.path()
    }

    /// Returns what it was asked since the last time, one line for each call that is more than a look around.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Handler for Answers {
    async fn handle(&self, _: Caller, call: Call) -> Reply {
        self.note(&call);
        match call {
            Call::Version => Reply::json(&VersionReport {
                version: "0.1.0".to_owned(),
                build: "3f9c2a".to_owned(),
                protocol: 1,
            }),
            Call::Daemon => Reply::json(&daemon()),
            Call::Stacks => Reply::json(&StackList { stacks: self.stacks() }),
            Call::StackStatus(stack) => match self.stacks().iter().any(|it| it.name == stack) {
                true => Reply::json(&self.status(&stack)),
                false => no_stack(&stack),
            },
            Call::Describe(id) if id.service.as_str() == "api" => Reply::json(&ServiceDescription {
                status: self.status(&id.stack).services.remove(0),
                stack: id.stack,
                definition: definition(),
                recent: vec!["12:44:35 2 exited with code 1; started again in 4s".to_owned()],
            }),
            Call::Describe(id) => Reply::Refused(
                ApiError::new(
                    Class::NotFound,
                    format!("`{}` has no service `{}`", id.stack, id.service),
                )
                .hint("its services are api and db"),
            ),
            Call::Plan(plan) => Reply::json(&PlanReport {
                stack: plan.stack.name.clone(),
                steps: match plan.stack.name.as_str() {
                    "fails" => Vec::new(),
                    _ => plan_steps(),
                },
                warnings: Vec::new(),
            }),
            Call::Apply(apply) if apply.stack.name.as_str() == "fails" => sent(failing_lines()),
            Call::Apply(_) => sent(up_lines()),
            Call::Remove(stack) => sent(vec![
                step(Stage::Stop, &format!("{stack}/api/1"), StageState::Done, "SIGTERM", 812),
                finished(&[], &[]),
            ]),
            Call::Restart(target) if target.slot == Some(9) => Reply::Refused(
                ApiError::new(Class::Conflict, format!("`{target}` is being deployed"))
                    .hint("wait for it: `tend status`"),
            ),
            Call::Restart(_) | Call::Stop(_) | Call::Start(_) | Call::Scale(_) => sent(vec![
                step(
                    Stage::Ready,
                    "mps/api/1",
                    StageState::Done,
                    "GET /ready answered 200",
                    412,
                ),
                finished(&[], &[]),
            ]),
            Call::Events(_) => sent(events()),
            Call::Logs(_) => sent(log_lines()),
            Call::Environment(query) => Reply::json(&EnvironmentReport {
                environment: [
                    ("PATH", "/usr/bin:/bin"),
                    ("GREETING", "hello"),
                    ("PURPOSE", if query.purpose == Purpose::Run { "run" } else { "exec" }),
                ]
                .map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned())))
                .into(),
                directory: self.stacks.clone(),
                // A service `nobody` runs as that user, any other as the one who tests.
                uid: match query.target.service.as_ref().map(|it| it.as_str()) {
                    Some("nobody") => 65_534,
                    _ => rustix::process::geteuid().as_raw(),
                },
                gid: match query.target.service.as_ref().map(|it| it.as_str()) {
                    Some("nobody") => 65_534,
                    _ => rustix::process::getegid().as_raw(),
                },
                groups: vec![4242],
                cgroup: None,
            }),
            Call::RunFinished(_) => Reply::json(&Accepted {
                message: "written down".to_owned(),
            }),
            Call::Shutdown | Call::Upgrade(_) => Reply::Refused(
                ApiError::new(Class::Denied, "only user 0 may do this")
                    .hint("run it as the user who started the daemon, or as root"),
            ),
        }
    }
}

impl Answers {
    fn note(&self, call: &Call) {
        if matches!(call, Call::Version | Call::Daemon | Call::Stacks | Call::StackStatus(_)) {
            return;
        }
        let encoded = call.encode();
        let body = match call {
            // The whole stack is the stack file's business.
            Call::Apply(apply) => format!("{apply:?}"),
            Call::Plan(plan) => format!("{plan:?}"),
            _ => String::from_utf8(encoded.body).unwrap(),
        };
        let line = format!("{} {} {body}", encoded.method, encoded.address);
        self.asked.lock().unwrap().push(line.trim_end().to_owned());
    }

    fn stacks(&self) -> Vec<StackSummary> {
        let summary = |name: &str, file: PathBuf, state, ready, wanted| StackSummary {
            name: name.parse().unwrap(),
            file,
            revision: 4,
            state,
            services: 2,
            wanted_replicas: wanted,
            ready_replicas: ready,
            urls: vec![format!("http://{name}.localhost:8080/")],
        };
        let mps = summary("mps", self.stacks.join("mps/stack.yml"), ServiceState::Degraded, 1, 4);
        let shop = summary("shop", "/srv/shop/stack.yml".into(), ServiceState::Running, 12, 12);
        match self.scene {
            Scene::Empty => Vec::new(),
            Scene::One => vec![mps],
            Scene::Two => vec![mps, shop],
        }
    }

    fn status(&self, stack: &StackName) -> StackStatus {
        let summary = self.stacks().into_iter().find(|it| it.name == *stack).unwrap();
        let replica = |slot: u32, state, why: &str| ReplicaStatus {
            id: ReplicaId {
                stack: stack.clone(),
                service: "api".parse().unwrap(),
                slot,
            },
            state,
            why: why.to_owned(),
            pid: (state == ReplicaState::Ready).then_some(4710 + slot),
            port: Some(20_000 + u16::try_from(slot).unwrap()),
            incarnation: 1,
            uptime_seconds: (state == ReplicaState::Ready).then_some(7300),
            restarts: if state == ReplicaState::Ready { 0 } else { 12 },
            last_exit: (state != ReplicaState::Ready).then(|| "exit code 1".to_owned()),
            memory_bytes: (state == ReplicaState::Ready).then_some(47 << 20),
            cpu_percent: (state == ReplicaState::Ready).then_some(1.5),
        };
        StackStatus {
            name: stack.clone(),
            file: summary.file,
            revision: summary.revision,
            state: summary.state,
            services: vec![
                ServiceStatus {
                    name: "api".parse().unwrap(),
                    workload: WorkloadKind::Process,
                    state: ServiceState::Degraded,
                    why: String::new(),
                    wanted_replicas: 3,
                    ready_replicas: 1,
                    urls: summary.urls,
                    internal_url: Some("http://127.0.0.1:21001".to_owned()),
                    replicas: vec![
                        replica(1, ReplicaState::Ready, ""),
                        replica(2, ReplicaState::BackingOff, "started again in 4s"),
                        replica(3, ReplicaState::Failing, "10 failures in a row, tried every 1m"),
                    ],
                },
                ServiceStatus {
                    name: "db".parse().unwrap(),
                    workload: WorkloadKind::Container,
                    state: ServiceState::NeedsEngine,
                    why: "postgres:15 needs a container engine".to_owned(),
                    wanted_replicas: 1,
                    ready_replicas: 0,
                    urls: Vec::new(),
                    internal_url: None,
                    replicas: Vec::new(),
                },
            ],
            listeners: vec![ListenerStatus {
                address: "127.0.0.1:8443".parse().unwrap(),
                bound: false,
                why: "another program has this port".to_owned(),
            }],
            routes: Vec::new(),
            warnings: vec!["memory limits are measured, not enforced by the kernel".to_owned()],
        }
    }
}

fn no_stack(stack: &StackName) -> Reply {
    Reply::Refused(ApiError::new(Class::NotFound, format!("there is no stack `{stack}`")))
}

fn daemon() -> DaemonReport {
    DaemonReport {
        pid: 812,
        uid: 1000,
        version: "0.1.0".to_owned(),
        build: "3f9c2a".to_owned(),
        state: "/home/ana/.local/state/tend".into(),
        run: "/run/user/1000/tend".into(),
        uptime_seconds: 86_465,
        memory_bytes: Some(9 << 20),
        edge: EdgeReport {
            state: EdgeState::Running,
            pid: Some(820),
            snapshot: 12,
            attested: Some(11),
            memory_bytes: Some(6 << 20),
        },
        limits: LimitsReport {
            memory: Enforcement::Measured,
            cpus: Enforcement::None,
            pids: Enforcement::None,
            why: "cgroup v2 is not delegated to this user".to_owned(),
        },
        stacks: 1,
        replicas: 3,
    }
}

fn definition() -> Definition {
    Definition {
        command: vec!["bin/api".to_owned()],
        directory: Some("/srv/mps".into()),
        environment: vec!["API_KEY".to_owned(), "NODE_ENV".to_owned()],
        replicas: "3".to_owned(),
        depends_on: vec!["db is ready".to_owned(), "cache is started".to_owned()],
        restart: "always; 4s to 1m between tries, failing after 10 in a row".to_owned(),
        readiness: Some("GET /ready every 30s, 3s to answer, 3 retries, 5s start period".to_owned()),
        limits: vec!["memory 1.0 GB".to_owned(), "processors 1".to_owned()],
        stop: "signal 15, then SIGKILL after 10s".to_owned(),
        logs: "5 files of 10.0 MB each, dropping when behind".to_owned(),
        port: "in PORT".to_owned(),
        ..Definition::default()
    }
}

fn plan_steps() -> Vec<PlannedStep> {
    let step = |subject: &str, action: &str, detail: &str, undo: Option<&str>| PlannedStep {
        subject: subject.to_owned(),
        action: action.to_owned(),
        detail: detail.to_owned(),
        undo: undo.map(str::to_owned),
    };
    vec![
        step("mps/api", "prepare", "make", None),
        step("mps/api/3", "start", "3 replicas are wanted, 2 are there", Some("stop")),
    ]
}

fn step(stage: Stage, subject: &str, state: StageState, message: &str, took: u64) -> ProgressLine {
    ProgressLine::Progress(Progress {
        at: AT,
        stage,
        subject: subject.to_owned(),
        state,
        message: message.to_owned(),
        took_ms: matches!(state, StageState::Done | StageState::Failed).then_some(took),
    })
}

fn finished(urls: &[&str], try_next: &[&str]) -> ProgressLine {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    ProgressLine::Finished(Finished {
        ok: true,
        took_ms: 2412,
        urls: owned(urls),
        try_next: owned(try_next),
        ..Finished::default()
    })
}

fn up_lines() -> Vec<ProgressLine> {
    let api = "mps/api/1";
    vec![
        step(Stage::Listen, "127.0.0.1:8080", StageState::Done, "", 1),
        step(Stage::Depend, "mps/api", StageState::Waiting, "db is not ready", 0),
        step(Stage::Depend, "mps/api", StageState::Waiting, "db is not ready", 0),
        step(Stage::Depend, "mps/api", StageState::Done, "", 1000),
        step(Stage::Start, api, StageState::Begun, "", 0),
        step(Stage::Start, api, StageState::Done, "pid 4711, port 20001", 12),
        step(Stage::Ready, api, StageState::Begun, "GET /ready", 0),
        step(Stage::Ready, api, StageState::Done, "GET /ready answered 200", 412),
        step(
            Stage::Answered,
            "mps/api",
            StageState::Done,
            "http://127.0.0.1:8080/ answered 200",
            8,
        ),
        finished(&["http://127.0.0.1:8080/"], &["tend status", "tend logs -f api"]),
    ]
}

fn failing_lines() -> Vec<ProgressLine> {
    let api = "fails/api/1";
    vec![
        step(Stage::Start, api, StageState::Done, "pid 4712", 9),
        step(Stage::Ready, api, StageState::Failed, "exited with code 1", 120),
        ProgressLine::Finished(Finished {
            ok: false,
            took_ms: 900,
            reason: "fails/api/1 exited with code 1 three times in a row".to_owned(),
            last_lines: vec![
                "opening data/mps.sqlite".to_owned(),
                "\u{1b}[31merror\u{1b}[0m: no such table: members".to_owned(),
            ],
            next_step: "tend logs api".to_owned(),
            warnings: vec!["db needs a container engine: it was not started".to_owned()],
            ..Finished::default()
        }),
    ]
}

fn log_lines() -> Vec<LogLine> {
    let line = |slot: u32, source, text: &str| LogLine {
        at: Some(Wall(AT.0 + u64::from(slot))),
        replica: format!("mps/api/{slot}").parse().unwrap(),
        source,
        text: text.to_owned(),
    };
    vec![
        line(1, LogSource::Stdout, "listening on 20001"),
        line(12, LogSource::Stderr, "\u{1b}[2Jerror: 支付 failed"),
        line(1, LogSource::Tend, "12.0 KB of output were dropped"),
        line(1, LogSource::Stdout, ""),
    ]
}

fn events() -> Vec<Event> {
    let replica: ReplicaId = "mps/api/2".parse().unwrap();
    let ana = Principal::Person {
        uid: Some(1000),
        name: "ana".to_owned(),
        via: Via::Socket,
    };
    let daemon = Principal::Daemon {
        pid: 812,
        build: "3f9c2a".to_owned(),
    };
    let rule = Principal::Rule {
        name: "mps/api restart".to_owned(),
    };
    let card = CrashCard {
        replica: Subject::from(replica.clone()),
        exit: "exited with code 1".to_owned(),
        uptime_ms: 250_000,
        restarts: 3,
        last_lines: vec!["error: no such table: members".to_owned()],
        stable_until: Some(AT),
        changes_since_stable: vec![Change {
            at: AT,
            by: "ana".to_owned(),
            what: "stack applied, revision 4".to_owned(),
        }],
        next: "started again in 4s".to_owned(),
    };
    let entries = [
        Entry::new(ana, Kind::StackApplied)
            .on(replica.stack.clone())
            .with(serde_json::json!({"revision": 4, "digest": "9f2c", "note": "two words"})),
        Entry::new(rule, Kind::ReplicaExited)
            .on(replica)
            .with(serde_json::to_value(card).unwrap())
            .caused_by(EventId(1)),
        Entry::new(daemon, Kind::StepStarted).with(serde_json::json!({
            "what": "start mps/api/2 on port 20002",
            "undo": {"by": "stop mps/api/2"},
        })),
    ];
    let mut previous = GENESIS;
    (1..)
        .zip(entries)
        .map(|(number, entry)| {
            let now = Now {
                mono: Mono(number),
                wall: Wall(AT.0 + number),
            };
            let event = chain(previous, entry, EventId(number), now);
            previous = event.hash;
            event
        })
        .collect()
}

/// Answers with lines, sent one after the other.
fn sent<T: Serialize + Send + Sync + 'static>(all: Vec<T>) -> Reply {
    let (sender, reader) = lines(4);
    tokio::spawn(async move {
        for line in &all {
            if sender.send(line).await.is_err() {
                return;
            }
        }
    });
    Reply::Lines(reader)
}
