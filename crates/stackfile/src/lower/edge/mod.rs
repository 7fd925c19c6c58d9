//! What the stack asks of the edge: the chapter `edge`, and `ports` of services that run as processes.
//!
//! Listeners and routes are here; the rules of a route in `rules`, servers in `upstream`, certificates in `tls`.

mod rules;
mod tls;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tend_core::model::{Edge, Listener, Port, Route, RoutePolicy, Service, ServiceName, Upstream};

use super::probe::count;
use super::{is_process, is_process_workload};
use crate::error::Findings;
use crate::schema::{did_you_mean, parse_host_port};
use crate::source::Place;
use crate::yaml::Node;

/// Returns the services that routes name.
pub(super) fn routed_services(tree: &Node) -> BTreeSet<String> {
    routes(tree)
        .iter()
        .filter_map(|route| route.get("service").and_then(Node::as_text))
        .map(str::to_owned)
        .collect()
}

fn routes(tree: &Node) -> &[Node] {
    tree.at(&["edge", "routes"]).map_or(&[], Node::items)
}

/// Returns the addresses of a text or a list of them.
fn addresses(node: Option<&Node>) -> Vec<(SocketAddr, Place)> {
    let Some(node) = node else {
        return Vec::new();
    };
    let alone = node.as_text().map(|_| node);
    alone
        .into_iter()
        .chain(node.items())
        .filter_map(|one| Some((parse_host_port(one.as_text()?).ok()?, one.place)))
        .collect()
}

/// Reads the listeners of the chapter: addresses, or mappings with one and its rules.
fn listeners(tree: &Node) -> Vec<(Listener, Place)> {
    let Some(node) = tree.at(&["edge", "listen"]) else {
        return Vec::new();
    };
    let trusted = rules::prefixes(tree.at(&["edge", "trusted"]));
    let alone = node.as_text().map(|_| node);
    let items = alone.into_iter().chain(node.items());
    items
        .filter_map(|item| {
            let address = item.as_text().or_else(|| item.get("address")?.as_text())?;
            let connections = item.get("connections_per_client");
            let own = item.get("trusted").map(|own| rules::prefixes(Some(own)));
            let listener = Listener {
                tls: rules::is_true(item.get("tls")),
                redirect_to_https: rules::text(item, "redirect_to_https").and_then(|port| port.parse().ok()),
                proxy_protocol: rules::is_true(item.get("proxy_protocol")),
                trusted: own.unwrap_or_else(|| trusted.clone()),
                connections_per_client: count(item, "connections_per_client")
                    .or_else(|| connections.and_then(|connections| count(connections, "max"))),
                connections_shadow: connections.is_some_and(|connections| rules::is_true(connections.get("shadow"))),
                ..Listener::plain(parse_host_port(address).ok()?)
            };
            Some((listener, item.place))
        })
        .collect()
}

/// What a listener says that contradicts itself or the rest.
fn check_listeners(listeners: &[(Listener, Place)], tree: &Node, findings: &mut Findings) {
    let tls = tree.at(&["edge", "tls"]);
    let certificates = tls.is_some_and(|tls| tls.get("certificates").is_some() || tls.get("acme").is_some());
    for (listener, place) in listeners {
        if listener.tls && !certificates {
            findings
                .error(
                    *place,
                    format!("{} speaks TLS and has no certificate to show", listener.address),
                )
                .help("write below `edge.tls` either `certificates` or `acme`");
        }
        if listener.tls && listener.redirect_to_https.is_some() {
            findings
                .error(*place, format!("{} speaks TLS already", listener.address))
                .help("delete `redirect_to_https`, or `tls`");
        }
        if listener.proxy_protocol && listener.trusted.is_empty() {
            findings
                .error(*place, format!("{} takes PROXY headers from nobody", listener.address))
                .help("name who sends them: `trusted: [10.0.0.0/8]`");
        }
    }
    if let Some(tls) = tls
        && !listeners.iter().any(|(listener, _)| listener.tls)
    {
        findings
            .warning(tls.place, "there are certificates, and no listener speaks TLS")
            .help("write `listen: [{address: 443, tls: true}]`");
    }
}

/// A listener or route under way, with where it was written.
struct Draft {
    listeners: Vec<(Listener, Place)>,
    routes: Vec<(Route, Place)>,
}

/// Makes the model of the edge.
pub(super) fn lower(tree: &Node, services: &BTreeMap<ServiceName, Service>, findings: &mut Findings) -> Edge {
    let mut draft = Draft {
        listeners: Vec::new(),
        routes: Vec::new(),
    };
    for (listener, place) in listeners(tree) {
        match draft.listener(listener.address) {
            Some(first) => {
                findings
                    .error(place, format!("the edge listens at {} twice", listener.address))
                    .also(first, "first here")
                    .help("delete one of the two");
            }
            None => draft.listeners.push((listener, place)),
        }
    }
    check_listeners(&draft.listeners, tree, findings);
    let upstreams = upstream::read(tree, services, findings);
    let common: Vec<SocketAddr> = draft.listeners.iter().map(|(listener, _)| listener.address).collect();
    published_ports(tree, &mut draft, findings);
    // A route without `listen` means the addresses of the chapter, not those that single services publish.
    let all = if draft.listeners.len() == common.len() {
        Vec::new()
    } else {
        common.clone()
    };
    for route in routes(tree) {
        let stack = Known {
            tree,
            services,
            upstreams: &upstreams,
        };
        if let Some(lowered) = lower_route(route, stack, &common, &all, findings) {
            draft.routes.push((lowered, route.place));
        }
    }
    let edge_place = tree.as_map().and_then(|map| map.entry("edge")).map(|entry| entry.place);
    if let Some(place) = edge_place {
        if tree.at(&["edge", "listen"]).is_none() && !routes(tree).is_empty() {
            findings
                .error(place, "the edge has routes and listens nowhere")
                .help("write where: `listen: [8080]` beside `routes`");
        }
        if !common.is_empty() && routes(tree).is_empty() {
            findings
                .error(place, "the edge listens and has no route to any service")
                .help("write `routes: [{service: …}]` beside `listen`");
        }
    }
    check_routes(&draft, findings);
    Edge {
        listeners: draft.listeners.into_iter().map(|(listener, _)| listener).collect(),
        routes: draft.routes.into_iter().map(|(route, _)| route).collect(),
        upstreams,
        tls: tls::read(tree, findings),
        access_log: tls::access_log(tree),
    }
}

impl Draft {
    fn listener(&self, address: SocketAddr) -> Option<Place> {
        let known = self.listeners.iter().find(|(other, _)| other.address == address);
        known.map(|(_, place)| *place)
    }
}

/// What a route may name.
#[derive(Clone, Copy)]
struct Known<'a> {
    tree: &'a Node,
    services: &'a BTreeMap<ServiceName, Service>,
    upstreams: &'a BTreeMap<ServiceName, Upstream>,
}

fn lower_route(
    route: &Node,
    stack: Known<'_>,
    common: &[SocketAddr],
    all: &[SocketAddr],
    findings: &mut Findings,
) -> Option<Route> {
    route.as_map()?;
    let path_prefix = route.get("path").and_then(Node::as_text).unwrap_or("/").to_owned();
    let host = route.get("host").and_then(Node::as_text).map(str::to_ascii_lowercase);
    let own = addresses(route.get("listen"));
    let mut name = format!("{}{path_prefix}", host.as_deref().unwrap_or(""));
    // Routes may differ in nothing else.
    for (address, _) in &own {
        name.push_str(&format!("@{address}"));
    }
    let policy = rules::read(route, stack.tree.at(&["edge", "defaults"]), &name, findings);
    let service = match route.get("service") {
        Some(named) => Some(routed_service(named, stack, findings)?),
        None if policy.files.is_some() || policy.redirect.is_some() => None,
        None => {
            findings
                .error(route.place, "a route leads nowhere")
                .help("say who answers: `service`, `files` or `redirect`");
            return None;
        }
    };
    let mut listeners = all.to_vec();
    if !own.is_empty() {
        for (address, place) in &own {
            if !common.contains(address) {
                findings
                    .error(*place, format!("the edge does not listen at {address}"))
                    .help("add it to `edge.listen`");
            }
        }
        listeners = own.into_iter().map(|(address, _)| address).collect();
    }
    Some(Route {
        listeners,
        host,
        path_prefix,
        service,
        policy,
    })
}

/// Reads who answers at a route.
fn routed_service(named: &Node, stack: Known<'_>, findings: &mut Findings) -> Option<ServiceName> {
    let text = named.as_text()?;
    let outside = text
        .parse()
        .ok()
        .and_then(|name: ServiceName| stack.upstreams.get(&name));
    if outside.is_some_and(|upstream| !upstream.servers.is_empty()) {
        return text.parse().ok();
    }
    let known = stack.tree.get("services").map_or(&[][..], Node::entries);
    if !known.iter().any(|entry| entry.key == text) {
        let near = findings.nearest(text, known.iter().map(|entry| entry.key.as_str()));
        findings
            .error(named.place, format!("a route leads to the undefined service `{text}`"))
            .help_if(near.map(did_you_mean));
        return None;
    }
    let service = text.parse().ok()?;
    // A service that is wrong was said to be.
    if let Some(found) = stack.services.get(&service) {
        if !is_process_workload(&found.workload) {
            findings
                .warning(
                    named.place,
                    format!("the route to `{text}` stays unanswered: the service is a container"),
                )
                .help("containers are not started in this version of tend");
        } else if found.port == Port::None {
            findings
                .error(
                    named.place,
                    format!("a route leads to `{text}`, which has `port: none`"),
                )
                .help("say how the service learns its port: `port: PORT`");
        }
    }
    Some(service)
}

/// What limits of published ports are called where they have no name, before it is known of which port.
const PORTS: &str = "ports";

/// `ports: ["8080:3000"]` of a process: the edge listens at 8080 and everything that comes there goes to the service.
fn published_ports(tree: &Node, draft: &mut Draft, findings: &mut Findings) {
    let rules = match tree.at(&["edge", "defaults"]) {
        Some(defaults) => rules::read(defaults, None, PORTS, findings),
        None => RoutePolicy::default(),
    };
    for entry in tree.get("services").map_or(&[][..], Node::entries) {
        if !is_process(&entry.value) {
            continue;
        }
        let Ok(service) = entry.key.parse::<ServiceName>() else {
            continue;
        };
        for port in entry.value.get("ports").map_or(&[][..], Node::items) {
            if port.as_map().is_none() {
                // Not a port; that was noted.
                continue;
            }
            let text = |key: &str| port.get(key).and_then(Node::as_text);
            if text("protocol").is_some_and(|protocol| protocol != "tcp") {
                findings
                    .error(port.place, format!("`{}` publishes a port that is not TCP", entry.key))
                    .help("the edge speaks HTTP; let the process listen for other protocols by itself");
                continue;
            }
            let Some(published) = text("published") else {
                findings
                    .warning(
                        port.place,
                        format!("`{}` publishes a port without saying where", entry.key),
                    )
                    .help("write \"8080:3000\" to have the edge listen at 8080 for it");
                continue;
            };
            let Ok(number) = published.parse::<u16>() else {
                findings
                    .error(
                        port.place,
                        format!("`{}` publishes a range of ports for one of its own", entry.key),
                    )
                    .help("write one port: all replicas are behind it");
                continue;
            };
            if let (Some(fixed), Some(target)) = (
                entry
                    .value
                    .get("port")
                    .and_then(|fixed| fixed.as_text()?.parse::<u16>().ok()),
                text("target"),
            ) && target.parse() != Ok(fixed)
            {
                findings
                    .error(
                        port.place,
                        format!("`{}` publishes its port {target} and listens at {fixed}", entry.key),
                    )
                    .help(format!("write \"{number}:{fixed}\""));
            }
            let ip = text("host_ip").map_or(Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), |ip| ip.parse().ok());
            let Some(ip) = ip.filter(|_| number > 0) else {
                findings
                    .error(
                        port.place,
                        format!("`{}` publishes at an address that is none", entry.key),
                    )
                    .help("write an IP address and a port from 1 to 65535");
                continue;
            };
            let address = SocketAddr::new(ip, number);
            if let Some(first) = draft.listener(address) {
                findings
                    .error(port.place, format!("{address} is taken in this stack already"))
                    .also(first, "taken here")
                    .help("choose another port, or tell the services apart by host or path in `edge.routes`");
                continue;
            }
            draft.listeners.push((Listener::plain(address), port.place));
            let mut policy = rules.clone();
            // Each port has limits of its own where they have no name: they were read once for all.
            for limit in &mut policy.limits {
                if let Some(number) = limit.name.strip_prefix(PORTS).and_then(|rest| rest.strip_prefix('#')) {
                    limit.name = format!("{address}#{number}");
                }
            }
            draft.routes.push((
                Route {
                    listeners: vec![address],
                    host: None,
                    path_prefix: "/".to_owned(),
                    service: Some(service.clone()),
                    policy,
                },
                port.place,
            ));
        }
    }
}

/// Two routes that match the same requests: one of them never answers.
fn check_routes(draft: &Draft, findings: &mut Findings) {
    for (index, (route, place)) in draft.routes.iter().enumerate() {
        let same = draft.routes[..index].iter().find(|(other, _)| {
            let overlap = other.listeners.is_empty()
                || route.listeners.is_empty()
                || other.listeners.iter().any(|address| route.listeners.contains(address));
            overlap
                && other.host == route.host
                && other.path_prefix.trim_end_matches('/') == route.path_prefix.trim_end_matches('/')
        });
        if let Some((_, first)) = same {
            findings
                .error(*place, "this route matches what another one matches")
                .also(*first, "the other")
                .help("give it another `host` or `path`");
        }
    }
}
