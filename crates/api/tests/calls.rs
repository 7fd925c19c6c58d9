//! Every call as it is written on the wire, and read again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tend_api::{
    AddRecoveryKey, Apply, BanAsk, Call, CallName, ChangeConfig, ChangeSecrets, ConfigChange, ConfigDiffQuery,
    ConfigHistoryQuery, ConfigQuery, ConfirmConfig, Decide, DecideWord, Deploy, Door, DropCallback, ENDPOINTS,
    EnvironmentQuery, EventsQuery, Happened, LogStreams, LogsQuery, MoneyQuery, MonitorAsk, MonitorMethod, PlanBody,
    Promote, Purpose, ReleaseQuery, RenewCertificates, Resolve, RevealSecret, Rollback, RollbackQuery, RotateSecret,
    RunEnding, RunReport, Scale, SecretChange, SecretFormat, SecretNotes, Target, UnbanAsk, Upgrade,
};
use tend_base::{Exposed, Secret, Wall};
use tend_core::door::{DoorChange, Maintenance, Pause};
use tend_core::journal::{EventId, Filter, PrincipalFilter};
use tend_core::model::{
    DeployPolicy, Edge, Replicas, ServiceId, Stack, StackName, StackSource, Vault, VaultCredential, VaultLogin,
    VaultSecret,
};
use tend_core::observed::Exit;

use crate::samples;

fn stack() -> Stack {
    Stack {
        name: "mps".parse().unwrap(),
        source: StackSource {
            files: vec!["/srv/mps/stack.yml".into()],
            directory: "/srv/mps".into(),
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
    }
}

fn target(text: &str) -> Target {
    let mut parts = text.split('/');
    Target {
        stack: parts.next().unwrap().parse().unwrap(),
        service: parts.next().map(|service| service.parse().unwrap()),
        slot: parts.next().map(|slot| slot.parse().unwrap()),
    }
}

fn decide(word: DecideWord, why: &str) -> Decide {
    Decide {
        stack: "mps".parse().unwrap(),
        word,
        why: why.to_owned(),
    }
}

fn mps() -> StackName {
    "mps".parse().unwrap()
}

fn change_secrets(change: SecretChange) -> Call {
    Call::ChangeSecrets(ChangeSecrets { stack: mps(), change })
}

fn config(key: Option<&str>) -> Call {
    Call::Config(ConfigQuery {
        stack: mps(),
        key: key.map(str::to_owned),
    })
}

fn change_config(change: ConfigChange, confirm_ms: Option<u64>) -> Call {
    Call::ChangeConfig(ChangeConfig {
        stack: mps(),
        change,
        confirm_ms,
    })
}

fn service() -> ServiceId {
    ServiceId {
        stack: "mps".parse().unwrap(),
        service: "Web.api_1".parse().unwrap(),
    }
}

/// At least one case for each call; the name is the sample's.
fn cases() -> Vec<(&'static str, Call)> {
    vec![
        ("version", Call::Version),
        ("daemon", Call::Daemon),
        ("stacks", Call::Stacks),
        ("stack-status", Call::StackStatus("mps".parse().unwrap())),
        ("describe", Call::Describe(service())),
        (
            "plan",
            Call::Plan(Box::new(PlanBody {
                stack: stack(),
                deploy: false,
            })),
        ),
        (
            "plan-of-a-deploy",
            Call::Plan(Box::new(PlanBody {
                stack: stack(),
                deploy: true,
            })),
        ),
        (
            "apply",
            Call::Apply(Box::new(Apply {
                stack: stack(),
                wait: true,
                in_place: false,
            })),
        ),
        (
            "apply-in-place",
            Call::Apply(Box::new(Apply {
                stack: stack(),
                wait: true,
                in_place: true,
            })),
        ),
        (
            "apply-without-waiting",
            Call::Apply(Box::new(Apply {
                stack: stack(),
                wait: false,
                in_place: false,
            })),
        ),
        ("remove", Call::Remove("mps".parse().unwrap())),
        ("restart-stack", Call::Restart(target("mps"))),
        ("restart-replica", Call::Restart(target("mps/api/2"))),
        ("stop-service", Call::Stop(target("mps/api"))),
        ("start-service", Call::Start(target("mps/api"))),
        (
            "scale",
            Call::Scale(Scale {
                service: service(),
                replicas: Replicas::Count(5),
            }),
        ),
        (
            "scale-to-max",
            Call::Scale(Scale {
                service: service(),
                replicas: Replicas::Max,
            }),
        ),
        (
            "maintenance-on",
            Call::Door(Door {
                stack: "mps".parse().unwrap(),
                service: None,
                change: DoorChange::Close(Maintenance {
                    until: Some(Wall(1_795_268_675_123)),
                    message: Some("We move to new disks.".to_owned()),
                    allow: vec!["10.0.0.0/8".parse().unwrap()],
                }),
            }),
        ),
        (
            "maintenance-off",
            Call::Door(Door {
                stack: "mps".parse().unwrap(),
                service: Some("api".parse().unwrap()),
                change: DoorChange::Open,
            }),
        ),
        (
            "pause",
            Call::Door(Door {
                stack: "mps".parse().unwrap(),
                service: Some("api".parse().unwrap()),
                change: DoorChange::Pause(Pause {
                    wait_max_ms: 30_000,
                    requests_max: 1000,
                }),
            }),
        ),
        (
            "resume",
            Call::Door(Door {
                stack: "mps".parse().unwrap(),
                service: None,
                change: DoorChange::Resume,
            }),
        ),
        (
            "ban",
            Call::Ban(BanAsk {
                addresses: vec!["203.0.113.7".parse().unwrap()],
                for_ms: None,
                reason: None,
                force: false,
                from: None,
            }),
        ),
        (
            "ban-with-all-options",
            Call::Ban(BanAsk {
                addresses: vec!["203.0.113.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
                for_ms: Some(3_600_000),
                reason: Some("guesses passwords".to_owned()),
                force: true,
                from: Some("198.51.100.9".parse().unwrap()),
            }),
        ),
        (
            "unban",
            Call::Unban(UnbanAsk {
                addresses: vec!["203.0.113.7".parse().unwrap()],
            }),
        ),
        ("bans", Call::Bans),
        ("edge-metrics", Call::EdgeMetrics),
        ("stack-metrics", Call::StackMetrics(mps())),
        (
            "monitor-query",
            Call::AskMonitor(MonitorAsk {
                stack: "mps".parse().unwrap(),
                method: MonitorMethod::Get,
                target: "/api/v1/query?query=up".to_owned(),
                body: None,
            }),
        ),
        (
            "monitor-silence",
            Call::AskMonitor(MonitorAsk {
                stack: "mps".parse().unwrap(),
                method: MonitorMethod::Post,
                target: "/api/v2/silences".to_owned(),
                body: Some(serde_json::json!({ "comment": "a test" })),
            }),
        ),
        ("money-in-doubt", Call::Money(MoneyQuery::default())),
        ("money-all", Call::Money(MoneyQuery { key: None, all: true })),
        (
            "money-of-a-key",
            Call::Money(MoneyQuery {
                key: Some("order/7&x".to_owned()),
                all: false,
            }),
        ),
        (
            "money-happened",
            Call::Resolve(Resolve {
                key: "8e03978e40d5".to_owned(),
                happened: Some(Happened {
                    status: 201,
                    content_type: "application/json".to_owned(),
                    body: "{\"payment\":7}".to_owned(),
                }),
            }),
        ),
        (
            "money-did-not-happen",
            Call::Resolve(Resolve {
                key: "8e03978e40d5".to_owned(),
                happened: None,
            }),
        ),
        ("money-spool", Call::Spool),
        ("secrets", Call::Secrets(mps())),
        (
            "secrets-set",
            change_secrets(SecretChange::Set {
                name: "db_password".to_owned(),
                value: Exposed(Secret::new("pl4nted".to_owned())),
                notes: SecretNotes {
                    class: Some("restart-only".to_owned()),
                    due_days: Some(30),
                },
            }),
        ),
        (
            "secrets-generate",
            change_secrets(SecretChange::Generate {
                name: "jwt_key".to_owned(),
                bytes: 32,
                format: SecretFormat::Base64,
                notes: SecretNotes::default(),
            }),
        ),
        (
            "secrets-import",
            change_secrets(SecretChange::Import {
                values: [("API_KEY".to_owned(), Exposed(Secret::new("pl4nted".to_owned())))].into(),
                current: true,
            }),
        ),
        (
            "secrets-fill-vault",
            change_secrets(SecretChange::FillVault {
                vault: Box::new(Vault {
                    address: "https://vault.example:8200".to_owned(),
                    namespace: None,
                    ca: None,
                    login: VaultLogin::Token(VaultCredential::File("/run/vault/token".into())),
                    every: Duration::from_secs(30),
                    secrets: BTreeMap::from([(
                        "db_password".to_owned(),
                        VaultSecret {
                            path: "kv/data/mps".to_owned(),
                            field: "password".to_owned(),
                        },
                    )]),
                }),
                owner_uid: 1000,
                values: BTreeMap::from([("db_password".to_owned(), Exposed(Secret::new("hunter2".to_owned())))]),
                write: true,
            }),
        ),
        (
            "secrets-retire",
            change_secrets(SecretChange::Retire {
                name: "db_password".to_owned(),
                version: None,
            }),
        ),
        (
            "secrets-destroy",
            change_secrets(SecretChange::Destroy {
                name: "db_password".to_owned(),
                version: Some(2),
            }),
        ),
        (
            "secret-reveal",
            Call::RevealSecret(RevealSecret {
                stack: mps(),
                name: "db_password".to_owned(),
                version: Some(2),
            }),
        ),
        (
            "secret-rotate",
            Call::RotateSecret(RotateSecret {
                stack: mps(),
                name: "db_password".to_owned(),
                abort: false,
            }),
        ),
        (
            "secret-rotate-abort",
            Call::RotateSecret(RotateSecret {
                stack: mps(),
                name: "db_password".to_owned(),
                abort: true,
            }),
        ),
        (
            "recovery-key",
            Call::AddRecoveryKey(AddRecoveryKey {
                public: Some("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".to_owned()),
            }),
        ),
        ("config", config(None)),
        ("config-key", config(Some("features.qr_rotation.default_ttl"))),
        (
            "config-history",
            Call::ConfigHistory(ConfigHistoryQuery {
                stack: mps(),
                limit: Some(10),
            }),
        ),
        (
            "config-diff",
            Call::ConfigDiff(ConfigDiffQuery {
                stack: mps(),
                from: Some(3),
                to: None,
            }),
        ),
        (
            "config-set",
            change_config(
                ConfigChange::Set(
                    [
                        ("app.log_level".to_owned(), Some("debug".to_owned())),
                        ("cache.ttl".to_owned(), None),
                    ]
                    .into(),
                ),
                Some(600_000),
            ),
        ),
        (
            "config-clear",
            change_config(ConfigChange::Clear(vec!["app.log_level".to_owned()]), None),
        ),
        (
            "config-preset",
            change_config(ConfigChange::Preset("patient".to_owned()), None),
        ),
        ("config-back", change_config(ConfigChange::Back(3), None)),
        (
            "config-confirm",
            Call::ConfirmConfig(ConfirmConfig {
                stack: mps(),
                revision: Some(5),
            }),
        ),
        (
            "money-spool-drop",
            Call::DropCallback(DropCallback {
                id: "5f0c1d2e".to_owned(),
                why: "the bank sent it twice".to_owned(),
            }),
        ),
        (
            "deploy",
            Call::Deploy(Deploy {
                stack: Box::new(stack()),
                allow_dirty: false,
                revision: None,
                confirm_ms: None,
                reason: None,
            }),
        ),
        (
            "deploy-with-all-options",
            Call::Deploy(Deploy {
                stack: Box::new(stack()),
                allow_dirty: true,
                revision: Some("v1.4".to_owned()),
                confirm_ms: Some(600_000),
                reason: Some("less latency".to_owned()),
            }),
        ),
        ("follow-deployment", Call::FollowDeployment("mps".parse().unwrap())),
        (
            "decide-to-approve",
            Call::Decide(decide(DecideWord::Approve, "seen on staging")),
        ),
        (
            "decide-to-reject",
            Call::Decide(decide(DecideWord::Reject, "not on a Friday")),
        ),
        ("decide-to-abort", Call::Decide(decide(DecideWord::Abort, ""))),
        ("decide-to-confirm", Call::Decide(decide(DecideWord::Confirm, ""))),
        ("releases", Call::Releases("mps".parse().unwrap())),
        (
            "release",
            Call::Release(ReleaseQuery {
                stack: "mps".parse().unwrap(),
                number: 12,
            }),
        ),
        (
            "rollback",
            Call::Rollback(Rollback {
                stack: "mps".parse().unwrap(),
                to: None,
                confirm_ms: None,
                reason: None,
            }),
        ),
        (
            "rollback-to-a-release",
            Call::Rollback(Rollback {
                stack: "mps".parse().unwrap(),
                to: Some(11),
                confirm_ms: Some(600_000),
                reason: Some("refunds fail".to_owned()),
            }),
        ),
        (
            "rollback-check",
            Call::RollbackCheck(RollbackQuery {
                stack: "mps".parse().unwrap(),
                to: None,
            }),
        ),
        (
            "rollback-check-of-a-release",
            Call::RollbackCheck(RollbackQuery {
                stack: "mps".parse().unwrap(),
                to: Some(11),
            }),
        ),
        (
            "promote",
            Call::Promote(Promote {
                from: "mps-staging".parse().unwrap(),
                to: "mps".parse().unwrap(),
                confirm_ms: Some(600_000),
                reason: Some("a week on staging".to_owned()),
            }),
        ),
        ("certificates", Call::Certificates),
        (
            "renew-certificates",
            Call::RenewCertificates(RenewCertificates {
                stack: "mps".parse().unwrap(),
                host: None,
                dry_run: false,
            }),
        ),
        (
            "renew-certificates-of-a-host-dry",
            Call::RenewCertificates(RenewCertificates {
                stack: "mps".parse().unwrap(),
                host: Some("pay.example.com".to_owned()),
                dry_run: true,
            }),
        ),
        ("events", Call::Events(EventsQuery::default())),
        (
            "events-of-everything-at-once",
            Call::Events(EventsQuery {
                filter: Filter {
                    since: Some(Wall(1_795_265_075_123)),
                    until: Some(Wall(1_795_265_099_000)),
                    kinds: vec!["replica.exited".into(), "edge.*".into()],
                    stack: Some("mps".parse().unwrap()),
                    service: Some("api".parse().unwrap()),
                    slot: Some(2),
                    story_of: Some(EventId(41)),
                    principal: Some(PrincipalFilter::Named("ana & bob = 支付".to_owned())),
                    after: Some(EventId(7)),
                    before: Some(EventId(99)),
                    limit: Some(10),
                    newest_first: true,
                },
                tail: Some(3),
                follow: false,
            }),
        ),
        (
            "events-followed",
            Call::Events(EventsQuery {
                filter: Filter {
                    principal: Some(PrincipalFilter::Type("person".to_owned())),
                    ..Filter::default()
                },
                tail: None,
                follow: true,
            }),
        ),
        (
            "logs",
            Call::Logs(LogsQuery {
                target: target("mps"),
                since: None,
                tail: None,
                streams: LogStreams::Both,
                follow: false,
            }),
        ),
        (
            "logs-followed",
            Call::Logs(LogsQuery {
                target: target("mps/api/1"),
                since: Some(Wall(1_795_265_075_123)),
                tail: Some(20),
                streams: LogStreams::Stderr,
                follow: true,
            }),
        ),
        ("logs-audit", Call::AuditLogs(None)),
        ("logs-audit-of-a-stack", Call::AuditLogs(Some(mps()))),
        (
            "environment-to-run",
            Call::Environment(EnvironmentQuery {
                target: target("mps/api"),
                purpose: Purpose::Run,
                program: "bin/migrate".to_owned(),
            }),
        ),
        (
            "environment-to-exec",
            Call::Environment(EnvironmentQuery {
                target: target("mps/api/1"),
                purpose: Purpose::Exec,
                program: "sh".to_owned(),
            }),
        ),
        (
            "run-finished",
            Call::RunFinished(RunReport {
                query: EnvironmentQuery {
                    target: target("mps/api"),
                    purpose: Purpose::Run,
                    program: "bin/migrate".to_owned(),
                },
                ending: RunEnding::Ended(Exit::Exited(3)),
                after_ms: 412,
            }),
        ),
        (
            "run-not-started",
            Call::RunFinished(RunReport {
                query: EnvironmentQuery {
                    target: target("mps/api/1"),
                    purpose: Purpose::Exec,
                    program: "no-such-program".to_owned(),
                },
                ending: RunEnding::NotStarted(
                    "could not start `no-such-program`: No such file or directory".to_owned(),
                ),
                after_ms: 0,
            }),
        ),
        ("shutdown", Call::Shutdown),
        (
            "upgrade",
            Call::Upgrade(Upgrade {
                program: "/usr/local/bin/tend".into(),
            }),
        ),
    ]
}

/// Writes a call as its sample: the line of the request, and the body below it.
fn written(call: &Call) -> String {
    let encoded = call.encode();
    format!(
        "{} {}\n{}\n",
        encoded.method,
        encoded.address,
        String::from_utf8(encoded.body).unwrap()
    )
}

fn read(sample: &str) -> Call {
    let (line, body) = sample.split_once('\n').unwrap();
    let (method, address) = line.split_once(' ').unwrap();
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    Call::decode(method, path, query, body.trim_end().as_bytes()).unwrap()
}

#[test]
fn every_call_is_read_as_it_is_written() {
    for (name, call) in cases() {
        let text = written(&call);
        samples::assert_is(&format!("calls/{name}.txt"), &text);
        assert_eq!(read(&text), call, "{name}");
    }
}

#[test]
fn every_sample_of_a_call_is_still_understood() {
    let known: BTreeSet<String> = cases().iter().map(|(name, _)| format!("{name}.txt")).collect();
    for name in samples::names("calls") {
        assert!(known.contains(&name), "{name} has no case");
        read(&std::fs::read_to_string(samples::path(&format!("calls/{name}"))).unwrap());
    }
}

#[test]
fn the_list_of_calls_is_closed() {
    let with_case: BTreeSet<CallName> = cases().iter().map(|(_, call)| call.name()).collect();
    let mut listed = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    for endpoint in &ENDPOINTS {
        assert!(listed.insert(endpoint.name), "{:?} stands twice", endpoint.name);
        assert!(
            addresses.insert((endpoint.method, endpoint.path)),
            "{} {} stands twice",
            endpoint.method,
            endpoint.path
        );
        assert!(with_case.contains(&endpoint.name), "{:?} has no case", endpoint.name);
    }
    assert_eq!(listed, with_case);
    for (_, call) in cases() {
        // The names of query parameters on the reference page are those that are written.
        let encoded = call.encode();
        let endpoint = call.name().endpoint();
        let known: BTreeSet<&str> = endpoint.query.split_whitespace().collect();
        let (_, query) = encoded.address.split_once('?').unwrap_or_default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let name = pair.split('=').next().unwrap();
            assert!(known.contains(name), "{name} of {:?}", endpoint.name);
        }
        assert_eq!(endpoint.body.is_some(), !encoded.body.is_empty(), "{:?}", endpoint.name);
    }
}

#[test]
fn formatting_a_call_shows_no_environment() {
    for (name, call) in cases() {
        let shown = format!("{call:?}");
        assert!(!shown.contains("services"), "{name}: {shown}");
    }
}
