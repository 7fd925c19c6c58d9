//! What the short form of receivers becomes is an `alertmanager.yml`: its own reader takes it, and tells who is told of what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tend_alert::{Config, Kind, read_config};
use tend_core::model::Routing;
use tend_stackfile::{Input, Loaded, load};

use crate::disk::{Disk, Memory};

fn case(name: &str) -> Loaded {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name);
    let loaded = load(&Input {
        files: &Disk,
        paths: vec![folder.join("stack.yml")],
        environment: BTreeMap::new(),
        profiles: Vec::new(),
        name: None,
    });
    loaded.unwrap_or_else(|report| panic!("{report}"))
}

fn config(loaded: &Loaded) -> Config {
    let Some(Routing::Text { text, .. }) = loaded.stack.alerts.as_ref().map(|alerts| &alerts.routing) else {
        panic!("no short form was read");
    };
    let config = read_config(Path::new("receivers"), text).unwrap_or_else(|report| panic!("{report}\n{text}"));
    assert!(config.warnings.0.is_empty(), "{}", config.warnings);
    config
}

/// Returns the names of who is told of alerts of a severity.
fn told<'a>(config: &'a Config, severity: &str) -> Vec<&'a str> {
    let routes = config.routes[1..].iter().filter(|route| {
        assert!(
            route.goes_on,
            "one that does not go on would keep others from being told"
        );
        route.matchers.iter().all(|matcher| matcher.matches(severity))
    });
    routes.map(|route| route.receiver.as_str()).collect()
}

#[test]
fn each_severity_is_told_to_whom_it_is_meant_for() {
    let config = config(&case("alerts_in_full"));
    let all = ["feishu", "wecom", "telegram", "webhook", "webhook-2", "mail"];
    for (severity, more) in [
        ("critical", &["duty", "dingtalk"][..]),
        ("warning", &["dingtalk", "slack"]),
        // Without one, and one of its own.
        ("", &["dingtalk", "slack"]),
        ("page", &["dingtalk", "slack"]),
        ("info", &["slack"]),
    ] {
        let mut wanted = [&all[..], more].concat();
        wanted.sort_unstable();
        let mut found = told(&config, severity);
        found.sort_unstable();
        assert_eq!(found, wanted, "{severity}");
    }
}

#[test]
fn a_receiver_is_told_by_its_means_and_when_it_is_over() {
    let config = config(&case("alerts_in_full"));
    let mut found = Vec::new();
    for (name, receiver) in &config.receivers {
        assert!(receiver.integrations.iter().all(|one| one.send_resolved), "{name}");
        found.extend(receiver.integrations.iter().map(|one| (name.as_str(), one.kind)));
    }
    assert_eq!(
        found,
        [
            ("dingtalk", Kind::DingTalk),
            ("duty", Kind::PagerDuty),
            ("feishu", Kind::Feishu),
            ("mail", Kind::Email),
            ("mail", Kind::Email),
            ("slack", Kind::Slack),
            ("telegram", Kind::Telegram),
            ("webhook", Kind::Webhook),
            ("webhook-2", Kind::Webhook),
            ("wecom", Kind::WeCom),
        ]
    );
}

#[test]
fn critical_alerts_are_told_at_once() {
    let config = config(&case("alerts_in_full"));
    for (severity, pace) in [
        ("critical", (0, 60_000, 3_600_000)),
        ("warning", (30_000, 300_000, 14_400_000)),
        ("info", (300_000, 3_600_000, 86_400_000)),
    ] {
        let mut routes = config.routes[1..]
            .iter()
            .filter(|route| route.matchers.iter().all(|matcher| matcher.matches(severity)));
        assert!(routes.all(|route| (route.group_wait, route.group_interval, route.repeat_interval) == pace));
    }
    assert_eq!(config.inhibit.len(), 1);
}

#[test]
fn what_is_referred_to_is_named_as_a_file_is_and_by_the_model() {
    let loaded = case("alerts_in_full");
    let config = config(&loaded);
    let receivers = config.receivers.values();
    let files: BTreeSet<&str> = receivers
        .flat_map(|receiver| &receiver.integrations)
        .flat_map(|integration| integration.secret_files().map(|(_, file)| file))
        .collect();
    let named: BTreeSet<&str> = files.iter().filter_map(|file| file.strip_prefix("secret:")).collect();
    assert_eq!(
        named.iter().copied().collect::<Vec<_>>(),
        ["bearer", "bot", "duty_key", "robot", "slack-hook", "smtp"]
    );
    assert_eq!(loaded.stack.monitor_secrets(), named);
    let paths: Vec<_> = files.iter().filter(|file| !file.starts_with("secret:")).collect();
    assert!(
        matches!(paths[..], [path] if path.ends_with("alerts_in_full/sign-key")),
        "{paths:?}"
    );
}

#[test]
fn nothing_that_may_be_secret_is_printed() {
    for (name, count) in [("alerts_in_full", 5), ("metrics_in_full", 2)] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name);
        let text = std::fs::read_to_string(folder.join("stack.yml")).unwrap();
        assert!(
            text.matches("planted").count() >= count - 1,
            "nothing is planted in {name}"
        );
        let loaded = case(name);
        for printed in [
            loaded.document.to_yaml(),
            loaded.document.to_json().to_string(),
            format!("{:?}", loaded.stack),
        ] {
            assert!(!printed.contains("planted"), "{name}: {printed}");
        }
    }
}

#[test]
fn what_is_printed_of_both_chapters_loads_again() {
    for name in ["alerts_in_full", "metrics_in_full", "metrics_defaults"] {
        let printed = case(name).document.to_yaml();
        assert!(printed.contains("***"), "{printed}");
        let files = Memory::one("/s/stack.yml", printed);
        let again = load(&Input {
            files: &files,
            paths: vec!["/s/stack.yml".into()],
            environment: BTreeMap::new(),
            profiles: Vec::new(),
            name: None,
        });
        let again = again.unwrap_or_else(|report| panic!("{name}: {report}"));
        assert!(again.stack.metrics.is_some());
    }
}

/// A receiver of one severity leaves the others untold, which is said and still is a configuration.
#[test]
fn severities_that_nobody_takes_are_said() {
    let text = "name: shop\nservices: {api: {command: run}}\nmetrics: {}\nalerts:\n  receivers:\n    - {webhook: 'http://127.0.0.1:9', severity: critical}\n";
    let files = Memory::one("/s/stack.yml", text);
    let loaded = load(&Input {
        files: &files,
        paths: vec!["/s/stack.yml".into()],
        environment: BTreeMap::new(),
        profiles: Vec::new(),
        name: None,
    });
    let loaded = loaded.unwrap_or_else(|report| panic!("{report}"));
    let notes: Vec<&str> = loaded.notes.iter().map(|note| note.message.as_str()).collect();
    assert_eq!(
        notes,
        [
            "nobody is told of alerts of severity warning or without a severity",
            "nobody is told of alerts of severity info",
        ]
    );
    let config = config(&loaded);
    assert_eq!(told(&config, "critical"), ["webhook"]);
    assert!(told(&config, "warning").is_empty());
}
