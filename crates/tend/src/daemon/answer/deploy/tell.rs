//! Telling a person how a deployment goes on, and how it ended.
//!
//! Looks at what is known after each change and says what is new. Several may be told of the same deployment, and one may come late: it
//! is told how far it is. A client that leaves loses only the telling.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tend_api::messages::{DeployOutcome, Deployed, Finished, Progress, ProgressLine, Stage, StageState};
use tend_api::{ClientGone, LineSender, Reply, lines};
use tend_base::{Mono, Now};
use tend_core::deployment::{Act, Deployment, Ended, Ending, Exposure, Phase, Purpose, Stage as LaneStage};
use tend_core::model::{ReplicaId, ServiceId, StackName};
use tend_core::plan::StepKey;
use tend_core::world::World;

use super::build::{Build, End, Told};
use super::show;
use crate::daemon::answer::progress::{Stages, Teller, millis, stages};
use crate::daemon::answer::{logs, status};
use crate::daemon::hub::Hub;
use crate::daemon::{Shared, now};

/// A change that was not announced is seen after this long at the latest.
const AGAIN: Duration = Duration::from_secs(1);

/// Lines of output that are shown of the replica a deployment failed by.
const LAST_LINES: u32 = 10;

/// Starts telling of a build, and of the deployment it becomes.
pub(super) fn build(shared: Arc<Shared>, hub: Hub, build: Arc<Build>) -> Reply {
    let (sender, lines) = lines(64);
    tokio::spawn(async move {
        let begun = now().mono;
        // A client that is gone is no longer told; nothing else depends on it.
        if let Ok(Some(number)) = follow_build(&build, &sender, begun).await {
            let _ = follow(&shared, &hub, &build.stack, number, &sender, begun).await;
        }
    });
    Reply::Lines(lines)
}

/// Starts telling of a deployment.
pub(super) fn deployment(shared: Arc<Shared>, hub: Hub, stack: StackName, number: u64) -> Reply {
    let (sender, lines) = lines(64);
    tokio::spawn(async move {
        let _ = follow(&shared, &hub, &stack, number, &sender, now().mono).await;
    });
    Reply::Lines(lines)
}

/// Tells only how it ended.
pub(super) fn only(finished: Finished) -> Reply {
    let (sender, lines) = lines(1);
    // There is room for one.
    let _ = sender.try_send(&ProgressLine::Finished(finished));
    Reply::Lines(lines)
}

/// Tells of a build until it ended; returns the deployment it became.
async fn follow_build(
    build: &Build,
    sender: &LineSender<ProgressLine>,
    begun: Mono,
) -> Result<Option<u64>, ClientGone> {
    let mut changes = build.follow();
    let mut told = 0;
    loop {
        let Told { steps, latest, end } = changes.borrow_and_update().clone();
        for progress in steps.iter().skip(told).chain(&latest) {
            sender.send(&ProgressLine::Progress(progress.clone())).await?;
        }
        told = steps.len();
        match end {
            Some(End::Deployment(number)) => return Ok(Some(number)),
            Some(End::Finished(mut finished)) => {
                finished.took_ms = millis(now().mono.since(begun));
                sender.send(&ProgressLine::Finished(finished)).await?;
                return Ok(None);
            }
            None => {}
        }
        tokio::select! {
            // The build outlives its sender: this task holds it.
            changed = changes.changed() => if changed.is_err() { return Ok(None) },
            () = sender.gone() => return Err(ClientGone),
        }
    }
}

/// What is told about, at one moment.
struct Scene {
    deployment: Option<Deployment>,
    under_way: Vec<Act>,
    stages: Stages,
    ended: Option<Ended>,
    running: Option<u64>,
    known: bool,
    urls: Vec<String>,
    warnings: Vec<String>,
}

impl Scene {
    fn of(world: &World, steps: Vec<&StepKey>, stack: &StackName, number: u64) -> Self {
        let releases = world.releases.get(stack);
        let deployment = world.deployment(stack).filter(|deployment| deployment.number == number);
        let ended = releases.and_then(|releases| releases.history.iter().find(|ended| ended.number == number));
        let acts = steps.into_iter().filter_map(|key| match key {
            StepKey::Act(of, act) if of == stack => Some(act.clone()),
            _ => None,
        });
        let wanted = world.stacks.get(stack);
        let urls = wanted.map(|wanted| {
            let ids = wanted.stack.services.keys().map(|service| ServiceId {
                stack: stack.clone(),
                service: service.clone(),
            });
            let mut urls: Vec<String> = ids.flat_map(|id| status::urls(wanted, &id)).collect();
            urls.dedup();
            urls
        });
        Self {
            deployment: deployment.cloned(),
            under_way: acts.collect(),
            stages: stages(world, stack),
            ended: ended.cloned(),
            running: releases.and_then(|releases| releases.running),
            known: wanted.is_some(),
            urls: urls.unwrap_or_default(),
            warnings: ended
                .and_then(|ended| world.release(stack, ended.target))
                .map(show::warnings)
                .unwrap_or_default(),
        }
    }
}

async fn follow(
    shared: &Arc<Shared>,
    hub: &Hub,
    stack: &StackName,
    number: u64,
    sender: &LineSender<ProgressLine>,
    begun: Mono,
) -> Result<(), ClientGone> {
    let mut changes = hub.changes();
    let mut teller = DeploymentTeller::default();
    let mut warnings = Vec::new();
    loop {
        changes.mark_unchanged();
        let name = stack.clone();
        let scene = hub
            .ask(move |controller, _| {
                Scene::of(
                    controller.world(),
                    controller.steps_under_way().collect(),
                    &name,
                    number,
                )
            })
            .await;
        for progress in teller.news(stack, &scene, now()) {
            sender.send(&ProgressLine::Progress(progress)).await?;
        }
        if let Some(deployment) = &scene.deployment {
            warnings = warned(deployment);
        }
        if let Some(mut finished) = finished(stack, &scene, number) {
            finished.warnings.append(&mut warnings);
            if finished.last_lines.is_empty() && !finished.ok {
                finished.last_lines = last_lines(shared, stack, &scene, &finished.reason).await;
            }
            finished.took_ms = millis(now().mono.since(begun));
            return sender.send(&ProgressLine::Finished(finished)).await;
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return Ok(()) },
            () = tokio::time::sleep(AGAIN) => {}
            () = sender.gone() => return Ok(()),
        }
    }
}

/// Returns how it ended, if it did.
fn finished(stack: &StackName, scene: &Scene, number: u64) -> Option<Finished> {
    if let Some(ended) = &scene.ended {
        let (reason, last_lines) = in_parts(ended.why.as_deref().unwrap_or_default());
        let deploy = |outcome| Deployed {
            outcome,
            release: ended.target,
            running: scene.running,
        };
        let again = match ended.purpose {
            Purpose::Deploy => "deploy",
            Purpose::Rollback => "rollback",
        };
        return Some(match ended.result {
            Ending::Committed => Finished {
                ok: true,
                deploy: Some(deploy(DeployOutcome::Committed)),
                urls: scene.urls.clone(),
                warnings: scene.warnings.clone(),
                ..Finished::default()
            },
            Ending::Refused => Finished {
                reason,
                last_lines,
                next_step: format!(
                    "mend that, then `tend {again}` again; `tend events --stack {stack}` has all that was seen"
                ),
                deploy: Some(deploy(DeployOutcome::Refused)),
                ..Finished::default()
            },
            Ending::Undone => Finished {
                reason,
                last_lines,
                next_step: format!(
                    "`tend logs --stack {stack} --since 10m` shows all it wrote; after mending it, `tend {again}` again"
                ),
                deploy: Some(deploy(DeployOutcome::Undone)),
                ..Finished::default()
            },
        });
    }
    let Some(deployment) = &scene.deployment else {
        let reason = match scene.known {
            true => format!("how deployment {number} of {stack} ended is not known any more"),
            false => format!("the stack {stack} was taken down meanwhile"),
        };
        return Some(Finished {
            reason,
            next_step: format!("`tend events --stack {stack}` has all that was done"),
            ..Finished::default()
        });
    };
    if deployment.phase != Phase::Held {
        return None;
    }
    let (reason, last_lines) = in_parts(deployment.why.as_deref().unwrap_or_default());
    Some(Finished {
        reason,
        last_lines,
        next_step: format!(
            "`tend approve {stack} --why …` tries once more what failed and goes on, `tend deploy {stack} --abort` goes back"
        ),
        deploy: Some(Deployed {
            outcome: DeployOutcome::Held,
            release: deployment.target,
            running: deployment.from,
        }),
        ..Finished::default()
    })
}

/// Returns what the acts of a deployment warned of: they did what they should, and somebody should have a look.
fn warned(deployment: &Deployment) -> Vec<String> {
    let evidence = deployment.acts.values().filter_map(|outcome| outcome.as_ref().ok());
    let texts = evidence.flat_map(|evidence| {
        let several = evidence["warnings"].as_array().into_iter().flatten();
        several.chain(evidence.get("warning")).filter_map(Value::as_str)
    });
    texts.map(|text| in_parts(text).0).collect()
}

/// Takes a reason apart: the sentence, and the lines of output that stand below it.
fn in_parts(why: &str) -> (String, Vec<String>) {
    let mut lines = why.lines().map(str::to_owned);
    (lines.next().unwrap_or_default(), lines.collect())
}

/// Returns the last lines that the replica wrote that a reason names, since the deployment began.
async fn last_lines(shared: &Arc<Shared>, stack: &StackName, scene: &Scene, reason: &str) -> Vec<String> {
    let begun = match (&scene.ended, &scene.deployment) {
        (Some(ended), _) => Some(ended.begun),
        (None, deployment) => deployment.as_ref().map(|deployment| deployment.begun),
    };
    let Some(replica) = named(reason, stack) else {
        return Vec::new();
    };
    let folder = shared.logs_folder();
    let read = tokio::task::spawn_blocking(move || logs::last_lines_since(&folder, &replica, begun, LAST_LINES));
    // What cannot be read is missed here, and said where the logs are looked at themselves.
    read.await.unwrap_or_default()
}

/// Returns the replica of a stack that a reason names.
fn named(reason: &str, stack: &StackName) -> Option<ReplicaId> {
    let words = reason.split(|c: char| c.is_whitespace() || matches!(c, ':' | ',' | ';' | '(' | ')' | '`'));
    let mut replicas = words.filter_map(|word| word.parse::<ReplicaId>().ok());
    replicas.find(|id| id.stack == *stack)
}

/// Remembers what was told of a deployment.
#[derive(Default)]
struct DeploymentTeller {
    teller: Teller,
    begun: bool,
    going_back: bool,
}

impl DeploymentTeller {
    fn news(&mut self, stack: &StackName, scene: &Scene, now: Now) -> Vec<Progress> {
        let mut news = Vec::new();
        if let Some(deployment) = &scene.deployment {
            for act in &scene.under_way {
                self.act(&mut news, stack, act, StageState::Begun, String::new(), now);
            }
            for (act, outcome) in &deployment.acts {
                let (state, message) = match outcome {
                    Ok(evidence) => (StageState::Done, said(evidence)),
                    Err(why) => (StageState::Failed, in_parts(why).0),
                };
                self.act(&mut news, stack, act, state, message, now);
            }
            self.lanes(&mut news, stack, deployment, now);
            self.phase(&mut news, stack, deployment, now);
        }
        if scene.ended.as_ref().is_some_and(|ended| ended.result == Ending::Undone) {
            self.back(&mut news, stack, now);
        }
        let lanes = scene.deployment.as_ref().map(|deployment| &deployment.lanes);
        for ((id, stage), (state, message)) in &scene.stages {
            // That a replica is not ready at once is no news either; on a terminal it is seen while it lasts.
            let state = match (stage, state) {
                (Stage::Ready, StageState::Waiting) => StageState::Begun,
                (_, state) => *state,
            };
            let mut said = Vec::new();
            self.teller
                .tell(&mut said, id.to_string(), *stage, state, message.clone(), now);
            // How the replicas were when the telling began is no news, and what the deployment leaves alone is none of its doing.
            if self.begun && lanes.is_some_and(|lanes| lanes.contains_key(&id.service)) {
                news.extend(said);
            }
        }
        self.begun = true;
        news
    }

    /// Tells what is waited for of a person, and that it goes back.
    fn phase(&mut self, news: &mut Vec<Progress>, stack: &StackName, deployment: &Deployment, now: Now) {
        let subject = stack.to_string();
        let mut tell = |stage, state, message: String| {
            self.teller.tell(news, subject.clone(), stage, state, message, now);
        };
        if let Some(who) = &deployment.approved {
            tell(Stage::Wait, StageState::Done, format!("approved by {who}"));
        }
        match deployment.phase {
            Phase::Approval => tell(
                Stage::Wait,
                StageState::Waiting,
                format!("for a person: `tend approve {stack} --why …` or `tend reject {stack} --why …`"),
            ),
            Phase::Confirming => {
                let until = deployment.confirm_until.unwrap_or_default();
                let left = Duration::from_secs(until.0.saturating_sub(deployment.begun.0) / 1000);
                let text = format!(
                    "for a person: `tend confirm {stack}`; without it, it is undone {} after it began",
                    tend_base::format_duration(left)
                );
                tell(Stage::Wait, StageState::Waiting, text);
            }
            Phase::Undoing => {
                self.going_back = true;
                let why = deployment.why.as_deref().unwrap_or_default();
                tell(Stage::Undo, StageState::Waiting, in_parts(why).0);
            }
            Phase::Finishing(Ending::Committed) if deployment.confirmed.is_some() => {
                let who = deployment.confirmed.as_deref().unwrap_or_default();
                tell(Stage::Wait, StageState::Done, format!("confirmed by {who}"));
            }
            _ => {}
        }
    }

    /// Tells that it went back, where it was told that it goes back.
    fn back(&mut self, news: &mut Vec<Progress>, stack: &StackName, now: Now) {
        if self.going_back {
            let message = "the release before serves alone".to_owned();
            self.teller
                .tell(news, stack.to_string(), Stage::Undo, StageState::Done, message, now);
        }
    }

    fn act(
        &mut self,
        news: &mut Vec<Progress>,
        stack: &StackName,
        act: &Act,
        state: StageState,
        message: String,
        now: Now,
    ) {
        let (stage, subject) = match act {
            Act::Preflight => (Stage::Check, stack.to_string()),
            Act::RestorePoint => (Stage::Restore, stack.to_string()),
            Act::Migrate => (Stage::Migrate, stack.to_string()),
            Act::Smoke(service) => (Stage::Smoke, format!("{stack}/{service}")),
            Act::Attest(replica, _) => (Stage::Attest, replica.to_string()),
            Act::SmokePublic(service) => (Stage::Answered, format!("{stack}/{service}")),
            Act::Notify => (Stage::Notify, stack.to_string()),
            Act::Prune => (Stage::Prune, stack.to_string()),
            // Asked every second; what the figures lead to is told with the service.
            Act::Count(_) => return,
        };
        self.teller.tell(news, subject, stage, state, message, now);
    }

    fn lanes(&mut self, news: &mut Vec<Progress>, stack: &StackName, deployment: &Deployment, now: Now) {
        // On the way back the slots are what they were; that it goes back is said once for all.
        let forward = !matches!(
            deployment.phase,
            Phase::Undoing | Phase::Finishing(Ending::Undone | Ending::Refused)
        );
        for (service, lane) in deployment.lanes.iter().filter(|_| forward) {
            let (state, message) = match (lane.stage, lane.exposure) {
                (LaneStage::Waiting, _) => continue,
                (LaneStage::Candidate, _) => (StageState::Begun, "the new replicas prove themselves".to_owned()),
                (LaneStage::Canary, Exposure::Share(permille)) => (
                    StageState::Waiting,
                    format!(
                        "the new replicas get {}.{} % of the requests",
                        permille / 10,
                        permille % 10
                    ),
                ),
                (LaneStage::Canary | LaneStage::Shifting, _) => {
                    (StageState::Begun, "the replicas are exchanged".to_owned())
                }
                (LaneStage::Done, _) => (StageState::Done, format!("release {}", deployment.target)),
            };
            let subject = format!("{stack}/{service}");
            self.teller.tell(news, subject, Stage::Shift, state, message, now);
        }
    }
}

/// Returns what evidence says of itself for a person.
fn said(evidence: &Value) -> String {
    evidence["said"].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_taken_apart_into_sentence_and_output() {
        let (reason, lines) = in_parts("could not migrate: it ended with 1\nline one\nline two");
        assert_eq!(reason, "could not migrate: it ended with 1");
        assert_eq!(lines, ["line one", "line two"]);
        assert_eq!(in_parts(""), (String::new(), Vec::new()));
    }

    #[test]
    fn the_replica_that_a_reason_names_is_found() {
        let stack: StackName = "mps".parse().unwrap();
        let found = |reason: &str| named(reason, &stack).map(|id| id.to_string());
        assert_eq!(found("mps/api/1 exited with code 1").as_deref(), Some("mps/api/1"));
        let smoke = "the smoke test of the new api failed: mps/api/12: GET /health answered 500, 200 was asked for";
        assert_eq!(found(smoke).as_deref(), Some("mps/api/12"));
        assert_eq!(
            found("could not migrate: `bin/migrate/1` ended with exit status: 1"),
            None
        );
        assert_eq!(found("shop/web/1 exited with code 1"), None);
    }
}
