//! The state of stacks, services and replicas as messages. Decides nothing: `tend-supervise` says what state is which.

use tend_api::messages::{
    EdgeReport, EdgeState, ListenerStatus, ReplicaState, ReplicaStatus, RouteStatus, ServiceState, ServiceStatus,
    StackStatus, StackSummary, WorkloadKind,
};
use tend_base::Now;
use tend_core::model::{Port, ProbeAction, ReplicaId, ServiceId, StackName, Workload};
use tend_core::observed::Phase;
use tend_core::world::{Wanted, World};
use tend_supervise::{LOOPBACK, replica_state};

use super::deploy;

/// Returns one stack's state; none when it is not known.
pub(crate) fn stack_status(world: &World, name: &StackName, now: Now) -> Option<StackStatus> {
    let wanted = world.stacks.get(name)?;
    let stack = &wanted.stack;
    let services: Vec<ServiceStatus> = stack
        .services
        .keys()
        .map(|service| {
            service_status(
                world,
                wanted,
                &ServiceId {
                    stack: name.clone(),
                    service: service.clone(),
                },
                now,
            )
        })
        .collect();
    Some(StackStatus {
        name: name.clone(),
        file: stack.source.files.first().cloned().unwrap_or_default(),
        revision: wanted.revision,
        state: services
            .iter()
            .map(|service| service.state)
            .max()
            .unwrap_or(ServiceState::Stopped),
        listeners: stack
            .edge
            .listeners
            .iter()
            .map(|listener| ListenerStatus {
                address: listener.address,
                bound: world.edge.connected,
                why: if world.edge.connected {
                    String::new()
                } else {
                    "the edge is not running".to_owned()
                },
            })
            .collect(),
        routes: stack
            .edge
            .routes
            .iter()
            .map(|route| RouteStatus {
                listeners: route.listeners.clone(),
                host: route.host.clone(),
                path_prefix: route.path_prefix.clone(),
                service: route.service.clone(),
            })
            .collect(),
        warnings: warnings(wanted)
            .into_iter()
            .chain(wanted.doors.lines(name.as_str()))
            .collect(),
        certificates: Vec::new(),
        release: world.releases.get(name).and_then(|releases| releases.running),
        deployment: world.deployment(name).map(deploy::deployment),
        services,
    })
}

/// Returns one line for the list of stacks.
pub(crate) fn summary(world: &World, name: &StackName, now: Now) -> Option<StackSummary> {
    let status = stack_status(world, name, now)?;
    Some(StackSummary {
        services: u32::try_from(status.services.len()).unwrap_or(u32::MAX),
        wanted_replicas: status.services.iter().map(|service| service.wanted_replicas).sum(),
        ready_replicas: status.services.iter().map(|service| service.ready_replicas).sum(),
        urls: status
            .services
            .iter()
            .flat_map(|service| service.urls.clone())
            .collect(),
        name: status.name,
        file: status.file,
        revision: status.revision,
        state: status.state,
    })
}

/// Says what will not be as the file asks.
pub(crate) fn warnings(wanted: &Wanted) -> Vec<String> {
    wanted
        .stack
        .containers()
        .map(|service| {
            let Workload::Container { image } = &service.workload else {
                return String::new();
            };
            format!(
                "{} is a container ({image}) and was not started: this version of tend runs processes and drives no \
                 container engine yet",
                service.name
            )
        })
        .collect()
}

/// Returns where clients reach a service.
pub(crate) fn urls(wanted: &Wanted, id: &ServiceId) -> Vec<String> {
    let edge = &wanted.stack.edge;
    let mut urls = Vec::new();
    for route in edge.routes_to(&id.service) {
        let all: Vec<_> = edge.listeners.iter().map(|listener| listener.address).collect();
        for address in if route.listeners.is_empty() {
            &all
        } else {
            &route.listeners
        } {
            let host = match &route.host {
                Some(host) => format!("{host}:{}", address.port()),
                None if address.ip().is_unspecified() => format!("{LOOPBACK}:{}", address.port()),
                None => address.to_string(),
            };
            urls.push(format!("http://{host}{}", route.path_prefix));
        }
    }
    urls
}

/// Returns where a client gets an answer that means something: the path asked for readiness where clients reach it, else the
/// route's own, at which a service need not have anything.
pub(crate) fn url_to_ask(wanted: &Wanted, id: &ServiceId) -> Option<String> {
    let url = urls(wanted, id).into_iter().next()?;
    let edge = &wanted.stack.edge;
    let route = edge.routes_to(&id.service).next()?;
    let readiness = wanted.stack.services.get(&id.service)?.readiness.as_ref();
    let known = readiness.and_then(|probe| match &probe.action {
        ProbeAction::Http { path, port: None } if path.starts_with(&route.path_prefix) => Some(path),
        _ => None,
    });
    let server = url.strip_suffix(&route.path_prefix)?;
    Some(known.map_or_else(|| url.clone(), |path| format!("{server}{path}")))
}

/// Returns one service's state.
pub(crate) fn service_status(world: &World, wanted: &Wanted, id: &ServiceId, now: Now) -> ServiceStatus {
    let service = &wanted.stack.services[&id.service];
    let count = world.replicas_wanted(id);
    let known = world
        .replicas_of(id)
        .filter(|(id, replica)| replica.is_up() || world.is_wanted(id))
        .map(|(id, _)| id.slot);
    let slots: std::collections::BTreeSet<u32> = known.chain(1..=count).collect();
    let replicas: Vec<ReplicaStatus> = slots
        .into_iter()
        .map(|slot| {
            replica_status(
                world,
                &ReplicaId {
                    stack: id.stack.clone(),
                    service: id.service.clone(),
                    slot,
                },
                now,
            )
        })
        .collect();
    let ready = replicas
        .iter()
        .filter(|replica| replica.state == ReplicaState::Ready)
        .count();
    let container = matches!(service.workload, Workload::Container { .. });
    let state = if container {
        ServiceState::NeedsEngine
    } else {
        service_state(&replicas, count, ready)
    };
    let why = replicas
        .iter()
        .find(|replica| replica.state != ReplicaState::Ready)
        .map(|replica| replica.why.clone());
    ServiceStatus {
        name: id.service.clone(),
        workload: if container {
            WorkloadKind::Container
        } else {
            WorkloadKind::Process
        },
        state,
        why: why.unwrap_or_default(),
        wanted_replicas: count,
        ready_replicas: u32::try_from(ready).unwrap_or(u32::MAX),
        urls: urls(wanted, id),
        internal_url: world
            .services
            .get(id)
            .and_then(|facts| facts.loopback_port)
            .filter(|_| service.port != Port::None)
            .map(|port| format!("http://{LOOPBACK}:{port}")),
        replicas,
    }
}

fn service_state(replicas: &[ReplicaStatus], wanted: u32, ready: usize) -> ServiceState {
    let any = |state: ReplicaState| replicas.iter().any(|replica| replica.state == state);
    let all = |state: ReplicaState| replicas.iter().all(|replica| replica.state == state);
    if wanted == 0 {
        return if any(ReplicaState::Stopping) {
            ServiceState::Stopping
        } else {
            ServiceState::Stopped
        };
    }
    if all(ReplicaState::Ready) {
        ServiceState::Running
    } else if all(ReplicaState::Completed) {
        ServiceState::Completed
    } else if any(ReplicaState::Failing) || any(ReplicaState::BackingOff) || any(ReplicaState::Unready) {
        if ready > 0 {
            ServiceState::Degraded
        } else {
            ServiceState::Down
        }
    } else if any(ReplicaState::Waiting) {
        ServiceState::Waiting
    } else {
        ServiceState::Starting
    }
}

/// Returns one replica's state.
pub(crate) fn replica_status(world: &World, id: &ReplicaId, now: Now) -> ReplicaStatus {
    let (state, why) = replica_state(world, id, now);
    let replica = world.replicas.get(id).cloned().unwrap_or_default();
    let running = matches!(replica.phase, Phase::Running { .. } | Phase::Stopping { .. });
    ReplicaStatus {
        id: id.clone(),
        state: word(state),
        why: why.unwrap_or_default(),
        pid: replica.pid(),
        port: replica.port.filter(|_| running),
        incarnation: replica.incarnation,
        uptime_seconds: replica
            .started_at
            .filter(|_| running)
            .map(|at| now.mono.since(at).as_secs()),
        restarts: replica.restarts,
        last_exit: replica.last_exit.as_ref().map(|last| last.exit.to_string()),
        memory_bytes: replica.memory.filter(|_| running),
        cpu_percent: replica
            .cpu_permille
            .filter(|_| running)
            .map(|permille| f64::from(permille) / 10.0),
        release: release(world, id, &replica),
    }
}

/// Returns the release that a replica runs, or is to run when there is no process.
pub(crate) fn release(world: &World, id: &ReplicaId, replica: &tend_core::observed::Replica) -> Option<u64> {
    let deployment = world.deployment(&id.stack);
    match deployment {
        Some(deployment) if replica.is_up() => match world.runs_target(id, replica) {
            true => Some(deployment.target),
            false => deployment.from,
        },
        _ => world.release_of(id),
    }
}

fn word(state: tend_supervise::ReplicaState) -> ReplicaState {
    use tend_supervise::ReplicaState as Known;
    match state {
        Known::Waiting => ReplicaState::Waiting,
        Known::Starting => ReplicaState::Starting,
        Known::Ready => ReplicaState::Ready,
        Known::Unready => ReplicaState::Unready,
        Known::Stopping => ReplicaState::Stopping,
        Known::Stopped => ReplicaState::Stopped,
        Known::Completed => ReplicaState::Completed,
        Known::BackingOff => ReplicaState::BackingOff,
        Known::Failing => ReplicaState::Failing,
    }
}

/// Returns how the edge is.
pub(crate) fn edge(world: &World, pid: Option<u32>, memory_bytes: Option<u64>) -> EdgeReport {
    let edge = &world.edge;
    let state = match (edge.connected, &edge.failed) {
        (true, _) if edge.serving > 0 => EdgeState::Running,
        (false, Some(_)) => EdgeState::BackingOff,
        (false, None) if world.stacks.is_empty() => EdgeState::NotNeeded,
        _ => EdgeState::Starting,
    };
    EdgeReport {
        state,
        pid: pid.filter(|_| edge.connected),
        snapshot: edge.generation,
        attested: Some(edge.serving).filter(|serving| *serving > 0),
        memory_bytes,
    }
}
