//! Who has to go, and how it goes.
//!
//! ```text
//!  Running ─► drain: no new requests ─► edge serves that, nothing in flight ─► stop signal ─► grace period ─► SIGKILL of the tree
//! ```
//! Where the service has `quiesce`, the stop signal also waits until the replica has nothing in flight by its own word (see `quiesce`).
//! A replica that is killed for its own fault (not live, over its memory) is neither drained nor quiesced: it serves nobody well.

use std::time::Duration;

use tend_base::Now;
use tend_core::controller::Decision;
use tend_core::model::{ReplicaId, Schedule, Service, ServiceId, Stop, Workload};
use tend_core::observed::{Phase, Replica, StopReason};
use tend_core::plan::Step;
use tend_core::world::World;

use crate::{gate, quiesce};

/// For a replica of which no definition was ever known to this version: SIGTERM, and Compose's grace period.
const STOP_UNKNOWN: Stop = Stop {
    signal: 15,
    grace_period: Duration::from_secs(10),
    drain: Stop::DRAIN,
};

/// Decides about one replica that is up.
pub(crate) fn decide(
    world: &World,
    id: &ReplicaId,
    replica: &Replica,
    definition: Option<&Service>,
    now: Now,
    decision: &mut Decision,
) {
    // The definition it was started from may be gone: a service removed from the file is stopped as the file had it.
    let stop = definition.map(|service| &service.stop).or(replica.stop.as_ref());
    let stop = stop.unwrap_or(&STOP_UNKNOWN);
    match replica.phase {
        Phase::Running { since, .. } => {
            if let (Some(reason), true) = (fault(replica, definition), world.is_wanted(id)) {
                let (replica, incarnation) = (id.clone(), replica.incarnation);
                decision.steps.push(Step::Kill {
                    replica,
                    incarnation,
                    why: reason,
                });
                return;
            }
            if !world.is_wanted(id) {
                if !has_dependents_up(world, id) {
                    decision.drains.push((id.clone(), StopReason::Unwanted));
                }
                return;
            }
            let Some(service) = definition else { return };
            let due = match &service.restart_schedule {
                Some(Schedule::Every(every)) => {
                    let at = since + *every;
                    // Once due it waits for its turn and not for a moment: a moment in the past would wake the daemon without end.
                    if at > now.mono {
                        decision.wake(at);
                    }
                    at <= now.mono && !is_proving_itself(world, &id.service_id())
                }
                None => false,
            };
            let changed = replica.fingerprint != world.fingerprint_for(id, service) && is_prepared(world, id, service);
            let follows = gate::follows(world, &id.service_id(), service, replica);
            let reason = if replica.restart_requested {
                StopReason::Restart
            } else if changed {
                StopReason::Changed
            } else if follows {
                StopReason::DependencyRestarted
            } else if due {
                StopReason::Scheduled
            } else {
                return;
            };
            // A deployment has an order of its own for what it replaces.
            let deployed = changed && world.lane(&id.service_id()).is_some();
            if (changed || follows) && !deployed && gate::comes_later(world, &id.service_id(), service, replica) {
                return;
            }
            let another_leaves = decision
                .drains
                .iter()
                .any(|(other, _)| other.service_id() == id.service_id());
            if !another_leaves && may_leave(world, id, replica) {
                decision.drains.push((id.clone(), reason));
            }
        }
        Phase::Stopping {
            since, signalled: None, ..
        } => {
            // The replica then has its own grace period to finish what is still in flight.
            let until = since + stop.drain;
            let drained_late = now.mono >= until;
            let drained = drained_late || is_drained(world, id, replica);
            if drained && quiesce::is_over(replica, now) {
                decision.steps.push(Step::Signal {
                    replica: id.clone(),
                    incarnation: replica.incarnation,
                    signal: stop.signal,
                    why: replica.stop_reason.unwrap_or(StopReason::Unwanted),
                });
                return;
            }
            if !drained_late {
                decision.wake(until);
            }
            if drained_late || is_out_of_routes(world, id, replica) {
                quiesce::go_on(id, replica, now, decision);
            }
        }
        Phase::Stopping {
            signalled: Some(signalled),
            killed,
            ..
        } => {
            let grace = stop.grace_period;
            if killed {
                return;
            }
            if now.mono >= signalled + grace {
                let why = replica.stop_reason.unwrap_or(StopReason::Unwanted);
                let (replica, incarnation) = (id.clone(), replica.incarnation);
                decision.steps.push(Step::Kill {
                    replica,
                    incarnation,
                    why,
                });
            } else {
                decision.wake(signalled + grace);
            }
        }
        Phase::Absent | Phase::Starting | Phase::Ended { .. } => {}
    }
}

/// Returns whether the current definition could be started at once: until its `prepare` command succeeded, and if it fails, what
/// runs is left running.
fn is_prepared(world: &World, id: &ReplicaId, service: &Service) -> bool {
    let Workload::Process(process) = &service.workload else {
        return true;
    };
    let prepared = world.services.get(&id.service_id()).and_then(|facts| facts.prepared);
    process.prepare.is_none() || prepared == Some(service.fingerprint())
}

/// Returns whether a deployment is looking at a service until all its replicas are good at once. A schedule waits for that: where one
/// replica after the other is restarted there may never be such a moment, and the deployment would never end.
fn is_proving_itself(world: &World, id: &ServiceId) -> bool {
    use tend_core::deployment::{Phase, Stage};
    let looks = |phase| matches!(phase, Phase::Rolling | Phase::Settling | Phase::Undoing);
    world.deployment(&id.stack).is_some_and(|one| looks(one.phase))
        && world.lane(id).is_some_and(|lane| lane.stage > Stage::Waiting)
}

fn fault(replica: &Replica, definition: Option<&Service>) -> Option<StopReason> {
    let service = definition?;
    if let Some(probe) = &service.liveness
        && replica.liveness.failures >= probe.retries.max(1)
    {
        return Some(StopReason::NotLive);
    }
    match (replica.memory, service.resources.memory_max) {
        (Some(used), Some(max)) if used > max => Some(StopReason::OverMemory),
        _ => None,
    }
}

/// Returns whether nothing reaches the replica through the edge any more.
fn is_drained(world: &World, id: &ReplicaId, replica: &Replica) -> bool {
    let answered = !world.edge.connected || replica.in_flight == Some(0);
    is_out_of_routes(world, id, replica) && (was_never_routed(replica) || answered)
}

/// Returns whether nothing was ever sent to it.
fn was_never_routed(replica: &Replica) -> bool {
    replica.port.is_none() || replica.ready_since.is_none()
}

/// Returns whether the edge sends the replica no new requests.
fn is_out_of_routes(world: &World, id: &ReplicaId, replica: &Replica) -> bool {
    let edge = &world.edge;
    let published = edge.published.as_ref();
    let known = published
        .and_then(|endpoints| endpoints.get(&id.service_id()))
        .into_iter()
        .flatten()
        .any(|endpoint| endpoint.replica == *id && endpoint.incarnation == replica.incarnation && !endpoint.draining);
    if was_never_routed(replica) {
        return true;
    }
    if !edge.connected {
        // It may be on its way back, as after this daemon was started, and still send requests; if it cannot be started it cannot.
        return edge.failed.is_some();
    }
    // An edge that has just come is told once more, and serves what an earlier one was told until then.
    published.is_some() && !known && edge.serving >= edge.generation
}

/// Returns whether the replica may leave for a while: it serves nobody, or enough others of its service do: all of them, or in a
/// deployment as many as that keeps.
fn may_leave(world: &World, id: &ReplicaId, replica: &Replica) -> bool {
    if !replica.is_ready() || !world.serves(id, replica) {
        return true;
    }
    let service = id.service_id();
    let floor = world.floor(&service);
    let others = world
        .replicas_of(&service)
        .filter(|(other, facts)| *other != id && world.is_wanted(other) && world.serves(other, facts));
    others.filter(|(_, other)| other.is_ready() || other.completed).count() >= floor as usize
}

/// Returns whether a service that depends on this one still runs: what is depended on goes last.
fn has_dependents_up(world: &World, id: &ReplicaId) -> bool {
    let Some(wanted) = world.stacks.get(&id.stack) else {
        return false;
    };
    wanted.stack.services.values().any(|service| {
        let dependent = ServiceId {
            stack: id.stack.clone(),
            service: service.name.clone(),
        };
        service
            .depends_on
            .iter()
            .any(|dependency| dependency.service == id.service)
            && world.replicas_wanted(&dependent) == 0
            && world.replicas_of(&dependent).any(|(_, replica)| replica.is_up())
    })
}
