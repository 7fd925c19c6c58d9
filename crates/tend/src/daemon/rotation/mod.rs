//! Rotations with proof: brings everybody from one version of a secret to the next, sees that nobody holds the old one, and has it made
//! invalid where it is judged.
//!
//! The order of the steps, and what must have been seen before each, is `tend-rotation`'s. Here is the task that performs them, with the
//! state written down before each step: a daemon that comes after this one goes on.
//!
//! Map: `ground` what all classes share, `database` two users of a database, `issuer` a provider that is asked by commands, `reencryption`
//! what replicas say of data under the old key, `under_way` who is told of a rotation and who may take it back.

mod database;
mod ground;
mod issuer;
mod reencryption;
mod under_way;
mod users;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tend_api::{ApiError, Class, Reply, RotateSecret};
use tend_base::{Clock, Mono, SystemClock, format_duration};
use tend_core::journal::{Entry, Kind, Principal, Subject};
use tend_core::model::StackName;
use tend_rotation::{
    Act, Answer, Next, Order, Outcome, Patience, Rotation, RotationError, Stage, Standing, Step, Verifier,
};
use tend_store::{Batch, DocumentKind};

use super::hub::Hub;
use super::record::commit;
use super::shared::Shared;
use super::vault;
use database::Database;
use ground::Ground;
use issuer::Provider;
pub(crate) use under_way::Rotations;
use under_way::{Place, TakeBack, tell};

/// The form of what is written down.
const VERSION: u32 = 1;

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

/// Begins a rotation in which both versions are valid for a while, and tells how it goes on.
///
/// # Errors
/// Everything that stands in the way, at once; nothing was changed then.
pub(crate) async fn begin(
    shared: &Arc<Shared>,
    hub: &Hub,
    asked: RotateSecret,
    class: tend_secrets::Class,
    by: Principal,
) -> Result<Reply, ApiError> {
    let RotateSecret { stack, name, .. } = asked;
    vault::refuse_own(hub, &stack, &[&name]).await?;
    let Some(place) = Place::claim(shared, &stack, &name) else {
        return Err(
            ApiError::new(Class::Conflict, format!("{name} is being rotated already")).hint(format!(
                "`tend status {stack}` says where that stands; `tend secret rotate {name} --abort` takes it back"
            )),
        );
    };
    let ground = Ground::look_up(shared, hub, &stack, &name, None, &by).await?;
    let (versions, class, patience) = prepare(&ground, class, &by).await?;
    let order = Order {
        secret: name.clone(),
        old: versions.0,
        new: versions.1,
        class,
        patience,
        // What a provider took back it seldom gives again; a user of a database is let in again.
        old_can_return: class == tend_rotation::Class::DatabaseTwoUsers,
    };
    let kept = Kept {
        version: VERSION,
        stack,
        by,
        rotation: Rotation::begin(order, SystemClock.now().mono),
    };
    write(shared, &kept).await?;
    let told = place.standing();
    tokio::spawn(run(Arc::clone(shared), hub.clone(), kept, place));
    Ok(tell(name, told, false))
}

/// Refuses what stands in the way of a rotation, and stages its new version. Returns the versions in use and to come.
async fn prepare(
    ground: &Ground,
    class: tend_secrets::Class,
    by: &Principal,
) -> Result<((u64, u64), tend_rotation::Class, Patience), ApiError> {
    use tend_rotation::Class as By;

    if class == tend_secrets::Class::DatabaseTwoUsers {
        let versions = Database::look_up(ground).await?.begin(by).await?;
        return Ok((versions, By::DatabaseTwoUsers, Patience::default()));
    }
    ground.refuse_down().await?;
    let policy = ground.policy().await;
    let mut patience = Patience::default();
    if class == tend_secrets::Class::TokenOverlap && policy.issuer.is_some() {
        let provider = Provider::look_up(ground).await;
        let provider = provider.map_err(|why| ApiError::new(Class::Config, why))?;
        let verifier = Verifier::Issuer;
        return Ok((provider.begin(by).await?, By::TokenOverlap { verifier }, patience));
    }
    ground.refuse_single_ways().await?;
    let class = match class {
        tend_secrets::Class::ReEncrypt => {
            reencryption::look_up(ground).await?;
            By::ReEncrypt
        }
        _ => {
            patience.overlap = policy.overlap.unwrap_or(patience.overlap);
            By::TokenOverlap {
                verifier: Verifier::Holders,
            }
        }
    };
    Ok((ground.stage(None, by).await?, class, patience))
}

/// Takes a rotation back, and tells how that goes on.
///
/// # Errors
/// When none is under way, when it is too late for it, and when the secrets are not `by`'s.
pub(crate) async fn abort(
    shared: &Arc<Shared>,
    hub: &Hub,
    asked: RotateSecret,
    by: Principal,
) -> Result<Reply, ApiError> {
    let RotateSecret { stack, name, .. } = asked;
    // Whose it is, is looked at there.
    Ground::look_up(shared, hub, &stack, &name, None, &by).await?;
    let not = || {
        ApiError::new(
            Class::Conflict,
            format!("{name} is not being rotated, so there is nothing to be taken back"),
        )
        .hint(format!(
            "a version that is retired is never used again: store the value that is wanted (`tend secret set {name}`), and rotate to it"
        ))
    };
    let under_way = shared.rotations.of(&stack, &name).ok_or_else(not)?;
    let answer = under_way.take_back(by).await.ok_or_else(not)?;
    answer?;
    Ok(tell(name, under_way.standing(), true))
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
        // Two of one name are not written down.
        if let Some(place) = Place::claim(shared, &kept.stack, &kept.rotation.order().secret) {
            tokio::spawn(run(Arc::clone(shared), hub.clone(), kept, place));
        }
    }
    Ok(())
}

/// Performs a rotation to its end.
async fn run(shared: Arc<Shared>, hub: Hub, mut kept: Kept, mut place: Place) {
    let mut stage = String::new();
    let mut told = reencryption::Told::default();
    loop {
        while let Some(asked) = place.asked_now() {
            take_back(&shared, &mut kept, asked).await;
        }
        let now = SystemClock.now().mono;
        let text = text(&kept.rotation, now, true);
        place.say(&text);
        let next = self::text(&kept.rotation, now, false);
        if next != stage {
            record(&shared, &kept, &next);
            stage = next;
            // From when on it waits must outlast this daemon. A step is written down in any case.
            let _ = write(&shared, &kept).await;
        }
        match kept.rotation.next(now) {
            Next::Ended => break,
            Next::Wait(until) => {
                if let Some(asked) = place.asked_within(until.since(now)).await {
                    take_back(&shared, &mut kept, asked).await;
                }
            }
            Next::Perform(id, step) => {
                // A step that is not written down is not done: nobody would know of it.
                let outcome = match write(&shared, &kept).await {
                    Ok(()) => perform(&shared, &hub, &kept, &step, &mut told).await,
                    Err(error) => Outcome::Failed { why: error.message },
                };
                let answer = Answer { step: id, outcome };
                kept.rotation.take(answer, SystemClock.now().mono);
            }
        }
    }
    let batch = Batch::new().delete(DocumentKind::Rotation, kept.id());
    // Before it is told to have ended: the next one of this secret is written under the same name. If it fails, the next daemon finds it
    // ended.
    let _ = commit(&shared.store, batch).await;
}

/// Turns a rotation back where it still can be, written down before that is told.
async fn take_back(shared: &Shared, kept: &mut Kept, asked: TakeBack) {
    let before = kept.clone();
    let why = format!("{} asked for it", asked.by);
    let refused = |error: RotationError| ApiError::from_error(Class::Conflict, &error).hint(error.hint());
    let mut answer = kept.rotation.abort(&why, SystemClock.now().mono).map_err(refused);
    if answer.is_ok() {
        answer = write(shared, kept).await;
        if answer.is_err() {
            *kept = before;
        }
    }
    asked.answer(answer);
}

/// Says where a rotation stands, for a person; with how much is left, where something becomes less.
fn text(rotation: &Rotation, now: Mono, with_left: bool) -> String {
    match rotation.standing(now) {
        Standing::Working { stage, left } => match (stage, left.filter(|_| with_left)) {
            (Stage::Waiting, _) => format!("{stage}: {}", format_duration(rotation.order().patience.overlap)),
            (_, Some(left)) => format!("{stage}: {left}"),
            (_, None) => stage.to_string(),
        },
        Standing::Held { stage, why, .. } => format!("held while {stage}: {why}"),
        Standing::Done => {
            let judge = match rotation.order().class {
                tend_rotation::Class::DatabaseTwoUsers => ", and the server refuses it",
                tend_rotation::Class::TokenOverlap {
                    verifier: Verifier::Issuer,
                } => ", and its provider refuses it",
                _ => ", and it is retired",
            };
            format!("done: nobody holds the old version{judge}")
        }
        Standing::Undone { why } => {
            let (old, new) = (rotation.order().old, rotation.order().new);
            format!("taken back: version {old} is in use, and version {new} is gone; {why}")
        }
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

async fn perform(shared: &Arc<Shared>, hub: &Hub, kept: &Kept, step: &Step, told: &mut reencryption::Told) -> Outcome {
    let order = kept.rotation.order();
    // Root began it, or who owns the secrets: here it is the daemon that goes on.
    let by = Principal::Daemon {
        pid: std::process::id(),
        build: shared.build.clone(),
    };
    let versions = Some((order.old, order.new));
    let done = match Ground::look_up(shared, hub, &kept.stack, &order.secret, versions, &by).await {
        Err(error) => Err(error.message),
        Ok(ground) => match step {
            Step::Roll { give, .. } => ground.roll(*give, &kept.by).await,
            Step::Observe if order.class == tend_rotation::Class::DatabaseTwoUsers => {
                match Database::look_up(&ground).await {
                    Ok(database) => return Outcome::Seen(database.observe().await),
                    Err(error) => Err(error.message),
                }
            }
            Step::Observe => return Outcome::Seen(ground.observe().await),
            Step::Act(Act::Reencrypt(which)) => return reencryption::ask(&ground, *which, told).await,
            Step::Act(act) => self::act(&ground, order.class, *act).await,
        },
    };
    done.map_or_else(|why| Outcome::Failed { why }, |()| Outcome::Done)
}

async fn act(ground: &Ground, class: tend_rotation::Class, act: Act) -> Result<(), String> {
    match (act, class) {
        (Act::Store | Act::Retire | Act::Discard, _) => ground.keep(act).await,
        (_, tend_rotation::Class::DatabaseTwoUsers) => {
            let database = Database::look_up(ground).await.map_err(|error| error.message)?;
            database.act(act).await
        }
        (
            _,
            tend_rotation::Class::TokenOverlap {
                verifier: Verifier::Issuer,
            },
        ) => Provider::look_up(ground).await?.act(act).await,
        _ => Err(format!("{act:?} is no act of this class")),
    }
}
