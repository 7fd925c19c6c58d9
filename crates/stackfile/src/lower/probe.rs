//! `readiness`, `liveness` and `healthcheck`.

use std::time::Duration;

use tend_base::parse_duration;
use tend_core::model::{Port, Probe, ProbeAction};

use super::process::command_words;
use crate::error::Findings;
use crate::yaml::Node;

/// The guides' (R2); asked every [`START_INTERVAL`] until the first success.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(3);
const RETRIES: u32 = 3;
const START_PERIOD: Duration = Duration::from_secs(5);
/// Compose's own for `healthcheck` (and ours).
const START_INTERVAL: Duration = Duration::from_secs(5);
/// Compose's own for `healthcheck`.
const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(30);
const HEALTHCHECK_START_PERIOD: Duration = Duration::ZERO;

/// Returns the duration at a key.
pub(super) fn duration(node: &Node, key: &str) -> Option<Duration> {
    node.get(key)
        .and_then(Node::as_text)
        .and_then(|text| parse_duration(text).ok())
}

/// Returns the number at a key.
pub(super) fn count(node: &Node, key: &str) -> Option<u32> {
    node.get(key).and_then(Node::as_text).and_then(|text| text.parse().ok())
}

/// Returns whether a probe asks on the service's own port.
pub(super) fn asks_own_port(node: &Node) -> bool {
    let own_tcp = node.get("tcp").is_some_and(|tcp| tcp.as_text() == Some("true"));
    own_tcp || (node.get("http").is_some() && node.get("port").is_none())
}

/// Reads `readiness` or `liveness`.
pub(super) fn probe(node: &Node, what: &str, findings: &mut Findings) -> Option<Probe> {
    let actions: Vec<&str> = ["http", "tcp", "command"]
        .into_iter()
        .filter(|key| node.get(key).is_some())
        .collect();
    let action = match actions[..] {
        ["http"] => ProbeAction::Http {
            path: node.get("http")?.as_text()?.to_owned(),
            port: node.get("port").and_then(|port| port.as_text()?.parse().ok()),
        },
        ["tcp"] => {
            let tcp = node.get("tcp")?;
            let text = tcp.as_text()?;
            let number = text.parse::<u16>().ok();
            if number.is_none() && tcp.as_bool() == Some(false) {
                findings
                    .error(tcp.place, format!("`{what}` asks nothing"))
                    .help("write `tcp: true` for the service's own port, or `tcp: 3000`");
                return None;
            }
            ProbeAction::Tcp {
                port: number.or_else(|| node.get("port").and_then(|port| port.as_text()?.parse().ok())),
            }
        }
        ["command"] => ProbeAction::Command {
            command: command_words(node.get("command")?, what, findings)?,
        },
        _ => {
            findings
                .error(node.place, format!("`{what}` needs one of `http`, `tcp` and `command`"))
                .help("such as `readiness: {http: /ready}`");
            return None;
        }
    };
    let retries = count(node, "retries").unwrap_or(RETRIES);
    if retries == 0 {
        findings
            .error(node.get("retries")?.place, "`retries` must be 1 or more")
            .help("1 acts upon the first failure");
    }
    Some(checked(
        Probe {
            action,
            interval: duration(node, "interval").unwrap_or(INTERVAL),
            timeout: duration(node, "timeout").unwrap_or(TIMEOUT),
            retries,
            start_period: duration(node, "start_period").unwrap_or(START_PERIOD),
            start_interval: duration(node, "start_interval").unwrap_or(START_INTERVAL),
        },
        node,
        findings,
    ))
}

/// Notes times that would ask without pause or give up at once.
fn checked(probe: Probe, node: &Node, findings: &mut Findings) -> Probe {
    for key in ["interval", "timeout", "start_interval"] {
        if let Some(value) = node.get(key)
            && duration(node, key).is_some_and(|time| time < Duration::from_millis(1))
        {
            findings
                .error(value.place, format!("`{key}` must be 1ms or more"))
                .help("leave it out for the default");
        }
    }
    probe
}

/// Reads `healthcheck`, with Compose's own defaults; nothing when it is disabled.
pub(super) fn healthcheck(node: &Node, service: &str, findings: &mut Findings) -> Option<Probe> {
    if node.get("disable").and_then(Node::as_bool) == Some(true) {
        return None;
    }
    let Some(test) = node.get("test") else {
        findings
            .error(node.place, format!("the healthcheck of `{service}` has no `test`"))
            .help("a process has no image that could bring one: write `test: [\"CMD\", …]`");
        return None;
    };
    let shell = |line: &str| vec!["/bin/sh".to_owned(), "-c".to_owned(), line.to_owned()];
    let command = if let Some(line) = test.as_text() {
        shell(line)
    } else {
        let words: Vec<&str> = test.items().iter().filter_map(Node::as_text).collect();
        match words.split_first() {
            Some((&"NONE", [])) => return None,
            Some((&"CMD", [])) | Some((&"CMD-SHELL", [])) | None => {
                findings
                    .error(test.place, "`healthcheck.test` names no command")
                    .help("write `[\"CMD\", \"program\", \"argument\"]`");
                return None;
            }
            Some((&"CMD", rest)) => rest.iter().map(|word| (*word).to_owned()).collect(),
            Some((&"CMD-SHELL", rest)) => shell(&rest.join(" ")),
            // Noted for processes and containers alike in `service`.
            Some(_) => return None,
        }
    };
    // To the engine 0 is the default.
    let time = |key, default| duration(node, key).filter(|time| !time.is_zero()).unwrap_or(default);
    Some(Probe {
        action: ProbeAction::Command { command },
        interval: time("interval", INTERVAL),
        timeout: time("timeout", HEALTHCHECK_TIMEOUT),
        retries: count(node, "retries").filter(|count| *count > 0).unwrap_or(RETRIES),
        start_period: time("start_period", HEALTHCHECK_START_PERIOD),
        start_interval: time("start_interval", START_INTERVAL),
    })
}

/// Notes a `test` list that starts with none of Compose's words.
pub(super) fn check_test(node: &Node, findings: &mut Findings) {
    let Some(test) = node.get("test") else {
        return;
    };
    let first = test.items().first().and_then(Node::as_text);
    if test.as_list().is_some() && !matches!(first, Some("CMD" | "CMD-SHELL" | "NONE")) {
        findings
            .error(
                test.place,
                "`healthcheck.test` as a list starts with `CMD`, `CMD-SHELL` or `NONE`",
            )
            .help("write `[\"CMD\", \"program\", \"argument\"]`, or one text for a shell");
    }
}

/// Notes a probe on the service's own port where it has none.
pub(super) fn check_port(node: &Node, what: &str, port: &Port, findings: &mut Findings) {
    if asks_own_port(node) && *port == Port::None {
        findings
            .error(
                node.place,
                format!("`{what}` asks the service's own port, and it has `port: none`"),
            )
            .help("say how the service learns its port, or write the port into the probe");
    }
}
