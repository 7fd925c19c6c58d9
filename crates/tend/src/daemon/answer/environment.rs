//! Answers with what a process of a service is given, for one-off commands. The values may be secret: the caller was checked.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use tend_api::messages::{Accepted, EnvironmentReport};
use tend_api::{ApiError, Caller, Class, EnvironmentQuery, Purpose, Reply, RunEnding, RunReport};
use tend_base::{Exposed, Secret};
use tend_core::journal::{Entry, Kind, Subject};
use tend_core::model::{ReplicaId, ServiceId};
use tend_core::plan::Launch;
use tend_core::world::World;

use crate::daemon::handler::{no_service, no_stack, principal};
use crate::daemon::hub::Hub;
use crate::daemon::identity;
use crate::daemon::secrets;
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
    caller: Caller,
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
    let environment = identity::environment(shared, &launch, id.stack.as_str(), &who);
    let (own, stack) = (launch.clone(), id.stack.to_string());
    let environment = secrets::blocking(shared, move |shared| {
        secrets::environment(shared, &own, &stack, environment).map_err(|why| {
            ApiError::new(Class::Unavailable, why).hint("`tend secret list` says what there is of the secrets")
        })
    });
    let environment: BTreeMap<String, Exposed> = environment
        .await?
        .into_iter()
        .map(|(name, value)| (name, Exposed(Secret::new(value))))
        .collect();
    let entry = Entry::new(principal(caller), Kind::RunStarted).on(Subject::from(id.service_id()));
    // The caller's process: by it the two events of one run are found together.
    let data = json!({ "command": program, "purpose": text(purpose), "pid": caller.pid });
    shared.store.record(vec![entry.with(data)]);
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

/// Writes down how a one-off command ended. It is the caller's word: nobody else saw it.
pub(crate) async fn run_finished(
    shared: &Arc<Shared>,
    hub: &Hub,
    report: RunReport,
    caller: Caller,
) -> Result<Reply, ApiError> {
    let RunReport {
        query,
        ending,
        after_ms,
    } = report;
    let Some(service) = query.target.service else {
        return Err(ApiError::new(Class::Usage, "name a service"));
    };
    let id = ServiceId {
        stack: query.target.stack,
        service,
    };
    let stack = id.stack.clone();
    // Whom it belongs to, and so who may say this, is known of stacks that are there.
    let known = hub.ask(move |controller, _| controller.world().stacks.contains_key(&stack));
    if !known.await {
        return Err(no_stack(&id.stack));
    }
    let exit = match ending {
        RunEnding::Ended(exit) => exit.to_string(),
        RunEnding::NotStarted(why) => why,
    };
    let entry = Entry::new(principal(caller), Kind::RunFinished).on(Subject::from(id));
    shared.store.record(vec![entry.with(json!({
        "command": query.program,
        "purpose": text(query.purpose),
        "pid": caller.pid,
        "exit": exit,
        "after_ms": after_ms,
    }))]);
    Ok(Reply::json(&Accepted {
        message: "written down".to_owned(),
    }))
}

fn text(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Run => "run",
        Purpose::Exec => "exec",
    }
}
