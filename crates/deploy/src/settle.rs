//! The proof that all is as it should be, once every replica runs the target: nothing old is left, nothing is routed to it, every
//! replica was seen to be what it should be, and clients get answers from the target alone.

use std::time::Duration;

use tend_core::deployment::{Act, Ending, Phase};
use tend_core::model::{Port, ReplicaId, ServiceName};

use crate::chapter::Case;
use crate::{replica, roll};

pub(crate) fn advance(case: &mut Case<'_>) {
    let names: Vec<ServiceName> = case.deployment.lanes.keys().cloned().collect();
    let mut settled = true;
    for name in &names {
        let count = case.world.replicas_wanted(&case.id(name));
        settled &= roll::all_good(case, name, count);
        if case.deployment.phase != Phase::Settling {
            return;
        }
    }
    let old = old_is_left(case);
    if !settled || old.is_some() || !edge_knows(case) {
        end_when_late(case, &names, old);
        return;
    }
    for name in &names {
        if !roll::attested(case, name) {
            return;
        }
    }
    for name in &names {
        let asked = case.is_routed(name) && case.world.replicas_wanted(&case.id(name)) > 0;
        if !asked {
            continue;
        }
        match case.outcome(Act::SmokePublic(name.clone())) {
            None => return,
            Some(Ok(_)) => {}
            Some(Err(why)) => {
                let update = roll::update(case, name);
                roll::fail(
                    case,
                    &update,
                    format!("{name} does not answer clients as it should: {why}"),
                );
                return;
            }
        }
    }
    match case.deployment.confirm {
        Some(time) => {
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            let until = tend_base::Wall(case.now.wall.0.saturating_add(millis));
            case.change().confirm_until = Some(until);
            case.enter(Phase::Confirming);
        }
        None => case.enter(Phase::Finishing(Ending::Committed)),
    }
}

/// A deployment always ends. Where the file lets failures go by, a replica of the release before may never make place for a new one.
fn end_when_late(case: &mut Case<'_>, names: &[ServiceName], old: Option<ReplicaId>) {
    let all = [case.before, &case.target.stack];
    let longest = all.into_iter().flat_map(|stack| {
        let times = stack.services.iter().map(|(name, service)| {
            let (update, stop) = (roll::update(case, name), &service.stop);
            let emptied = service
                .quiesce
                .as_ref()
                .map_or(Duration::ZERO, |quiesce| quiesce.deadline);
            let one = update.ready_within + update.monitor + stop.drain + stop.grace_period + emptied;
            // They leave one after the other.
            one.saturating_mul(case.world.replicas_wanted_of(&case.id(name), stack).max(1))
        });
        times.collect::<Vec<_>>()
    });
    let longest = longest.max().unwrap_or_default();
    let until = case.deployment.since.unwrap_or(case.now.mono) + longest;
    if case.now.mono < until {
        case.wake(until);
        return;
    }
    let within = tend_base::format_duration(longest);
    let why = match old {
        Some(id) => format!("{id} of the release before was still there after {within}"),
        None => format!("not all was as it should be within {within}"),
    };
    match names.first().map(|name| roll::update(case, name)) {
        Some(update) => roll::fail(case, &update, why),
        None => case.fail(why),
    }
}

/// Returns a process of the release before that is still there, of a service that the target changes or does not have.
fn old_is_left(case: &Case<'_>) -> Option<ReplicaId> {
    let mut of_stack = case.world.replicas.iter().filter(|(id, _)| id.stack == *case.stack);
    let old = of_stack.find(|(id, replica)| {
        let gone = !case.target.stack.services.contains_key(&id.service);
        let changed = case.deployment.lanes.contains_key(&id.service);
        replica.is_up() && (gone || (changed && !case.world.runs_target(id, replica)))
    });
    old.map(|(id, _)| id.clone())
}

/// Returns whether the edge said that it serves what it was last told, and was told of what is there now.
fn edge_knows(case: &Case<'_>) -> bool {
    let edge = &case.world.edge;
    let listens = |stack: &tend_core::model::Stack| {
        let services = stack.services.values().filter(|service| service.is_process());
        services.into_iter().any(|service| service.port != Port::None)
    };
    if !listens(&case.target.stack) {
        return true;
    }
    edge.connected
        && edge.published.as_ref() == Some(&case.world.endpoints())
        && edge.published_revision == case.world.revisions()
        && edge.serving >= edge.generation
}

/// Returns why a release that settled is not good after all, if it is not: a replica of it ended by itself, or could not be started
/// again. Slots that failed before count no more: the file let the update go on without them.
pub(crate) fn fault(case: &Case<'_>) -> Option<String> {
    let lives = case.world.replicas.iter().filter(|(id, _)| id.stack == *case.stack);
    lives
        .filter(|(id, replica)| case.world.runs_target(id, replica) && case.world.is_wanted(id))
        .find_map(|(id, replica)| {
            let lane = case.deployment.lanes.get(&id.service)?;
            replica::fault(id, replica, lane).filter(|_| !lane.failed.contains(&id.slot))
        })
}
