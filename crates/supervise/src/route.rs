//! What the edge is told, and whether it was seen to work.

use std::time::Duration;

use tend_base::Now;
use tend_core::controller::Decision;
use tend_core::model::{Route, ServiceId};
use tend_core::plan::Step;
use tend_core::world::{Wanted, World};

/// After the edge could not be started.
const EDGE_AGAIN: Duration = Duration::from_secs(1);

/// After a service did not answer through the edge.
const VERIFY_AGAIN: Duration = Duration::from_millis(200);

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
        let again = edge.failed.as_ref().map(|(at, _)| *at + EDGE_AGAIN);
        match again {
            Some(again) if again > now.mono => decision.wake(again),
            _ if needed => decision.steps.push(Step::StartEdge),
            _ => {}
        }
        return;
    }
    let endpoints = world.endpoints();
    if edge.published.as_ref() != Some(&endpoints) || edge.published_revision != world.revisions() {
        decision.steps.push(Step::Publish {
            generation: edge.generation + 1,
            endpoints,
        });
        return;
    }
    if edge.serving < edge.generation {
        return;
    }
    for (name, wanted) in &world.stacks {
        for route in &wanted.stack.edge.routes {
            let service = ServiceId {
                stack: name.clone(),
                service: route.service.clone(),
            };
            verify(world, wanted, route, service, now, decision);
        }
    }
}

fn verify(world: &World, wanted: &Wanted, route: &Route, service: ServiceId, now: Now, decision: &mut Decision) {
    let facts = world.services.get(&service);
    let answered = facts.and_then(|facts| facts.answered_revision);
    let serves = world
        .endpoints()
        .get(&service)
        .is_some_and(|all| all.iter().any(|endpoint| !endpoint.draining));
    let Some(address) = route
        .listeners
        .first()
        .copied()
        .or_else(|| wanted.stack.edge.listeners.first().map(|listener| listener.address))
    else {
        return;
    };
    if wanted.removing || !serves || answered == Some(wanted.revision) {
        return;
    }
    if let Some((failed, _)) = facts.and_then(|facts| facts.answer_failure.as_ref())
        && *failed + VERIFY_AGAIN > now.mono
    {
        decision.wake(*failed + VERIFY_AGAIN);
        return;
    }
    decision.steps.push(Step::Verify {
        service,
        revision: wanted.revision,
        address,
        host: route.host.as_ref().map(|host| host.replacen('*', "tend-probe", 1)),
        path: route.path_prefix.clone(),
    });
}
