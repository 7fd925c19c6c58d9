//! What the edge is to serve, put together from what is known. Pure.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::answer::status;
use tend_base::Secret;
use tend_core::deployment::Exposure;
use tend_core::model::{
    AccessLog, Allow, Listener, ReplicaId, RoutePolicy, ServiceId, Stack, StackName, Strategy, Upstream,
};
use tend_core::observed::{Endpoint, Endpoints};
use tend_core::world::World;
use tend_routing::{
    ListenerTls, Maintenance, Pause, Replica, ReplicaState, Route, SHARE_PERMILLE_MAX, Service, Snapshot, Split,
};

/// Paths of probes, which would fill the access log with lines that tell nothing (E5).
fn quiet_paths(world: &World, id: &ServiceId) -> Vec<String> {
    let Some((_, service)) = world.service(id) else {
        return Vec::new();
    };
    let probes = [&service.readiness, &service.liveness];
    let paths = probes.into_iter().flatten().filter_map(|probe| match &probe.action {
        tend_core::model::ProbeAction::Http { path, .. } => Some(path.clone()),
        _ => None,
    });
    paths.collect()
}

/// Returns the list of a canary, as the release that is being deployed has it.
fn allow(world: &World, id: &ServiceId) -> Vec<Allow> {
    let target = world
        .deployment(&id.stack)
        .and_then(|deployment| world.release(&id.stack, deployment.target))
        .and_then(|release| release.stack.services.get(&id.service));
    match target.map(|service| &service.strategy) {
        Some(Strategy::Canary(canary)) => canary.allow.clone(),
        Some(Strategy::Rolling) | None => Vec::new(),
    }
}

/// Returns which requests go to the candidates of a service; none where new and old are alike.
///
/// A share and a list only once the candidate may be shown to clients; before, it answers who has the token. The endpoints were chosen a
/// moment ago: should they have a candidate of a deployment that has ended since, it still gets nothing of clients.
fn split(world: &World, id: &ServiceId, endpoints: &[Endpoint], candidate_token: &Secret) -> Option<Split> {
    let (share_permille, allow) = match world.lane(id).map(|lane| lane.exposure) {
        Some(Exposure::Share(share)) => (share.min(SHARE_PERMILLE_MAX), allow(world, id)),
        Some(Exposure::Before) => (0, Vec::new()),
        Some(Exposure::Both | Exposure::Target) | None => {
            let left_over = endpoints.iter().any(|endpoint| endpoint.candidate);
            (left_over.then_some(0)?, Vec::new())
        }
    };
    Some(Split {
        share_permille,
        allow,
        token: candidate_token.clone(),
    })
}

/// Returns the release that a replica runs.
fn release(world: &World, id: &ReplicaId) -> Option<u64> {
    status::release(world, id, world.replicas.get(id)?)
}

/// Returns the snapshot of a generation; `candidate_token` asks for a replica of a release that is only looked at so far.
pub(crate) fn compose(world: &World, generation: u64, endpoints: &Endpoints, candidate_token: &Secret) -> Snapshot {
    let mut listeners: Vec<Listener> = Vec::new();
    let mut routes = Vec::new();
    let mut services = Vec::new();
    let mut tls = Vec::new();
    let mut access_log = AccessLog::default();
    for (name, wanted) in &world.stacks {
        let stack = world.stack_wanted(name).unwrap_or(&wanted.stack);
        let own: Vec<SocketAddr> = stack.edge.listeners.iter().map(|listener| listener.address).collect();
        listeners.extend(stack.edge.listeners.iter().cloned());
        for route in &stack.edge.routes {
            let door = wanted.doors.of(route.service.as_ref());
            let service = route.service.as_ref().map(|service| ServiceId {
                stack: name.clone(),
                service: service.clone(),
            });
            routes.push(Route {
                // A stack's routes are only at its own listeners, whatever other stacks listen on.
                listeners: if route.listeners.is_empty() {
                    own.clone()
                } else {
                    route.listeners.clone()
                },
                host: route.host.clone(),
                path_prefix: route.path_prefix.clone(),
                quiet_paths: service.as_ref().map_or_else(Vec::new, |id| quiet_paths(world, id)),
                policy: policy(name, route),
                maintenance: door.maintenance.map(|asked| Maintenance {
                    until: asked.what.until,
                    message: asked.what.message,
                    allow: asked.what.allow,
                }),
                pause: door.pause.map(|asked| Pause {
                    wait_max_ms: asked.what.wait_max_ms,
                    requests_max: asked.what.requests_max,
                }),
                service,
            });
        }
        // What a stack that is being removed still has in flight is finished too, so its services stay.
        let mut ids: BTreeSet<ServiceId> = world.services_wanted(name).map(|(id, _, _)| id).collect();
        ids.extend(wanted.stack.services.keys().map(|service| ServiceId {
            stack: name.clone(),
            service: service.clone(),
        }));
        for id in ids {
            let facts = world.services.get(&id);
            if facts.is_none_or(|facts| facts.loopback_port.is_none()) {
                continue;
            }
            let port = world.services.get(&id).and_then(|facts| facts.loopback_port);
            let endpoints = endpoints.get(&id).map_or(&[][..], Vec::as_slice);
            let replicas = endpoints.iter().map(|endpoint| Replica {
                id: endpoint.replica.clone(),
                incarnation: endpoint.incarnation,
                address: SocketAddr::from(([127, 0, 0, 1], endpoint.port)),
                weight: 1,
                state: if endpoint.draining {
                    ReplicaState::Draining
                } else {
                    ReplicaState::Ready
                },
                candidate: endpoint.candidate,
                release: release(world, &endpoint.replica),
            });
            let upstream: Option<&Upstream> = stack.edge.upstreams.get(&id.service);
            let balance = upstream.map(|upstream| upstream.balance.clone());
            services.push(Service {
                internal: port.map(|port| SocketAddr::from(([127, 0, 0, 1], port))),
                balance: balance.unwrap_or_default(),
                split: split(world, &id, endpoints, candidate_token),
                replicas: replicas.collect(),
                id,
            });
        }
        services.extend(outside(name, stack));
        tls.extend(own_tls(stack));
        if stack.edge.access_log != AccessLog::default() {
            access_log = stack.edge.access_log;
        }
    }
    // Stacks that share an address and differ in its rules: the first in order of their names has it as it wants.
    listeners.sort_by_key(|listener| listener.address);
    listeners.dedup_by_key(|listener| listener.address);
    tls.sort_by_key(|rules| rules.listener);
    tls.dedup_by_key(|rules| rules.listener);
    Snapshot {
        generation,
        listeners,
        routes,
        services,
        tls,
        access_log,
        ..Snapshot::empty()
    }
}

/// Returns the rules of a route. Limits that have the same name in two stacks count apart.
fn policy(stack: &StackName, route: &tend_core::model::Route) -> RoutePolicy {
    let mut policy = route.policy.clone();
    for limit in &mut policy.limits {
        limit.name = format!("{stack}/{}", limit.name);
    }
    policy
}

/// Returns the servers that a stack names and tend does not run. They are asked as replicas are, and never probed by supervision.
fn outside(name: &StackName, stack: &Stack) -> impl Iterator<Item = Service> {
    let upstreams = stack.edge.upstreams.iter();
    upstreams
        .filter(|(_, upstream)| !upstream.servers.is_empty())
        .map(|(service, upstream)| {
            let id = ServiceId {
                stack: name.clone(),
                service: service.clone(),
            };
            let replicas = upstream.servers.iter().zip(1..).map(|(server, slot)| Replica {
                id: id.replica(slot),
                incarnation: 1,
                address: server.address,
                weight: server.weight,
                state: ReplicaState::Ready,
                candidate: false,
                release: None,
            });
            Service {
                internal: None,
                balance: upstream.balance.clone(),
                split: None,
                replicas: replicas.collect(),
                id: id.clone(),
            }
        })
}

/// Returns how the listeners of a stack speak TLS.
fn own_tls(stack: &Stack) -> impl Iterator<Item = ListenerTls> {
    let listeners = stack.edge.listeners.iter().filter(|listener| listener.tls);
    listeners.map(|listener| ListenerTls {
        listener: listener.address,
        version_min: stack.edge.tls.version_min,
        clients: stack.edge.tls.clients.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tend_core::deployment::{Deployment, Lane, Stage};
    use tend_core::door::DoorChange;
    use tend_core::model::{AllowPlace, Release};
    use tend_core::world::Wanted;

    const STACK: &str = "mps";

    fn id() -> ServiceId {
        "mps/api/1".parse::<tend_core::model::ReplicaId>().unwrap().service_id()
    }

    fn token() -> Secret {
        Secret::new("5f0c6f6a".to_owned())
    }

    /// The stack with one service; the list of its canary has one entry where it is one.
    fn stack(canary: bool) -> Stack {
        let mut stack: Stack = serde_json::from_value(json!({
            "name": STACK,
            "source": { "files": ["/s/stack.yml"], "directory": "/s", "owner_uid": 0, "owner_gid": 0 },
            "services": {},
            "edge": {
                "listeners": [{ "address": "127.0.0.1:8080" }],
                "routes": [],
            },
        }))
        .unwrap();
        let mut service: tend_core::model::Service = serde_json::from_value(json!({
            "name": "api",
            "workload": { "container": { "image": "api" } },
            "replicas": { "count": 2 },
            "depends_on": [],
            "restart": {
                "condition": "always",
                "delay": { "secs": 1, "nanos": 0 },
                "delay_max": { "secs": 30, "nanos": 0 },
                "max_attempts": 5,
                "window": { "secs": 10, "nanos": 0 },
            },
            "restart_schedule": null,
            "liveness": null,
            "readiness": null,
            "start_period": { "secs": 0, "nanos": 0 },
            "resources": {
                "memory_max": null, "cpus_max": null, "pids_max": null, "memory_reserved": null, "cpus_reserved": null,
            },
            "stop": { "signal": 15, "grace_period": { "secs": 10, "nanos": 0 } },
            "logs": { "file_bytes_max": 1000, "files_max": 2, "when_behind": "drop" },
            "port": { "variable": "PORT" },
        }))
        .unwrap();
        if canary {
            service.strategy = serde_json::from_value(json!({ "canary": {
                "share_permille": 100,
                "allow": [{ "place": "header", "name": "x-canary", "value": "yes" }],
                "requests_min": 1000,
                "worse_permille": 10,
                "patience": { "secs": 600, "nanos": 0 },
            }}))
            .unwrap();
        }
        stack.services.insert(service.name.clone(), service);
        stack
    }

    /// A world in which release 2 is being deployed; slot 2 runs it, where the service has a lane.
    fn world(exposure: Option<Exposure>, canary: bool) -> World {
        let name: tend_core::model::StackName = STACK.parse().unwrap();
        let mut world = World::default();
        let wanted = Wanted {
            stack: stack(false),
            revision: 1,
            adjustments: Default::default(),
            removing: false,
            doors: Default::default(),
        };
        world.stacks.insert(name.clone(), wanted);
        world.services.entry(id()).or_default().loopback_port = Some(21_001);
        let by = json!({ "daemon": { "pid": 1, "build": "test" } });
        let release: Release = serde_json::from_value(json!({
            "number": 2,
            "file": stack(canary),
            "stack": stack(canary),
            "artifacts": {},
            "configuration": "",
            "made_at": 0,
            "made_by": by,
        }))
        .unwrap();
        let mut deployment: Deployment = serde_json::from_value(json!({
            "number": 1, "target": 2, "from": 1, "purpose": "deploy", "by": by, "reason": null, "begun": 0, "confirm": null,
            "phase": "rolling", "confirm_until": null, "lanes": {}, "acts": [], "abort": null, "approved": null,
            "confirmed": null, "why": null,
        }))
        .unwrap();
        if let Some(exposure) = exposure {
            let lane = Lane {
                slots: [2].into(),
                exposure,
                stage: Stage::Canary,
                ..Lane::default()
            };
            deployment.lanes.insert(id().service, lane);
        }
        let releases = world.releases.entry(name).or_default();
        releases.kept.insert(2, release);
        releases.deployment = Some(deployment);
        world
    }

    /// Composes with an old replica in slot 1 and a new one in slot 2; returns the service, having checked that an edge takes it.
    fn composed(world: &World, candidate: bool) -> Service {
        let endpoint = |slot: u32, candidate| Endpoint {
            replica: format!("mps/api/{slot}").parse().unwrap(),
            incarnation: u64::from(slot),
            port: 20_000 + slot as u16,
            draining: false,
            candidate,
        };
        let endpoints = Endpoints::from([(id(), vec![endpoint(1, false), endpoint(2, candidate)])]);
        let mut snapshot = Snapshot::parse(&compose(world, 7, &endpoints, &token()).to_json()).unwrap();
        let service = snapshot.services.remove(0);
        let candidates: Vec<bool> = service.replicas.iter().map(|replica| replica.candidate).collect();
        assert_eq!(candidates, [false, candidate]);
        service
    }

    #[test]
    fn what_a_stack_says_of_its_edge_reaches_the_snapshot() {
        let mut stack = stack(false);
        let mut extended = serde_json::to_value(&stack.edge).unwrap();
        extended["listeners"] = json!([{ "address": "127.0.0.1:8443", "tls": true, "trusted": ["10.0.0.0/8"] }]);
        extended["tls"] = json!({ "version_min": "1.3" });
        extended["access_log"] = json!({ "format": "combined" });
        extended["upstreams"] = json!({
            "api": { "balance": { "method": "round_robin" } },
            "bank": { "servers": [{ "address": "10.0.0.7:80", "weight": 3 }] },
        });
        extended["routes"] = json!([{
            "listeners": [], "host": null, "path_prefix": "/bank", "service": "bank",
            "policy": { "limits": [{ "name": "slow", "key": "client",
                "rate": { "requests": 10, "per": { "secs": 1, "nanos": 0 }, "burst": 20 } }] },
        }]);
        stack.edge = serde_json::from_value(extended).unwrap();
        let mut world = World::default();
        let wanted = Wanted {
            stack,
            revision: 1,
            adjustments: Default::default(),
            removing: false,
            doors: Default::default(),
        };
        world.stacks.insert(STACK.parse().unwrap(), wanted);
        let snapshot = compose(&world, 1, &Endpoints::new(), &token());
        assert!(snapshot.listeners[0].tls);
        assert_eq!(snapshot.listeners[0].trusted[0].to_string(), "10.0.0.0/8");
        assert_eq!(snapshot.tls[0].version_min, tend_core::model::TlsVersion::V13);
        assert_eq!(snapshot.access_log.format, tend_core::model::LogFormat::Combined);
        let bank = &snapshot.services[0];
        assert_eq!((bank.id.to_string().as_str(), bank.replicas[0].weight), ("mps/bank", 3));
        assert_eq!(snapshot.routes[0].service.as_ref(), Some(&bank.id));
        assert_eq!(snapshot.routes[0].policy.limits[0].name, "mps/slow");
        Snapshot::parse(&snapshot.to_json()).unwrap();
    }

    #[test]
    fn before_its_turn_a_candidate_gets_only_who_has_the_token() {
        let split = composed(&world(Some(Exposure::Before), true), true).split.unwrap();
        assert_eq!((split.share_permille, split.allow.len()), (0, 0));
        assert_eq!(split.token, token());
    }

    #[test]
    fn a_canary_gets_its_share_and_its_list() {
        let split = composed(&world(Some(Exposure::Share(100)), true), true).split.unwrap();
        assert_eq!(split.share_permille, 100);
        assert_eq!(split.token, token());
        let listed = Allow {
            place: AllowPlace::Header,
            name: "x-canary".to_owned(),
            value: "yes".to_owned(),
        };
        assert_eq!(split.allow, [listed]);
    }

    #[test]
    fn a_share_without_a_canary_has_no_list_and_never_all_requests() {
        let split = composed(&world(Some(Exposure::Share(1000)), false), true)
            .split
            .unwrap();
        assert_eq!((split.share_permille, split.allow.len()), (SHARE_PERMILLE_MAX, 0));
    }

    #[test]
    fn a_route_is_closed_as_its_service_or_its_stack_is() {
        let mut world = world(None, false);
        let route = json!({ "listeners": [], "host": null, "path_prefix": "/", "service": "api" });
        let wanted = world.stacks.values_mut().next().unwrap();
        wanted.stack.edge.routes.push(serde_json::from_value(route).unwrap());
        let route = |world: &World| {
            let mut snapshot = compose(world, 7, &Endpoints::new(), &token());
            snapshot.routes.remove(0)
        };
        let before = world.revisions();
        assert_eq!((route(&world).maintenance, route(&world).pause), (None, None));
        let change = |world: &mut World, change: DoorChange| {
            let wanted = world.stacks.values_mut().next().unwrap();
            wanted.doors.change(None, &change, tend_base::Wall(1), "ana");
        };
        let closed = tend_core::door::Maintenance {
            message: Some("Back soon.".to_owned()),
            ..Default::default()
        };
        change(&mut world, DoorChange::Close(closed));
        let pause = tend_core::door::Pause {
            wait_max_ms: 1000,
            requests_max: 5,
        };
        change(&mut world, DoorChange::Pause(pause));
        let shut = route(&world);
        assert_eq!(shut.maintenance.unwrap().message.as_deref(), Some("Back soon."));
        assert_eq!(
            shut.pause.map(|pause| (pause.wait_max_ms, pause.requests_max)),
            Some((1000, 5))
        );
        // Without another number it would not be published.
        assert_ne!(world.revisions(), before);
    }

    #[test]
    fn where_both_serve_or_the_new_ones_alone_nothing_is_split() {
        for exposure in [Some(Exposure::Both), Some(Exposure::Target), None] {
            assert_eq!(composed(&world(exposure, true), false).split, None, "{exposure:?}");
        }
    }

    #[test]
    fn a_candidate_left_over_from_a_moment_ago_gets_nothing_of_clients() {
        let mut ended = world(None, true);
        ended.releases.clear();
        for world in [
            ended,
            world(Some(Exposure::Both), true),
            world(Some(Exposure::Target), true),
        ] {
            let split = composed(&world, true).split.unwrap();
            assert_eq!((split.share_permille, split.allow.len()), (0, 0));
        }
    }
}
