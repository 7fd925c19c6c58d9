//! The phases of a deployment, and what each waits for.

use std::borrow::Cow;
use std::time::Duration;

use tend_base::{Mono, Now};
use tend_core::controller::{Chapter, Decision};
use tend_core::deployment::{Act, Deployment, Ending, Exposure, Lane, Phase, Purpose, Stage};
use tend_core::model::{Release, Service, ServiceId, ServiceName, Stack, StackName};
use tend_core::plan::Step;
use tend_core::world::World;

use crate::{roll, settle, undo};

/// Deploys as a chapter of the controller.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deploy;

impl Chapter for Deploy {
    fn decide(&self, world: &World, now: Now) -> Decision {
        let mut decision = Decision::default();
        for (stack, releases) in &world.releases {
            let Some(deployment) = &releases.deployment else {
                continue;
            };
            // A stack that is gone or going takes its deployment with it.
            let wanted = world.stacks.get(stack).filter(|wanted| !wanted.removing);
            let (Some(wanted), Some(target)) = (wanted, releases.kept.get(&deployment.target)) else {
                continue;
            };
            let mut case = Case {
                world,
                stack,
                before: &wanted.stack,
                target,
                deployment: Cow::Borrowed(deployment),
                acts: Vec::new(),
                wake_at: None,
                now,
            };
            advance(&mut case);
            if let Some(at) = case.wake_at {
                decision.wake(at);
            }
            decision.steps.extend(case.acts.into_iter().map(|act| Step::Act {
                stack: stack.clone(),
                deployment: deployment.number,
                act,
            }));
            if let Cow::Owned(next) = case.deployment
                && next != *deployment
            {
                decision.deployments.push((stack.clone(), next));
            }
        }
        decision
    }
}

/// One deployment while it is decided about.
pub(crate) struct Case<'a> {
    pub(crate) world: &'a World,
    pub(crate) stack: &'a StackName,
    /// The definition before.
    pub(crate) before: &'a Stack,
    pub(crate) target: &'a Release,
    /// As it stands from now on: a copy only once something changed, since mostly nothing does.
    pub(crate) deployment: Cow<'a, Deployment>,
    acts: Vec<Act>,
    wake_at: Option<Mono>,
    pub(crate) now: Now,
}

impl Case<'_> {
    /// Returns the deployment to be changed.
    pub(crate) fn change(&mut self) -> &mut Deployment {
        self.deployment.to_mut()
    }

    pub(crate) fn enter(&mut self, phase: Phase) {
        let since = Some(self.now.mono);
        let deployment = self.change();
        (deployment.phase, deployment.since) = (phase, since);
    }

    /// Goes back, or, when nothing was changed yet, gives up.
    pub(crate) fn fail(&mut self, why: impl Into<String>) {
        self.change().why.get_or_insert(why.into());
        let begun = self.deployment.lanes.values().any(|lane| lane.stage > Stage::Waiting);
        let next = match self.deployment.phase {
            Phase::Preparing | Phase::Approval => Phase::Finishing(Ending::Refused),
            _ if begun => {
                undo::begin(self);
                Phase::Undoing
            }
            // A migration stays whatever becomes of the code, so this is more than a refusal.
            _ if self.deployment.acts.contains_key(&Act::Migrate) => Phase::Finishing(Ending::Undone),
            _ => Phase::Finishing(Ending::Refused),
        };
        self.enter(next);
    }

    /// Stops where it is, for a person to decide.
    pub(crate) fn hold(&mut self, why: impl Into<String>) {
        let deployment = self.change();
        (deployment.why, deployment.approved) = (Some(why.into()), None);
        self.enter(Phase::Held);
    }

    /// Asks for an act once; returns what came of it when that is known.
    pub(crate) fn outcome(&mut self, act: Act) -> Option<Result<serde_json::Value, String>> {
        let known = self.deployment.acts.get(&act).cloned();
        if known.is_none() {
            self.acts.push(act);
        }
        known
    }

    /// Asks for an act; returns whether it succeeded. When it failed, so has the deployment.
    pub(crate) fn done(&mut self, act: Act) -> bool {
        match self.outcome(act.clone()) {
            Some(Ok(_)) => true,
            Some(Err(why)) => {
                // What a preflight finds is a reason as it stands.
                self.fail(match act {
                    Act::Preflight => why,
                    act => format!("could not {act}: {why}"),
                });
                false
            }
            None => false,
        }
    }

    /// Asks to be woken at `at`; a moment that is past is waited for no more, only for what happens.
    pub(crate) fn wake(&mut self, at: Mono) {
        if at <= self.now.mono {
            return;
        }
        self.wake_at = Some(self.wake_at.map_or(at, |before| before.min(at)));
    }

    pub(crate) fn id(&self, service: &ServiceName) -> ServiceId {
        ServiceId {
            stack: self.stack.clone(),
            service: service.clone(),
        }
    }

    /// Returns the definition of a service before, if it had one.
    pub(crate) fn last(&self, service: &ServiceName) -> Option<&Service> {
        self.before.services.get(service)
    }

    /// Returns the definition of a service in the target, if it has one.
    pub(crate) fn next(&self, service: &ServiceName) -> Option<&Service> {
        self.target.stack.services.get(service)
    }

    pub(crate) fn lane(&mut self, service: &ServiceName) -> &mut Lane {
        self.change().lanes.entry(service.clone()).or_default()
    }

    /// Returns whether requests of clients come to a service from outside.
    pub(crate) fn is_routed(&self, service: &ServiceName) -> bool {
        self.target.stack.edge.routes_to(service).next().is_some()
    }
}

fn advance(case: &mut Case<'_>) {
    // A daemon that came back looks anew for as long as is asked for.
    let now = case.now.mono;
    if case.deployment.since.is_none() {
        case.change().since = Some(now);
    }
    if case.deployment.lanes.values().any(|lane| lane.since.is_none()) {
        for lane in case.change().lanes.values_mut() {
            lane.since.get_or_insert(now);
        }
    }
    if let Some(who) = case.deployment.abort.clone() {
        match case.deployment.phase {
            Phase::Undoing | Phase::Finishing(_) | Phase::Ended(_) => {}
            // A migration is never cut off in the middle by us.
            Phase::Migrating if !case.deployment.acts.contains_key(&Act::Migrate) && migrates(case) => {}
            _ => {
                case.change().why = None;
                case.fail(format!("aborted by {who}"));
            }
        }
    }
    match case.deployment.phase {
        Phase::Preparing => prepare(case),
        Phase::Approval => {
            if case.deployment.approved.is_some() {
                case.enter(Phase::Migrating);
            }
        }
        Phase::Migrating => migrate(case),
        Phase::Rolling => roll::advance(case),
        Phase::Settling => settle::advance(case),
        Phase::Confirming => confirm(case),
        Phase::Undoing => undo::advance(case),
        Phase::Held => {
            if case.deployment.approved.is_some() {
                resume(case);
            }
        }
        Phase::Finishing(ending) => finish(case, ending),
        Phase::Ended(_) => {}
    }
}

fn migrates(case: &Case<'_>) -> bool {
    case.deployment.purpose == Purpose::Deploy && case.target.stack.deploy.migrate.is_some()
}

fn prepare(case: &mut Case<'_>) {
    if !case.done(Act::Preflight) {
        return;
    }
    let asks = case.target.stack.deploy.approval && case.deployment.purpose == Purpose::Deploy;
    if asks && case.deployment.approved.is_none() {
        case.enter(Phase::Approval);
    } else {
        case.enter(Phase::Migrating);
    }
}

fn migrate(case: &mut Case<'_>) {
    // Going back never touches data.
    if case.deployment.purpose == Purpose::Deploy {
        if !case.target.stack.deploy.databases.is_empty() && !case.done(Act::RestorePoint) {
            return;
        }
        if migrates(case) && !case.done(Act::Migrate) {
            return;
        }
    }
    roll::begin(case);
    case.enter(Phase::Rolling);
}

/// Waits for somebody to say that it is good, as long as it is.
fn confirm(case: &mut Case<'_>) {
    if let Some(why) = settle::fault(case) {
        case.fail(why);
        return;
    }
    if case.deployment.confirmed.is_some() {
        // What was restarted meanwhile is looked at once more.
        case.enter(Phase::Settling);
        case.change().confirm = None;
        return;
    }
    let (time, now) = (case.deployment.confirm.unwrap_or_default(), case.now);
    let at = case.deployment.confirm_at.unwrap_or_else(|| {
        // A daemon that comes back has only the wall clock to tell how much is left, which may have jumped: never more than all of it.
        let left = case.deployment.confirm_until.map_or(time, |until| {
            Duration::from_millis(until.0.saturating_sub(now.wall.0)).min(time)
        });
        *case.change().confirm_at.insert(now.mono + left)
    });
    if now.mono >= at {
        case.fail(format!(
            "nobody confirmed it within {}",
            tend_base::format_duration(time)
        ));
    } else {
        case.wake(at);
    }
}

/// Goes on where it was held: what failed is tried once more.
fn resume(case: &mut Case<'_>) {
    let (now, excused) = (case.now.mono, case.world.incarnation_last);
    let deployment = case.change();
    deployment.acts.retain(|_, outcome| outcome.is_ok());
    deployment.why = None;
    for lane in deployment.lanes.values_mut() {
        lane.failed.clear();
        lane.since = Some(now);
        if lane.stage == Stage::Canary {
            // The figures do not tell; a person does.
            (lane.stage, lane.exposure) = (Stage::Shifting, Exposure::Both);
        }
        lane.excused = excused;
    }
    case.enter(Phase::Rolling);
}

fn finish(case: &mut Case<'_>, ending: Ending) {
    let notify = case.target.stack.deploy.notify.is_some();
    // That somebody could not be told changes nothing about what was done: it is in the journal.
    if notify && case.outcome(Act::Notify).is_none() {
        return;
    }
    if ending == Ending::Committed && case.outcome(Act::Prune).is_none() {
        return;
    }
    case.enter(Phase::Ended(ending));
}
