//! Answers with what a process of a service is given, for one-off commands. The values may be secret: the caller was checked.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use tend_api::messages::EnvironmentReport;
use tend_api::{ApiError, Class, EnvironmentQuery, Purpose, Reply};
use tend_base::Secret;
use tend_core::journal::{Entry, Kind, Principal, Subject};
use tend_core::model::ReplicaId;
use tend_core::plan::Launch;
use tend_core::world::World;

use crate::daemon::handler::{no_service, no_stack};
use crate::daemon::hub::Hub;
use crate::daemon::identity;
use crate::daemon::shared::Shared;

/// Returns how a replica is started as its definition stands now; none when it is no process of a known service.
pub(crate) fn launch_of(world: &World, id: &ReplicaId) -> Option<Launch> {
    let port = world.replicas.get(id).and_then(|replica| replica.port);
    tend_supervise::launch(world, id, port)
}

/// Answers with the environment a query asks for.
pub(crate) async fn environment(
    shared: &Arc<Shared>,
    hub: &Hub,
    query: EnvironmentQuery,
    by: Principal,
) -> Result<Reply, ApiError> {
    let EnvironmentQuery {
        target,
        purpose,
        program,
    } = query;
    let Some(service) = target.service.clone() else {
        return Err(ApiError::new(Class::Usage, "name a service").hint("such as `tend run api -- env`"));
    };
    let id = ReplicaId {
        stack: target.stack.clone(),
        service,
        slot: target.slot.unwrap_or(1),
    };
    let of = id.clone();
    let launch = hub.ask(move |controller, _| {
        let world = controller.world();
        let wanted = world.stacks.get(&of.stack).ok_or_else(|| no_stack(&of.stack))?;
        if !wanted.stack.services.contains_key(&of.service) {
            return Err(no_service(&wanted.stack, &of.service));
        }
        launch_of(world, &of).ok_or_else(|| {
            ApiError::new(
                Class::Unavailable,
                format!("{} is a container, and no engine is driven yet", of.service),
            )
        })
    });
    let mut launch = launch.await?;
    if target.slot.is_none() {
        // A one-off beside the replicas must not take the port of one of them for its own.
        if let tend_core::model::Port::Variable(name) = &launch.port_form {
            launch.environment.remove(name);
        }
    }
    let who = identity::who(shared, &launch, id.stack.as_str())
        .map_err(|failure| ApiError::new(Class::Config, failure.why).hint(failure.hint.unwrap_or_default()))?;
    let environment: BTreeMap<String, Secret> = identity::environment(shared, &launch, id.stack.as_str(), &who)
        .into_iter()
        .map(|(name, value)| (name, Secret::new(value)))
        .collect();
    let what = match purpose {
        Purpose::Run => "run",
        Purpose::Exec => "exec",
    };
    let entry = Entry::new(by, Kind::RunStarted).on(Subject::from(id.service_id()));
    shared
        .store
        .record(vec![entry.with(json!({ "command": program, "purpose": what }))]);
    let own = || (shared.uid, rustix::process::getegid().as_raw(), Vec::new());
    let (uid, gid, groups) = who.map_or_else(own, |who| (who.uid, who.gid, who.groups));
    Ok(Reply::json(&EnvironmentReport {
        environment,
        directory: launch.directory,
        uid,
        gid,
        groups,
        cgroup: None,
    }))
}
