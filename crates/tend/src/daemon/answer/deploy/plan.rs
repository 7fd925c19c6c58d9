//! What a deploy would do: what is built, looked up without building it, and then the steps that the controller itself would take.

use std::collections::BTreeMap;
use std::time::Duration;

use tend_api::messages::{PlanReport, PlannedStep};
use tend_api::{ApiError, Class, Reply};
use tend_core::controller::{DeployWish, Input};
use tend_core::deployment::Purpose;
use tend_core::journal::Principal;
use tend_core::model::{Release, Service, ServiceName, Stack, Workload};
use tend_release::{Built, Owner, Request, Source};

use super::{Deploys, make, processes, show};
use crate::daemon::handler::planned;
use crate::daemon::{identity, secrets};

/// Returns the steps of a deploy of what a file says, each with its undo.
pub(crate) async fn plan(deploys: &Deploys, file: Stack, by: Principal) -> Result<Reply, ApiError> {
    let known = deploys.of(&file.name).await?;
    let mut steps = Vec::new();
    let mut warnings = Vec::new();
    let mut stack = file.clone();
    match secrets::resolve(&deploys.shared, &file, &by).await {
        Ok(current) => {
            stack.give_secrets(&current);
        }
        Err(missing) => warnings.push(missing.message),
    }
    let mut artifacts = BTreeMap::new();
    for name in make::to_build(&file) {
        let (source, built) = look(deploys, &file, &name).await?;
        if source.dirty {
            warnings.push(format!(
                "{name}: the checkout has changes that are in no commit ({}): a deploy refuses it without --allow-dirty",
                source.changed.join(", ")
            ));
        }
        let revision = source
            .revision
            .as_deref()
            .map(|revision| format!("from {}", show::short(revision)));
        let from = revision.unwrap_or_else(|| "from the files as they are".to_owned());
        let detail = match &built {
            Some(built) => format!("{from}: {} was built before", show::short(&built.artifact.digest)),
            None => match processes(&file).find(|(service, _)| service.name == name) {
                Some((_, process)) => match &process.prepare {
                    Some(command) => format!("{from}: {}", command.join(" ")),
                    None => from,
                },
                None => from,
            },
        };
        steps.push(PlannedStep {
            subject: format!("{}/{name}", file.name),
            action: "build".to_owned(),
            detail,
            undo: Some("remove the artifact: what runs is not touched by it".to_owned()),
        });
        let service = stack.services.get_mut(&name);
        place(service, built, &source, deploys, &name, &mut artifacts);
    }
    let release = Release {
        artifacts,
        ..make::in_place(&stack, 0, &by).await
    };
    let release = Release { file, stack, ..release };
    let number = known.releases.last + 1 + u64::from(known.releases.running.is_none());
    let from = known.releases.running;
    if known.running().is_some_and(|running| make::is_same(running, &release)) {
        return Ok(Reply::json(&PlanReport {
            stack: release.file.name,
            steps: Vec::new(),
            warnings,
            release: None,
            from,
        }));
    }
    let wish = DeployWish {
        stack: release.file.name.clone(),
        baseline: deploys.baseline(&known, &by).await,
        target: number,
        release: Some(Release { number, ..release }),
        purpose: Purpose::Deploy,
        confirm: None,
        by,
        reason: None,
    };
    let name = wish.stack.clone();
    let stack = name.clone();
    let rehearsed = deploys
        .hub
        .ask(move |controller, now| controller.rehearse(&name, Input::Deploy(Box::new(wish)), now));
    steps.extend(planned(rehearsed.await));
    Ok(Reply::json(&PlanReport {
        stack,
        steps,
        warnings,
        release: Some(number),
        from,
    }))
}

/// Returns what a service would be built from, and what it was built into before.
async fn look(deploys: &Deploys, file: &Stack, name: &ServiceName) -> Result<(Source, Option<Built>), ApiError> {
    let shared = deploys.shared.clone();
    let launch = make::launch_in(deploys, file, name, None).await;
    let stack = file.name.clone();
    let process = processes(file).find(|(service, _)| service.name == *name);
    let (Some(launch), Some(process)) = (launch, process.map(|(_, process)| process.clone())) else {
        return Err(ApiError::new(
            Class::Config,
            format!("{name} is no process: it cannot be built"),
        ));
    };
    let failed = format!("{name} cannot be built");
    let work = tokio::task::spawn_blocking(move || {
        let who = identity::who(&shared, &launch, stack.as_str()).ok().flatten();
        let _employer = shared.replicas.employ();
        tend_release::find(&Request {
            state: &shared.paths.state,
            stack: &stack,
            directory: &process.directory,
            prepare: process.prepare.as_deref(),
            keep: &process.artifact,
            environment: &process.environment,
            revision: None,
            allow_dirty: true,
            timeout: Duration::ZERO,
            owner: who.map(|who| Owner {
                uid: who.uid,
                gid: who.gid,
            }),
        })
    });
    match work.await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => {
            let hint = error.hint().unwrap_or_default();
            let cause = ApiError::from_error(Class::Config, &error);
            let refused = ApiError::new(Class::Config, format!("{failed}: {}", cause.message)).hint(hint);
            Err(cause.details.into_iter().fold(refused, ApiError::detail))
        }
        Err(error) => Err(ApiError::new(Class::Bug, format!("{failed}: {error}"))),
    }
}

/// Puts a service where it would run from: its artifact, or, where that is not built yet, a folder that stands for it.
fn place(
    service: Option<&mut Service>,
    built: Option<Built>,
    source: &Source,
    deploys: &Deploys,
    name: &ServiceName,
    artifacts: &mut BTreeMap<ServiceName, tend_core::model::Artifact>,
) {
    let Some(Workload::Process(process)) = service.map(|service| &mut service.workload) else {
        return;
    };
    match built {
        Some(built) => {
            make::relocate(process, &built);
            artifacts.insert(name.clone(), built.artifact);
        }
        None => {
            let state = &deploys.shared.paths.state;
            process.directory = state.join("artifacts").join(source.digest.replace(['/', ':'], "-"));
            process.prepare = None;
        }
    }
}
