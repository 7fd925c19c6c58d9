//! `edge.upstreams`: how requests to a service are divided, and servers that tend does not run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tend_core::model::{
    ActiveCheck, Balance, Breaker, HashKey, Method, Outlier, Protocol, Server, ServerTls, Service, ServiceName,
    Upstream,
};

use super::rules::{is_true, text};
use crate::error::Findings;
use crate::lower::probe::{count, duration};
use crate::schema::{did_you_mean, parse_hash_key, parse_host_port, parse_share};
use crate::yaml::{Entry, Node};

/// What the edge can count with: see `WEIGHT_MAX` of the routing snapshot.
const WEIGHT_MAX: u32 = 1000;

/// Reads the chapter's upstreams.
pub(super) fn read(
    tree: &Node,
    services: &BTreeMap<ServiceName, Service>,
    findings: &mut Findings,
) -> BTreeMap<ServiceName, Upstream> {
    let entries = tree.at(&["edge", "upstreams"]).map_or(&[][..], Node::entries);
    let mut upstreams = BTreeMap::new();
    for entry in entries {
        match entry.key.parse::<ServiceName>() {
            Ok(name) => {
                let upstream = upstream(entry, tree, services, &name, findings);
                upstreams.insert(name, upstream);
            }
            Err(error) => {
                findings.error(entry.place, error.to_string());
            }
        }
    }
    upstreams
}

fn upstream(
    entry: &Entry,
    tree: &Node,
    services: &BTreeMap<ServiceName, Service>,
    name: &ServiceName,
    findings: &mut Findings,
) -> Upstream {
    let node = &entry.value;
    let servers = servers(node, findings);
    let known = tree.get("services").map_or(&[][..], Node::entries);
    let is_service = known.iter().any(|one| one.key == entry.key);
    if servers.is_empty() && !is_service && node.get("servers").is_none() {
        let near = findings.nearest(&entry.key, known.iter().map(|one| one.key.as_str()));
        findings
            .error(
                entry.place,
                format!("`{}` is no service and has no `servers`", entry.key),
            )
            .help_if(near.map(did_you_mean));
    }
    if !servers.is_empty() && is_service {
        findings
            .error(
                entry.place,
                format!("`{}` is a service of this stack and has `servers` too", entry.key),
            )
            .help("give the outside servers a name of their own");
    }
    if let (Some(check), true) = (node.get("check"), services.contains_key(name)) {
        findings
            .error(check.place, "`check` is for outside servers")
            .help("replicas are asked by `readiness` of the service");
    }
    if let (Some(tls), true) = (node.get("tls"), services.contains_key(name)) {
        findings
            .error(tls.place, "`tls` is for outside servers")
            .help("replicas are reached over loopback, where nobody is between");
    }
    server_name(node, findings);
    if let Some(roots) = node.get("tls").and_then(|tls| tls.get("roots"))
        && node.at(&["tls", "verify"]).and_then(Node::as_bool) == Some(false)
    {
        findings
            .error(
                roots.place,
                "`roots` says who is trusted, and `verify: false` trusts anybody",
            )
            .help("delete `verify`");
    }
    if let (Some(hash), false) = (node.get("hash"), text(node, "method").as_deref() == Some("hash")) {
        findings
            .error(
                hash.place,
                "`hash` says what is hashed, and `method` does not ask for it",
            )
            .help("write `method: hash` beside it");
    }
    Upstream {
        servers,
        balance: balance(node),
    }
}

fn servers(node: &Node, findings: &mut Findings) -> Vec<Server> {
    let mut servers: Vec<Server> = Vec::new();
    for item in node.get("servers").map_or(&[][..], Node::items) {
        let address = item.as_text().or_else(|| item.get("address")?.as_text());
        let Some(address) = address.and_then(|address| parse_host_port(address).ok()) else {
            continue;
        };
        if address.ip().is_unspecified() {
            findings
                .error(item.place, "a server is an address with a port")
                .help("such as 10.0.0.7:8080");
            continue;
        }
        let weight = count(item, "weight").unwrap_or(1);
        if !(1..=WEIGHT_MAX).contains(&weight) {
            findings.error(item.place, format!("a weight is from 1 to {WEIGHT_MAX}"));
        }
        if servers.iter().any(|one| one.address == address) {
            findings
                .error(item.place, format!("the server {address} stands here twice"))
                .help("give it a weight instead");
        }
        servers.push(Server { address, weight });
    }
    servers
}

fn balance(node: &Node) -> Balance {
    let default = Balance::default();
    let time = |key, or: Duration| duration(node, key).unwrap_or(or);
    let hash = || text(node, "hash").and_then(|key| parse_hash_key(&key));
    Balance {
        method: match text(node, "method").as_deref() {
            Some("round_robin") => Method::RoundRobin,
            Some("power_of_two") => Method::PowerOfTwo,
            Some("hash") => Method::Hash(hash().unwrap_or(HashKey::Client)),
            _ => Method::LeastConnections,
        },
        max_fails: count(node, "max_fails").unwrap_or(default.max_fails),
        fail_timeout: time("fail_timeout", default.fail_timeout),
        slow_start: time("slow_start", default.slow_start),
        keepalive: count(node, "keepalive").unwrap_or(default.keepalive),
        connections_max: count(node, "connections_max"),
        protocol: match text(node, "protocol").as_deref() {
            Some("http2") => Protocol::Http2,
            _ => Protocol::Http1,
        },
        tls: block(node.get("tls"), server_tls),
        outlier: block(node.get("outlier"), outlier),
        breaker: block(node.get("breaker"), breaker),
        check: node.get("check").map(check),
    }
}

/// Reads what may be written as `true` for its defaults.
fn block<T>(node: Option<&Node>, read: impl Fn(&Node) -> T) -> Option<T> {
    let node = node?;
    (node.as_map().is_some() || is_true(Some(node))).then(|| read(node))
}

/// Says what is no name of a server.
fn server_name(node: &Node, findings: &mut Findings) {
    let Some(name) = node.get("tls").and_then(|tls| tls.get("name")) else {
        return;
    };
    let is_label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    if name
        .as_text()
        .is_some_and(|text| text.len() > 253 || !text.split('.').all(is_label))
    {
        findings
            .error(name.place, "the name of a server is a host name")
            .help("such as api.bank.example, without https:// and without a port");
    }
}

fn server_tls(node: &Node) -> ServerTls {
    ServerTls {
        name: text(node, "name").map(|name| name.to_ascii_lowercase()),
        roots: text(node, "roots").map(PathBuf::from),
        verify: node.get("verify").and_then(Node::as_bool).unwrap_or(true),
    }
}

fn share(node: &Node, key: &str) -> Option<u32> {
    node.get(key).and_then(Node::as_text).and_then(parse_share)
}

fn outlier(node: &Node) -> Outlier {
    let default = Outlier::default();
    Outlier {
        interval: duration(node, "interval").unwrap_or(default.interval),
        requests_min: count(node, "requests_min").unwrap_or(default.requests_min),
        worse_permille: share(node, "worse").unwrap_or(default.worse_permille),
        ejection: duration(node, "ejection").unwrap_or(default.ejection),
        ejected_permille_max: share(node, "ejected_max").unwrap_or(default.ejected_permille_max),
    }
}

fn breaker(node: &Node) -> Breaker {
    let default = Breaker::default();
    Breaker {
        failures_permille: share(node, "failures").unwrap_or(default.failures_permille),
        requests_min: count(node, "requests_min").unwrap_or(default.requests_min),
        window: duration(node, "window").unwrap_or(default.window),
        open: duration(node, "open").unwrap_or(default.open),
    }
}

fn check(node: &Node) -> ActiveCheck {
    let default = ActiveCheck::default();
    ActiveCheck {
        path: text(node, "path").unwrap_or(default.path),
        interval: duration(node, "interval").unwrap_or(default.interval),
        timeout: duration(node, "timeout").unwrap_or(default.timeout),
        fails: count(node, "fails").unwrap_or(default.fails),
        passes: count(node, "passes").unwrap_or(default.passes),
    }
}
