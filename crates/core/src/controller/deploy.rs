//! Folding in what happens to deployments: wishes, words of people, outcomes of acts, and the decisions of the chapter.
//!
//! Owns how a deployment is kept, recorded and ended. How it goes on is decided in `tend-deploy`.

use serde_json::json;
use tend_base::Now;

use super::{Chapter, Controller, DeployWish, Reaction, Word};
use crate::configuration::Configuration;
use crate::deployment::{Act, Deployment, Ended, Ending, Outcome, Phase, Purpose, Releases, Stage};
use crate::journal::{Entry, Kind, Principal};
use crate::model::{Release, ReplicaId, Service, ServiceId, StackName};
use crate::plan::StepKey;

/// Attempts kept in the state for `tend releases`; the journal has all.
const HISTORY_MAX: usize = 50;

impl Phase {
    /// Returns the word for it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Phase::Preparing => "preparing",
            Phase::Approval => "waiting for approval",
            Phase::Migrating => "migrating",
            Phase::Rolling => "rolling",
            Phase::Settling => "settling",
            Phase::Confirming => "waiting to be confirmed",
            Phase::Undoing => "going back",
            Phase::Held => "held",
            Phase::Finishing(_) => "finishing",
            Phase::Ended(ending) => ending.text(),
        }
    }
}

impl Ending {
    /// Returns the word for it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Ending::Committed => "committed",
            Ending::Refused => "refused",
            Ending::Undone => "undone",
        }
    }
}

impl<C: AsRef<[Box<dyn Chapter>]>> Controller<C> {
    /// Returns whether a deployment can begin: who asked looked first, and somebody else may have been quicker.
    pub(super) fn is_deployable(&self, wish: &DeployWish) -> bool {
        if !self.world.stacks.contains_key(&wish.stack) {
            return false;
        }
        let releases = self.world.releases.get(&wish.stack);
        let last = releases.map_or(0, |releases| releases.last);
        let in_order = made(wish).zip(last + 1..).all(|(release, next)| release.number == next);
        let known = releases.is_some_and(|releases| releases.kept.contains_key(&wish.target))
            || made(wish).any(|release| release.number == wish.target);
        in_order && known && self.world.deployment(&wish.stack).is_none()
    }

    /// Begins a deployment, with what replicas of its release are started with where that is another configuration than now.
    pub(super) fn deploy(
        &mut self,
        wish: DeployWish,
        configuration: Option<Configuration>,
        now: Now,
        reaction: &mut Reaction,
    ) {
        if !self.is_deployable(&wish) {
            return;
        }
        let DeployWish { stack, by, .. } = &wish;
        let releases = self.world.releases.entry(stack.clone()).or_default();
        for release in made(&wish) {
            releases.last = release.number;
            releases.kept.insert(release.number, release.clone());
            self.dirty.release.insert((stack.clone(), release.number));
            reaction.entries.push(release_entry(stack, release, by));
        }
        if let Some(baseline) = &wish.baseline {
            releases.running = Some(baseline.number);
        }
        releases.deployments += 1;
        let deployment = Deployment {
            number: releases.deployments,
            target: wish.target,
            from: releases.running,
            purpose: wish.purpose,
            by: by.clone(),
            reason: wish.reason.clone(),
            begun: now.wall,
            confirm: wish.confirm,
            configuration,
            phase: Phase::Preparing,
            since: Some(now.mono),
            confirm_until: None,
            confirm_at: None,
            lanes: Default::default(),
            acts: Default::default(),
            abort: None,
            approved: None,
            confirmed: None,
            why: None,
        };
        let entry = Entry::new(by.clone(), Kind::DeployStarted).on(stack.clone());
        reaction.entries.push(entry.with(json!({
            "deployment": deployment.number,
            "release": deployment.target,
            "from": deployment.from,
            "purpose": deployment.purpose,
            "reason": deployment.reason,
            "configuration": deployment.configuration.as_ref().map(|configuration| configuration.revision),
            "confirm_ms": deployment.confirm.map(|confirm| confirm.as_millis() as u64),
        })));
        let what = match wish.purpose {
            Purpose::Deploy => format!("release {} is being deployed", wish.target),
            Purpose::Rollback => format!("going back to release {}", wish.target),
        };
        releases.deployment = Some(deployment);
        self.dirty.releases.insert(stack.clone());
        let target = self
            .world
            .release(stack, wish.target)
            .map(|release| release.stack.clone());
        if let Some(target) = target {
            self.meet_services(&target);
        }
        self.change(stack, by, what, now);
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the fields of one input, taken apart by the caller"
    )]
    pub(super) fn decide_deployment(
        &mut self,
        stack: &StackName,
        number: u64,
        word: Word,
        by: Principal,
        why: String,
        now: Now,
        reaction: &mut Reaction,
    ) {
        let Some(deployment) = self.under_way(stack, number) else {
            return;
        };
        let (field, text) = match word {
            Word::Approve => (&mut deployment.approved, "approve"),
            Word::Abort => (&mut deployment.abort, "abort"),
            Word::Confirm => (&mut deployment.confirmed, "confirm"),
        };
        let who = by.to_string();
        *field = Some(if why.is_empty() { who } else { format!("{who}: {why}") });
        self.dirty.releases.insert(stack.clone());
        self.change(stack, &by, format!("{text} of deployment {number}"), now);
        let entry = Entry::new(by, Kind::DeployDecided).on(stack.clone());
        reaction
            .entries
            .push(entry.with(json!({ "deployment": number, "word": text, "why": why })));
    }

    pub(super) fn acted(&mut self, stack: &StackName, number: u64, act: Act, result: Outcome, reaction: &mut Reaction) {
        let step = result.as_ref().map(drop).map_err(Clone::clone);
        self.finish(StepKey::Act(stack.clone(), act.clone()), &step, reaction);
        let Some(deployment) = self.under_way(stack, number) else {
            return;
        };
        if let Act::Count(_) = act {
            // Asked every second: the figures that decided are told when they have.
            deployment.acts.insert(act, result);
            return;
        }
        let data = match &result {
            Ok(evidence) => json!({ "deployment": number, "act": act, "outcome": "done", "evidence": evidence }),
            Err(error) => json!({ "deployment": number, "act": act, "outcome": "failed", "error": error }),
        };
        if act == Act::Prune
            && let Ok(evidence) = &result
        {
            let gone: Vec<u64> = serde_json::from_value(evidence["releases"].clone()).unwrap_or_default();
            self.prune(stack, &gone, reaction);
        }
        if let Some(deployment) = self.under_way(stack, number) {
            deployment.acts.insert(act, result);
        }
        self.dirty.releases.insert(stack.clone());
        let entry = Entry::new(self.daemon.clone(), Kind::DeployActed).on(stack.clone());
        reaction.entries.push(entry.with(data));
    }

    /// Forgets releases, never the one that runs, the way back or one that is on its way.
    fn prune(&mut self, stack: &StackName, gone: &[u64], reaction: &mut Reaction) {
        let Some(releases) = self.world.releases.get_mut(stack) else {
            return;
        };
        let needed = releases.needed();
        for number in gone.iter().filter(|number| !needed.contains(number)) {
            if releases.kept.remove(number).is_some() {
                self.dirty.release.insert((stack.clone(), *number));
                let entry = Entry::new(self.daemon.clone(), Kind::ReleasePruned).on(stack.clone());
                reaction
                    .entries
                    .push(entry.with(json!({ "release": number, "why": "beyond what the stack keeps" })));
            }
        }
    }

    /// Takes over what the chapter decided of a deployment; returns whether anything changed by it.
    pub(super) fn keep_deployment(
        &mut self,
        stack: &StackName,
        next: Deployment,
        now: Now,
        reaction: &mut Reaction,
    ) -> bool {
        let daemon = self.daemon.clone();
        let Some(before) = self.under_way(stack, next.number) else {
            return false;
        };
        if *before == next {
            return false;
        }
        let number = next.number;
        let moved: Vec<ReplicaId> = self.moved(stack, &next);
        let Some(before) = self.under_way(stack, number) else {
            return false;
        };
        for (service, lane) in &next.lanes {
            let was = before.lanes.get(service);
            if was.is_none_or(|was| {
                (was.stage, was.exposure, &was.slots, was.all, was.surge)
                    != (lane.stage, lane.exposure, &lane.slots, lane.all, lane.surge)
            }) {
                let id = ServiceId {
                    stack: stack.clone(),
                    service: service.clone(),
                };
                let mut data = json!({
                    "deployment": number,
                    "stage": lane.stage,
                    "slots": if lane.all { json!("all") } else { json!(lane.slots) },
                    "surge": lane.surge,
                    "exposure": lane.exposure,
                });
                if let Some(figures) = lane.figures.as_ref().filter(|_| lane.stage == Stage::Shifting) {
                    data["figures"] = json!(figures);
                }
                let entry = Entry::new(daemon.clone(), Kind::DeployStage).on(id);
                reaction.entries.push(entry.with(data));
            }
        }
        if before.phase != next.phase {
            let entry = Entry::new(daemon, Kind::DeployPhase).on(stack.clone());
            reaction
                .entries
                .push(entry.with(json!({ "deployment": number, "phase": next.phase, "why": next.why })));
        }
        let ended = match next.phase {
            Phase::Ended(ending) => Some(ending),
            _ => None,
        };
        *before = next;
        for id in moved {
            let back = self
                .world
                .deployment(stack)
                .is_some_and(|deployment| !deployment.is_target(&id));
            let job = self.world.definition(&id).is_some_and(Service::is_job);
            if back && job {
                // What a job did, it did: going back does not run the one before again.
                continue;
            }
            if let Some(replica) = self.world.replicas.get_mut(&id).filter(|replica| !replica.is_up()) {
                // Another definition begins with a clean record.
                replica.begin_anew();
                self.dirty.replicas.insert(id);
            }
        }
        self.dirty.releases.insert(stack.clone());
        if let Some(ending) = ended {
            self.end_deployment(stack, ending, now, reaction);
        }
        true
    }

    /// Returns the replicas that are to run another definition than before.
    fn moved(&self, stack: &StackName, next: &Deployment) -> Vec<ReplicaId> {
        let before = self.world.deployment(stack);
        let replicas = self.world.replicas.keys().filter(|id| id.stack == *stack);
        replicas
            .filter(|id| before.is_some_and(|before| before.is_target(id)) != next.is_target(id))
            .cloned()
            .collect()
    }

    fn end_deployment(&mut self, stack: &StackName, ending: Ending, now: Now, reaction: &mut Reaction) {
        let Some(releases) = self.world.releases.get_mut(stack) else {
            return;
        };
        let Some(deployment) = releases.deployment.take() else {
            return;
        };
        if let Some(configuration) = deployment.configuration.clone() {
            let in_force = self.world.configurations.entry(stack.clone()).or_default();
            if ending == Ending::Committed {
                *in_force = configuration;
            } else {
                // It goes with the release that it came with.
                in_force.last = configuration.revision;
                self.dirty
                    .revisions
                    .insert((stack.clone(), configuration.revision), None);
            }
            self.dirty.configurations.insert(stack.clone());
        }
        if ending == Ending::Committed {
            releases.back = deployment
                .from
                .filter(|from| *from != deployment.target)
                .or(releases.back);
            releases.running = Some(deployment.target);
            if let (Some(release), Some(wanted)) =
                (releases.kept.get(&deployment.target), self.world.stacks.get_mut(stack))
            {
                wanted.stack = release.stack.clone();
                wanted.revision += 1;
                self.dirty.stacks.insert(stack.clone());
            }
        }
        let ended = Ended {
            number: deployment.number,
            target: deployment.target,
            from: deployment.from,
            purpose: deployment.purpose,
            result: ending,
            why: deployment.why.clone(),
            by: deployment.by.clone(),
            begun: deployment.begun,
            ended: now.wall,
        };
        let entry = Entry::new(self.daemon.clone(), Kind::DeployFinished).on(stack.clone());
        reaction.entries.push(entry.with(json!({
            "deployment": ended.number,
            "release": ended.target,
            "from": ended.from,
            "purpose": ended.purpose,
            "result": ended.result,
            "why": ended.why,
            "after_ms": now.wall.0.saturating_sub(ended.begun.0),
        })));
        if releases.history.len() == HISTORY_MAX {
            releases.history.remove(0);
        }
        let what = format!(
            "deployment {} of release {}: {}",
            ended.number,
            ended.target,
            ending.text()
        );
        let by = ended.by.clone();
        releases.history.push(ended);
        self.change(stack, &by, what, now);
    }

    /// Ends a deployment that makes no sense any more.
    pub(super) fn give_up_deployment(&mut self, stack: &StackName, why: &str, now: Now, reaction: &mut Reaction) {
        let releases = self.world.releases.get_mut(stack);
        if let Some(deployment) = releases.and_then(|releases| releases.deployment.as_mut()) {
            deployment.why = Some(why.to_owned());
            self.dirty.releases.insert(stack.clone());
            self.end_deployment(stack, Ending::Undone, now, reaction);
        }
    }

    /// A stack that was applied as something else than the release that ran is no release any more.
    pub(super) fn leave_release(&mut self, stack: &StackName) {
        let (Some(releases), Some(wanted)) = (self.world.releases.get_mut(stack), self.world.stacks.get(stack)) else {
            return;
        };
        let running = releases.running.and_then(|running| releases.kept.get(&running));
        if running.is_some_and(|release| release.stack != wanted.stack) {
            releases.back = releases.running.take().or(releases.back);
            self.dirty.releases.insert(stack.clone());
        }
    }

    fn under_way(&mut self, stack: &StackName, number: u64) -> Option<&mut Deployment> {
        let deployment = self.world.releases.get_mut(stack)?.deployment.as_mut()?;
        (deployment.number == number).then_some(deployment)
    }
}

impl Releases {
    /// Returns the releases that must be kept: the one that runs, the way back, and those of the attempt under way.
    #[must_use]
    pub fn needed(&self) -> Vec<u64> {
        let deployment = self.deployment.as_ref();
        let own = deployment.map(|deployment| deployment.target);
        let from = deployment.and_then(|deployment| deployment.from);
        [self.running, self.back, own, from].into_iter().flatten().collect()
    }
}

/// Returns the releases that are made for a deployment.
fn made(wish: &DeployWish) -> impl Iterator<Item = &Release> {
    [&wish.baseline, &wish.release].into_iter().flatten()
}

fn release_entry(stack: &StackName, release: &Release, by: &Principal) -> Entry {
    let artifacts: serde_json::Map<_, _> = release
        .artifacts
        .iter()
        .map(|(service, artifact)| {
            let data = json!({ "digest": artifact.digest, "revision": artifact.revision });
            (service.to_string(), data)
        })
        .collect();
    Entry::new(by.clone(), Kind::ReleaseMade).on(stack.clone()).with(json!({
        "release": release.number,
        "configuration": release.configuration,
        "artifacts": artifacts,
        "promoted_from": release.promoted_from,
    }))
}
