//! Runs `cases/routes.txt`, and compares the table with a plain search over random routes.

use std::net::SocketAddr;

use tend_base::Random;
use tend_core::model::{Balance, Listener, RoutePolicy, ServiceId};
use tend_routing::{Route, RouteTable, Service, Snapshot, SnapshotError};

use crate::lines;

fn at(port: &str) -> SocketAddr {
    format!("127.0.0.1:{port}").parse().unwrap()
}

fn id(name: &str) -> ServiceId {
    ServiceId {
        stack: "s".parse().unwrap(),
        service: name.parse().unwrap(),
    }
}

fn snapshot(ports: &[&str], routes: Vec<Route>) -> Snapshot {
    let mut names: Vec<ServiceId> = routes.iter().filter_map(|route| route.service.clone()).collect();
    names.sort();
    names.dedup();
    Snapshot {
        generation: 1,
        listeners: ports.iter().map(|port| Listener::plain(at(port))).collect(),
        routes,
        services: names
            .into_iter()
            .map(|id| Service {
                id,
                internal: None,
                balance: Balance::default(),
                split: None,
                replicas: Vec::new(),
            })
            .collect(),
        ..Snapshot::empty()
    }
}

fn route(ports: &[&str], host: &str, prefix: &str, service: &str) -> Route {
    Route {
        listeners: ports.iter().map(|port| at(port)).collect(),
        host: (host != "-").then(|| host.to_owned()),
        path_prefix: prefix.to_owned(),
        service: Some(id(service)),
        quiet_paths: Vec::new(),
        policy: RoutePolicy::default(),
        maintenance: None,
        pause: None,
    }
}

#[test]
fn requests_find_the_routes_that_the_cases_say() {
    let text = include_str!("cases/routes.txt");
    let (mut ports, mut routes) = (Vec::new(), Vec::new());
    let mut table = None;
    for (number, line) in lines(text) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["listen", ref some @ ..] => ports = some.to_vec(),
            ["route", "at", some, host, prefix, service] => {
                let some: Vec<&str> = some.split(',').collect();
                routes.push(route(&some, host, prefix, service));
            }
            ["route", host, prefix, service] => routes.push(route(&[], host, prefix, service)),
            ["ask", port, host, path, "=", wanted] => {
                let (snapshot, table) = table.get_or_insert_with(|| {
                    let json = snapshot(&ports, routes.clone()).to_json();
                    let snapshot = Snapshot::parse(&json).unwrap();
                    let table = RouteTable::new(&snapshot).unwrap();
                    (snapshot, table)
                });
                let host = if host == "-" { "" } else { host };
                let found = table.find(at(port), host, path).map_or("none", |found| {
                    snapshot.services[found.service.unwrap()].id.service.as_str()
                });
                assert_eq!(found, wanted, "line {number}: {line}");
            }
            _ => panic!("line {number}: {line}"),
        }
    }
}

#[test]
fn the_table_agrees_with_a_search_over_all_routes() {
    let hosts = ["-", "a.t", "b.t", "*.t", "*.a.t", "x.a.t"];
    let prefixes = ["/", "/a", "/a/b", "/a/b/c", "/b", "/ab"];
    let asked_hosts = ["a.t", "b.t", "c.t", "x.a.t", "y.a.t", "t", ""];
    let asked_paths = ["/", "/a", "/a/", "/a/b", "/a/bc", "/a/b/c/d", "/ab", "/abc", "/b/a"];
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let mut routes: Vec<Route> = Vec::new();
        for number in 0..random.below(8) {
            let host = hosts[random.below(hosts.len() as u64) as usize];
            let prefix = prefixes[random.below(prefixes.len() as u64) as usize];
            let new = route(&[], host, prefix, &format!("s{number}"));
            if !routes
                .iter()
                .any(|old| old.host == new.host && old.path_prefix == new.path_prefix)
            {
                routes.push(new);
            }
        }
        let snapshot = snapshot(&["80"], routes);
        let table = RouteTable::new(&snapshot).unwrap();
        for host in asked_hosts {
            for path in asked_paths {
                let wanted = search(&snapshot.routes, host, path);
                let found = table.find(at("80"), host, path).and_then(|found| found.route);
                assert_eq!(found, wanted, "seed {seed}: {host}{path} in {:?}", snapshot.routes);
            }
        }
    }
}

/// The rule as `docs/reference/format-snapshot.md` words it.
fn search(routes: &[Route], host: &str, path: &str) -> Option<usize> {
    let host_rank = |route: &Route| match route.host.as_deref() {
        None => Some(0),
        Some(wanted) if wanted == host => Some(2),
        Some(wanted) => {
            let label = host.strip_suffix(wanted.strip_prefix('*')?)?;
            (!label.is_empty() && !label.contains('.')).then_some(1)
        }
    };
    let path_matches = |route: &Route| {
        let prefix = route.path_prefix.trim_end_matches('/');
        path == prefix || path.starts_with(&format!("{prefix}/"))
    };
    routes
        .iter()
        .enumerate()
        .filter(|(_, route)| path_matches(route))
        .filter_map(|(number, route)| {
            let prefix = route.path_prefix.trim_end_matches('/');
            Some(((host_rank(route)?, prefix.len()), number))
        })
        .max()
        .map(|(_, number)| number)
}

#[test]
fn two_routes_for_the_same_requests_are_refused() {
    let routes = vec![route(&[], "a.t", "/x", "one"), route(&[], "a.t", "/x/", "two")];
    let error = RouteTable::new(&snapshot(&["80"], routes)).unwrap_err();
    assert!(matches!(error, SnapshotError::Ambiguous { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("s/one") && text.contains("s/two"), "{text}");
    // At different listeners they do not meet.
    let routes = vec![route(&["80"], "a.t", "/x", "one"), route(&["81"], "a.t", "/x", "two")];
    assert!(RouteTable::new(&snapshot(&["80", "81"], routes)).is_ok());
}
