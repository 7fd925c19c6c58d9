//! What the edge is told, and whether it was seen to work.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tend_base::{Backoff, Now};
use tend_core::controller::Decision;
use tend_core::model::{Route, ServiceId};
use tend_core::observed::ServiceFacts;
use tend_core::plan::Step;
use tend_core::world::{Wanted, World};

/// Before the edge is started again when it did not come up well; one that had is started at once.
const EDGE_AGAIN: Backoff = Backoff {
    first: Duration::from_millis(100),
    max: Duration::from_secs(5),
};

/// After the edge could not be told of a snapshot, though it is connected: it could not bind a listener or write to its disk.
const PUBLISH_AGAIN: Duration = Duration::from_secs(1);

/// After a service did not answer through the edge. Soon at first, since somebody waits for `up`; then ever more rarely, since each try
/// is in the journal.
const VERIFY_AGAIN: Backoff = Backoff {
    first: Duration::from_millis(200),
    max: Duration::from_secs(30),
};

/// Keeps the edge there, tells it what changed, and asks through it.
pub(crate) fn decide(world: &World, now: Now, decision: &mut Decision) {
    let edge = &world.edge;
    let needed = world.stacks.values().any(|wanted| {
        !wanted.stack.edge.listeners.is_empty()
            || wanted
                .stack
                .services
                .values()
                .any(|service| service.port != tend_core::model::Port::None)
    });
    if !edge.connected {
        let pause = EDGE_AGAIN.delay(edge.failures.saturating_sub(1), u64::from(edge.failures));
        let again = edge.ended_at.map(|at| at + pause);
        match again {
            Some(again) if needed && again > now.mono => decision.wake(again),
            _ if needed => decision.steps.push(Step::StartEdge),
            _ => {}
        }
        return;
    }
    let endpoints = world.endpoints();
    if edge.published.as_ref() != Some(&endpoints) || edge.published_revision != world.revisions() {
        match edge.publish_failed.map(|failed| failed + PUBLISH_AGAIN) {
            Some(again) if again > now.mono => decision.wake(again),
            _ => decision.steps.push(Step::Publish {
                generation: edge.generation + 1,
                endpoints,
            }),
        }
        return;
    }
    if edge.serving < edge.generation {
        return;
    }
    for (name, wanted) in &world.stacks {
        for route in &wanted.stack.edge.routes {
            // What the edge answers by itself needs nobody to be there.
            let Some(service) = route.service.clone() else {
                continue;
            };
            let service = ServiceId {
                stack: name.clone(),
                service,
            };
            verify(world, wanted, route, service, now, decision);
        }
    }
}

fn verify(world: &World, wanted: &Wanted, route: &Route, service: ServiceId, now: Now, decision: &mut Decision) {
    let facts = world.services.get(&service);
    let answered = facts.and_then(|facts| facts.answered_revision);
    if wanted.removing || answered == Some(wanted.revision) {
        return;
    }
    let serves = world
        .endpoints()
        .get(&service)
        .is_some_and(|all| all.iter().any(|endpoint| !endpoint.draining));
    let Some((address, host)) = asked_at(wanted, route, facts) else {
        return;
    };
    if !serves || is_being_renewed(world, wanted, &service) {
        return;
    }
    if let Some((failed, _)) = facts.and_then(|facts| facts.answer_failure.as_ref()) {
        let failures = facts.map_or(0, |facts| facts.answer_failures);
        let again = *failed + VERIFY_AGAIN.delay(failures, u64::from(failures));
        if again > now.mono {
            decision.wake(again);
            return;
        }
    }
    decision.steps.push(Step::Verify {
        service,
        revision: wanted.revision,
        address,
        host,
        path: route.path_prefix.clone(),
    });
}

/// Returns where a route is asked for its service, and with which host name: at a listener, where this machine is let through, else at
/// the service's own address, which leads through the edge too.
fn asked_at(wanted: &Wanted, route: &Route, facts: Option<&ServiceFacts>) -> Option<(SocketAddr, Option<String>)> {
    let edge = &wanted.stack.edge;
    if edge.listeners.is_empty() && route.listeners.is_empty() {
        return None;
    }
    if let Some(listener) = edge.open_to_this_machine(route).first() {
        let host = route.host.as_ref().map(|host| host.replacen('*', "tend-probe", 1));
        return Some((listener.address, host));
    }
    let port = facts?.loopback_port?;
    Some((SocketAddr::from((Ipv4Addr::LOCALHOST, port)), None))
}

/// Returns whether replicas of an older definition still serve: their answer would not prove anything of the new one.
fn is_being_renewed(world: &World, wanted: &Wanted, service: &ServiceId) -> bool {
    let Some(definition) = wanted.stack.services.get(&service.service) else {
        return false;
    };
    let fingerprint = world.fingerprint(&service.stack, definition);
    world
        .replicas_of(service)
        .any(|(id, replica)| world.is_wanted(id) && replica.is_ready() && replica.fingerprint != fingerprint)
}
