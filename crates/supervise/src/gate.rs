//! Who may start yet: `depends_on` and its conditions. Knows only the first start; a restart does not wait again, because a
//! service that lost its database for a moment should come back and say so itself.

use tend_core::model::{Dependency, DependencyCondition, Service, ServiceId, Workload};
use tend_core::world::World;

/// Returns what the service still waits for, said for a person; none when it may start.
pub(crate) fn waits_for(world: &World, id: &ServiceId, service: &Service) -> Option<String> {
    service
        .depends_on
        .iter()
        .find_map(|dependency| unmet(world, id, dependency))
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
