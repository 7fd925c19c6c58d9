//! Making a release of a definition: builds what its services are built into, and puts down what exactly will run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use tend_api::messages::{Finished, Progress, Stage, StageState};
use tend_api::{ApiError, Class, Deploy};
use tend_core::journal::{Principal, canonical_json};
use tend_core::model::{
    Artifact, Issued, Process, Release, ReplicaId, Schema, ServiceName, Stack, StackName, Workload,
};
use tend_core::plan::Launch;
use tend_core::world::World;
use tend_release::{Built, Owner, Prepare, Request};

use super::build::Build;
use super::{Deploys, Known, processes, refused, show};
use crate::daemon::answer::progress::millis;
use crate::daemon::errand::{self, Errand};
use crate::daemon::{Shared, identity, migrations, now};

/// How long a `prepare` command may take.
const PREPARE_MAX: Duration = Duration::from_secs(1800);

/// How long looking through a checkout may take.
const FIND_MAX: Duration = Duration::from_secs(120);

/// Where `find` is, on every machine that has it.
const FIND_PATH: &str = "/usr/bin:/bin";

/// Builds what a file asks for. The number is given later: what runs in place may have to be recorded first.
pub(super) async fn release(
    deploys: &Deploys,
    deploy: &Deploy,
    known: &Known,
    secrets: &BTreeMap<String, Issued>,
    build: &Arc<Build>,
) -> Result<Release, Finished> {
    let mut built = BTreeMap::new();
    for name in to_build(&deploy.stack) {
        match service(deploys, deploy, &name, build).await {
            Ok(one) => built.insert(name, one),
            Err(failed) => {
                return Err(Finished {
                    reason: failed.reason,
                    last_lines: failed.last_lines,
                    next_step: failed.next_step,
                    ..refused(known, known.releases.last + 1)
                });
            }
        };
    }
    let mut stack = resolved(&deploy.stack, &built);
    stack.give_secrets(secrets);
    let artifacts = built.into_iter().map(|(name, built)| (name, built.artifact)).collect();
    let schema = schema_of(&stack).await.map_err(|reason| Finished {
        reason,
        next_step: "nothing was changed; see `files:` below `deploy: migrate:` in the stack file".to_owned(),
        ..refused(known, known.releases.last + 1)
    })?;
    Ok(made((*deploy.stack).clone(), stack, artifacts, schema, &build.by()))
}

/// Returns the services that are built and not run in place.
pub(super) fn to_build(stack: &Stack) -> Vec<ServiceName> {
    processes(stack)
        .filter(|(_, process)| process.prepare.is_some() || !process.artifact.is_empty())
        .map(|(service, _)| service.name.clone())
        .collect()
}

/// Returns what runs in place as a release: the way back from the first one that is built.
pub(super) async fn in_place(stack: &Stack, number: u64, by: &Principal) -> Release {
    // A migration that cannot be read is said when a deployment looks at it; here it would only stand in the way.
    let schema = schema_of(stack).await.unwrap_or_default();
    Release {
        number,
        ..made(stack.as_in_file(), stack.clone(), BTreeMap::new(), schema, by)
    }
}

/// Returns a release of what another stack runs, with a configuration of its own.
pub(super) fn promoted(
    known: &Known,
    from: &StackName,
    taken: &Release,
    file: Stack,
    secrets: &BTreeMap<String, Issued>,
    by: &Principal,
) -> Result<Release, ApiError> {
    let mut stack = file.clone();
    stack.give_secrets(secrets);
    let mut artifacts = BTreeMap::new();
    let mut missing = Vec::new();
    for name in to_build(&file) {
        let process = taken.stack.services.get(&name).map(|service| &service.workload);
        match (taken.artifacts.get(&name), process, stack.services.get_mut(&name)) {
            (Some(artifact), Some(Workload::Process(source)), Some(service)) => {
                if let Workload::Process(process) = &mut service.workload {
                    process.directory.clone_from(&source.directory);
                    // Where the program is follows from where it was built.
                    if let (Some(own), Some(program)) = (process.command.first_mut(), source.command.first())
                        && Path::new(own.as_str()).is_absolute()
                    {
                        own.clone_from(program);
                    }
                    process.artifact_digest = Some(artifact.digest.clone());
                    process.prepare = None;
                }
                artifacts.insert(name, artifact.clone());
            }
            _ => missing.push(name.to_string()),
        }
    }
    if !missing.is_empty() {
        return Err(ApiError::new(
            Class::Conflict,
            format!(
                "release {} of {from} was not built for all that {} needs: {} {} missing",
                taken.number,
                known.wanted.name,
                missing.join(", "),
                if missing.len() == 1 { "is" } else { "are" },
            ),
        )
        .hint("both stack files have to name the same services; nothing was changed"));
    }
    Ok(Release {
        promoted_from: Some(format!("{from}/{}", taken.number)),
        ..made(file, stack, artifacts, taken.schema.clone(), by)
    })
}

/// Returns whether two releases are the same but for when they were made, and by whom.
pub(super) fn is_same(one: &Release, other: &Release) -> bool {
    one.file == other.file && one.stack == other.stack && one.promoted_from == other.promoted_from
}

fn made(
    file: Stack,
    stack: Stack,
    artifacts: BTreeMap<ServiceName, Artifact>,
    schema: Schema,
    by: &Principal,
) -> Release {
    Release {
        number: 0,
        configuration: configuration(&file),
        secrets: stack.secret_versions(),
        file,
        stack,
        artifacts,
        schema,
        made_at: now().wall,
        made_by: by.clone(),
        promoted_from: None,
    }
}

/// Returns the revision of a configuration: SHA-256 of its canonical JSON, in hexadecimal.
fn configuration(file: &Stack) -> String {
    let value = serde_json::to_value(file).expect("invariant: a stack has a JSON form");
    let hash = digest(&SHA256, canonical_json(&value).as_bytes());
    tend_base::to_hex(hash.as_ref())
}

async fn schema_of(stack: &Stack) -> Result<Schema, String> {
    let stack = stack.clone();
    let read = tokio::task::spawn_blocking(move || migrations::files(&stack).map(|files| migrations::schema(&files)));
    read.await.unwrap_or_else(|error| Err(error.to_string()))
}

/// Returns a definition with each service that was built in its artifact's folder.
fn resolved(file: &Stack, built: &BTreeMap<ServiceName, Built>) -> Stack {
    let mut stack = file.clone();
    for (name, built) in built {
        let Some(service) = stack.services.get_mut(name) else {
            continue;
        };
        if let Workload::Process(process) = &mut service.workload {
            relocate(process, built);
        }
    }
    stack
}

/// Has a process run from what it was built into.
pub(super) fn relocate(process: &mut Process, built: &Built) {
    let Built {
        artifact,
        source,
        directory,
        ..
    } = built;
    // A program named by its whole path, inside of what was built, is run from the artifact too.
    if let Some(program) = process
        .command
        .first_mut()
        .filter(|program| Path::new(program.as_str()).is_absolute())
    {
        *program = source
            .relocate(&artifact.path, Path::new(program.as_str()))
            .display()
            .to_string();
    }
    process.directory.clone_from(directory);
    process.artifact_digest = Some(artifact.digest.clone());
    process.prepare = None;
}

/// Why a service could not be built.
struct NotBuilt {
    reason: String,
    last_lines: Vec<String>,
    next_step: String,
}

/// Builds one service, telling how it goes.
async fn service(
    deploys: &Deploys,
    deploy: &Deploy,
    name: &ServiceName,
    build: &Arc<Build>,
) -> Result<Built, NotBuilt> {
    let stack = deploy.stack.name.clone();
    let subject = format!("{stack}/{name}");
    let begun = now().mono;
    let told = |state, message: String| Progress {
        at: now().wall,
        stage: Stage::Build,
        subject: subject.clone(),
        state,
        message,
        took_ms: matches!(state, StageState::Done | StageState::Failed).then(|| millis(now().mono.since(begun))),
    };
    let command = processes(&deploy.stack).find(|(service, _)| service.name == *name);
    let command = command
        .and_then(|(_, process)| process.prepare.clone())
        .unwrap_or_default();
    build.step(told(StageState::Begun, command.join(" ")));
    let built = build_one(deploys, deploy, name, build).await;
    match &built {
        Ok(built) => {
            let revision = built.artifact.revision.as_deref();
            let message = format!(
                "{}{}{}",
                show::short(&built.artifact.digest),
                revision
                    .map(|revision| format!(" from {}", show::short(revision)))
                    .unwrap_or_default(),
                if built.reused { ", built before" } else { "" },
            );
            build.step(told(StageState::Done, message));
        }
        Err(failed) => build.step(told(StageState::Failed, failed.reason.clone())),
    }
    built.map_err(|failed| NotBuilt {
        reason: format!("could not build {name}: {}", failed.reason),
        ..failed
    })
}

async fn build_one(
    deploys: &Deploys,
    deploy: &Deploy,
    name: &ServiceName,
    build: &Arc<Build>,
) -> Result<Built, NotBuilt> {
    let plain = |reason: String| NotBuilt {
        reason,
        last_lines: Vec::new(),
        next_step: "nothing was changed".to_owned(),
    };
    let launch = launch_in(deploys, &deploy.stack, name, None).await;
    let launch = launch.ok_or_else(|| plain("it is no process".to_owned()))?;
    let shared = Arc::clone(&deploys.shared);
    let (deploy, name, build) = (deploy.clone(), name.clone(), Arc::clone(build));
    let work = tokio::task::spawn_blocking(move || on_this_host(&shared, &deploy, &name, &launch, &build));
    work.await.unwrap_or_else(|error| Err(plain(error.to_string())))
}

/// Returns how a command is run for a service as a definition has it, whatever runs now.
pub(crate) async fn launch_in(
    deploys: &Deploys,
    stack: &Stack,
    service: &ServiceName,
    release: Option<u64>,
) -> Option<Launch> {
    let (stack, service) = (stack.clone(), service.clone());
    deploys
        .hub
        .ask(move |controller, _| launch_of(controller.world(), &stack, &service, release))
        .await
}

/// As [`launch_in`], of a world that is known.
pub(crate) fn launch_of(world: &World, stack: &Stack, service: &ServiceName, release: Option<u64>) -> Option<Launch> {
    let mut world = world.clone();
    let releases = world.releases.remove(&stack.name);
    // What is run for a release takes what comes with it.
    let own = releases.and_then(|releases| releases.deployment);
    let own = own.filter(|deployment| Some(deployment.target) == release);
    if let Some(configuration) = own.and_then(|deployment| deployment.configuration) {
        world.configurations.insert(stack.name.clone(), configuration);
    }
    world.stacks.get_mut(&stack.name)?.stack = stack.clone();
    let replica = ReplicaId {
        stack: stack.name.clone(),
        service: service.clone(),
        slot: 1,
    };
    let mut launch = tend_supervise::launch(&world, &replica, None)?;
    // It is no replica: what tells one which it is would be a lie.
    for variable in ["TEND_SLOT", "TEND_REPLICA"] {
        launch.environment.remove(variable);
    }
    if let Some(release) = release {
        launch
            .environment
            .insert("TEND_RELEASE".to_owned(), release.to_string());
    }
    Some(launch)
}

/// Refuses what the stack's owner may not read himself: a daemon of root could, and would hand it on in an artifact.
fn readable_by_owner(shared: &Shared, stack: &Stack, directory: &Path) -> Result<(), String> {
    let owner = stack.source.owner_uid;
    if shared.uid != 0 || owner == 0 {
        return Ok(());
    }
    // The whole checkout may be copied.
    let top = directory.ancestors().find(|above| above.join(".git").exists());
    let top = top.unwrap_or(directory);
    let who = tend_linux::user_of_uid(owner)
        .map_err(|error| error.to_string())?
        .credentials;
    // A link is copied as a link.
    let command = ["find", "-not", "-type", "l", "-not", "-readable", "-print", "-quit"].map(str::to_owned);
    let (program, arguments) = (command[..1].to_vec(), &command[1..]);
    let environment = [("PATH".to_owned(), FIND_PATH.to_owned())].into();
    let mut find = identity::program(&program, Path::new("/"), &environment, Some(&who));
    find.arg(top).args(arguments);
    let log = errand::folder(shared, stack.name.as_str()).join("readable.log");
    let looked = errand::run(
        shared,
        Errand {
            program: find,
            timeout: FIND_MAX,
            log: &log,
            patterns: shared.known_secrets.patterns(stack.name.as_str()),
            lock: None,
            stop: &|| None,
            said: &|_| {},
        },
    );
    match (looked, errand::last_lines(&log).first()) {
        (Ok(()), None) => Ok(()),
        (_, Some(unreadable)) => Err(format!(
            "user {owner}, who owns the stack file, may not read all of `{}`: {unreadable}",
            top.display()
        )),
        (Err(failed), None) => Err(failed.why),
    }
}

fn on_this_host(
    shared: &Shared,
    deploy: &Deploy,
    name: &ServiceName,
    launch: &Launch,
    build: &Build,
) -> Result<Built, NotBuilt> {
    let stack = &deploy.stack.name;
    let plain = |reason: String, next_step: Option<String>| NotBuilt {
        reason,
        last_lines: Vec::new(),
        next_step: next_step.unwrap_or_else(|| "nothing was changed".to_owned()),
    };
    let who = identity::who(shared, launch, stack.as_str()).map_err(|failure| plain(failure.why, failure.hint))?;
    let environment = identity::environment(shared, launch, stack.as_str(), &who);
    if shared.known_secrets.learn(stack.as_str(), &environment) {
        crate::daemon::replicas::tell_secrets(shared, stack.as_str());
    }
    let Some((_, process)) = processes(&deploy.stack).find(|(service, _)| service.name == *name) else {
        return Err(plain("it is no process".to_owned(), None));
    };
    readable_by_owner(shared, &deploy.stack, &process.directory).map_err(|why| plain(why, None))?;
    let log: PathBuf = errand::folder(shared, stack.as_str()).join(format!("build-{name}.log"));
    let mut last_lines = Vec::new();
    let mut prepare = |prepare: &Prepare<'_>| {
        let program = identity::program(prepare.command, prepare.directory, &environment, who.as_ref());
        let subject = format!("{stack}/{name}");
        let said = |line: &str| {
            build.latest(Progress {
                at: now().wall,
                stage: Stage::Build,
                subject: subject.clone(),
                state: StageState::Begun,
                message: line.to_owned(),
                took_ms: None,
            });
        };
        let done = errand::run(
            shared,
            Errand {
                program,
                timeout: prepare.timeout,
                log: &log,
                patterns: shared.known_secrets.patterns(stack.as_str()),
                lock: None,
                stop: &|| build.aborted(),
                said: &said,
            },
        );
        done.map_err(|failed| {
            last_lines = failed.last_lines;
            failed.why
        })
    };
    let _employer = shared.replicas.employ();
    let built = tend_release::build(
        &Request {
            state: &shared.paths.state,
            stack,
            directory: &process.directory,
            prepare: process.prepare.as_deref(),
            keep: &process.artifact,
            environment: &process.environment,
            revision: deploy.revision.as_deref(),
            allow_dirty: deploy.allow_dirty,
            timeout: PREPARE_MAX,
            owner: who.as_ref().map(|who| Owner {
                uid: who.uid,
                gid: who.gid,
            }),
        },
        &mut prepare,
    );
    built.map_err(|error| {
        let mut reason = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(source) = cause {
            reason = format!("{reason}: {}", tend_base::without_os_numbers(&source.to_string()));
            cause = source.source();
        }
        NotBuilt {
            reason,
            last_lines,
            next_step: error
                .hint()
                .unwrap_or_else(|| format!("nothing was changed; all it wrote is in `{}`", log.display())),
        }
    })
}

#[cfg(test)]
mod tests {
    use tend_core::model::{DeployPolicy, Edge, StackSource};

    use super::*;

    fn stack(name: &str) -> Stack {
        Stack {
            name: name.parse().unwrap(),
            source: StackSource {
                files: vec!["/srv/stack.yml".into()],
                directory: "/srv".into(),
                owner_uid: 1000,
                owner_gid: 1000,
            },
            services: BTreeMap::new(),
            edge: Edge::default(),
            deploy: DeployPolicy::default(),
            config: None,
            vault: None,
            metrics: None,
            alerts: None,
            rotations: Default::default(),
        }
    }

    #[test]
    fn a_configuration_has_one_revision_and_another_has_another() {
        let one = configuration(&stack("mps"));
        assert_eq!(one.len(), 64);
        assert_eq!(one, configuration(&stack("mps")));
        assert_ne!(one, configuration(&stack("shop")));
    }
}
