//! The configuration that a release comes with: handed to the controller together with its deployment, given to the replicas of that release
//! alone, and in force or gone with the deployment's end.
//!
//! ```text
//!  deploy ── offer ──► revision and deployment, one input ──► Coming ─┬─ committed ──► in force
//!                └ refused: neither                                   └─ undone ────► gone, what was in force stays
//! ```
//!
//! Invariant: no replica of the release before is given it, and none of the new one what was in force before (e2e test `deploy_config`).

use tend_api::{ApiError, Class};
use tend_core::configuration::Beside;
use tend_core::controller::{DeployWish, Input};
use tend_core::deployment::Purpose;
use tend_core::journal::Kind;
use tend_core::model::{Stack, StackName};

use super::kept::{Kept, takers};
use super::{Keeper, delivery, is_written};

/// What a deployment under way brings.
pub(super) struct Coming {
    pub(super) kept: Kept,
    /// The number of its revision.
    pub(super) revision: u64,
}

impl Keeper {
    /// Hands a deployment to the controller, with the revision that its definition comes with where that is another than the one in force.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration: then nothing is deployed. Going back is not refused for it: what is in force is kept.
    pub(super) async fn deploy(&mut self, stack: &Stack, wish: DeployWish) -> Result<(), ApiError> {
        if stack.config.is_some() {
            self.end_coming().await;
            match self.bring(stack, &wish).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) if wish.purpose == Purpose::Rollback && error.class == Class::Config => {
                    self.say(&stack.name, Kind::ConfigRefused, &error);
                }
                Err(error) => return Err(error),
            }
        }
        is_written(self.hub.input_durable(Input::Deploy(Box::new(wish))).await)
    }

    /// Takes a revision and a deployment in one change; returns false, having changed nothing, where there is no other revision.
    async fn bring(&mut self, stack: &Stack, wish: &DeployWish) -> Result<bool, ApiError> {
        let name = &stack.name;
        let before = self.stacks.get(name);
        let is_given_otherwise = before.is_some_and(|before| before.takers() != takers(stack));
        let stand = before.map(|before| before.stand().clone());
        let stand = stand.or_else(|| self.left.get(name).cloned()).unwrap_or_default();
        let mut kept = Kept::start(stack, stand, &self.told, &self.shared, self.key.clone()).await?;
        self.open_endpoint(&kept)?;
        (kept.is_coming, kept.is_given_otherwise) = (true, is_given_otherwise);
        kept.beside = Beside::Deployment(Box::new(wish.clone()));
        let (who, set) = (wish.by.to_string(), kept.stand().set_layer().clone());
        let taken = kept
            .offer(&self.shared, &self.hub, &who, &wish.by, Some((set, None)))
            .await?;
        let Some(revision) = taken else { return Ok(false) };
        self.coming.insert(name.clone(), Coming { kept, revision });
        // Somebody may have been quicker, or it may be over already.
        self.end_coming().await;
        Ok(true)
    }

    /// Says whether what a definition takes is as it should be; changes nothing.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) async fn check(&mut self, stack: &Stack) -> Result<(), ApiError> {
        if stack.config.is_none() {
            return Ok(());
        }
        let before = self.stacks.get(&stack.name).map(|before| before.stand().clone());
        let stand = before
            .or_else(|| self.left.get(&stack.name).cloned())
            .unwrap_or_default();
        let mut kept = Kept::start(stack, stand, &self.told, &self.shared, self.key.clone()).await?;
        kept.check(&self.shared, &self.hub).await
    }

    /// Takes up what a deployment brings that an earlier daemon began.
    pub(super) async fn resume_coming(&mut self, target: &Stack, revision: u64) {
        let Some(stand) = self.left_coming.remove(&target.name) else {
            return;
        };
        let kept = Kept::start(target, stand, &self.told, &self.shared, self.key.clone()).await;
        let kept = kept.and_then(|kept| self.open_endpoint(&kept).map(|()| kept));
        match kept {
            Ok(mut kept) => {
                kept.is_coming = true;
                kept.deliver(&self.shared).await;
                self.coming.insert(target.name.clone(), Coming { kept, revision });
            }
            Err(error) => self.say(&target.name, Kind::ConfigRefused, &error),
        }
    }

    /// Puts what came with deployments in force where they were committed, and forgets it where they were undone.
    pub(super) async fn end_coming(&mut self) {
        let names: Vec<StackName> = self.coming.keys().cloned().collect();
        for name in names {
            let of = name.clone();
            let stands = self.hub.ask(move |controller, _| {
                let world = controller.world();
                let deployment = world.deployment(&of);
                let coming = deployment.and_then(|deployment| deployment.configuration.as_ref());
                let in_force = world.configurations.get(&of);
                (
                    coming.map(|coming| coming.revision),
                    in_force.map(|in_force| in_force.revision),
                )
            });
            let (coming, in_force) = stands.await;
            let is_over = |of: &Coming| coming != Some(of.revision);
            if !self.coming.get(&name).is_some_and(is_over) {
                continue;
            }
            let Some(Coming { mut kept, revision }) = self.coming.remove(&name) else {
                continue;
            };
            if in_force == Some(revision) {
                self.shared.deliveries.fulfil(&name);
                kept.is_in_force();
                self.left.remove(&name);
                self.stacks.insert(name.clone(), kept);
            } else {
                self.shared.deliveries.unexpect(&name);
            }
            delivery::write_files(&self.shared, &name).await;
            // What was changed meanwhile had to wait.
            self.offer(&name).await;
        }
    }
}
