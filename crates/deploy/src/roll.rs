//! One service after the other, portion by portion: the new replicas first prove themselves without clients, then take their place.
//!
//! ```text
//! start-first, 3 replicas, 1 at a time          slot 1  2  3  4
//!   Candidate  4 runs the target, no clients         old old old NEW
//!   Shifting   4 serves; 1 leaves, comes back        NEW old old NEW   then 2, then 3
//!   Done       4 leaves                              NEW NEW NEW
//! ```
//! Stop-first takes the slots themselves as candidates, so that for a moment there are fewer.

use std::collections::BTreeSet;

use tend_core::deployment::{Act, Exposure, Lane, Phase, Purpose, Stage};
use tend_core::model::{FailureAction, Order, Port, Service, ServiceName, Strategy, Update};

use crate::chapter::Case;
use crate::replica::{Proof, Seen, look};

/// Puts down what has to change, service by service: its definition, or what it is started with by configuration. What the target has as it
/// is already runs on untouched.
pub(crate) fn begin(case: &mut Case<'_>) {
    for (name, new) in &case.target.stack.services {
        let unchanged = case.last(name).is_some_and(|old| {
            case.world.fingerprint(case.stack, old) == case.world.fingerprint_of_target(case.stack, new)
        });
        if new.is_process() && !unchanged {
            case.lane(name);
        }
    }
}

/// How the replicas of a service are exchanged in this deployment.
pub(crate) fn update(case: &Case<'_>, name: &ServiceName) -> Update {
    let service = match case.deployment.purpose {
        Purpose::Deploy => case.next(name).map(|service| service.update),
        // Straight to full: the way back does not go through the portions of the way there.
        Purpose::Rollback => case.last(name).map(|service| Update {
            parallelism: 0,
            ..service.rollback
        }),
    };
    let update = service.unwrap_or_default();
    let fixed = [case.last(name), case.next(name)]
        .into_iter()
        .flatten()
        .any(|service| matches!(service.port, Port::Fixed(_)));
    Update {
        // Two cannot listen on one port.
        order: if fixed { Order::StopFirst } else { update.order },
        ..update
    }
}

pub(crate) fn advance(case: &mut Case<'_>) {
    let Some(name) = next(case) else {
        case.enter(Phase::Settling);
        let now = case.now.mono;
        for lane in case.change().lanes.values_mut() {
            lane.since = Some(now);
        }
        return;
    };
    let count = case.world.replicas_wanted(&case.id(&name));
    match case.deployment.lanes[&name].stage {
        Stage::Waiting => start(case, &name),
        Stage::Candidate => candidate(case, &name, count),
        Stage::Canary => canary(case, &name, count),
        Stage::Shifting => shift(case, &name, count),
        Stage::Done => {}
    }
}

/// Returns the service whose turn it is: what another depends on comes first.
fn next(case: &Case<'_>) -> Option<ServiceName> {
    let open: BTreeSet<&ServiceName> = case
        .deployment
        .lanes
        .iter()
        .filter(|(_, lane)| lane.stage < Stage::Done)
        .map(|(name, _)| name)
        .collect();
    let waits = |name: &ServiceName| {
        let service = case.next(name);
        service.is_some_and(|service| service.depends_on.iter().any(|on| open.contains(&on.service)))
    };
    // One that is under way stays its turn, whatever it depends on.
    let under_way = open
        .iter()
        .find(|name| case.deployment.lanes[**name].stage > Stage::Waiting);
    let free = open.iter().find(|name| !waits(name));
    under_way.or(free).or(open.iter().next()).map(|name| (*name).clone())
}

fn start(case: &mut Case<'_>, name: &ServiceName) {
    let (now, born) = (case.now.mono, case.world.incarnation_last);
    let count = case.world.replicas_wanted(&case.id(name));
    let update = update(case, name);
    let alone = case.last(name).is_none() || case.next(name).is_some_and(Service::is_job);
    let lane = case.lane(name);
    (lane.since, lane.born) = (Some(now), born);
    if alone {
        // Nothing before it serves that could be disturbed: every slot it can have is the target's. A job runs once more.
        *lane = Lane {
            all: true,
            exposure: Exposure::Target,
            stage: Stage::Shifting,
            ..lane.clone()
        };
        return;
    }
    if count == 0 {
        // Stopped by hand: nothing runs that could be exchanged.
        (lane.all, lane.stage) = (true, Stage::Done);
        return;
    }
    let rollback = case.deployment.purpose == Purpose::Rollback;
    let portion = match update.order {
        // All of them at once would leave nobody to answer.
        Order::StopFirst if rollback && count > 1 => count - 1,
        _ => update.portion(count),
    };
    let lane = case.lane(name);
    lane.exposure = Exposure::Before;
    lane.stage = Stage::Candidate;
    match update.order {
        Order::StartFirst => {
            lane.slots = (count + 1..=count + portion).collect();
            (lane.surge, lane.floor) = (portion, count);
        }
        Order::StopFirst => {
            lane.slots = (1..=portion).collect();
            (lane.surge, lane.floor) = (0, count - portion);
        }
    }
}

/// Looks at all new replicas of a service; true when every one is good. A failure is dealt with as the stack file says.
pub(crate) fn all_good(case: &mut Case<'_>, name: &ServiceName, count: u32) -> bool {
    let update = update(case, name);
    let proof = match case.deployment.purpose {
        Purpose::Deploy => Proof::from(&update),
        Purpose::Rollback => Proof::from(&update).ready(),
    };
    let wanted = case.world.slots_wanted(&case.id(name));
    let lane = case.deployment.lanes[name].clone();
    let mut all = true;
    for slot in (1..=wanted).filter(|slot| lane.holds(*slot)) {
        let id = case.id(name).replica(slot);
        let Some(service) = case.next(name) else { continue };
        match look(case.world, &id, service, &lane, proof, case.now.mono) {
            Seen::Good => {}
            Seen::Pending(at) => {
                all = false;
                if let Some(at) = at {
                    case.wake(at);
                }
            }
            Seen::Failed(why) => {
                if !case.deployment.lanes[name].failed.contains(&slot) {
                    case.lane(name).failed.insert(slot);
                }
                let failed = case.deployment.lanes[name].failed.len();
                let allowed = (update.max_failure_ratio * f64::from(count)).floor();
                // Within what the file allows, the update goes on without that one.
                if failed as f64 > allowed && update.failure_action != FailureAction::Continue {
                    fail(case, &update, why);
                    return false;
                }
            }
        }
    }
    all
}

/// Deals with a failure as the stack file says.
pub(crate) fn fail(case: &mut Case<'_>, update: &Update, why: String) {
    match (case.deployment.purpose, update.failure_action) {
        (Purpose::Deploy, FailureAction::Pause) => case.hold(why),
        _ => case.fail(why),
    }
}

/// The new replicas prove themselves before a client meets them.
fn candidate(case: &mut Case<'_>, name: &ServiceName, count: u32) {
    if !all_good(case, name, count) || !attested(case, name) {
        return;
    }
    if case.deployment.purpose == Purpose::Deploy {
        let listens = case.next(name).is_some_and(|service| service.port != Port::None);
        match listens.then(|| case.outcome(Act::Smoke(name.clone()))) {
            Some(None) => return,
            Some(Some(Err(why))) => {
                let update = update(case, name);
                fail(case, &update, format!("the smoke test of the new {name} failed: {why}"));
                return;
            }
            Some(Some(Ok(_))) | None => {}
        }
    }
    let now = case.now.mono;
    let canary = match case.next(name).map(|service| &service.strategy) {
        Some(Strategy::Canary(canary)) if case.deployment.purpose == Purpose::Deploy && case.is_routed(name) => {
            Some(canary.share_permille)
        }
        _ => None,
    };
    let rollback = case.deployment.purpose == Purpose::Rollback;
    let lane = case.lane(name);
    lane.since = Some(now);
    match canary {
        Some(share) => (lane.stage, lane.exposure) = (Stage::Canary, Exposure::Share(share)),
        None if rollback => (lane.stage, lane.exposure) = (Stage::Shifting, Exposure::Target),
        None => (lane.stage, lane.exposure) = (Stage::Shifting, Exposure::Both),
    }
}

/// Every new replica that is up has been seen to be what it should be.
pub(crate) fn attested(case: &mut Case<'_>, name: &ServiceName) -> bool {
    let id = case.id(name);
    let wanted = case.world.slots_wanted(&id);
    let lane = case.deployment.lanes[name].clone();
    let lives: Vec<_> = case
        .world
        .replicas_of(&id)
        .filter(|(id, replica)| id.slot <= wanted && lane.holds(id.slot) && replica.pid().is_some())
        .map(|(id, replica)| (id.clone(), replica.incarnation))
        .collect();
    let mut all = true;
    for (id, incarnation) in lives {
        match case.outcome(Act::Attest(id.clone(), incarnation)) {
            None => all = false,
            Some(Ok(_)) => {}
            Some(Err(why)) => {
                case.fail(format!("what runs as {id} is not what was deployed: {why}"));
                return false;
            }
        }
    }
    all
}

/// A share of the clients' requests tells whether the target is worse.
fn canary(case: &mut Case<'_>, name: &ServiceName, count: u32) {
    if !all_good(case, name, count) {
        return;
    }
    let Some(Strategy::Canary(canary)) = case.next(name).map(|service| service.strategy.clone()) else {
        return;
    };
    crate::canary::advance(case, name, &canary);
}

/// Portion by portion the old replicas leave.
fn shift(case: &mut Case<'_>, name: &ServiceName, count: u32) {
    if !all_good(case, name, count) {
        return;
    }
    let update = update(case, name);
    let now = case.now.mono;
    let lane = &case.deployment.lanes[name];
    let left: Vec<u32> = (1..=count).filter(|slot| !lane.holds(*slot)).collect();
    let good = lane.good;
    if left.is_empty() {
        let lane = case.lane(name);
        *lane = Lane {
            all: true,
            surge: 0,
            exposure: Exposure::Target,
            stage: Stage::Done,
            since: Some(now),
            ..lane.clone()
        };
        return;
    }
    let at = good.unwrap_or(now) + update.delay;
    if now < at {
        if good.is_none() {
            case.lane(name).good = Some(now);
        }
        case.wake(at);
        return;
    }
    let lane = case.lane(name);
    lane.slots.extend(left.iter().take(update.portion(count) as usize));
    (lane.since, lane.good) = (Some(now), None);
}
