//! What follows a deployment: telling who wants to know, and removing releases that are not kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tend_base::{Wall, format_bytes};
use tend_core::deployment::{Ending, Outcome, Phase, Purpose, Releases};
use tend_core::model::{DeployPolicy, Port};
use tend_core::plan::Launch;

use super::{Scene, blocking, counted, folder, identified, sentence};
use crate::daemon::errand::{self, Errand};
use crate::daemon::steps::Performer;
use crate::daemon::{identity, now};

/// How long the notify command may take.
const NOTIFY_MAX: Duration = Duration::from_secs(60);

/// An artifact that was built so lately is left: the release it is for may not be recorded yet.
const SPARE: Duration = Duration::from_secs(3600);

/// Runs the notify command. That it failed is a warning in the evidence: what was deployed is deployed.
pub(super) async fn notify(performer: &Arc<Performer>, scene: Scene) -> Value {
    let Some(command) = scene.target.stack.deploy.notify.clone() else {
        return json!({ "said": "nobody is to be told" });
    };
    let log = folder(performer, scene.stack()).join("notify.log");
    let work = Arc::clone(performer);
    let patterns = performer.shared.known_secrets.patterns(scene.stack().as_str());
    let (words, path) = (command.clone(), log.clone());
    let done = blocking(move || {
        let launch = launch(&scene, words);
        let who = identified(&work, &launch, scene.stack())?;
        let program = identity::program(&launch.command, &launch.directory, &who.environment, who.who.as_ref());
        let errand = Errand {
            program,
            timeout: NOTIFY_MAX,
            log: &path,
            patterns,
            lock: None,
            stop: &|| None,
            said: &|_| {},
        };
        errand::run(&work.shared, errand).map_err(|failed| failed.in_lines())
    });
    match done.await {
        Ok(()) => json!({ "said": "told", "command": command }),
        Err(why) => json!({ "said": format!("warning: nobody was told: {why}"), "warning": why, "command": command }),
    }
}

/// How the command is run: in the folder of the stack file, as the stack's owner, with the facts in its environment.
fn launch(scene: &Scene, command: Vec<String>) -> Launch {
    let source = &scene.target.stack.source;
    Launch {
        command,
        directory: source.directory.clone(),
        environment: facts(scene),
        user: None,
        owner: (source.owner_uid, source.owner_gid),
        port: None,
        port_form: Port::None,
        resources: Default::default(),
        logs: tend_core::model::Logs {
            file_bytes_max: 0,
            files_max: 0,
            when_behind: tend_core::model::WhenBehind::Drop,
        },
        open_files_max: None,
        fingerprint: 0,
        quiesce: None,
        secrets: Vec::new(),
        is_configured: false,
        configuration: 0,
        outside: BTreeMap::new(),
    }
}

/// Returns what the command is told.
fn facts(scene: &Scene) -> BTreeMap<String, String> {
    let deployment = &scene.deployment;
    let result = match deployment.phase {
        Phase::Finishing(ending) | Phase::Ended(ending) => ending.text(),
        _ => "under way",
    };
    let running = match deployment.phase {
        Phase::Finishing(Ending::Committed) => Some(deployment.target),
        _ => deployment.from,
    };
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let facts = [
        ("STACK", scene.stack().to_string()),
        ("ENVIRONMENT", text(&scene.target.stack.deploy.environment)),
        ("NUMBER", deployment.number.to_string()),
        (
            "PURPOSE",
            match deployment.purpose {
                Purpose::Deploy => "deploy".to_owned(),
                Purpose::Rollback => "rollback".to_owned(),
            },
        ),
        ("RELEASE", deployment.target.to_string()),
        ("FROM", number(deployment.from)),
        ("RUNNING", number(running)),
        ("RESULT", result.to_owned()),
        ("WHY", text(&deployment.why)),
        ("BY", deployment.by.to_string()),
        ("REASON", text(&deployment.reason)),
    ];
    facts
        .into_iter()
        .map(|(name, value)| (format!("TEND_DEPLOY_{name}"), value))
        .collect()
}

/// Removes releases that are not kept, and the artifacts that no kept release of any stack has.
pub(super) async fn prune(performer: &Arc<Performer>, scene: Scene) -> Outcome {
    let gone = not_kept(&scene.releases, &scene.target.stack.deploy, now().wall);
    let (stack, left_out) = (scene.stack().clone(), gone.clone());
    let needed = performer.hub.ask(move |controller, _| {
        let all = controller.world().releases.iter();
        let kept = all.flat_map(|(name, releases)| releases.kept.values().map(move |release| (name, release)));
        kept.filter(|(name, release)| **name != stack || !left_out.contains(&release.number))
            .flat_map(|(_, release)| release.artifacts.values())
            .map(|artifact| artifact.digest.clone())
            .collect::<BTreeSet<String>>()
    });
    let needed = needed.await;
    let state = performer.shared.paths.state.clone();
    let removed = blocking(move || tend_release::remove(&state, &needed, SPARE).map_err(|error| sentence(&error)));
    let removed = removed.await?;
    let said = match (gone.len(), removed.bytes) {
        (0, 0) => "nothing was to be removed".to_owned(),
        (releases, bytes) => format!("{} and {} removed", counted(releases, "release"), format_bytes(bytes)),
    };
    Ok(json!({
        "said": said,
        "releases": gone,
        "artifacts": removed.digests,
        "bytes": removed.bytes,
    }))
}

/// Returns the releases that are to be forgotten, oldest first: those beyond the count and those too old, never one that is needed.
fn not_kept(releases: &Releases, policy: &DeployPolicy, now: Wall) -> Vec<u64> {
    let needed = releases.needed();
    let spare = releases
        .kept
        .values()
        .rev()
        .filter(|release| !needed.contains(&release.number));
    let mut gone: Vec<u64> = spare
        .enumerate()
        .filter(|(index, release)| {
            let age = Duration::from_millis(now.0.saturating_sub(release.made_at.0));
            *index >= policy.keep_count as usize || policy.keep_age.is_some_and(|limit| age > limit)
        })
        .map(|(_, release)| release.number)
        .collect();
    gone.sort_unstable();
    gone
}

#[cfg(test)]
mod tests {
    use tend_core::journal::{Principal, Via};
    use tend_core::model::{Edge, Release, Schema, Stack, StackSource};

    use super::*;

    fn release(number: u64, made_at: u64) -> Release {
        let stack = Stack {
            name: "mps".parse().unwrap(),
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
        };
        Release {
            number,
            file: stack.clone(),
            stack,
            artifacts: BTreeMap::new(),
            configuration: String::new(),
            secrets: BTreeMap::new(),
            schema: Schema::default(),
            made_at: Wall(made_at),
            made_by: Principal::Person {
                uid: Some(1000),
                name: "ana".to_owned(),
                via: Via::Socket,
            },
            promoted_from: None,
        }
    }

    fn releases() -> Releases {
        Releases {
            last: 10,
            kept: (1..=10)
                .map(|number| (number, release(number, number * 1000)))
                .collect(),
            running: Some(10),
            back: Some(2),
            ..Releases::default()
        }
    }

    #[test]
    fn releases_are_forgotten_by_count_and_age_and_never_a_needed_one() {
        let policy = |keep_count, keep_age: Option<u64>| DeployPolicy {
            keep_count,
            keep_age: keep_age.map(Duration::from_millis),
            ..DeployPolicy::default()
        };
        let gone = |policy: &DeployPolicy| not_kept(&releases(), policy, Wall(10_000));
        assert_eq!(gone(&policy(3, None)), [1, 3, 4, 5, 6]);
        assert_eq!(gone(&policy(0, None)), [1, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(gone(&policy(99, None)), Vec::<u64>::new());
        assert_eq!(gone(&policy(99, Some(4_500))), [1, 3, 4, 5]);
        // Performed twice, the second finds nothing left.
        let mut after = releases();
        for number in not_kept(&after.clone(), &policy(3, None), Wall(10_000)) {
            after.kept.remove(&number);
        }
        assert_eq!(not_kept(&after, &policy(3, None), Wall(10_000)), Vec::<u64>::new());
    }
}
