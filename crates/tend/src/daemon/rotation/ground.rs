//! What all classes of rotation share: the two versions in the store, who is given which, and who holds which. Knows no database, no
//! provider and no key.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use tend_api::{ApiError, Class};
use tend_base::{Secret, Wall};
use tend_core::configuration::StartedWith;
use tend_core::journal::{Kind, Principal};
use tend_core::model::{
    Issued, ReplicaId, RotationPolicy, SecretDelivery, Service, ServiceId, Stack, StackName, Workload,
};
use tend_rotation::{Act, Give, Held, HolderId, Observation, Which};
use tend_secrets::{Book, SecretsError, State};

use super::super::answer::secrets as answers;
use super::super::hub::Hub;
use super::super::now;
use super::super::secrets::{self, blocking, owned, refused, uid_of};
use super::super::shared::Shared;

/// A version and its value, as long as it has one.
pub(super) type Version = (u64, Option<Secret>);

/// A secret that is rotated: its two versions, and the stack whose it is.
pub(super) struct Ground {
    pub(super) shared: Arc<Shared>,
    pub(super) hub: Hub,
    pub(super) stack: StackName,
    pub(super) secret: String,
    /// The version that was in use before.
    pub(super) old: Version,
    /// The one that comes, once it is staged.
    pub(super) new: Option<Version>,
}

impl Ground {
    /// Looks the versions up: these, or the one in use and the one that is staged.
    ///
    /// # Errors
    /// When the secret has none that is in use, or is not `by`'s.
    pub(super) async fn look_up(
        shared: &Arc<Shared>,
        hub: &Hub,
        stack: &StackName,
        secret: &str,
        versions: Option<(u64, u64)>,
        by: &Principal,
    ) -> Result<Self, ApiError> {
        let (of, name, uid) = (stack.clone(), secret.to_owned(), uid_of(by));
        let found = blocking(shared, move |shared| {
            let book = read(shared, &of, &name)?;
            owned(&book, of.as_str(), uid)?;
            let (old, new) = match versions {
                Some((old, new)) => (old, Some(new)),
                None => {
                    let kept = book.of(&name).map_err(|error| refused(&error))?;
                    let current = kept.current().ok_or_else(|| {
                        ApiError::new(Class::Conflict, format!("{name} has no version that is in use"))
                            .hint(format!("`tend secret set {name}` stores one, which is in use at once"))
                    })?;
                    (current, kept.number_of(State::Staged))
                }
            };
            // Of one that was thrown away the value is gone, and nothing is missing.
            let shown = |number: u64| {
                (
                    number,
                    book.shown(&name, Some(number)).ok().map(|(_, value)| value.clone()),
                )
            };
            Ok((shown(old), new.map(shown)))
        });
        let (old, new) = found.await?;
        Ok(Self {
            shared: Arc::clone(shared),
            hub: hub.clone(),
            stack: stack.clone(),
            secret: secret.to_owned(),
            old,
            new,
        })
    }

    /// Returns the value of a version.
    ///
    /// # Errors
    /// When it is gone, for a person.
    pub(super) fn value(&self, which: Which) -> Result<&Secret, String> {
        let (version, what) = match which {
            Which::Old => (Some(&self.old), "old"),
            Which::New => (self.new.as_ref(), "new"),
        };
        let value = version.and_then(|(_, value)| value.as_ref());
        value.ok_or_else(|| format!("the {what} version is gone from the store"))
    }

    /// Returns the definition of the stack, where it is up.
    pub(super) async fn definition(&self) -> Option<Stack> {
        let stack = self.stack.clone();
        let wanted = self.hub.ask(move |controller, _| {
            let wanted = controller.world().stacks.get(&stack)?;
            (!wanted.removing).then(|| wanted.stack.clone())
        });
        wanted.await
    }

    /// Returns what the stack says of the rotation of this secret; nothing where it says nothing.
    pub(super) async fn policy(&self) -> RotationPolicy {
        let policy = self.definition().await;
        policy
            .and_then(|stack| stack.rotations.get(&self.secret).cloned())
            .unwrap_or_default()
    }

    /// Takes a version that is staged as the next one; else one is made, as tend made the one before or with this value. Returns the
    /// versions in use and to come.
    ///
    /// # Errors
    /// When nothing is staged and nothing can be made.
    pub(super) async fn stage(&self, next: Option<Secret>, by: &Principal) -> Result<(u64, u64), ApiError> {
        let (stack, name, who) = (self.stack.clone(), self.secret.clone(), by.clone());
        let staged = blocking(&self.shared, move |shared| {
            let staged = shared.secrets.with(|store| {
                let unknown = || SecretsError::Unknown { name: name.clone() };
                let mut book = store.read(stack.as_str())?.ok_or_else(unknown)?;
                let old = book.current(&name).ok_or_else(unknown)?;
                if book.of(&name)?.number_of(State::Staged).is_none() {
                    let at = now().wall;
                    match next {
                        Some(next) => drop(book.put(&name, next, &who.to_string(), at)?),
                        None => answers::next_of_recipe(&mut book, &name, &who, at)?,
                    }
                    store.write(stack.as_str(), &book)?;
                    secrets::known(shared, stack.as_str(), &book);
                }
                let nothing = || SecretsError::NothingStaged { name: name.clone() };
                Ok((old, book.of(&name)?.number_of(State::Staged).ok_or_else(nothing)?))
            });
            staged.map_err(|error| refused(&error))
        });
        staged.await
    }

    /// Performs what is done in the store alone.
    pub(super) async fn keep(&self, act: Act) -> Result<(), String> {
        let (old, new) = (self.old.0, self.new.as_ref().map(|(number, _)| *number));
        let changed = self.change(move |book, name, at| match (act, new) {
            (Act::Retire, _) if !matches!(state(book, name, old), Some(State::Retired | State::Destroyed)) => {
                book.retire(name, Some(old), at).map(drop)
            }
            (Act::Discard, Some(new)) => book.discard(name, new, at),
            // It was staged before the rotation was written down.
            _ => Ok(()),
        });
        changed.await.map(drop)
    }

    /// Gives this from now on, and has the definitions follow; supervision and the configuration replace who holds another.
    pub(super) async fn roll(&self, give: Give, by: &Principal) -> Result<(), String> {
        let new = self.new.as_ref().map(|(number, _)| *number);
        let new = new.ok_or("the new version is gone from the store")?;
        let (old, both) = (self.old.0, matches!(give, Give::Both(_)));
        let (version, other) = match give.uses() {
            Which::Old => (old, new),
            Which::New => (new, old),
        };
        answers::free(&self.hub, &self.stack)
            .await
            .map_err(|error| error.message)?;
        let changed = self.change(move |book, name, at| {
            let before = book.current(name);
            book.issue(name, version, other, both, at)?;
            Ok(before.filter(|before| *before != version))
        });
        let (before, issued) = changed.await?;
        if let Some(before) = before {
            let services = answers::granted(&self.hub, &self.stack).await.remove(&self.secret);
            let data = json!({
                "name": self.secret,
                "from": before,
                "to": version,
                "services": services.unwrap_or_default(),
            });
            answers::record(&self.shared, &self.stack, by, vec![(Kind::SecretRotated, data)]);
        }
        let taken = answers::take(&self.shared, &self.hub, &self.stack, issued, by.clone()).await;
        taken.map(drop).map_err(|error| error.message)
    }

    /// Changes the store; returns what came of it, and which versions are given now.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Book, &str, Wall) -> Result<T, SecretsError> + Send + 'static,
    ) -> Result<(T, BTreeMap<String, Issued>), String> {
        let (stack, name) = (self.stack.clone(), self.secret.clone());
        let changed = blocking(&self.shared, move |shared| {
            let changed = shared.secrets.with(|store| {
                let unknown = || SecretsError::Unknown { name: name.clone() };
                let mut book = store.read(stack.as_str())?.ok_or_else(unknown)?;
                let before = book.clone();
                let done = change(&mut book, &name, now().wall)?;
                if book != before {
                    store.write(stack.as_str(), &book)?;
                }
                Ok((done, book.issued()))
            });
            changed.map_err(|error| refused(&error))
        });
        changed.await.map_err(|error| error.message)
    }

    /// Returns the replicas that run, and those that are just being started and may have been given a version a moment ago.
    async fn lives(&self) -> Vec<ReplicaId> {
        let (stack, secret) = (self.stack.clone(), self.secret.clone());
        let lives = self.hub.ask(move |controller, _| {
            let world = controller.world();
            let is_given = |id: &ReplicaId| {
                let service = world
                    .stacks
                    .get(&stack)
                    .and_then(|wanted| wanted.stack.services.get(&id.service));
                service.is_none_or(|service| service.secrets.iter().any(|grant| grant.secret == secret))
            };
            let own = world.replicas.iter().filter(|(id, _)| id.stack == stack);
            let lives = own.filter(|(id, replica)| replica.pid().is_some() || (replica.is_up() && is_given(id)));
            lives.map(|(id, _)| id.clone()).collect::<Vec<_>>()
        });
        lives.await
    }

    /// Returns what each replica that runs was given, as a rotation sees it. Others than these cannot be seen here.
    pub(super) async fn holders(&self) -> Vec<(HolderId, Held)> {
        let mut held = answers::held(&self.shared, &self.hub, &self.stack).await;
        let (old, new) = (self.old.0, self.new.as_ref().map(|(number, _)| *number));
        let which = |number: u64| match number {
            number if number == old => Some(Which::Old),
            number if Some(number) == new => Some(Which::New),
            _ => None,
        };
        let each = self.lives().await.into_iter().map(|replica| {
            let given = held.remove(&replica);
            let held = match given.as_ref().map(|given| given.get(&self.secret)) {
                None => Held::Unknown,
                Some(None) => Held::Neither,
                Some(Some(issued)) => match (which(issued.version), issued.also) {
                    (Some(uses), None) => Held::These(Give::Only(uses)),
                    (Some(uses), Some(also)) if which(also).is_some_and(|other| other != uses) => {
                        Held::These(Give::Both(uses))
                    }
                    _ => Held::Unknown,
                },
            };
            (HolderId(replica.to_string()), held)
        });
        each.collect()
    }

    /// Returns who holds what, where only replicas of the stack can hold it.
    pub(super) async fn observe(&self) -> Observation {
        Observation {
            holders: self.holders().await,
            complete: true,
            others_old: Some(0),
            others_new: Some(0),
        }
    }

    /// Refuses a secret that is given in a way that cannot hold two values: the holders have to know both for a while.
    ///
    /// # Errors
    /// All such ways at once.
    pub(super) async fn refuse_single_ways(&self) -> Result<(), ApiError> {
        let (stack, secret) = (self.stack.clone(), self.secret.clone());
        let obstacles = self.hub.ask(move |controller, _| {
            let world = controller.world();
            let mut found = Vec::new();
            for (id, _, service) in world.services_wanted(&stack) {
                let configured = world.configurations.get(&stack).and_then(|all| all.of(&id.service));
                found.extend(single_ways(&id, &secret, service, configured));
            }
            found
        });
        let obstacles = obstacles.await;
        if obstacles.is_empty() {
            return Ok(());
        }
        let mut error = ApiError::new(
            Class::Config,
            format!(
                "{} cannot be rotated yet: its holders have to be given two values for a while",
                self.secret
            ),
        );
        for obstacle in obstacles {
            error = error.detail(obstacle);
        }
        Err(error.hint("docs/reference/rotation.md says where the second value is put"))
    }

    /// Refuses where the stack is not up: nobody could be asked, and nothing could be run.
    pub(super) async fn refuse_down(&self) -> Result<(), ApiError> {
        match self.definition().await {
            Some(_) => Ok(()),
            None => Err(ApiError::new(
                Class::Conflict,
                format!(
                    "{} is not up, and what its file says of the rotation of {} is not known",
                    self.stack, self.secret
                ),
            )
            .hint("`tend up` first")),
        }
    }
}

/// Returns in which ways a service is given a secret that hold one value alone.
fn single_ways(id: &ServiceId, secret: &str, service: &Service, configured: Option<&StartedWith>) -> Vec<String> {
    let mut found = Vec::new();
    let taken = |delivery: &SecretDelivery| {
        let variable = match delivery {
            SecretDelivery::Environment(variable) => Some(variable),
            _ => None,
        };
        let in_environment = match (&service.workload, variable) {
            (Workload::Process(process), Some(variable)) => {
                process.environment.contains_key(variable)
                    || configured.is_some_and(|with| with.variables.contains_key(variable))
            }
            _ => false,
        };
        in_environment || service.secrets.iter().any(|grant| grant.delivery == *delivery)
    };
    for grant in service.secrets.iter().filter(|grant| grant.secret == secret) {
        match grant.delivery.beside() {
            None => found.push(format!(
                "{id} is given it as an open file: give it as a file or in a variable"
            )),
            Some(beside) if taken(&beside) => found.push(format!(
                "{id} has something else at {beside}, where the second value would be: give that another name"
            )),
            Some(_) => {}
        }
    }
    if configured.is_some_and(|with| with.secrets.iter().any(|grant| grant.secret == secret)) {
        found.push(format!(
            "{id} is given it by the configuration: name it below `secrets` of the service"
        ));
    }
    found
}

fn state(book: &Book, name: &str, number: u64) -> Option<State> {
    let version = book.of(name).ok()?.versions.get(&number)?;
    Some(version.state)
}

fn read(shared: &Shared, stack: &StackName, name: &str) -> Result<Book, ApiError> {
    let book = shared.secrets.book(stack.as_str()).map_err(|error| refused(&error))?;
    book.ok_or_else(|| refused(&SecretsError::Unknown { name: name.to_owned() }))
}
