//! Telling a person how a change comes along, and how it ended.
//!
//! Looks at what is known after each change and says what is new; it cannot disturb the change itself, and a client that leaves
//! loses only the telling.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tend_api::messages::{Finished, Progress, ProgressLine, Stage, StageState};
use tend_api::{LineSender, lines};
use tend_base::{Clock, Mono, Now, SystemClock};
use tend_core::model::{ReplicaId, StackName};
use tend_core::observed::{Exit, Phase};
use tend_core::world::World;
use tend_supervise::{Goal, GoalState, goals};

use crate::daemon::hub::Hub;
use crate::daemon::named_files;

use super::status;

/// What the person waits for.
#[derive(Clone, Debug)]
pub(crate) enum Until {
    /// Every service of the stack is as wanted.
    AsWanted,
    /// The stack is gone.
    Gone,
}

/// How long a change may take before the telling ends; the change itself goes on.
const TELLING_MAX: Duration = Duration::from_secs(300);

/// Starts telling, and returns the lines for the client.
pub(crate) fn tell(hub: Hub, stack: StackName, until: Until) -> tend_api::Lines {
    let (sender, lines) = lines(64);
    tokio::spawn(async move {
        // A client that is gone is no longer told; nothing else depends on it.
        let _ = run(&hub, &stack, until, &sender).await;
    });
    lines
}

async fn run(
    hub: &Hub,
    stack: &StackName,
    until: Until,
    sender: &LineSender<ProgressLine>,
) -> Result<(), tend_api::ClientGone> {
    let begun = SystemClock.now().mono;
    let mut changes = hub.changes();
    let mut teller = Teller::default();
    loop {
        changes.mark_unchanged();
        let name = stack.clone();
        let wait_for = until.clone();
        let (view, over) = hub
            .ask(move |controller, now| {
                let view = View::of(controller.world(), &name, now);
                let over = ending(controller.world(), &name, &wait_for, now);
                (view, over)
            })
            .await;
        let mut news = teller.news(&view, SystemClock.now());
        if over.as_ref().is_some_and(|finished| finished.ok) && matches!(until, Until::Gone) {
            news.extend(teller.gone(SystemClock.now()));
        }
        for progress in news {
            sender.send(&ProgressLine::Progress(progress)).await?;
        }
        let waited = SystemClock.now().mono.since(begun);
        let finished = over.or_else(|| (waited > TELLING_MAX).then(|| timed_out(&view)));
        if let Some(mut finished) = finished {
            if finished.ok && matches!(until, Until::AsWanted) {
                finished.warnings.extend(missing_pages(hub, stack).await);
            }
            finished.took_ms = millis(waited);
            return sender.send(&ProgressLine::Finished(finished)).await;
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return Ok(()) },
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = sender.gone() => return Ok(()),
        }
    }
}

/// Says which error pages of a stack are not there.
pub(crate) async fn missing_pages(hub: &Hub, stack: &StackName) -> Vec<String> {
    let name = stack.clone();
    let wanted = hub.ask(move |controller, _| controller.world().stack_wanted(&name).cloned());
    match wanted.await {
        Some(stack) => named_files::looked_at(move || named_files::missing_pages(&stack)).await,
        None => Vec::new(),
    }
}

fn timed_out(view: &View) -> Finished {
    Finished {
        reason: format!(
            "it is not done after {}: {}",
            tend_base::format_duration(TELLING_MAX),
            view.pending.join("; ")
        ),
        next_step: "`tend status` shows how it goes on; nothing was undone".to_owned(),
        ..Finished::default()
    }
}

/// Returns how it ended, if it did.
fn ending(world: &World, stack: &StackName, until: &Until, now: Now) -> Option<Finished> {
    let edge = &world.edge;
    let routed = edge.published_revision == world.revisions() && edge.serving >= edge.generation;
    if matches!(until, Until::Gone) && edge.connected && !routed {
        // Its listeners are still open.
        return None;
    }
    let Some(wanted) = world.stacks.get(stack) else {
        return Some(match until {
            Until::Gone => Finished {
                ok: true,
                ..Finished::default()
            },
            Until::AsWanted => Finished {
                reason: format!("the stack {stack} was taken down meanwhile"),
                next_step: format!("`tend events --stack {stack}` says by whom"),
                ..Finished::default()
            },
        });
    };
    if matches!(until, Until::Gone) {
        return None;
    }
    let goals = goals(world, stack, now);
    for Goal { service, state } in &goals {
        if let GoalState::Failed { why, last_lines, hint } = state {
            return Some(Finished {
                reason: why.clone(),
                last_lines: last_lines.clone(),
                next_step: hint.clone().unwrap_or_else(|| {
                    format!("`tend logs {service}` shows all it wrote; after mending it, run `tend up` again")
                }),
                ..Finished::default()
            });
        }
    }
    let edge_failure = world.edge.failed.as_ref().filter(|_| !world.edge.connected);
    if let Some((_, why)) = edge_failure {
        return Some(Finished {
            reason: format!("the edge could not be started: {why}"),
            next_step: "`tend events` shows the tries; tend goes on trying".to_owned(),
            ..Finished::default()
        });
    }
    if goals.iter().any(|goal| matches!(goal.state, GoalState::Pending(_))) {
        return None;
    }
    let mut urls: Vec<String> = goals
        .iter()
        .flat_map(|goal| status::urls(wanted, &goal.service))
        .collect();
    urls.dedup();
    let to_ask = goals.iter().find_map(|goal| status::url_to_ask(wanted, &goal.service));
    let mut try_next: Vec<String> = to_ask.map(|url| format!("curl -i {url}")).into_iter().collect();
    try_next.extend(["tend status", "tend logs -f", "tend top"].map(str::to_owned));
    Some(Finished {
        ok: true,
        urls,
        try_next,
        warnings: status::warnings(wanted),
        ..Finished::default()
    })
}

/// What there is to say of each replica's steps.
pub(super) type Stages = BTreeMap<(ReplicaId, Stage), (StageState, String)>;

/// What is told about, at one moment.
struct View {
    stages: Stages,
    answered: Vec<String>,
    pending: Vec<String>,
}

/// Returns what there is to say of the steps of a stack's replicas.
pub(super) fn stages(world: &World, stack: &StackName) -> Stages {
    let mut stages = BTreeMap::new();
    for (id, replica) in world.replicas.iter().filter(|(id, _)| id.stack == *stack) {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        match &replica.phase {
            Phase::Starting => {
                stages.insert((id.clone(), Stage::Start), (StageState::Begun, String::new()));
            }
            Phase::Running { pid, .. } => {
                stages.insert((id.clone(), Stage::Start), (StageState::Done, format!("process {pid}")));
                let (state, message) = match (replica.ready_since, &replica.readiness.why) {
                    (Some(_), _) => (StageState::Done, String::new()),
                    (None, why) => (StageState::Waiting, why.clone().unwrap_or_default()),
                };
                stages.insert((id.clone(), Stage::Ready), (state, message));
            }
            Phase::Stopping { signalled: None, .. } => {
                let message = replica.why_stopping().unwrap_or_default();
                stages.insert((id.clone(), Stage::Drain), (StageState::Begun, message));
            }
            Phase::Stopping { .. } => {
                let reason = replica.stop_reason.map(tend_core::observed::StopReason::text);
                stages.insert((id.clone(), Stage::Stop), (StageState::Begun, text(reason)));
            }
            Phase::Ended { .. } => {
                if let Some(failure) = &replica.start_failure {
                    stages.insert((id.clone(), Stage::Start), (StageState::Failed, failure.why.clone()));
                } else if let Some(last) = &replica.last_exit {
                    let asked = last.asked.is_some() || replica.completed;
                    let state = if asked { StageState::Done } else { StageState::Failed };
                    // That it ended well when it was asked to goes without saying.
                    let message = match last.exit {
                        Exit::Exited(0) if asked => String::new(),
                        _ => format!("it {}", last.exit),
                    };
                    stages.insert((id.clone(), Stage::Stop), (state, message));
                }
            }
            Phase::Absent => {}
        }
    }
    stages
}

impl View {
    fn of(world: &World, stack: &StackName, now: Now) -> Self {
        let stages = stages(world, stack);
        let mut answered = Vec::new();
        let mut pending = Vec::new();
        for goal in goals(world, stack, now) {
            match goal.state {
                GoalState::Met(how) if how.contains("edge") => answered.push(goal.service.to_string()),
                GoalState::Pending(what) => pending.push(what),
                _ => {}
            }
        }
        Self {
            stages,
            answered,
            pending,
        }
    }
}

/// Remembers what was told.
#[derive(Default)]
pub(super) struct Teller {
    told: BTreeMap<(String, Stage), (StageState, String)>,
    begun: BTreeMap<(String, Stage), Mono>,
}

impl Teller {
    fn news(&mut self, view: &View, now: Now) -> Vec<Progress> {
        let mut news = Vec::new();
        for ((id, stage), (state, message)) in &view.stages {
            self.tell(&mut news, id.to_string(), *stage, *state, message.clone(), now);
        }
        for service in &view.answered {
            let message = "through the edge".to_owned();
            self.tell(
                &mut news,
                service.clone(),
                Stage::Answered,
                StageState::Done,
                message,
                now,
            );
        }
        news
    }

    /// Returns the news that the stack is gone: its last replicas ended and were forgotten at one moment, between two looks.
    fn gone(&mut self, now: Now) -> Vec<Progress> {
        let stages = [Stage::Start, Stage::Ready, Stage::Drain, Stage::Stop];
        let replicas: BTreeSet<String> = (self.told.keys())
            .filter(|(_, stage)| stages.contains(stage))
            .map(|(id, _)| id.clone())
            .collect();
        let mut news = Vec::new();
        for id in replicas {
            let last = self.told.get(&(id.clone(), Stage::Stop));
            let told = last.is_some_and(|(state, _)| matches!(state, StageState::Done | StageState::Failed));
            if !told {
                self.tell(&mut news, id, Stage::Stop, StageState::Done, String::new(), now);
            }
        }
        news
    }

    /// Adds what is told of a step to the news, unless it was told already.
    pub(super) fn tell(
        &mut self,
        news: &mut Vec<Progress>,
        subject: String,
        stage: Stage,
        state: StageState,
        message: String,
        now: Now,
    ) {
        let key = (subject.clone(), stage);
        if self
            .told
            .get(&key)
            .is_some_and(|(told, said)| *told == state && *said == message)
        {
            return;
        }
        let is_over = |state: StageState| matches!(state, StageState::Done | StageState::Failed);
        let was_under_way = self.told.get(&key).is_some_and(|(told, _)| !is_over(*told));
        if !was_under_way {
            // Another life of the same replica begins anew.
            self.begun.insert(key.clone(), now.mono);
        }
        let begun = self.begun.get(&key).copied().unwrap_or(now.mono);
        // What was already so when the telling began is no news to wait for, and took no time that was seen.
        let took_ms = (is_over(state) && was_under_way).then(|| millis(now.mono.since(begun)));
        self.told.insert(key, (state, message.clone()));
        news.push(Progress {
            at: now.wall,
            stage,
            subject,
            state,
            message,
            took_ms,
        });
    }
}

/// Returns a duration as messages carry it.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
