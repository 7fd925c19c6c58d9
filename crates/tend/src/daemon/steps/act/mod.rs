//! What is done for a deployment beside starting and stopping replicas. Knows how, never whether.
//!
//! Every act may be performed again by a daemon that came back in the middle of it, and gives evidence of what was seen: a JSON value
//! whose `said` is a line for a person. Why one failed is a sentence, with the last lines of output below it where there are any.
//!
//! Map: `preflight` looks whether it can be done, `migrate` restore points and the migration command, `question` smoke questions,
//! `attest` what really runs, `count` figures of the edge, `after` telling who wants to know and clearing away.

mod after;
mod attest;
mod count;
mod migrate;
mod preflight;
mod program;
mod question;

use std::path::PathBuf;
use std::sync::Arc;

use tend_core::deployment::{Act, Deployment, Outcome, Releases};
use tend_core::model::{Release, Stack, StackName};
use tend_core::plan::Launch;
use tend_core::world::World;

pub(super) use count::Counted;

use super::Performer;
use crate::daemon::answer::deploy::launch_of;
use crate::daemon::{errand, identity};

/// Performs an act and returns its evidence.
pub(super) async fn perform(performer: &Arc<Performer>, stack: &StackName, deployment: u64, act: &Act) -> Outcome {
    let name = stack.clone();
    let scene = performer
        .hub
        .ask(move |controller, _| Scene::of(controller.world(), &name, deployment));
    let Some(scene) = scene.await else {
        return Err(format!("deployment {deployment} of {stack} is over"));
    };
    match act {
        Act::Preflight => preflight::look(performer, scene).await,
        Act::RestorePoint => migrate::restore_point(performer, scene).await,
        Act::Migrate => migrate::migrate(performer, scene).await,
        Act::Smoke(service) => question::of_candidates(performer, &scene, service).await,
        Act::SmokePublic(service) => question::as_a_client(performer, &scene, service).await,
        Act::Attest(replica, incarnation) => attest::attest(performer, scene, replica, *incarnation).await,
        Act::Count(service) => Ok(count::count(performer, &scene, service).await),
        Act::Notify => Ok(after::notify(performer, scene).await),
        Act::Prune => after::prune(performer, scene).await,
    }
}

/// What an act works with: the deployment and its two releases.
#[derive(Clone)]
struct Scene {
    deployment: Deployment,
    releases: Releases,
    target: Release,
    /// The definition before.
    before: Stack,
}

impl Scene {
    fn of(world: &World, stack: &StackName, number: u64) -> Option<Self> {
        let releases = world.releases.get(stack)?;
        let deployment = releases
            .deployment
            .as_ref()
            .filter(|deployment| deployment.number == number)?;
        Some(Self {
            deployment: deployment.clone(),
            releases: releases.clone(),
            target: releases.kept.get(&deployment.target)?.clone(),
            before: world.stacks.get(stack)?.stack.clone(),
        })
    }

    fn stack(&self) -> &StackName {
        &self.target.stack.name
    }

    /// Returns the release that ran when it began.
    fn from(&self) -> Option<&Release> {
        self.releases.kept.get(&self.deployment.from?)
    }

    /// Returns how a command of a service is run as the target has it.
    async fn launch(&self, performer: &Performer, service: &tend_core::model::ServiceName) -> Option<Launch> {
        let (stack, service, number) = (self.target.stack.clone(), service.clone(), self.target.number);
        let launch = performer
            .hub
            .ask(move |controller, _| launch_of(controller.world(), &stack, &service, Some(number)));
        launch.await
    }
}

/// Returns the folder of what is kept of a stack's deployments beside the state.
fn folder(performer: &Performer, stack: &StackName) -> PathBuf {
    errand::folder(&performer.shared, stack.as_str())
}

/// Does something that blocks, on a thread that may.
async fn blocking<T: Send + 'static>(what: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(what)
        .await
        .unwrap_or_else(|error| Err(format!("a bug ended it early: {error}")))
}

/// Returns an error with its causes, as one sentence.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {}", tend_base::without_os_numbers(&source.to_string()));
        cause = source.source();
    }
    text
}

/// Returns `1 thing` or `N things`.
fn counted(count: usize, thing: &str) -> String {
    match count {
        1 => format!("1 {thing}"),
        count => format!("{count} {thing}s"),
    }
}

/// Who a command of a service runs as, and in which environment.
fn identified(performer: &Performer, launch: &Launch, stack: &StackName) -> Result<Identified, String> {
    let who = identity::who(&performer.shared, launch, stack.as_str()).map_err(|failure| failure.why)?;
    let environment = identity::environment(&performer.shared, launch, stack.as_str(), &who);
    let environment = crate::daemon::secrets::environment(&performer.shared, launch, stack.as_str(), environment)?;
    Ok(Identified { who, environment })
}

struct Identified {
    who: Option<tend_linux::Credentials>,
    environment: std::collections::BTreeMap<String, String>,
}
