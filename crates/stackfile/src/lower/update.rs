//! How a service is brought from one release to the next: `deploy.update_config` and its like, `smoke` and `quiesce`.

use std::ops::RangeInclusive;
use std::time::Duration;

use tend_base::format_duration;
use tend_core::model::{Allow, AllowPlace, Canary, FailureAction, Order, Port, Quiesce, Smoke, Stop, Strategy, Update};

use super::probe::{count, duration};
use crate::error::Findings;
use crate::schema::parse_share;
use crate::yaml::{Entry, Node};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A replica needs some time to start; a day is longer than anybody waits.
const READY_WITHIN: RangeInclusive<Duration> = SECOND..=DAY;
/// A deploy holds the lock of its stack meanwhile.
const SMOKE_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(300);
/// With 0 nothing is waited for.
const DRAIN: RangeInclusive<Duration> = Duration::ZERO..=HOUR;
/// A payment may wait for a bank; a deploy has to end.
const DEADLINE: RangeInclusive<Duration> = SECOND..=DAY;
const PATIENCE: RangeInclusive<Duration> = SECOND..=Duration::from_secs(7 * 24 * 3600);

/// One request in ten: enough to see an error of a few per cent within minutes, and nine in ten are safe meanwhile.
const SHARE_PERMILLE: u32 = 100;
/// An error of 1 % more is seen in about so many requests.
const REQUESTS_MIN: u64 = 500;
const WORSE_PERMILLE: u32 = 10;
const PATIENCE_DEFAULT: Duration = Duration::from_secs(30 * 60);
const SMOKE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
const SMOKE_STATUS: u16 = 200;
const DEADLINE_DEFAULT: Duration = Duration::from_secs(60);

/// Notes a duration outside of its range.
pub(super) fn check_range(node: &Node, key: &str, range: &RangeInclusive<Duration>, findings: &mut Findings) {
    if let Some(value) = node.get(key)
        && duration(node, key).is_some_and(|time| !range.contains(&time))
    {
        let written = |time: &Duration| match time.is_zero() {
            true => "0s".to_owned(),
            false => format_duration(*time),
        };
        let (from, to) = (written(range.start()), written(range.end()));
        findings
            .error(value.place, format!("`{key}` must be from {from} to {to}"))
            .help("leave it out for the default");
    }
}

/// Reads `update_config` and `rollback_config`.
pub(super) fn update(entry: &Entry, port: &Port, findings: &mut Findings) -> (Update, Update) {
    let given = |key| entry.value.at(&["deploy", key]).filter(|node| node.as_map().is_some());
    let (update, rollback) = (given("update_config"), given("rollback_config"));
    for node in [update, rollback].into_iter().flatten() {
        check_range(node, "ready_within", &READY_WITHIN, findings);
        check_order(entry, node, port, findings);
    }
    let mut forward = update.map_or(Update::OURS, |node| read(node, Update::COMPOSE));
    let mut back = match rollback {
        None => forward.back(),
        // What is ours, Compose says nothing of.
        Some(node) => read(
            node,
            Update {
                consecutive: forward.consecutive,
                ready_within: forward.ready_within,
                ..Update::COMPOSE
            },
        ),
    };
    if matches!(port, Port::Fixed(_)) {
        (forward.order, back.order) = (Order::StopFirst, Order::StopFirst);
    }
    (forward, back)
}

fn read(node: &Node, default: Update) -> Update {
    let text = |key| node.get(key).and_then(Node::as_text);
    Update {
        parallelism: count(node, "parallelism").unwrap_or(default.parallelism),
        delay: duration(node, "delay").unwrap_or(default.delay),
        order: match text("order") {
            Some("start-first") => Order::StartFirst,
            Some("stop-first") => Order::StopFirst,
            _ => default.order,
        },
        failure_action: match text("failure_action") {
            Some("rollback") => FailureAction::Rollback,
            Some("pause") => FailureAction::Pause,
            Some("continue") => FailureAction::Continue,
            _ => default.failure_action,
        },
        monitor: duration(node, "monitor").unwrap_or(default.monitor),
        max_failure_ratio: text("max_failure_ratio")
            .and_then(|text| text.parse().ok())
            .unwrap_or(default.max_failure_ratio),
        consecutive: count(node, "consecutive").unwrap_or(default.consecutive),
        ready_within: duration(node, "ready_within").unwrap_or(default.ready_within),
    }
}

/// Two replicas cannot listen at one port, not even for a moment.
fn check_order(entry: &Entry, node: &Node, port: &Port, findings: &mut Findings) {
    if let (Port::Fixed(number), Some(order)) = (port, node.get("order"))
        && order.as_text() == Some("start-first")
    {
        findings
            .error(
                order.place,
                format!(
                    "`{}` always listens at port {number}, so no new replica can start before the old one went",
                    entry.key
                ),
            )
            .help("write `port: PORT`, so that each replica gets a port of its own, or `order: stop-first`");
    }
}

/// Reads `deploy.strategy` and `deploy.canary`.
pub(super) fn strategy(entry: &Entry, port: &Port, findings: &mut Findings) -> Strategy {
    let asked = entry.value.at(&["deploy", "strategy"]);
    let written = entry.value.at(&["deploy", "canary"]);
    let said = asked.and_then(Node::as_text);
    if let (Some(asked), Some("canary"), Port::Fixed(number)) = (asked, said, port) {
        findings
            .error(
                asked.place,
                format!(
                    "`{}` always listens at port {number}, so no canary can run beside it",
                    entry.key
                ),
            )
            .help("write `port: PORT`, so that each replica gets a port of its own");
    }
    // Read where it is not used too, so that what is wrong in it is said.
    let canary = canary(written, findings);
    match (said, written) {
        (Some("canary"), _) => Strategy::Canary(canary),
        (None, Some(written)) => {
            findings
                .error(
                    written.place,
                    "a canary is described, and `strategy` does not ask for one",
                )
                .help("write `strategy: canary` beside it, or `strategy: rolling` to keep it for later");
            Strategy::Rolling
        }
        _ => Strategy::Rolling,
    }
}

fn canary(node: Option<&Node>, findings: &mut Findings) -> Canary {
    let share = |key| node.and_then(|node| node.get(key)?.as_text()).and_then(parse_share);
    if let Some(node) = node {
        check_range(node, "patience", &PATIENCE, findings);
    }
    let allow = node.and_then(|node| node.get("allow")).map_or(&[][..], Node::items);
    Canary {
        share_permille: share("share").unwrap_or(SHARE_PERMILLE),
        allow: allow.iter().filter_map(|item| self::allow(item, findings)).collect(),
        requests_min: node
            .and_then(|node| count(node, "requests_min"))
            .map_or(REQUESTS_MIN, u64::from),
        worse_permille: share("worse").unwrap_or(WORSE_PERMILLE),
        patience: node
            .and_then(|node| duration(node, "patience"))
            .unwrap_or(PATIENCE_DEFAULT),
    }
}

fn allow(item: &Node, findings: &mut Findings) -> Option<Allow> {
    // Of another kind than a mapping; that was noted.
    item.as_map()?;
    let text = |key| item.get(key).and_then(Node::as_text);
    let (place, name) = match (text("header"), text("cookie")) {
        (Some(header), None) => (AllowPlace::Header, header.to_ascii_lowercase()),
        (None, Some(cookie)) => (AllowPlace::Cookie, cookie.to_owned()),
        _ => {
            findings
                .error(item.place, "an entry of `allow` takes one of `header` and `cookie`")
                .help("such as `{header: X-Canary, value: \"1\"}`");
            return None;
        }
    };
    let value = item.get("value")?;
    let text = value.as_text()?;
    // RFC 9110 and RFC 6265: no request can bring another value.
    let possible = match place {
        AllowPlace::Header => text.trim() == text && !text.contains(char::is_control),
        AllowPlace::Cookie => text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)),
    };
    if text.is_empty() || !possible {
        let what = match place {
            AllowPlace::Header => "header",
            AllowPlace::Cookie => "cookie",
        };
        findings
            .error(value.place, format!("no request can bring this value in a {what}"))
            .help("write it as the client sends it");
    }
    Some(Allow {
        place,
        name,
        value: text.to_owned(),
    })
}

/// Reads `smoke`.
pub(super) fn smoke(node: &Node, findings: &mut Findings) -> Vec<Smoke> {
    let tests = node.get("smoke").map_or(&[][..], Node::items);
    tests
        .iter()
        .filter_map(|test| {
            check_range(test, "timeout", &SMOKE_TIMEOUT, findings);
            let text = |key| test.get(key).and_then(Node::as_text);
            if let Some(contains) = test.get("contains")
                && contains.as_text() == Some("")
            {
                findings
                    .error(contains.place, "every body holds an empty text")
                    .help("write what the body has to hold, or delete `contains`");
            }
            Some(Smoke {
                path: text("http")?.to_owned(),
                status: text("status")
                    .and_then(|status| status.parse().ok())
                    .unwrap_or(SMOKE_STATUS),
                contains: text("contains").map(str::to_owned),
                timeout: duration(test, "timeout").unwrap_or(SMOKE_TIMEOUT_DEFAULT),
            })
        })
        .collect()
}

/// Reads `quiesce`.
pub(super) fn quiesce(node: &Node, findings: &mut Findings) -> Option<Quiesce> {
    let node = node.get("quiesce")?;
    check_range(node, "deadline", &DEADLINE, findings);
    let text = |key| node.get(key).and_then(Node::as_text).map(str::to_owned);
    let metric = text("metric");
    if let (Some(written), Some("")) = (node.get("metric"), metric.as_deref().map(str::trim)) {
        findings
            .error(written.place, "`metric` names no sample")
            .help("write its name, or delete the line when the body is the number");
    }
    Some(Quiesce {
        path: text("post")?,
        in_flight_path: text("in_flight")?,
        in_flight_metric: metric,
        deadline: duration(node, "deadline").unwrap_or(DEADLINE_DEFAULT),
    })
}

/// Reads `drain_timeout`.
pub(super) fn drain(node: &Node, findings: &mut Findings) -> Duration {
    check_range(node, "drain_timeout", &DRAIN, findings);
    duration(node, "drain_timeout").unwrap_or(Stop::DRAIN)
}

/// Notes what is asked of a replica that does not listen.
pub(super) fn check_port(entry: &Entry, port: &Port, findings: &mut Findings) {
    if *port != Port::None {
        return;
    }
    for key in ["smoke", "quiesce"] {
        if let Some(asked) = entry.value.get(key) {
            findings
                .error(
                    asked.place,
                    format!("`{key}` asks `{}` at its own port, and it has `port: none`", entry.key),
                )
                .help("say how the service learns its port: `port: PORT`");
        }
    }
}
