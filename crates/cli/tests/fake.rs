//! A daemon with canned answers, behind a real unix socket on a thread of its own. It notes what it is asked.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde::Serialize;
use tend_api::messages::*;
use tend_api::{ApiError, Call, Caller, Class, DecideWord, Handler, Purpose, Reply, lines, serve};
use tend_base::{Exposed, Mono, Now, Secret, Wall};
use tend_core::journal::{Change, CrashCard, Entry, Event, EventId, GENESIS, Kind, Principal, Subject, Via, chain};
use tend_core::model::{ReplicaId, StackName};
use tokio::net::UnixListener;
use tokio::sync::oneshot;

use crate::fake_bans;
use crate::fake_certificates::certificates;
use crate::fake_config;
use crate::fake_money::keys;
use crate::folder::Folder;
use crate::{fake_audit, fake_monitor, fake_secrets};

/// When everything happens.
pub(crate) const AT: Wall = Wall(1_795_265_075_123);

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
            Call::Plan(plan) if plan.deploy => Reply::json(&PlanReport {
                stack: plan.stack.name.clone(),
                steps: plan_steps(),
                warnings: Vec::new(),
                release: Some(13),
                from: Some(12),
            }),
            Call::Plan(plan) => Reply::json(&PlanReport {
                stack: plan.stack.name.clone(),
                steps: match plan.stack.name.as_str() {
                    "fails" => Vec::new(),
                    _ => plan_steps(),
                },
                warnings: Vec::new(),
                release: None,
                from: None,
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
            Call::RotateSecret(_) | Call::Restart(_) | Call::Stop(_) | Call::Start(_) | Call::Scale(_) => sent(vec![
                step(
                    Stage::Ready,
                    "mps/api/1",
                    StageState::Done,
                    "GET /ready answered 200",
                    412,
                ),
                finished(&[], &[]),
            ]),
            Call::Door(door) => Reply::json(&Accepted {
                message: format!("{}: {}; the edge serves it so", door.stack, door.change),
            }),
            Call::AuditLogs(stack) => sent(fake_audit::lines(stack.as_ref())),
            Call::Secrets(stack) => fake_secrets::list(stack),
            Call::ChangeSecrets(change) => fake_secrets::change(&change),
            Call::RevealSecret(reveal) => fake_secrets::reveal(&reveal),
            Call::AddRecoveryKey(add) => fake_secrets::recovery_key(&add),
            Call::Ban(_) | Call::Unban(_) | Call::Bans | Call::EdgeMetrics => fake_bans::answer(self.scene, &call),
            Call::AskMonitor(ask) => fake_monitor::answer(&ask),
            Call::Money(query) => Reply::json(&MoneyList { keys: keys(&query) }),
            Call::Resolve(resolve) => Reply::json(&Accepted {
                message: format!("{} is in doubt no more: it may be sent again", resolve.key),
            }),
            Call::Spool => Reply::json(&SpoolReport {
                routes: vec![SpoolRoute {
                    route: "mps/api */callbacks".to_owned(),
                    waiting: 12,
                    oldest_at: Some(AT),
                    tries: 2,
                    last: Some("it was answered with 503".to_owned()),
                    refused: 1,
                }],
                refused: vec![RefusedCallback {
                    id: "5f0c1d2e9a8b7c6d5f0c1d2e9a8b7c6d".to_owned(),
                    route: "mps/api */callbacks".to_owned(),
                    method: "POST".to_owned(),
                    target: "/callbacks?from=bank".to_owned(),
                    received_at: AT,
                    tries: 1,
                    why: "it was answered with 400".to_owned(),
                }],
            }),
            Call::DropCallback(callback) => Reply::json(&Accepted {
                message: format!("{} is dropped; it is not delivered", callback.id),
            }),
            Call::Deploy(deploy) if deploy.stack.name.as_str() == "fails" => sent(undone_lines()),
            Call::Deploy(deploy) if deploy.reason.as_deref() == Some("nothing new") => {
                sent(vec![deployed(DeployOutcome::Unchanged, 12)])
            }
            Call::Deploy(deploy) if deploy.reason.as_deref() == Some("no disk") => sent(vec![not_deployed(
                DeployOutcome::Refused,
                "the disk has 12.0 MB free, 512.0 MB are asked for",
            )]),
            Call::Deploy(deploy) if deploy.reason.as_deref() == Some("a second one") => Reply::Refused(
                ApiError::new(
                    Class::Conflict,
                    "deploy 14 of mps to release 13 is under way: begun 3m ago by ana (less latency), now rolling",
                )
                .hint("`tend deploy --follow` shows how it goes on, `tend deploy --abort` ends it"),
            ),
            Call::Deploy(_) | Call::FollowDeployment(_) | Call::Promote(_) => sent(deploy_lines()),
            Call::Rollback(rollback) if rollback.to == Some(1) => sent(vec![not_deployed(
                DeployOutcome::Held,
                "mps/api/1 of release 1 was not ready within 5m",
            )]),
            Call::Rollback(_) => sent(vec![deployed(DeployOutcome::Committed, 11)]),
            Call::RollbackCheck(query) => Reply::json(&RollbackReport {
                stack: query.stack,
                from: 12,
                to: query.to.unwrap_or(11),
                safe: query.to.is_none(),
                reasons: match query.to {
                    None => Vec::new(),
                    Some(_) => vec!["the code of release 1 cannot live with 0003_drop_note.sql (contract)".to_owned()],
                },
                notes: vec!["the artifact of api is kept".to_owned()],
            }),
            Call::Decide(decide) if decide.word == DecideWord::Reject => Reply::Refused(
                ApiError::new(
                    Class::Conflict,
                    "the deployment is rolling: nothing waits to be approved",
                )
                .hint("`tend deploy --abort` ends it and undoes what it changed"),
            ),
            Call::Decide(decide) => Reply::json(&Accepted {
                message: format!("{}: taken", decide.word.as_str()),
            }),
            Call::Certificates => Reply::json(&certificates(self.scene == Scene::Empty, AT)),
            Call::RenewCertificates(renew) if renew.host.as_deref() == Some("old.example.com") => Reply::Refused(
                ApiError::new(
                    Class::NotFound,
                    "no certificate for old.example.com is got by ACME for the stack mps",
                )
                .hint("`tend cert list` shows them"),
            ),
            Call::RenewCertificates(renew) if renew.host.as_deref() == Some("api.example.com") => sent(vec![
                step(
                    Stage::Certificate,
                    "api.example.com",
                    StageState::Failed,
                    "no answer at port 80",
                    8200,
                ),
                ProgressLine::Finished(Finished {
                    took_ms: 8200,
                    reason: "api.example.com: no answer at port 80".to_owned(),
                    next_step: "does the name lead here?".to_owned(),
                    ..Finished::default()
                }),
            ]),
            Call::RenewCertificates(renew) => sent(vec![
                step(
                    Stage::Certificate,
                    "pay.example.com",
                    StageState::Done,
                    match renew.dry_run {
                        true => "it would be issued, says https://ca.example/dir; nothing was changed",
                        false => "issued, and seen at 0.0.0.0:443",
                    },
                    3100,
                ),
                finished(&[], &[]),
            ]),
            Call::Releases(stack) => Reply::json(&releases(stack)),
            Call::Release(query) if query.number > 13 => Reply::Refused(
                ApiError::new(
                    Class::NotFound,
                    format!("{} has no release {}", query.stack, query.number),
                )
                .hint("`tend releases` lists those that are kept"),
            ),
            Call::Release(query) => Reply::json(&ReleaseReport {
                summary: release(query.number, ReleaseRole::Running),
                stack: query.stack,
                configuration: "5d41402abc4b2a76".to_owned(),
                artifacts: [(
                    "api".parse().unwrap(),
                    ArtifactReport {
                        digest: "9f86d081884c7d65".to_owned(),
                        path: "/var/lib/tend/artifacts/9f86d081884c7d65".into(),
                        revision: Some("4f2a9c1".to_owned()),
                    },
                )]
                .into(),
                secrets: [("db_password".to_owned(), 3)].into(),
                migrations: vec![MigrationReport {
                    name: "0003_drop_note.sql".to_owned(),
                    class: "contract".to_owned(),
                }],
                services: [
                    ("api".parse().unwrap(), definition()),
                    ("worker".parse().unwrap(), definition()),
                ]
                .into(),
            }),
            Call::Events(_) => sent(events()),
            Call::Logs(_) => sent(log_lines()),
            Call::Environment(query) => Reply::json(&EnvironmentReport {
                environment: [
                    ("PATH", "/usr/bin:/bin"),
                    ("GREETING", "hello"),
                    ("PURPOSE", if query.purpose == Purpose::Run { "run" } else { "exec" }),
                ]
                .map(|(name, value)| (name.to_owned(), Exposed(Secret::new(value.to_owned()))))
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
            other => fake_config::answer(&other),
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
            Call::Deploy(deploy) => format!("{deploy:?}"),
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
            release: (stack.as_str() == "shop").then_some(12),
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
            certificates: if stack.as_str() == "shop" {
                certificates(false, AT).certificates
            } else {
                Vec::new()
            },
            release: (stack.as_str() == "shop").then_some(12),
            deployment: (stack.as_str() == "shop").then(deployment),
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

fn deploy_lines() -> Vec<ProgressLine> {
    vec![
        step(Stage::Build, "mps/api", StageState::Begun, "make", 0),
        step(Stage::Build, "mps/api", StageState::Done, "9f86d08 from 4f2a9c1", 3100),
        step(Stage::Check, "mps", StageState::Done, "7 things were looked at", 40),
        step(
            Stage::Wait,
            "mps",
            StageState::Waiting,
            "`tend approve mps --why …` lets it go on",
            0,
        ),
        step(Stage::Wait, "mps", StageState::Done, "ana: seen on staging", 61_000),
        step(Stage::Ready, "mps/api/4", StageState::Done, "", 412),
        step(Stage::Smoke, "mps/api", StageState::Done, "2 questions", 12),
        deployed(DeployOutcome::Committed, 13),
    ]
}

fn undone_lines() -> Vec<ProgressLine> {
    vec![
        step(
            Stage::Ready,
            "fails/api/4",
            StageState::Failed,
            "it exited with code 1",
            120,
        ),
        not_deployed(DeployOutcome::Undone, "fails/api/4 of release 13 exited with code 1"),
    ]
}

fn deployed(outcome: DeployOutcome, release: u64) -> ProgressLine {
    ProgressLine::Finished(Finished {
        ok: true,
        took_ms: 8200,
        deploy: Some(Deployed {
            outcome,
            release,
            running: Some(release),
        }),
        ..Finished::default()
    })
}

fn not_deployed(outcome: DeployOutcome, reason: &str) -> ProgressLine {
    ProgressLine::Finished(Finished {
        took_ms: 900,
        reason: reason.to_owned(),
        last_lines: vec!["error: no such table: members".to_owned()],
        next_step: "mend it, then deploy again".to_owned(),
        deploy: Some(Deployed {
            outcome,
            release: 13,
            running: Some(12),
        }),
        ..Finished::default()
    })
}

fn deployment() -> DeploymentReport {
    DeploymentReport {
        number: 14,
        purpose: "deploy".to_owned(),
        target: 13,
        from: Some(12),
        phase: "rolling".to_owned(),
        by: "ana".to_owned(),
        reason: Some("less latency".to_owned()),
        begun: AT,
        confirm_until: None,
        why: None,
    }
}

fn release(number: u64, role: ReleaseRole) -> ReleaseSummary {
    ReleaseSummary {
        number,
        role,
        made_at: AT,
        made_by: "ana".to_owned(),
        revision: "4f2a9c1".to_owned(),
        promoted_from: (number == 12).then(|| "mps-staging/7".to_owned()),
        notes: Vec::new(),
    }
}

fn releases(stack: StackName) -> ReleaseList {
    if stack.as_str() == "shop" {
        return ReleaseList {
            stack,
            releases: Vec::new(),
            deployment: None,
            history: Vec::new(),
        };
    }
    let attempt = |number: u64, result: &str, why: Option<&str>| AttemptReport {
        number,
        purpose: "deploy".to_owned(),
        target: number - 1,
        from: Some(number - 2),
        result: result.to_owned(),
        why: why.map(str::to_owned),
        by: "ana".to_owned(),
        ended: AT,
        took_ms: 8200,
    };
    ReleaseList {
        stack,
        releases: vec![
            ReleaseSummary {
                notes: vec!["api ran in place: its folder is not kept by tend".to_owned()],
                revision: String::new(),
                ..release(1, ReleaseRole::Kept)
            },
            release(11, ReleaseRole::Back),
            release(12, ReleaseRole::Running),
            release(13, ReleaseRole::Target),
        ],
        deployment: Some(deployment()),
        history: vec![
            attempt(12, "undone", Some("mps/api/1 of release 11 exited with code 1")),
            attempt(13, "committed", None),
        ],
    }
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
