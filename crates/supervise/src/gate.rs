//! Who may start or restart yet: `depends_on`, its conditions and its `restart`.
//!
//! The conditions hold for the first start only: a restart after a crash does not wait again, because a service that lost its
//! database for a moment should come back and say so itself.

use tend_core::deployment::Stage;
use tend_core::model::{Dependency, DependencyCondition, ReplicaId, Service, ServiceId, Workload};
use tend_core::observed::{Phase, Replica, StopReason};
use tend_core::world::World;

use crate::chapter;

/// Returns what the service still waits for, said for a person; none when it may start.
pub(crate) fn waits_for(world: &World, id: &ServiceId, service: &Service) -> Option<String> {
    let mut depends_on = service.depends_on.iter();
    depends_on
        .find_map(|dependency| unmet(world, id, dependency))
        .or_else(|| {
            // A deployment has an order of its own.
            let mut followed = followed(world, id, service).filter(|_| world.lane(id).is_none());
            let (on, _) = followed.find(|(on, _)| is_being_renewed(world, on))?;
            Some(format!("`{}` to be restarted", on.service))
        })
}

fn unmet(world: &World, id: &ServiceId, dependency: &Dependency) -> Option<String> {
    let on = ServiceId {
        stack: id.stack.clone(),
        service: dependency.service.clone(),
    };
    let (_, service) = world.service(&on)?;
    let name = &dependency.service;
    if let Workload::Container { .. } = service.workload {
        // Nothing here can start it. What the user runs elsewhere is the user's word; an optional one is simply absent.
        return dependency
            .required
            .then(|| format!("`{name}`, a container, which needs an engine"));
    }
    let wanted = world.replicas_wanted(&on) as usize;
    if wanted == 0 && !dependency.required {
        return None;
    }
    let replicas: Vec<_> = world.replicas_of(&on).filter(|(id, _)| world.is_wanted(id)).collect();
    let met = |test: &dyn Fn(&tend_core::observed::Replica) -> bool| {
        wanted > 0 && replicas.iter().filter(|(_, replica)| test(replica)).count() >= wanted
    };
    let (met, what) = match dependency.condition {
        DependencyCondition::Started => (
            met(&|replica| replica.pid().is_some() || replica.completed),
            "to be started",
        ),
        DependencyCondition::Healthy => (met(&|replica| replica.is_ready()), "to be ready"),
        DependencyCondition::CompletedSuccessfully => (
            met(&|replica| replica.completed && replica.last_exit.as_ref().is_some_and(|last| last.exit.is_success())),
            "to complete",
        ),
    };
    (!met).then(|| format!("`{name}` {what}"))
}

/// Returns whether a replica is to be restarted because a service it depends on with `restart: true` was, now or later.
pub(crate) fn follows(world: &World, id: &ServiceId, service: &Service, replica: &Replica) -> bool {
    // After a service that is not wanted any more nothing is restarted: it would not come back.
    replica.restart_follows && followed(world, id, service).next().is_some()
}

/// Returns whether a restart on purpose has to wait for a service that is restarted before: the dependency first, ready again, then
/// the dependents, each of them once.
pub(crate) fn comes_later(world: &World, id: &ServiceId, service: &Service, replica: &Replica) -> bool {
    followed(world, id, service).any(|(on, dependency)| {
        is_being_renewed(world, &on) || replica.restart_follows && !is_back(world, &on, dependency.condition)
    })
}

/// Returns the services after whose restart this one is restarted, as far as they are wanted.
fn followed<'a>(
    world: &'a World,
    id: &'a ServiceId,
    service: &'a Service,
) -> impl Iterator<Item = (ServiceId, &'a Dependency)> {
    let depends_on = service.depends_on.iter().filter(|dependency| dependency.restart);
    depends_on
        .map(|dependency| {
            let on = ServiceId {
                stack: id.stack.clone(),
                service: dependency.service.clone(),
            };
            (on, dependency)
        })
        .filter(|(on, _)| world.replicas_wanted(on) > 0)
}

/// Returns whether replicas of a service are still to be replaced, or are just leaving for it.
fn is_being_renewed(world: &World, id: &ServiceId) -> bool {
    let deployed = world.lane(id).is_some_and(|lane| lane.stage < Stage::Done);
    deployed
        || world.replicas_of(id).any(|(replica_id, replica)| match replica.phase {
            Phase::Stopping { .. } => replica.stop_reason.is_some_and(StopReason::is_renewal),
            Phase::Running { .. } => is_to_be_renewed(world, replica_id, replica),
            _ => false,
        })
}

/// Returns whether a replica that runs will be restarted by somebody's wish.
fn is_to_be_renewed(world: &World, id: &ReplicaId, replica: &Replica) -> bool {
    let Some(service) = world.definition(id).filter(|_| world.is_wanted(id)) else {
        return false;
    };
    let facts = world.services.get(&id.service_id());
    // Where its `prepare` failed, what runs is left running.
    let prepare_failed = facts.is_some_and(|facts| chapter::prepare_failed(facts, service.fingerprint()));
    let outdated = replica.fingerprint != world.fingerprint_for(id, service) && !prepare_failed;
    outdated || replica.restart_requested || follows(world, &id.service_id(), service, replica)
}

fn is_back(world: &World, id: &ServiceId, condition: DependencyCondition) -> bool {
    let back = |replica: &Replica| match condition {
        DependencyCondition::Started | DependencyCondition::Healthy => replica.is_ready() || replica.completed,
        DependencyCondition::CompletedSuccessfully => {
            replica.completed && replica.last_exit.as_ref().is_some_and(|last| last.exit.is_success())
        }
    };
    let replicas = world.replicas_of(id).filter(|(id, _)| world.is_wanted(id));
    replicas.filter(|(_, replica)| back(replica)).count() >= world.replicas_wanted(id) as usize
}
