//! What the edge is to serve, put together from what is known. Pure.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use tend_core::model::ServiceId;
use tend_core::observed::Endpoints;
use tend_core::world::World;
use tend_routing::{
    EjectionPolicy, FORMAT_VERSION, Listener, Replica, ReplicaState, RetryPolicy, Route, Service, Snapshot,
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

/// Returns the snapshot of a generation.
pub(crate) fn compose(world: &World, generation: u64, endpoints: &Endpoints) -> Snapshot {
    let mut listeners: Vec<SocketAddr> = Vec::new();
    let mut routes = Vec::new();
    let mut services = Vec::new();
    for (name, wanted) in &world.stacks {
        let stack = world.stack_wanted(name).unwrap_or(&wanted.stack);
        let own: Vec<SocketAddr> = stack.edge.listeners.iter().map(|listener| listener.address).collect();
        listeners.extend(&own);
        for route in &stack.edge.routes {
            let service = ServiceId {
                stack: name.clone(),
                service: route.service.clone(),
            };
            routes.push(Route {
                // A stack's routes are only at its own listeners, whatever other stacks listen on.
                listeners: if route.listeners.is_empty() {
                    own.clone()
                } else {
                    route.listeners.clone()
                },
                host: route.host.clone(),
                path_prefix: route.path_prefix.clone(),
                quiet_paths: quiet_paths(world, &service),
                retry: RetryPolicy::default(),
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
            let replicas = endpoints.get(&id).into_iter().flatten().map(|endpoint| Replica {
                id: endpoint.replica.clone(),
                incarnation: endpoint.incarnation,
                address: SocketAddr::from(([127, 0, 0, 1], endpoint.port)),
                weight: 1,
                state: if endpoint.draining {
                    ReplicaState::Draining
                } else {
                    ReplicaState::Ready
                },
            });
            services.push(Service {
                internal: port.map(|port| SocketAddr::from(([127, 0, 0, 1], port))),
                ejection: EjectionPolicy::default(),
                replicas: replicas.collect(),
                id,
            });
        }
    }
    listeners.sort_unstable();
    listeners.dedup();
    let listeners = listeners
        .into_iter()
        .map(|address| Listener {
            address,
            key: String::new(),
        })
        .collect();
    Snapshot {
        format: FORMAT_VERSION,
        generation,
        listeners,
        routes,
        services,
    }
}
