//! Every message of an answer as it is written on the wire, and read again, also with fields of a newer daemon.

use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tend_api::messages::*;
use tend_api::{Answer, ApiError, Class, ENDPOINTS};
use tend_base::{Exposed, Now, Secret, Wall};
use tend_core::journal::{Entry, Event, EventId, GENESIS, Kind, Principal, Subject, chain};
use tend_core::model::{
    Condition, Dependency, DependencyCondition, Logs, Port, Probe, ProbeAction, Process, ReplicaId, Replicas,
    Resources, RestartPolicy, Schedule, Service, Stop, Strategy, Update, WhenBehind, Workload,
};

use crate::samples;

const AT: Wall = Wall(1_795_265_075_123);

/// Compares a message with its sample, and reads the sample again: as it is, and with a field more in every object.
pub(crate) fn check<T>(name: &str, message: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let mut text = serde_json::to_string_pretty(message).unwrap();
    text.push('\n');
    samples::assert_is(&format!("answers/{name}.json"), &text);
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), message, "{name}");
    let mut newer: Value = serde_json::from_str(&text).unwrap();
    add_a_field(&mut newer, MAPS);
    assert_eq!(&serde_json::from_value::<T>(newer).unwrap(), message, "{name}, newer");
}

/// Objects that are maps: a field more in them is an entry more, not a newer protocol.
const MAPS: &[&str] = &["environment", "data", "artifacts", "secrets", "services"];

fn add_a_field(value: &mut Value, maps: &[&str]) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| add_a_field(item, maps)),
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                if !(field.is_object() && maps.contains(&name.as_str())) {
                    add_a_field(field, maps);
                }
            }
            // A line of progress is a choice with exactly one name.
            if !["progress", "finding", "finished"]
                .iter()
                .any(|choice| fields.contains_key(*choice))
            {
                fields.insert("of_a_newer_daemon".to_owned(), Value::from(1));
            }
        }
        _ => {}
    }
}

fn replica(slot: u32) -> ReplicaId {
    format!("mps/api/{slot}").parse().unwrap()
}

fn service_status() -> ServiceStatus {
    ServiceStatus {
        name: "api".parse().unwrap(),
        workload: WorkloadKind::Process,
        state: ServiceState::Degraded,
        why: "1 of 2 replicas is ready".to_owned(),
        wanted_replicas: 2,
        ready_replicas: 1,
        urls: vec!["http://127.0.0.1:8080/".to_owned()],
        internal_url: Some("http://127.0.0.1:21001".to_owned()),
        replicas: vec![
            ReplicaStatus {
                id: replica(1),
                state: ReplicaState::Ready,
                why: String::new(),
                pid: Some(4711),
                port: Some(20_001),
                incarnation: 1,
                uptime_seconds: Some(7300),
                restarts: 0,
                last_exit: None,
                memory_bytes: Some(47 << 20),
                cpu_percent: Some(1.5),
                release: Some(12),
            },
            ReplicaStatus {
                id: replica(2),
                state: ReplicaState::BackingOff,
                why: "started again in 4s".to_owned(),
                pid: None,
                port: Some(20_002),
                incarnation: 3,
                uptime_seconds: None,
                restarts: 2,
                last_exit: Some("exit code 1".to_owned()),
                memory_bytes: None,
                cpu_percent: None,
                release: None,
            },
        ],
    }
}

fn release(number: u64, role: ReleaseRole) -> ReleaseSummary {
    ReleaseSummary {
        number,
        role,
        made_at: AT,
        made_by: "ana".to_owned(),
        revision: "4f2a9c1".to_owned(),
        promoted_from: Some("mps-staging/7".to_owned()),
        notes: Vec::new(),
    }
}

fn deployment() -> DeploymentReport {
    DeploymentReport {
        number: 14,
        purpose: "deploy".to_owned(),
        target: 13,
        from: Some(12),
        phase: "waiting to be confirmed".to_owned(),
        by: "ana".to_owned(),
        reason: Some("less latency".to_owned()),
        begun: AT,
        confirm_until: Some(Wall(AT.0 + 600_000)),
        why: None,
    }
}

fn service() -> Service {
    let probe = |action| Probe {
        action,
        interval: std::time::Duration::from_secs(30),
        timeout: std::time::Duration::from_secs(3),
        retries: 3,
        start_period: std::time::Duration::from_secs(5),
        start_interval: std::time::Duration::from_secs(1),
    };
    Service {
        name: "api".parse().unwrap(),
        workload: Workload::Process(Process {
            command: vec!["bin/api".to_owned(), "--serve".to_owned()],
            directory: "/srv/mps".into(),
            environment: [("API_KEY".to_owned(), "hunter2".to_owned())].into(),
            user: Some("mps".to_owned()),
            prepare: Some(vec!["make".to_owned()]),
            open_files_max: Some(65_536),
            artifact: Vec::new(),
            artifact_digest: None,
        }),
        replicas: Replicas::Max,
        depends_on: vec![Dependency {
            service: "db".parse().unwrap(),
            condition: DependencyCondition::Healthy,
            restart: false,
            required: false,
        }],
        restart: RestartPolicy {
            condition: Condition::OnFailure,
            delay: std::time::Duration::from_secs(4),
            delay_max: std::time::Duration::from_secs(60),
            max_attempts: 10,
            window: std::time::Duration::from_secs(10),
        },
        restart_schedule: Some(Schedule::Every(std::time::Duration::from_secs(43_200))),
        liveness: Some(probe(ProbeAction::Tcp { port: Some(9000) })),
        readiness: Some(probe(ProbeAction::Http {
            path: "/ready".to_owned(),
            port: None,
        })),
        start_period: std::time::Duration::from_secs(5),
        resources: Resources {
            memory_max: Some(1 << 30),
            cpus_max: Some(1.0),
            pids_max: Some(100),
            memory_reserved: Some(512 << 20),
            cpus_reserved: Some(0.5),
        },
        stop: Stop {
            signal: 15,
            grace_period: std::time::Duration::from_secs(10),
            drain: std::time::Duration::from_secs(30),
        },
        logs: Logs {
            file_bytes_max: 10 << 20,
            files_max: 5,
            when_behind: WhenBehind::Drop,
        },
        port: Port::Variable("PORT".to_owned()),
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

fn event() -> Event {
    let entry = Entry::new(
        Principal::Rule {
            name: "mps/api restart".to_owned(),
        },
        Kind::ReplicaStarted,
    )
    .on(Subject::from(replica(1)).incarnation(3))
    .with(serde_json::json!({"pid": 4711, "port": 20_001}))
    .caused_by(EventId(6));
    let now = Now {
        wall: AT,
        ..Now::default()
    };
    chain(GENESIS, entry, EventId(7), now)
}

#[test]
fn every_answer_is_read_as_it_is_written() {
    check(
        "VersionReport",
        &VersionReport {
            version: "0.1.0".to_owned(),
            build: "3f9c2a".to_owned(),
            protocol: 1,
        },
    );
    check(
        "Accepted",
        &Accepted {
            message: "the daemon ends; replicas go on".to_owned(),
        },
    );
    check(
        "DaemonReport",
        &DaemonReport {
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
                attested: Some(12),
                memory_bytes: Some(6 << 20),
            },
            limits: LimitsReport {
                memory: Enforcement::Measured,
                cpus: Enforcement::None,
                pids: Enforcement::None,
                why: "cgroup v2 is not delegated to this user".to_owned(),
            },
            stacks: 2,
            replicas: 5,
        },
    );
    check(
        "StackList",
        &StackList {
            stacks: vec![StackSummary {
                name: "mps".parse().unwrap(),
                file: "/srv/mps/stack.yml".into(),
                revision: 4,
                state: ServiceState::Degraded,
                services: 2,
                wanted_replicas: 3,
                ready_replicas: 1,
                urls: vec!["http://127.0.0.1:8080/".to_owned()],
            }],
        },
    );
    check(
        "StackStatus",
        &StackStatus {
            name: "mps".parse().unwrap(),
            file: "/srv/mps/stack.yml".into(),
            revision: 4,
            state: ServiceState::Degraded,
            services: vec![service_status()],
            listeners: vec![ListenerStatus {
                address: "127.0.0.1:8080".parse().unwrap(),
                bound: false,
                why: "another program has it".to_owned(),
            }],
            routes: vec![RouteStatus {
                listeners: vec!["127.0.0.1:8080".parse().unwrap()],
                host: Some("api.example.com".to_owned()),
                path_prefix: "/".to_owned(),
                service: Some("api".parse().unwrap()),
            }],
            warnings: vec!["db needs a container engine: it was not started".to_owned()],
            certificates: vec![certificate()],
            release: Some(12),
            deployment: Some(deployment()),
        },
    );
    check(
        "ReleaseList",
        &ReleaseList {
            stack: "mps".parse().unwrap(),
            releases: vec![
                ReleaseSummary {
                    notes: vec!["api was run in place: its folder is not kept by tend".to_owned()],
                    ..release(1, ReleaseRole::Kept)
                },
                release(12, ReleaseRole::Running),
            ],
            deployment: Some(deployment()),
            history: vec![AttemptReport {
                number: 13,
                purpose: "deploy".to_owned(),
                target: 12,
                from: Some(1),
                result: "undone".to_owned(),
                why: Some("mps/api/1 of release 12 ended: exited with code 1".to_owned()),
                by: "ana".to_owned(),
                ended: AT,
                took_ms: 8200,
            }],
        },
    );
    check(
        "CertificateList",
        &CertificateList {
            certificates: vec![
                certificate(),
                CertificateStatus {
                    names: Vec::new(),
                    stack: Some("mps".parse().unwrap()),
                    source: CertificateSource::Files,
                    state: CertificateState::Missing,
                    authority: None,
                    files: vec!["/etc/ssl/own.pem".into(), "/etc/ssl/own.key".into()],
                    issuer: None,
                    serial: None,
                    not_before: None,
                    not_after: None,
                    days_left: None,
                    renew_at: None,
                    failures: 0,
                    error: Some("could not read `/etc/ssl/own.pem`: No such file or directory".to_owned()),
                    hint: Some("the daemon's user must be able to read it; is the path right?".to_owned()),
                },
            ],
        },
    );
    check(
        "ReleaseReport",
        &ReleaseReport {
            stack: "mps".parse().unwrap(),
            summary: release(12, ReleaseRole::Running),
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
            services: [("api".parse().unwrap(), Definition::from(&service()))].into(),
        },
    );
    check(
        "RollbackReport",
        &RollbackReport {
            stack: "mps".parse().unwrap(),
            from: 12,
            to: 11,
            safe: false,
            reasons: vec!["release 11 cannot live with the migration 0003_drop_note.sql (contract)".to_owned()],
            notes: vec!["the artifact of api is kept".to_owned()],
        },
    );
    check(
        "ServiceDescription",
        &ServiceDescription {
            stack: "mps".parse().unwrap(),
            status: service_status(),
            definition: Definition::from(&service()),
            recent: vec!["2026-11-21T12:44:35.123Z mps/api/2 exited with code 1".to_owned()],
        },
    );
    check(
        "PlanReport",
        &PlanReport {
            stack: "mps".parse().unwrap(),
            steps: vec![
                PlannedStep {
                    subject: "mps/api/3".to_owned(),
                    action: "start".to_owned(),
                    detail: "3 replicas are wanted, 2 are there".to_owned(),
                    undo: Some("stop".to_owned()),
                },
                PlannedStep {
                    subject: "mps/api".to_owned(),
                    action: "prepare".to_owned(),
                    detail: String::new(),
                    undo: None,
                },
            ],
            warnings: vec!["db needs a container engine".to_owned()],
            release: Some(13),
            from: Some(12),
        },
    );
    check(
        "ProgressLine",
        &ProgressLine::Progress(Progress {
            at: AT,
            stage: Stage::Ready,
            subject: "mps/api/1".to_owned(),
            state: StageState::Done,
            message: "GET /ready answered 200".to_owned(),
            took_ms: Some(412),
        }),
    );
    check(
        "ProgressLine-finished",
        &ProgressLine::Finished(Finished {
            ok: false,
            took_ms: 31_000,
            reason: "mps/api/1 exited with code 1 three times in a row".to_owned(),
            last_lines: vec!["error: no such table: members".to_owned()],
            next_step: "tend logs api".to_owned(),
            urls: Vec::new(),
            try_next: Vec::new(),
            warnings: Vec::new(),
            deploy: None,
        }),
    );
    check(
        "ProgressLine-of-a-deployment-finished",
        &ProgressLine::Finished(Finished {
            took_ms: 8200,
            reason: "mps/api/1 of release 13 ended: exited with code 1".to_owned(),
            last_lines: vec!["error: no such table: members".to_owned()],
            next_step: "`tend logs mps/api` shows all it wrote; after mending it, deploy again".to_owned(),
            deploy: Some(Deployed {
                outcome: DeployOutcome::Undone,
                release: 13,
                running: Some(12),
            }),
            ..Finished::default()
        }),
    );
    check("Event", &event());
    check(
        "LogLine",
        &LogLine {
            at: Some(AT),
            replica: replica(1),
            source: LogSource::Stderr,
            text: "listening on 20001".to_owned(),
        },
    );
    check(
        "EnvironmentReport",
        &EnvironmentReport {
            environment: [("API_KEY".to_owned(), Exposed(Secret::new("hunter2".to_owned())))].into(),
            directory: "/srv/mps".into(),
            uid: 1000,
            gid: 1000,
            groups: vec![1000, 27],
            cgroup: Some("/sys/fs/cgroup/tend/mps/run".into()),
        },
    );
    check(
        "MoneyList",
        &MoneyList {
            keys: vec![
                MoneyKey {
                    state: "in doubt".to_owned(),
                    why: Some("the replica was lost before it had answered".to_owned()),
                    ..money_key()
                },
                MoneyKey {
                    state: "answered".to_owned(),
                    status: Some(201),
                    body: Some("{\"payment\":7}".to_owned()),
                    expires_at: Some(AT),
                    replica: Some("mps/api/1".to_owned()),
                    ..money_key()
                },
            ],
        },
    );
    check(
        "SpoolReport",
        &SpoolReport {
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
        },
    );
    check(
        "EdgeMetrics",
        &EdgeMetrics {
            text: "# TYPE tend_edge_connections gauge\ntend_edge_connections 3\n".to_owned(),
        },
    );
    check(
        "StackMetrics",
        &StackMetrics {
            text: "# TYPE tend_config_refused gauge\ntend_config_refused 0\n".to_owned(),
        },
    );
    check(
        "MonitorAnswer",
        &MonitorAnswer {
            status: 200,
            body: serde_json::json!(["a", 1]),
        },
    );
    check(
        "BanList",
        &BanList {
            bans: vec![
                BanStatus {
                    address: "203.0.113.7".parse().unwrap(),
                    since: AT,
                    until: Some(AT),
                    by: "ana".to_owned(),
                    reason: Some("guesses passwords".to_owned()),
                    but: Vec::new(),
                },
                BanStatus {
                    address: "2001:db8::/32".parse().unwrap(),
                    since: AT,
                    until: None,
                    by: "ana".to_owned(),
                    reason: None,
                    but: vec!["2001:db8::5".parse().unwrap()],
                },
            ],
            enforced: true,
            refused: Some(412),
        },
    );
    check(
        "SecretList",
        &SecretList {
            stack: "mps".parse().unwrap(),
            items: vec![SecretReport {
                name: "db_password".to_owned(),
                class: "restart-only".to_owned(),
                generated: false,
                due_at: Some(AT),
                overdue: true,
                granted_to: vec!["mps/api".to_owned()],
                versions: vec![SecretVersion {
                    version: 3,
                    state: "current".to_owned(),
                    made_at: AT,
                    made_by: "ana".to_owned(),
                    since: AT,
                    held_by: vec!["mps/api/1".to_owned()],
                }],
                source: Some(SecretSource {
                    address: "https://vault.example:8200".to_owned(),
                    path: "kv/data/mps".to_owned(),
                    field: "password".to_owned(),
                    version: Some(7),
                    state: "sealed".to_owned(),
                    since: Some(AT),
                    read_at: Some(AT),
                    why: Some("Vault at https://vault.example:8200 is sealed".to_owned()),
                    hint: Some("unseal it".to_owned()),
                }),
                rotation: None,
            }],
            recovery_keys: 1,
        },
    );
    check(
        "AuditLine",
        &AuditLine::Progress(AuditProgress {
            files: 3,
            files_all: 12,
            bytes: 4_194_304,
            bytes_all: 68_157_440,
        }),
    );
    check(
        "AuditLine-finding",
        &AuditLine::Finding(AuditFinding {
            file: "/var/lib/tend/logs/mps/api/1/stdout.log.2".to_owned(),
            row: None,
            line: Some(1207),
            offset: 88_321,
            class: AuditClass::Known,
            what: "mps/db_password@3".to_owned(),
            form: Some("base64 at 1".to_owned()),
        }),
    );
    check(
        "AuditLine-finished",
        &AuditLine::Finished(AuditReport {
            clean: false,
            files: 12,
            bytes: 68_157_440,
            rows: 4711,
            values: 9,
            forms: 88,
            known: 1,
            looks_like: 2,
            not_listed: 0,
            unread: vec!["/var/lib/tend/logs/mps/api/1/stdout.log.3: Permission denied".to_owned()],
            too_short: vec!["mps/pin@1".to_owned()],
            left_out: vec!["/var/lib/tend/bin: programs".to_owned()],
            took_ms: 512,
        }),
    );
    check(
        "SecretChanged",
        &SecretChanged {
            messages: vec!["db_password: version 4 is staged".to_owned()],
            next_step: Some("`tend secret rotate db_password` makes it current".to_owned()),
        },
    );
    check(
        "SecretValue",
        &SecretValue {
            name: "db_password".to_owned(),
            version: 3,
            value: Exposed(Secret::new("hunter2".to_owned())),
        },
    );
    check(
        "RecoveryKeyReport",
        &RecoveryKeyReport {
            public: "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".to_owned(),
            key: Some(Exposed(Secret::new("AGE-SECRET-KEY-1…".to_owned()))),
        },
    );
    check(
        "ApiError",
        &ApiError::new(Class::NotFound, "there is no stack `mpz`")
            .hint("did you mean `mps`?")
            .detail("stacks: mps, shop"),
    );
}

fn certificate() -> CertificateStatus {
    CertificateStatus {
        names: vec!["pay.example.com".to_owned()],
        stack: Some("mps".parse().unwrap()),
        source: CertificateSource::Acme,
        state: CertificateState::Valid,
        authority: Some("https://acme-v02.api.letsencrypt.org/directory".to_owned()),
        files: Vec::new(),
        issuer: Some("R11".to_owned()),
        serial: Some("04e1a2".to_owned()),
        not_before: Some(AT),
        not_after: Some(Wall(AT.0 + 90 * 86_400_000)),
        days_left: Some(90),
        renew_at: Some(Wall(AT.0 + 58 * 86_400_000)),
        failures: 2,
        error: Some("the authority at acme-v02.api.letsencrypt.org was not reached".to_owned()),
        hint: None,
    }
}

fn money_key() -> MoneyKey {
    MoneyKey {
        id: "8e03978e40d5".to_owned(),
        key: "order-7".to_owned(),
        service: "mps/api".to_owned(),
        method: "POST".to_owned(),
        path: "/payments".to_owned(),
        request_id: "4f2a9c1".to_owned(),
        state: "begun".to_owned(),
        begun_at: AT,
        why: None,
        status: None,
        body: None,
        expires_at: None,
        replica: None,
    }
}

#[test]
fn every_type_an_endpoint_answers_with_has_its_sample() {
    let samples: BTreeSet<String> = samples::names("answers").into_iter().collect();
    for endpoint in &ENDPOINTS {
        let (Answer::Json(name) | Answer::Lines(name)) = endpoint.answer;
        assert!(samples.contains(&format!("{name}.json")), "{name}");
    }
}

#[test]
fn a_word_of_a_newer_daemon_is_read_as_unknown() {
    fn read<T: DeserializeOwned>() -> T {
        serde_json::from_str("\"of_a_newer_daemon\"").unwrap()
    }
    assert_eq!(read::<Stage>(), Stage::Other);
    assert_eq!(read::<ServiceState>(), ServiceState::Unknown);
    assert_eq!(read::<ReplicaState>(), ReplicaState::Unknown);
    assert_eq!(read::<EdgeState>(), EdgeState::Unknown);
    assert_eq!(read::<Enforcement>(), Enforcement::None);
    assert_eq!(read::<LogSource>(), LogSource::Tend);
    assert_eq!(read::<ConfigLiveness>(), ConfigLiveness::Unknown);
    assert_eq!(read::<ReleaseRole>(), ReleaseRole::Kept);
    assert_eq!(read::<DeployOutcome>(), DeployOutcome::Held);
}

#[test]
fn neither_a_description_nor_a_formatted_environment_shows_a_value() {
    let description = serde_json::to_string(&Definition::from(&service())).unwrap();
    assert!(description.contains("API_KEY") && !description.contains("hunter2"));
    let environment = EnvironmentReport {
        environment: [("API_KEY".to_owned(), Exposed(Secret::new("hunter2".to_owned())))].into(),
        directory: "/".into(),
        uid: 0,
        gid: 0,
        groups: Vec::new(),
        cgroup: None,
    };
    assert!(!format!("{environment:?}").contains("hunter2"));
}
