//! What the stack asks of the edge: the chapter `edge`, and `ports` of services that run as processes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tend_core::model::{Edge, Listener, Port, Route, RoutePolicy, Service, ServiceName};

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

/// A listener or route under way, with where it was written.
struct Draft {
    listeners: Vec<(SocketAddr, Place)>,
    routes: Vec<(Route, Place)>,
}

/// Makes the model of the edge.
pub(super) fn lower(tree: &Node, services: &BTreeMap<ServiceName, Service>, findings: &mut Findings) -> Edge {
    let mut draft = Draft {
        listeners: Vec::new(),
        routes: Vec::new(),
    };
    for (address, place) in addresses(tree.at(&["edge", "listen"])) {
        match draft.listeners.iter().find(|(other, _)| *other == address) {
            Some((_, first)) => {
                findings
                    .error(place, format!("the edge listens at {address} twice"))
                    .also(*first, "first here")
                    .help("delete one of the two");
            }
            None => draft.listeners.push((address, place)),
        }
    }
    let common: Vec<SocketAddr> = draft.listeners.iter().map(|(address, _)| *address).collect();
    published_ports(tree, &mut draft, findings);
    // A route without `listen` means the addresses of the chapter, not those that single services publish.
    let all = if draft.listeners.len() == common.len() {
        Vec::new()
    } else {
        common.clone()
    };
    for route in routes(tree) {
        if let Some(lowered) = lower_route(route, tree, services, &common, &all, findings) {
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
        listeners: draft
            .listeners
            .into_iter()
            .map(|(address, _)| Listener::plain(address))
            .collect(),
        routes: draft.routes.into_iter().map(|(route, _)| route).collect(),
        ..Edge::default()
    }
}

fn lower_route(
    route: &Node,
    tree: &Node,
    services: &BTreeMap<ServiceName, Service>,
    common: &[SocketAddr],
    all: &[SocketAddr],
    findings: &mut Findings,
) -> Option<Route> {
    let named = route.get("service")?;
    let text = named.as_text()?;
    let known = tree.get("services").map_or(&[][..], Node::entries);
    if !known.iter().any(|entry| entry.key == text) {
        let near = findings.nearest(text, known.iter().map(|entry| entry.key.as_str()));
        findings
            .error(named.place, format!("a route leads to the undefined service `{text}`"))
            .help_if(near.map(did_you_mean));
        return None;
    }
    let service = text.parse().ok()?;
    // A service that is wrong was said to be.
    if let Some(found) = services.get(&service) {
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
    let mut listeners = all.to_vec();
    let own = addresses(route.get("listen"));
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
        host: route.get("host").and_then(Node::as_text).map(str::to_ascii_lowercase),
        path_prefix: route.get("path").and_then(Node::as_text).unwrap_or("/").to_owned(),
        service: Some(service),
        policy: RoutePolicy::default(),
    })
}

/// `ports: ["8080:3000"]` of a process: the edge listens at 8080 and everything that comes there goes to the service.
fn published_ports(tree: &Node, draft: &mut Draft, findings: &mut Findings) {
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
            if let Some((_, first)) = draft.listeners.iter().find(|(other, _)| *other == address) {
                findings
                    .error(port.place, format!("{address} is taken in this stack already"))
                    .also(*first, "taken here")
                    .help("choose another port, or tell the services apart by host or path in `edge.routes`");
                continue;
            }
            draft.listeners.push((address, port.place));
            draft.routes.push((
                Route {
                    listeners: vec![address],
                    host: None,
                    path_prefix: "/".to_owned(),
                    service: Some(service.clone()),
                    policy: RoutePolicy::default(),
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
