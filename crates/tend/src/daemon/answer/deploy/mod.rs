//! Deploys, rollbacks and promotions as they are asked for: who may begin one, what it is made of, and handing it to the controller.
//!
//! Map: `build` what is made before a deployment begins and the lock on it, `make` a release of a definition, `check` whether going back
//! is safe, `show` releases as messages, `plan` what a deploy would do, `tell` how it goes on. How a deployment goes on is decided in
//! `tend-deploy`.

mod build;
mod check;
mod make;
mod plan;
mod show;
mod tell;

use std::sync::Arc;
use std::time::Duration;

use tend_api::messages::{Accepted, DeployOutcome, Deployed, Finished};
use tend_api::{ApiError, Class, Decide, DecideWord, Deploy, Promote, ReleaseQuery, Reply, Rollback, RollbackQuery};
use tend_core::controller::{DeployWish, Input, Word};
use tend_core::deployment::{Deployment, Phase, Purpose, Releases};
use tend_core::journal::Principal;
use tend_core::model::{Release, Stack, StackName, Workload};
use tend_core::world::World;
use tokio::sync::mpsc;

pub(crate) use build::Builds;
pub(crate) use make::launch_of;
pub(crate) use plan::plan;
pub(crate) use show::deployment;

use crate::daemon::Shared;
use crate::daemon::configuration;
use crate::daemon::handler::no_stack;
use crate::daemon::hub::Hub;
use crate::daemon::{secrets, vault};
use build::Build;

/// What the calls about deployments work with.
#[derive(Clone)]
pub(crate) struct Deploys {
    pub(crate) shared: Arc<Shared>,
    pub(crate) hub: Hub,
    pub(crate) builds: Arc<Builds>,
    pub(crate) configuration: mpsc::Sender<configuration::Ask>,
}

/// How a deployment is asked for, whatever it is to run.
#[derive(Clone, Debug)]
struct Wish {
    by: Principal,
    confirm: Option<Duration>,
    reason: Option<String>,
}

/// What is known of a stack's releases when a deployment is asked for.
#[derive(Clone)]
struct Known {
    /// The definition that is wanted now.
    wanted: Stack,
    releases: Releases,
}

impl Known {
    fn of(world: &World, stack: &StackName) -> Option<Self> {
        let wanted = world.stacks.get(stack).filter(|wanted| !wanted.removing)?;
        Some(Self {
            wanted: wanted.stack.clone(),
            releases: world.releases.get(stack).cloned().unwrap_or_default(),
        })
    }

    fn running(&self) -> Option<&Release> {
        self.releases.kept.get(&self.releases.running?)
    }
}

impl Deploys {
    /// Makes a release of what the file says and runs it.
    pub(crate) async fn deploy(&self, deploy: Deploy, by: Principal) -> Result<Reply, ApiError> {
        let stack = deploy.stack.name.clone();
        let known = self.known(&stack).await?;
        let wish = Wish {
            by: by.clone(),
            confirm: deploy.confirm_ms.map(Duration::from_millis),
            reason: deploy.reason.clone(),
        };
        vault::fill(&self.shared, &self.hub, &deploy.stack, &by).await?;
        let current = secrets::resolve(&self.shared, &deploy.stack, &by).await?;
        configuration::check(&self.configuration, &deploy.stack).await?;
        let build = self.builds.begin(&stack, by, deploy.reason.clone())?;
        let (deploys, under_way) = (self.clone(), Arc::clone(&build));
        tokio::spawn(async move {
            let made = make::release(&deploys, &deploy, &known, &current, &under_way).await;
            let end = match made {
                Err(refused) => build::End::Finished(refused),
                Ok(release) => deploys.begin(&stack, &known, release, &wish, &under_way).await,
            };
            deploys.builds.end(&stack, &under_way, end);
        });
        Ok(self.tell_build(build))
    }

    /// Runs in one stack what was built for another.
    pub(crate) async fn promote(&self, promote: Promote, by: Principal) -> Result<Reply, ApiError> {
        let Promote {
            from,
            to,
            confirm_ms,
            reason,
        } = promote;
        let known = self.known(&to).await?;
        let source = self.known(&from).await?;
        let Some(taken) = source.running().cloned() else {
            return Err(ApiError::new(
                Class::Conflict,
                format!("{from} runs no release that could be promoted: it runs in place"),
            )
            .hint(format!("`tend deploy` makes one of it; then promote that to {to}")));
        };
        let file = known.running().map_or(&known.wanted, |running| &running.file).clone();
        if file.deploy.promote_from.as_ref() != Some(&from) {
            return Err(ApiError::new(
                Class::Config,
                format!("the stack file of {to} does not allow a promotion from {from}"),
            )
            .hint(format!(
                "write `promote_from: {from}` below `deploy:` in it, and deploy or bring up {to} once"
            )));
        }
        let wish = Wish {
            by: by.clone(),
            confirm: confirm_ms.map(Duration::from_millis),
            reason: reason.clone(),
        };
        vault::fill(&self.shared, &self.hub, &file, &by).await?;
        let current = secrets::resolve(&self.shared, &file, &by).await?;
        let release = make::promoted(&known, &from, &taken, file, &current, &by)?;
        let build = self.builds.begin(&to, by, reason)?;
        let end = self.begin(&to, &known, release, &wish, &build).await;
        self.builds.end(&to, &build, end);
        Ok(self.tell_build(build))
    }

    /// Runs an earlier release again.
    pub(crate) async fn rollback(&self, rollback: Rollback, by: Principal) -> Result<Reply, ApiError> {
        let Rollback {
            stack,
            to,
            confirm_ms,
            reason,
        } = rollback;
        let known = self.known(&stack).await?;
        let target = target(&known, &stack, to)?;
        let held = check::held_migrations(&self.shared, &stack).await?;
        let secrets = check::versions(&self.shared, &stack, &target).await?;
        let report = check::report(&known, &stack, &target, &held, &secrets);
        if !report.safe {
            return Ok(tell::only(Finished {
                reason: report.reasons.join("; "),
                next_step: format!(
                    "`tend rollback {stack} --check` shows all that was looked at; nothing was changed, and data is never taken back by it"
                ),
                ..refused(&known, target.number)
            }));
        }
        let baseline = self.baseline(&known, &by).await;
        let wish = DeployWish {
            stack: stack.clone(),
            baseline,
            release: None,
            target: target.number,
            purpose: Purpose::Rollback,
            confirm: confirm_ms.map(Duration::from_millis),
            by,
            reason,
        };
        if self.builds.is_under_way(&stack) {
            return Err(self.builds.busy(&stack));
        }
        let number = self.submit(&target.stack, wish).await?;
        Ok(tell::deployment(self.shared.clone(), self.hub.clone(), stack, number))
    }

    /// Tells whether an earlier release can be run again.
    pub(crate) async fn rollback_check(&self, query: RollbackQuery) -> Result<Reply, ApiError> {
        let world = self.of(&query.stack).await?;
        let target = target(&world, &query.stack, query.to)?;
        let held = check::held_migrations(&self.shared, &query.stack).await?;
        let secrets = check::versions(&self.shared, &query.stack, &target).await?;
        Ok(Reply::json(&check::report(
            &world,
            &query.stack,
            &target,
            &held,
            &secrets,
        )))
    }

    /// Says a person's word to the deployment under way.
    pub(crate) async fn decide(&self, decide: Decide, by: Principal) -> Result<Reply, ApiError> {
        let Decide { stack, word, why } = decide;
        if word == DecideWord::Abort && self.builds.abort(&stack, &by) {
            return Ok(Reply::json(&Accepted {
                message: format!("the build for {stack} is ended: nothing was changed"),
            }));
        }
        let known = self.of(&stack).await?;
        let Some(deployment) = &known.releases.deployment else {
            return Err(
                ApiError::new(Class::Conflict, format!("no deployment of {stack} is under way"))
                    .hint("`tend releases` shows how the last ones ended"),
            );
        };
        let (number, target) = (deployment.number, deployment.target);
        let (taken, message) = word_for(deployment, word)?;
        self.durable(Input::Decide {
            stack: stack.clone(),
            deployment: number,
            word: taken,
            by,
            why,
        })
        .await?;
        Ok(Reply::json(&Accepted {
            message: format!("deployment {number} of {stack} to release {target} {message}"),
        }))
    }

    /// Tells how the deployment under way goes on, or how the last one ended.
    pub(crate) async fn follow(&self, stack: StackName) -> Result<Reply, ApiError> {
        if let Some(build) = self.builds.of(&stack) {
            return Ok(self.tell_build(build));
        }
        let known = self.of(&stack).await?;
        let number = match (&known.releases.deployment, known.releases.history.last()) {
            (Some(deployment), _) => deployment.number,
            (None, Some(ended)) => ended.number,
            (None, None) => {
                return Err(ApiError::new(Class::NotFound, format!("{stack} was never deployed"))
                    .hint("`tend deploy` makes a release of what its file says and runs it"));
            }
        };
        Ok(tell::deployment(self.shared.clone(), self.hub.clone(), stack, number))
    }

    /// Answers with the releases of a stack.
    pub(crate) async fn releases(&self, stack: StackName) -> Result<Reply, ApiError> {
        let known = self.of(&stack).await?;
        Ok(Reply::json(&show::list(&stack, &known.releases)))
    }

    /// Answers with one release.
    pub(crate) async fn release(&self, query: ReleaseQuery) -> Result<Reply, ApiError> {
        let known = self.of(&query.stack).await?;
        let release = known.releases.kept.get(&query.number);
        let release = release.ok_or_else(|| no_release(&query.stack, query.number))?;
        Ok(Reply::json(&show::report(&query.stack, &known.releases, release)))
    }

    /// Refuses while a deployment or a build for one is under way.
    pub(crate) async fn free(&self, stack: &StackName) -> Result<(), ApiError> {
        if self.builds.is_under_way(stack) {
            return Err(self.builds.busy(stack));
        }
        let name = stack.clone();
        let deployment = self
            .hub
            .ask(move |controller, _| controller.world().deployment(&name).cloned());
        match deployment.await {
            Some(deployment) => Err(busy(stack, &deployment)),
            None => Ok(()),
        }
    }

    fn tell_build(&self, build: Arc<Build>) -> Reply {
        tell::build(self.shared.clone(), self.hub.clone(), build)
    }

    /// Returns what is known of a stack, whatever is under way.
    async fn of(&self, stack: &StackName) -> Result<Known, ApiError> {
        let name = stack.clone();
        let known = self.hub.ask(move |controller, _| Known::of(controller.world(), &name));
        known.await.ok_or_else(|| no_stack(stack))
    }

    /// Returns what is known of a stack that nothing is under way for.
    async fn known(&self, stack: &StackName) -> Result<Known, ApiError> {
        let known = self.of(stack).await?;
        match &known.releases.deployment {
            Some(deployment) => Err(busy(stack, deployment)),
            None => Ok(known),
        }
    }

    /// Returns what runs in place, as a release to go back to; none when a release runs.
    async fn baseline(&self, known: &Known, by: &Principal) -> Option<Release> {
        match known.releases.running {
            Some(_) => None,
            None => Some(make::in_place(&known.wanted, known.releases.last + 1, by).await),
        }
    }

    /// Hands a release that was made to the controller.
    async fn begin(
        &self,
        stack: &StackName,
        known: &Known,
        mut release: Release,
        wish: &Wish,
        build: &Build,
    ) -> build::End {
        if let Some(running) = known.running().filter(|running| make::is_same(running, &release)) {
            return build::End::Finished(Finished {
                ok: true,
                deploy: Some(Deployed {
                    outcome: DeployOutcome::Unchanged,
                    release: running.number,
                    running: Some(running.number),
                }),
                warnings: show::warnings(running),
                ..Finished::default()
            });
        }
        if known.releases.running.is_none() && release.stack == known.wanted {
            // It would be called deployed, and what runs would still be what was started before.
            return build::End::Finished(Finished {
                reason: format!(
                    "there is nothing to deploy: {stack} is as its file says, and {} in place, so that no release holds their code",
                    show::run(&show::in_place(&release)),
                ),
                next_step: "give the services `artifact: .`, or what of their folder is to be kept, and `prepare` where it is built; \
                            `tend restart` restarts what runs in place"
                    .to_owned(),
                ..refused(known, known.releases.last + 1)
            });
        }
        let baseline = self.baseline(known, &wish.by).await;
        release.number = known.releases.last + 1 + u64::from(baseline.is_some());
        let (target, definition) = (release.number, release.stack.clone());
        let wish = DeployWish {
            stack: stack.clone(),
            baseline,
            target,
            release: Some(release),
            purpose: Purpose::Deploy,
            confirm: wish.confirm,
            by: wish.by.clone(),
            reason: wish.reason.clone(),
        };
        if let Some(why) = build.aborted() {
            return build::End::Finished(Finished {
                reason: why,
                next_step: "nothing was changed".to_owned(),
                ..refused(known, target)
            });
        }
        match self.submit(&definition, wish).await {
            Ok(number) => build::End::Deployment(number),
            Err(error) => build::End::Finished(Finished {
                last_lines: error.details,
                reason: error.message,
                next_step: error.hint,
                ..refused(known, target)
            }),
        }
    }

    /// Hands a wish to the controller, with the configuration that its definition comes with, and returns the number of the deployment it became.
    async fn submit(&self, definition: &Stack, wish: DeployWish) -> Result<u64, ApiError> {
        let (stack, target, by) = (wish.stack.clone(), wish.target, wish.by.clone());
        let name = stack.clone();
        let count = move |world: &World| world.releases.get(&name).map_or(0, |releases| releases.deployments);
        let counted = count.clone();
        let before = self.hub.ask(move |controller, _| counted(controller.world())).await;
        configuration::deploy(&self.configuration, definition, wish).await?;
        let name = stack.clone();
        let taken = self.hub.ask(move |controller, _| {
            let world = controller.world();
            let releases = world.releases.get(&name)?;
            let under_way = releases.deployment.as_ref();
            let own = under_way
                .filter(|deployment| deployment.number > before && deployment.target == target && deployment.by == by);
            // It may have ended between the two questions.
            let ended = releases.history.iter().rev();
            let ended = ended
                .take_while(|ended| ended.number > before)
                .find(|ended| ended.target == target && ended.by == by);
            match (own, ended, under_way) {
                (Some(own), ..) => Some(Ok(own.number)),
                (None, Some(ended), _) => Some(Ok(ended.number)),
                (None, None, Some(other)) => Some(Err(busy(&name, other))),
                (None, None, None) => None,
            }
        });
        taken.await.unwrap_or_else(|| {
            Err(ApiError::new(
                Class::Conflict,
                format!("the releases of {stack} changed meanwhile: nothing was begun"),
            )
            .hint("try again"))
        })
    }

    async fn durable(&self, input: Input) -> Result<(), ApiError> {
        self.hub.input_durable(input).await.map_err(|why| {
            ApiError::new(
                Class::Unavailable,
                format!("it was not written down, so it was not accepted: {why}"),
            )
            .hint("free some space where tend keeps its state (`tend info` names the folder), then try again")
        })
    }
}

/// Returns the release that is to be gone back to.
fn target(known: &Known, stack: &StackName, to: Option<u64>) -> Result<Release, ApiError> {
    let releases = &known.releases;
    let Some(number) = to.or(releases.back) else {
        return Err(
            ApiError::new(Class::NotFound, format!("{stack} has no release before to go back to"))
                .hint("`tend releases` lists those that are kept"),
        );
    };
    if releases.running == Some(number) {
        return Err(
            ApiError::new(Class::Conflict, format!("release {number} of {stack} runs already"))
                .hint("`tend releases` lists the others"),
        );
    }
    releases
        .kept
        .get(&number)
        .cloned()
        .ok_or_else(|| no_release(stack, number))
}

/// Returns the word for the controller, and what is said of it; refused where the deployment does not wait for it.
fn word_for(deployment: &Deployment, word: DecideWord) -> Result<(Word, &'static str), ApiError> {
    let phase = deployment.phase;
    let cannot = |what: &str, hint: &str| {
        let message = format!("deployment {} is {}: {what}", deployment.number, phase.text());
        Err(ApiError::new(Class::Conflict, message).hint(hint))
    };
    match (word, phase) {
        (DecideWord::Approve, Phase::Approval) => Ok((Word::Approve, "is approved and goes on")),
        (DecideWord::Approve, Phase::Held) => Ok((Word::Approve, "goes on: what failed is tried once more")),
        (DecideWord::Reject, Phase::Approval) => Ok((Word::Abort, "is rejected: nothing was changed")),
        (DecideWord::Approve | DecideWord::Reject, _) => cannot(
            "nothing waits to be approved",
            "`tend deploy --abort` ends a deployment and undoes what it changed",
        ),
        (DecideWord::Confirm, Phase::Confirming) => Ok((Word::Confirm, "is confirmed and stays")),
        (DecideWord::Confirm, _) => cannot(
            "nothing waits to be confirmed",
            "a deployment begun with `--confirm` can be confirmed once it settled",
        ),
        (DecideWord::Abort, Phase::Undoing | Phase::Finishing(_) | Phase::Ended(_)) => {
            cannot("it is ending already", "`tend deploy --follow` shows how it ends")
        }
        (DecideWord::Abort, Phase::Migrating) => Ok((Word::Abort, "ends as soon as the migration has")),
        (DecideWord::Abort, _) => Ok((Word::Abort, "is aborted: what it changed is undone")),
    }
}

/// Refuses a second deployment, with all that is to be known of the first.
fn busy(stack: &StackName, deployment: &Deployment) -> ApiError {
    let age = super::super::now().wall.0.saturating_sub(deployment.begun.0);
    let reason = deployment.reason.as_ref();
    ApiError::new(
        Class::Conflict,
        format!(
            "{} {} of {stack} to release {} is under way: begun {} ago by {}{}, now {}",
            show::purpose(deployment.purpose),
            deployment.number,
            deployment.target,
            tend_base::format_duration(Duration::from_secs(age / 1000)),
            deployment.by,
            reason.map(|reason| format!(" ({reason})")).unwrap_or_default(),
            deployment.phase.text(),
        ),
    )
    .hint(format!(
        "`tend deploy {stack} --follow` shows how it goes on, `tend deploy {stack} --abort` ends it"
    ))
}

fn no_release(stack: &StackName, number: u64) -> ApiError {
    ApiError::new(Class::NotFound, format!("{stack} has no release {number}"))
        .hint("`tend releases` lists those that are kept")
}

/// The end of a deployment that was not begun.
fn refused(known: &Known, release: u64) -> Finished {
    Finished {
        deploy: Some(Deployed {
            outcome: DeployOutcome::Refused,
            release,
            running: known.releases.running,
        }),
        ..Finished::default()
    }
}

/// Returns the services of a stack that run as processes.
fn processes(stack: &Stack) -> impl Iterator<Item = (&tend_core::model::Service, &tend_core::model::Process)> {
    stack.services.values().filter_map(|service| match &service.workload {
        Workload::Process(process) => Some((service, process)),
        Workload::Container { .. } => None,
    })
}

#[cfg(test)]
mod tests {
    use tend_base::Wall;

    use super::*;

    fn deployment(phase: Phase) -> Deployment {
        Deployment {
            number: 14,
            target: 13,
            from: Some(12),
            purpose: Purpose::Deploy,
            by: Principal::Person {
                uid: Some(1000),
                name: "ana".to_owned(),
                via: tend_core::journal::Via::Socket,
            },
            reason: Some("less latency".to_owned()),
            begun: Wall(0),
            confirm: None,
            configuration: None,
            phase,
            since: None,
            confirm_until: None,
            confirm_at: None,
            lanes: Default::default(),
            acts: Default::default(),
            abort: None,
            approved: None,
            confirmed: None,
            why: None,
        }
    }

    #[test]
    fn a_second_deployment_is_told_who_holds_the_lock_why_since_when_and_how_far() {
        let error = busy(&"mps".parse().unwrap(), &deployment(Phase::Rolling));
        assert_eq!(error.class, Class::Conflict);
        for part in ["deploy 14", "release 13", "ana", "less latency", "ago", "rolling"] {
            assert!(error.message.contains(part), "{part}: {}", error.message);
        }
        assert!(error.hint.contains("--follow") && error.hint.contains("--abort"));
    }

    #[test]
    fn a_word_is_taken_only_where_something_waits_for_it() {
        let taken = |phase, word| word_for(&deployment(phase), word).ok().map(|(word, _)| word);
        use DecideWord::{Abort, Approve, Confirm, Reject};
        assert_eq!(taken(Phase::Approval, Approve), Some(Word::Approve));
        assert_eq!(taken(Phase::Held, Approve), Some(Word::Approve));
        assert_eq!(taken(Phase::Rolling, Approve), None);
        assert_eq!(taken(Phase::Approval, Reject), Some(Word::Abort));
        assert_eq!(taken(Phase::Rolling, Reject), None);
        assert_eq!(taken(Phase::Confirming, Confirm), Some(Word::Confirm));
        assert_eq!(taken(Phase::Rolling, Confirm), None);
        assert_eq!(taken(Phase::Rolling, Abort), Some(Word::Abort));
        assert_eq!(taken(Phase::Undoing, Abort), None);
    }
}
