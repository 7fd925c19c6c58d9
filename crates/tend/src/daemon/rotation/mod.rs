//! Rotations with proof: brings everybody from one user of a database to the other, sees that nobody uses the old one, and has the server
//! refuse it.
//!
//! The order of the steps, and what must have been seen before each, is `tend-rotation`'s; what is done at a server is `tend-database`'s. Here
//! is the task that performs them, with the state written down before each step: a daemon that comes after this one goes on.

mod users;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tend_api::messages::{Finished, Progress, ProgressLine, Stage, StageState};
use tend_api::{ApiError, Class, Reply, RotateSecret};
use tend_base::{Clock, Mono, Secret, SystemClock};
use tend_core::journal::{Entry, Kind, Principal, Subject};
use tend_core::model::StackName;
use tend_database::{Address, DatabaseError, Login, TwoUsers, UserPair};
use tend_rotation::{
    Act, Answer, Give, Held, HolderId, Next, Observation, Order, Outcome, Patience, Rotation, Standing, Step, Which,
};
use tend_secrets::{Format, Recipe, SecretsError, State};
use tend_store::{Batch, DocumentKind};
use tokio::sync::watch;

use super::answer::secrets as answers;
use super::hub::Hub;
use super::record::commit;
use super::secrets::{self, blocking, owned, refused, uid_of};
use super::shared::Shared;

/// What follows the name of a secret in that of the one with the address of whoever may change its users.
const ADMIN: &str = ".admin";

/// The form of what is written down.
const VERSION: u32 = 1;

/// How a password is made: of what needs no escaping in an address.
const PASSWORD: Recipe = Recipe {
    bytes: 24,
    format: Format::Hex,
};

/// A rotation as it is written down.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    version: u32,
    stack: StackName,
    by: Principal,
    rotation: Rotation,
}

impl Kept {
    fn id(&self) -> String {
        format!("{}/{}", self.stack, self.rotation.order().secret)
    }
}

/// The rotations under way, with where each stands, for people.
#[derive(Default)]
pub(crate) struct Rotations {
    standing: Mutex<BTreeMap<(StackName, String), String>>,
}

impl Rotations {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(StackName, String), String>> {
        // A map of texts, valid after any prefix of a change.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what the status of a stack says of its rotations.
    pub(crate) fn lines(&self, stack: &StackName) -> Vec<String> {
        let standing = self.lock();
        let own = standing.iter().filter(|((of, _), _)| of == stack);
        own.map(|((_, secret), text)| format!("secret {secret} is being rotated: {text}"))
            .collect()
    }

    /// Returns whether a secret is being rotated.
    pub(crate) fn is_under_way(&self, stack: &StackName, secret: &str) -> bool {
        self.lock().contains_key(&(stack.clone(), secret.to_owned()))
    }
}

/// Begins a rotation between two users of a database, and tells how it goes on.
///
/// # Errors
/// Everything that stands in the way, at once; nothing was changed then.
pub(crate) async fn begin(
    shared: &Arc<Shared>,
    hub: &Hub,
    asked: RotateSecret,
    by: Principal,
) -> Result<Reply, ApiError> {
    let RotateSecret { stack, name } = asked;
    if shared.rotations.is_under_way(&stack, &name) {
        return Err(
            ApiError::new(Class::Conflict, format!("{name} is being rotated already"))
                .hint(format!("`tend status {stack}` says where that stands")),
        );
    }
    let scene = Scene::look_up(shared, hub, &stack, &name, None, &by).await?;
    scene.refuse_obstacles().await?;
    let (of, secret, who) = (stack.clone(), name.clone(), by.clone());
    let next = scene.next_address(&PASSWORD.draw(&name).map_err(|error| refused(&error))?);
    let versions = blocking(shared, move |shared| stage(shared, &of, &secret, next, &who)).await?;
    let order = Order {
        secret: name,
        old: versions.0,
        new: versions.1,
        class: tend_rotation::Class::DatabaseTwoUsers,
        patience: Patience::default(),
        old_can_return: true,
    };
    let kept = Kept {
        version: VERSION,
        stack,
        by,
        rotation: Rotation::begin(order, SystemClock.now().mono),
    };
    write(shared, &kept).await?;
    let (standings, told) = watch::channel(String::new());
    tokio::spawn(run(Arc::clone(shared), hub.clone(), kept.clone(), Some(standings)));
    Ok(tell(kept.rotation.order().secret.clone(), told))
}

/// Keeps the new address as the staged version of a secret, unless one is staged already; returns the versions in use and to come.
fn stage(
    shared: &Shared,
    stack: &StackName,
    name: &str,
    next: Option<Secret>,
    by: &Principal,
) -> Result<(u64, u64), ApiError> {
    let staged = shared.secrets.with(|store| {
        let unknown = || SecretsError::Unknown { name: name.to_owned() };
        let mut book = store.read(stack.as_str())?.ok_or_else(unknown)?;
        let old = book.current(name).ok_or_else(unknown)?;
        if let (None, Some(next)) = (book.of(name)?.number_of(State::Staged), next) {
            book.put(name, next, &by.to_string(), super::now().wall)?;
            store.write(stack.as_str(), &book)?;
            secrets::known(shared, stack.as_str(), &book);
        }
        let nothing = || SecretsError::NothingStaged { name: name.to_owned() };
        Ok((old, book.of(name)?.number_of(State::Staged).ok_or_else(nothing)?))
    });
    staged.map_err(|error| refused(&error))
}

/// Goes on with what an earlier daemon began.
///
/// # Errors
/// When it cannot be read, which only another version of tend can have written.
pub(crate) fn resume(
    shared: &Arc<Shared>,
    hub: &Hub,
    rotations: Vec<(String, serde_json::Value)>,
) -> Result<(), ApiError> {
    for (id, kept) in rotations {
        let mut kept: Kept = serde_json::from_value(kept).map_err(|error| {
            ApiError::new(
                Class::Unavailable,
                format!("the kept rotation `{id}` cannot be read: {error}"),
            )
            .hint("it was written by a newer tend: start that one")
        })?;
        kept.rotation.restarted(SystemClock.now().mono);
        tokio::spawn(run(Arc::clone(shared), hub.clone(), kept, None));
    }
    Ok(())
}

/// Performs a rotation to its end.
async fn run(shared: Arc<Shared>, hub: Hub, mut kept: Kept, told: Option<watch::Sender<String>>) {
    let key = (kept.stack.clone(), kept.rotation.order().secret.clone());
    let mut last = String::new();
    loop {
        let now = SystemClock.now().mono;
        let text = text(&kept.rotation, now);
        if text != last {
            record(&shared, &kept, &text);
            shared.rotations.lock().insert(key.clone(), text.clone());
            if let Some(told) = &told {
                told.send_replace(text.clone());
            }
            last = text;
        }
        match kept.rotation.next(now) {
            Next::Ended => break,
            Next::Wait(until) => tokio::time::sleep(until.since(now)).await,
            Next::Perform(id, step) => {
                // A step that is not written down is not done: nobody would know of it.
                let outcome = match write(&shared, &kept).await {
                    Ok(()) => perform(&shared, &hub, &kept, &step).await,
                    Err(error) => Outcome::Failed { why: error.message },
                };
                let answer = Answer { step: id, outcome };
                kept.rotation.take(answer, SystemClock.now().mono);
            }
        }
    }
    shared.rotations.lock().remove(&key);
    let batch = Batch::new().delete(DocumentKind::Rotation, kept.id());
    // If that fails, the next daemon finds it ended.
    shared.store.commit_then(batch, |_| ());
}

/// Says where a rotation stands, for a person.
fn text(rotation: &Rotation, now: Mono) -> String {
    match rotation.standing(now) {
        Standing::Working { stage } => stage.to_string(),
        Standing::Held { stage, why, .. } => format!("held while {stage}: {why}"),
        Standing::Done => "done: nobody holds the old version, and the server refuses it".to_owned(),
        Standing::Undone { why } => format!("taken back: {why}"),
    }
}

fn record(shared: &Shared, kept: &Kept, text: &str) {
    let order = kept.rotation.order();
    let entry = Entry::new(kept.by.clone(), Kind::SecretRotation).on(Subject::from(kept.stack.clone()));
    shared.store.record(vec![entry.with(json!({
        "name": order.secret,
        "from": order.old,
        "to": order.new,
        "message": text,
    }))]);
}

async fn write(shared: &Shared, kept: &Kept) -> Result<(), ApiError> {
    let unusable = |why: String| {
        ApiError::new(
            Class::Unavailable,
            format!("how far the rotation is could not be written down: {why}"),
        )
        .hint("free some space where tend keeps its state (`tend info` names the folder)")
    };
    let batch = Batch::new().put(DocumentKind::Rotation, kept.id(), kept);
    let batch = batch.map_err(|error| unusable(error.to_string()))?;
    commit(&shared.store, batch).await.map_err(unusable)
}

/// Tells how a rotation goes on until it ends; one that is held is told of, and goes on without whoever asked.
fn tell(secret: String, mut standings: watch::Receiver<String>) -> Reply {
    let (sender, lines) = tend_api::lines(16);
    tokio::spawn(async move {
        let line = |state: StageState, message: &str| {
            sender.try_send(&ProgressLine::Progress(Progress {
                at: super::now().wall,
                stage: Stage::Rotate,
                subject: secret.clone(),
                state,
                message: message.to_owned(),
                took_ms: None,
            }))
        };
        let mut last = String::new();
        // Its end drops the sender.
        while standings.changed().await.is_ok() {
            last.clone_from(&standings.borrow_and_update());
            let state = match last.starts_with("held") {
                true => StageState::Waiting,
                false => StageState::Begun,
            };
            if line(state, &last).is_err() {
                return;
            }
        }
        let is_done = last.starts_with("done");
        let _ = line(if is_done { StageState::Done } else { StageState::Failed }, &last);
        let _ = sender.try_send(&ProgressLine::Finished(Finished {
            ok: is_done,
            reason: if is_done { String::new() } else { last },
            ..Finished::default()
        }));
    });
    Reply::Lines(lines)
}

/// A database with two users, and who holds their addresses.
struct Scene {
    shared: Arc<Shared>,
    hub: Hub,
    stack: StackName,
    secret: String,
    /// The address in use and the one to come, if there is one yet, with their versions.
    old: (u64, Secret),
    new: Option<(u64, Secret)>,
    admin: Address,
    users: users::Users,
    folder: std::path::PathBuf,
}

impl Scene {
    /// Looks everything up: these versions, or the one in use and the one that is staged.
    ///
    /// # Errors
    /// What is missing or wrong, or that the secrets are not `by`'s.
    async fn look_up(
        shared: &Arc<Shared>,
        hub: &Hub,
        stack: &StackName,
        name: &str,
        versions: Option<(u64, u64)>,
        by: &Principal,
    ) -> Result<Self, ApiError> {
        let (of, secret, uid) = (stack.clone(), name.to_owned(), uid_of(by));
        let found = blocking(shared, move |shared| {
            let unknown = || refused(&SecretsError::Unknown { name: secret.clone() });
            let book = shared.secrets.book(of.as_str()).map_err(|error| refused(&error))?;
            let book = book.ok_or_else(unknown)?;
            owned(&book, of.as_str(), uid)?;
            let (old, new) = match versions {
                Some((old, new)) => (old, Some(new)),
                None => {
                    let kept = book.of(&secret).map_err(|error| refused(&error))?;
                    (kept.current().ok_or_else(unknown)?, kept.number_of(State::Staged))
                }
            };
            let shown = |number: u64| {
                let shown = book.shown(&secret, Some(number)).map_err(|error| refused(&error));
                shown.map(|(number, value)| (number, value.clone()))
            };
            let admin = book
                .shown(&format!("{secret}{ADMIN}"), None)
                .ok()
                .map(|(_, value)| value.clone());
            Ok((shown(old)?, new.map(shown).transpose()?, admin))
        });
        let (old, new, admin) = found.await?;
        let admin = admin.ok_or_else(|| {
            ApiError::new(
                Class::Config,
                format!("{name} is of class database-two-users, and nobody is named who may change its users"),
            )
            .hint(format!(
                "store the address of such a user: `tend secret set {name}{ADMIN} -s {stack}`; docs/reference/rotation.md has the rights it needs"
            ))
        })?;
        let of = stack.clone();
        let folder = hub.ask(move |controller, _| {
            let wanted = controller.world().stacks.get(&of);
            wanted.map(|wanted| wanted.stack.source.directory.clone())
        });
        let folder = folder.await.unwrap_or_else(|| "/".into());
        let wrong = |error: &DatabaseError| ApiError::new(Class::Config, error.with_causes()).hint(error.hint());
        let admin = Address::parse(&admin, &folder).map_err(|error| wrong(&error))?;
        let user = Address::parse(&old.1, &folder)
            .map_err(|error| wrong(&error))?
            .user()
            .to_owned();
        let users = users::of(&user).map_err(|why| {
            ApiError::new(Class::Config, why).hint(
                "rename the user, or make a second one and store an address with it; docs/reference/rotation.md says how",
            )
        })?;
        Ok(Self {
            shared: Arc::clone(shared),
            hub: hub.clone(),
            stack: stack.clone(),
            secret: name.to_owned(),
            old,
            new,
            admin,
            users,
            folder,
        })
    }

    fn pair(&self) -> UserPair {
        UserPair {
            old: self.users.old.clone(),
            new: self.users.new.clone(),
            owner: self.users.owner.clone(),
        }
    }

    fn next_address(&self, password: &Secret) -> Option<Secret> {
        users::address(&self.old.1, &self.users.new, password)
    }

    async fn refuse_obstacles(&self) -> Result<(), ApiError> {
        if self.new.is_none() && self.next_address(&Secret::new(String::new())).is_none() {
            return Err(ApiError::new(
                Class::Config,
                format!("{} is no address of a database with a user in it", self.secret),
            )
            .hint("such as postgres://shop_a:PASSWORD@127.0.0.1/shop"));
        }
        let refused = |error: DatabaseError| ApiError::new(Class::Unavailable, error.with_causes()).hint(error.hint());
        let mut admin = TwoUsers::connect(&self.admin).await.map_err(refused)?;
        let obstacles = admin.obstacles(&self.pair()).await.map_err(refused)?;
        if obstacles.is_empty() {
            return Ok(());
        }
        let mut error = ApiError::new(
            Class::Config,
            format!("{} cannot be rotated yet, and nothing was changed", self.secret),
        );
        for obstacle in &obstacles {
            error = error.detail(format!("{}: {}", obstacle.what, obstacle.remedy));
        }
        Err(error.hint("run the statements as a superuser of the database, then rotate again"))
    }

    fn parsed(&self, which: Which) -> Result<Address, String> {
        let value = match which {
            Which::Old => Some(&self.old.1),
            Which::New => self.new.as_ref().map(|(_, value)| value),
        };
        let value = value.ok_or_else(|| "the new version is gone from the store".to_owned())?;
        Address::parse(value, &self.folder).map_err(|error| error.with_causes())
    }

    async fn login(&self, which: Which, wanted: bool) -> Result<(), String> {
        let login = TwoUsers::try_login(&self.parsed(which)?).await;
        match login.map_err(|error| error.with_causes())? {
            Login::Accepted if wanted => Ok(()),
            Login::Refused(_) if !wanted => Ok(()),
            Login::Accepted => Err("the server still lets it in".to_owned()),
            Login::Refused(why) => Err(format!("the server refuses it: {why}")),
        }
    }

    async fn act(&self, act: Act) -> Result<(), String> {
        let told = |error: DatabaseError| error.with_causes();
        let mut admin = TwoUsers::connect(&self.admin).await.map_err(told)?;
        let pair = self.pair();
        match act {
            // It was staged before the rotation was written down, and the old one is retired with the change itself.
            Act::Store | Act::Retire | Act::Discard => Ok(()),
            Act::Prepare => {
                let address = self.parsed(Which::New)?;
                let password = address.password().ok_or("the new version has no password")?;
                admin.prepare(&pair, password).await.map_err(told)
            }
            Act::ProveNew => self.login(Which::New, true).await,
            Act::Revoke => admin.lock(&pair.old).await.map_err(told),
            Act::ProveOldRefused => self.login(Which::Old, false).await,
            Act::Restore => {
                let address = self.parsed(Which::Old)?;
                let password = address.password().ok_or("the old version has no password")?;
                admin.unlock(&pair.old, password).await.map_err(told)
            }
            Act::ProveOldAccepted => self.login(Which::Old, true).await,
            Act::Withdraw => admin.lock(&pair.new).await.map_err(told),
            Act::Reencrypt(_) => Err("nothing is encrypted here".to_owned()),
        }
    }

    /// Makes the new version current, and has the definitions follow; supervision and the configuration replace who holds another.
    async fn roll(&self, by: &Principal) -> Result<(), String> {
        let (of, secret) = (self.stack.clone(), self.secret.clone());
        let current = blocking(&self.shared, move |shared| {
            let promoted = shared.secrets.with(|store| {
                let unknown = || SecretsError::Unknown { name: secret.clone() };
                let mut book = store.read(of.as_str())?.ok_or_else(unknown)?;
                if book.of(&secret)?.number_of(State::Staged).is_some() {
                    book.promote(&secret, super::now().wall)?;
                    store.write(of.as_str(), &book)?;
                }
                Ok(book.current_versions())
            });
            promoted.map_err(|error| refused(&error))
        });
        let current = current.await.map_err(|error| error.message)?;
        let taken = answers::take(&self.shared, &self.hub, &self.stack, current, by.clone()).await;
        taken.map(drop).map_err(|error| error.message)
    }

    async fn observe(&self) -> Observation {
        let new = self.new.as_ref().map(|(number, _)| *number);
        let held = answers::held(&self.shared, &self.hub, &self.stack).await;
        let holders = held.into_iter().map(|(replica, given)| {
            let held = match given.get(&self.secret) {
                Some(number) if *number == self.old.0 => Held::These(Give::Only(Which::Old)),
                Some(number) if Some(*number) == new => Held::These(Give::Only(Which::New)),
                Some(_) => Held::Unknown,
                None => Held::Neither,
            };
            (HolderId(replica.to_string()), held)
        });
        let holders = holders.collect();
        let mut sessions = (None, None);
        if let Ok(mut admin) = TwoUsers::connect(&self.admin).await {
            sessions.0 = admin.sessions(&self.users.old).await.ok();
            sessions.1 = admin.sessions(&self.users.new).await.ok();
        }
        Observation {
            holders,
            complete: true,
            others_old: sessions.0,
            others_new: sessions.1,
        }
    }
}

async fn perform(shared: &Arc<Shared>, hub: &Hub, kept: &Kept, step: &Step) -> Outcome {
    let order = kept.rotation.order();
    // Root began it, or who owns the secrets: here it is the daemon that goes on.
    let by = Principal::Daemon {
        pid: std::process::id(),
        build: shared.build.clone(),
    };
    let versions = Some((order.old, order.new));
    let scene = Scene::look_up(shared, hub, &kept.stack, &order.secret, versions, &by).await;
    let done = match (scene, step) {
        (Err(error), _) => Err(error.message),
        (Ok(scene), Step::Act(act)) => scene.act(*act).await,
        (Ok(scene), Step::Roll { give, .. }) => match give.uses() {
            Which::New => scene.roll(&kept.by).await,
            Which::Old => Err("there is no way back from this version once it was given".to_owned()),
        },
        (Ok(scene), Step::Observe) => return Outcome::Seen(scene.observe().await),
    };
    done.map_or_else(|why| Outcome::Failed { why }, |()| Outcome::Done)
}
