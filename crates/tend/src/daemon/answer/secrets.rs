//! Answers about secrets. What may become of a version is `tend-secrets`; here is who asked, what is written down of it, and what
//! is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tend_api::messages::{
    Finished, ProgressLine, RecoveryKeyReport, SecretChanged, SecretList, SecretReport, SecretSource, SecretValue,
    SecretVersion,
};
use tend_api::{
    AddRecoveryKey, ApiError, ChangeSecrets, Class, Reply, RevealSecret, RotateSecret, SecretChange, SecretFormat,
    SecretNotes,
};
use tend_base::{Exposed, Secret, Wall};
use tend_core::controller::Input;
use tend_core::journal::{Entry, Kind, Principal, Subject};
use tend_core::model::{Issued, ReplicaId, StackName};
use tend_secrets::{Book, Class as Rotated, Format, Kept, Recipe, SecretsError, State, Stored};

use crate::daemon::hub::Hub;
use crate::daemon::now;
use crate::daemon::record::commit;
use crate::daemon::secrets::{self, blocking, owned, refused, uid_of};
use crate::daemon::shared::Shared;
use crate::daemon::{vault, vault_fill};

/// What a replica that runs was given.
type Held = BTreeMap<ReplicaId, BTreeMap<String, Issued>>;

/// Lists the secrets of a stack.
pub(crate) async fn list(shared: &Arc<Shared>, hub: &Hub, stack: StackName, by: &Principal) -> Result<Reply, ApiError> {
    let held = held(shared, hub, &stack).await;
    let granted = granted(hub, &stack).await;
    let uid = uid_of(by);
    let list = blocking(shared, move |shared| {
        let book = shared.secrets.book(stack.as_str()).map_err(|error| refused(&error))?;
        let Some(book) = book else {
            return Ok(SecretList {
                stack,
                items: Vec::new(),
                recovery_keys: 0,
            });
        };
        owned(&book, stack.as_str(), uid)?;
        let keys = shared.secrets.with(|store| Ok(store.recovery_keys().len()));
        Ok(SecretList {
            items: reports(
                &book,
                &held,
                &granted,
                shared.vaults.sources(stack.as_str()),
                shared.rotations.standings(&stack),
            ),
            recovery_keys: keys.map_err(|error| refused(&error))?.try_into().unwrap_or(u32::MAX),
            stack,
        })
    });
    Ok(Reply::json(&list.await?))
}

/// Returns the class by which a secret is rotated; the default one for what is not there.
pub(crate) async fn class_of(shared: &Arc<Shared>, stack: &StackName, name: &str) -> Result<Rotated, ApiError> {
    let (stack, name) = (stack.clone(), name.to_owned());
    let class = blocking(shared, move |shared| {
        let book = shared.secrets.book(stack.as_str()).map_err(|error| refused(&error))?;
        Ok(book.and_then(|book| book.secrets.get(&name).map(|kept| kept.class)))
    });
    Ok(class.await?.unwrap_or_default())
}

/// Stores, makes, retires or destroys.
pub(crate) async fn change(
    shared: &Arc<Shared>,
    hub: &Hub,
    asked: ChangeSecrets,
    by: Principal,
) -> Result<Reply, ApiError> {
    let ChangeSecrets { stack, change } = asked;
    let change = match change {
        SecretChange::FillVault {
            vault,
            owner_uid,
            values,
            write,
        } => {
            let (place, values) = ((*vault, owner_uid), vault_fill::values(values));
            return vault_fill::fill(shared, &stack, place, values, write, &by).await;
        }
        change => change,
    };
    let named: Vec<&str> = match &change {
        SecretChange::Generate { name, .. } => vec![name],
        SecretChange::Import { values, .. } => values.keys().map(String::as_str).collect(),
        SecretChange::Set { .. }
        | SecretChange::Retire { .. }
        | SecretChange::Destroy { .. }
        | SecretChange::FillVault { .. } => Vec::new(),
    };
    vault::refuse_own(hub, &stack, &named).await?;
    let rotating = shared.rotations.standings(&stack);
    refuse_rotating(&change, &rotating)?;
    // What is written there is here already when it is given to the store below, which then notes what else was said of it.
    let written = match &change {
        SecretChange::Set { name, value, .. } => vault::write(shared, hub, &stack, (name, &value.0), &by).await?,
        _ => None,
    };
    let current_at_once = matches!(change, SecretChange::Import { current: true, .. });
    if current_at_once {
        free(hub, &stack).await?;
    }
    let held = match &change {
        SecretChange::Retire { .. } => held(shared, hub, &stack).await,
        _ => Held::new(),
    };
    let granted = match &change {
        SecretChange::Retire { .. } => granted(hub, &stack).await,
        _ => BTreeMap::new(),
    };
    let (name, who) = (stack.clone(), by.clone());
    let done = blocking(shared, move |shared| {
        shared
            .secrets
            .with(|store| {
                let fresh = store.read(name.as_str())?;
                let is_fresh = fresh.is_none();
                let mut book = fresh.unwrap_or_else(|| Book::new(uid_of(&who)));
                if let Err(denied) = owned(&book, name.as_str(), uid_of(&who)) {
                    return Ok(Err(denied));
                }
                let done = match apply(&mut book, change, &who, &held, &granted, &rotating)? {
                    Ok(done) => done,
                    Err(refused) => return Ok(Err(refused)),
                };
                if !done.entries.is_empty() || done.noted {
                    store.write(name.as_str(), &book)?;
                    secrets::known(shared, name.as_str(), &book);
                }
                let lonely = is_fresh && store.recovery_keys().is_empty();
                Ok(Ok((done, book.issued(), lonely)))
            })
            .map_err(|error| refused(&error))?
    });
    let (mut done, issued, lonely) = done.await?;
    if let Some(written) = written {
        done.messages = vec![written];
    }
    let rotated = done.entries.iter().any(|(kind, _)| *kind == Kind::SecretRotated);
    record(shared, &stack, &by, done.entries);
    if rotated {
        take(shared, hub, &stack, issued, by).await?;
    }
    let offer =
        "these secrets open with this machine's key alone; `tend secret recovery-key` makes one to be kept elsewhere";
    Ok(Reply::json(&SecretChanged {
        messages: done.messages,
        next_step: done.next_step.or_else(|| lonely.then(|| offer.to_owned())),
    }))
}

/// Refuses a change of a secret that is being rotated: its two versions are the rotation's.
fn refuse_rotating(change: &SecretChange, rotating: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let name = match change {
        SecretChange::Set { name, .. }
        | SecretChange::Generate { name, .. }
        | SecretChange::Retire { name, .. }
        | SecretChange::Destroy { name, .. } => name,
        // `tend up` brings what stands in files each time, the same as before.
        SecretChange::Import { .. } | SecretChange::FillVault { .. } => return Ok(()),
    };
    rotating
        .get(name)
        .map_or(Ok(()), |standing| Err(is_rotating(name, standing)))
}

fn is_rotating(name: &str, standing: &str) -> ApiError {
    ApiError::new(Class::Conflict, format!("{name} is being rotated: {standing}")).hint(format!(
        "wait for its end, or take it back with `tend secret rotate {name} --abort`"
    ))
}

/// What a change came to.
#[derive(Default)]
struct Done {
    entries: Vec<(Kind, Value)>,
    messages: Vec<String>,
    next_step: Option<String>,
    /// Something was noted that is no event.
    noted: bool,
}

impl Done {
    fn stored(&mut self, name: &str, stored: Stored, how: &str) {
        let Stored {
            version,
            state,
            unchanged,
        } = stored;
        self.messages.push(match (state, unchanged) {
            (State::Staged, _) => {
                format!("{name}: version {version} is staged; the one before is still given to replicas")
            }
            (_, true) => format!("{name}: version {version} has this very value already"),
            (_, false) => format!("{name}: version {version} is current"),
        });
        if !unchanged {
            let data = json!({ "name": name, "version": version, "state": state.text(), "how": how });
            self.entries.push((Kind::SecretStored, data));
        }
        if state == State::Staged {
            self.next_step = Some(format!(
                "`tend secret rotate {name}` makes it current and replaces who holds another"
            ));
        }
    }
}

fn apply(
    book: &mut Book,
    change: SecretChange,
    by: &Principal,
    held: &Held,
    granted: &BTreeMap<String, Vec<String>>,
    rotating: &BTreeMap<String, String>,
) -> Result<Result<Done, ApiError>, SecretsError> {
    let at = now().wall;
    let person = by.to_string();
    let mut done = Done::default();
    match change {
        SecretChange::Set { name, value, notes } => {
            let stored = book.put(&name, value.0, &person, at)?;
            done.stored(&name, stored, "set");
            if let Err(refused) = note(book, &name, &notes, &mut done)? {
                return Ok(Err(refused));
            }
        }
        SecretChange::Generate {
            name,
            bytes,
            format,
            notes,
        } => {
            let format = match format {
                SecretFormat::Base64 => Format::Base64,
                SecretFormat::Hex => Format::Hex,
                SecretFormat::Alphanumeric => Format::Alphanumeric,
            };
            let stored = book.generate(&name, Recipe { bytes, format }, &person, at)?;
            done.stored(&name, stored, "generated");
            if let Err(refused) = note(book, &name, &notes, &mut done)? {
                return Ok(Err(refused));
            }
        }
        SecretChange::Import { values, current } => {
            for (name, Exposed(value)) in values {
                if let Some(standing) = rotating.get(&name) {
                    if !book.in_use(&name, &value) {
                        return Ok(Err(is_rotating(&name, standing)));
                    }
                    // It stands in a file, and is one of the two: which is used is the rotation's.
                    continue;
                }
                let stored = book.put(&name, value, &person, at)?;
                if !current || stored.state == State::Current {
                    done.stored(&name, stored, "imported");
                    continue;
                }
                let (from, to) = book.promote(&name, at)?;
                done.messages.push(format!("{name}: version {to} is current"));
                let stored = json!({ "name": name, "version": to, "state": "current", "how": "imported" });
                done.entries.push((Kind::SecretStored, stored));
                done.entries
                    .push((Kind::SecretRotated, json!({ "name": name, "from": from, "to": to })));
            }
        }
        SecretChange::Retire { name, version } => {
            let version = version.or_else(|| book.current(&name));
            let holders: Vec<String> = held
                .iter()
                .filter(|(_, given)| {
                    version.is_some_and(|version| given.get(&name).is_some_and(|held| held.has(version)))
                })
                .map(|(replica, _)| replica.to_string())
                .chain(
                    granted
                        .get(&name)
                        .filter(|_| version == book.current(&name))
                        .into_iter()
                        .flatten()
                        .cloned(),
                )
                .collect();
            if !holders.is_empty() {
                let message = format!("{name} is in use by {}", holders.join(", "));
                let error = ApiError::new(Class::Conflict, message);
                return Ok(Err(error.hint(format!(
                    "`tend secret rotate {name}` gives them another version; or take it out of their `secrets:`"
                ))));
            }
            let version = book.retire(&name, version, at)?;
            done.messages.push(format!(
                "{name}: version {version} is retired and given to nobody any more"
            ));
            done.entries
                .push((Kind::SecretRetired, json!({ "name": name, "version": version })));
        }
        // It was done before.
        SecretChange::FillVault { .. } => {}
        SecretChange::Destroy { name, version } => {
            let versions = book.destroy(&name, version, at)?;
            let list: Vec<String> = versions.iter().map(u64::to_string).collect();
            done.messages.push(format!("{name}: destroyed {}", list.join(", ")));
            done.entries
                .push((Kind::SecretDestroyed, json!({ "name": name, "versions": versions })));
        }
    }
    Ok(Ok(done))
}

fn note(
    book: &mut Book,
    name: &str,
    notes: &SecretNotes,
    done: &mut Done,
) -> Result<Result<(), ApiError>, SecretsError> {
    let kept = book.of_mut(name)?;
    if let Some(word) = &notes.class {
        let Some(class) = Rotated::ALL.into_iter().find(|class| class.text() == word) else {
            let known: Vec<&str> = Rotated::ALL.iter().map(|class| class.text()).collect();
            let error = ApiError::new(Class::Usage, format!("`{word}` is no class of rotation"));
            return Ok(Err(error.hint(format!("write one of {}", known.join(", ")))));
        };
        done.noted |= kept.class != class;
        kept.class = class;
    }
    if let Some(days) = notes.due_days {
        done.noted |= kept.due_days != days;
        kept.due_days = days;
    }
    Ok(Ok(()))
}

/// Tells a value, and writes down to whom.
pub(crate) async fn reveal(shared: &Arc<Shared>, asked: RevealSecret, by: Principal) -> Result<Reply, ApiError> {
    let RevealSecret { stack, name, version } = asked;
    let (of, uid, secret) = (stack.clone(), uid_of(&by), name.clone());
    let shown = blocking(shared, move |shared| {
        let book = shared.secrets.book(of.as_str()).map_err(|error| refused(&error))?;
        let book = book.ok_or_else(|| refused(&SecretsError::Unknown { name: secret.clone() }))?;
        owned(&book, of.as_str(), uid)?;
        let (version, value) = book.shown(&secret, version).map_err(|error| refused(&error))?;
        Ok((version, Secret::clone(value)))
    });
    let (version, value) = shown.await?;
    // Written down before it is told: nobody sees a value unseen.
    let data = json!({ "name": name, "version": version });
    let entry = Entry::new(by, Kind::SecretRevealed).on(Subject::from(stack)).with(data);
    durable(shared, entry).await?;
    Ok(Reply::json(&SecretValue {
        name,
        version,
        value: Exposed(value),
    }))
}

/// Makes the staged version the current one; the definitions follow, and supervision replaces who holds another. Returns whether the
/// stack is there, so that it can be told how that goes on.
pub(crate) async fn rotate(
    shared: &Arc<Shared>,
    hub: &Hub,
    asked: RotateSecret,
    by: Principal,
) -> Result<bool, ApiError> {
    let RotateSecret { stack, name, .. } = asked;
    vault::refuse_own(hub, &stack, &[&name]).await?;
    free(hub, &stack).await?;
    let services = granted(hub, &stack).await.remove(&name).unwrap_or_default();
    let (of, who, secret) = (stack.clone(), by.clone(), name.clone());
    let done = blocking(shared, move |shared| {
        shared
            .secrets
            .with(|store| {
                let unknown = || SecretsError::Unknown { name: secret.clone() };
                let mut book = store.read(of.as_str())?.ok_or_else(unknown)?;
                if let Err(denied) = owned(&book, of.as_str(), uid_of(&who)) {
                    return Ok(Err(denied));
                }
                let at = now().wall;
                next_of_recipe(&mut book, &secret, &who, at)?;
                let (from, to) = book.promote(&secret, at)?;
                store.write(of.as_str(), &book)?;
                secrets::known(shared, of.as_str(), &book);
                Ok(Ok((from, to, book.issued())))
            })
            .map_err(|error| refused(&error))?
    });
    let (from, to, issued) = done.await?;
    let data = json!({ "name": name, "from": from, "to": to, "services": services });
    record(shared, &stack, &by, vec![(Kind::SecretRotated, data)]);
    take(shared, hub, &stack, issued, by).await
}

/// Makes the next value of a secret whose values tend makes, unless one is staged already.
pub(crate) fn next_of_recipe(book: &mut Book, name: &str, by: &Principal, at: Wall) -> Result<(), SecretsError> {
    let kept = book.of(name)?;
    if let (None, Some(recipe)) = (kept.number_of(State::Staged), kept.recipe) {
        book.generate(name, recipe, &by.to_string(), at)?;
    }
    Ok(())
}

/// The last word of a change that nobody has to wait for.
pub(crate) fn finished() -> Reply {
    let (sender, lines) = tend_api::lines(1);
    let _ = sender.try_send(&ProgressLine::Finished(Finished {
        ok: true,
        ..Finished::default()
    }));
    Reply::Lines(lines)
}

/// Has everything open with another key too.
pub(crate) async fn add_key(shared: &Arc<Shared>, asked: AddRecoveryKey, by: Principal) -> Result<Reply, ApiError> {
    let key = blocking(shared, move |shared| {
        let added = shared
            .secrets
            .with(|store| store.add_recovery_key(asked.public.as_deref()));
        added.map_err(|error| refused(&error))
    });
    let key = key.await?;
    let entry = Entry::new(by, Kind::SecretKeyAdded).with(json!({ "public": key.public }));
    shared.store.record(vec![entry]);
    Ok(Reply::json(&RecoveryKeyReport {
        public: key.public,
        key: Some(key.secret).filter(|key| !key.expose().is_empty()).map(Exposed),
    }))
}

/// Gives the definitions of a stack the versions that are given now; returns whether the stack is there.
pub(crate) async fn take(
    shared: &Shared,
    hub: &Hub,
    stack: &StackName,
    issued: BTreeMap<String, Issued>,
    by: Principal,
) -> Result<bool, ApiError> {
    let name = stack.clone();
    let known = hub.ask(move |controller, _| controller.world().stacks.contains_key(&name));
    if !known.await {
        return Ok(false);
    }
    let input = Input::Secrets {
        stack: stack.clone(),
        issued,
        by,
    };
    let written = hub.input_durable(input).await;
    // Those that the configuration gives are taken up there.
    shared.deliveries.secrets_changed(stack);
    written.map_err(|why| {
        ApiError::new(
            Class::Unavailable,
            format!("the version is current, but which one replicas are to have could not be written down: {why}"),
        )
        .hint("free some space where tend keeps its state (`tend info` names the folder), and restart the daemon: it goes on with it")
    })?;
    Ok(true)
}

/// Refuses while a deployment is under way: both would replace the same replicas.
pub(crate) async fn free(hub: &Hub, stack: &StackName) -> Result<(), ApiError> {
    let name = stack.clone();
    let deployment =
        hub.ask(move |controller, _| controller.world().deployment(&name).map(|deployment| deployment.number));
    match deployment.await {
        None => Ok(()),
        Some(number) => Err(ApiError::new(
            Class::Conflict,
            format!(
                "deployment {number} of {stack} is under way, and replaces the replicas that a secret would be given to"
            ),
        )
        .hint(format!(
            "`tend deploy {stack} --follow` shows how it goes on; then try again"
        ))),
    }
}

/// Returns what each replica that runs was given.
pub(crate) async fn held(shared: &Arc<Shared>, hub: &Hub, stack: &StackName) -> Held {
    let name = stack.clone();
    let running = hub.ask(move |controller, _| {
        let replicas = controller.world().replicas.iter();
        let own = replicas.filter(|(id, replica)| id.stack == name && replica.pid().is_some());
        own.map(|(id, replica)| (id.clone(), replica.incarnation))
            .collect::<Vec<_>>()
    });
    let folders = running.await.into_iter().filter_map(|(id, incarnation)| {
        let folder = shared.replicas.folder(&id, incarnation)?;
        Some((id, secrets::given_to(&folder)))
    });
    folders.collect()
}

/// Returns the services that are given each secret, as their definition stands.
pub(crate) async fn granted(hub: &Hub, stack: &StackName) -> BTreeMap<String, Vec<String>> {
    let name = stack.clone();
    let services = hub.ask(move |controller, _| {
        let mut services: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (id, _, service) in controller.world().services_wanted(&name) {
            let configuration = controller.world().configurations.get(&name);
            let configured = configuration.and_then(|configuration| configuration.of(&id.service));
            for grant in service
                .secrets
                .iter()
                .chain(configured.into_iter().flat_map(|with| &with.secrets))
            {
                let of = services.entry(grant.secret.clone()).or_default();
                if of.last() != Some(&id.to_string()) {
                    of.push(id.to_string());
                }
            }
        }
        services
    });
    services.await
}

fn reports(
    book: &Book,
    held: &Held,
    granted: &BTreeMap<String, Vec<String>>,
    mut sources: BTreeMap<String, SecretSource>,
    mut rotating: BTreeMap<String, String>,
) -> Vec<SecretReport> {
    let each = book.secrets.iter().map(|(name, kept)| {
        let due_at = kept.due_at();
        let versions = kept.versions.iter().rev().map(|(number, version)| SecretVersion {
            version: *number,
            state: version.state.text().to_owned(),
            made_at: version.made_at,
            made_by: version.made_by.clone(),
            since: version.since,
            held_by: held
                .iter()
                .filter(|(_, given)| given.get(name).is_some_and(|held| held.has(*number)))
                .map(|(replica, _)| replica.to_string())
                .collect(),
        });
        SecretReport {
            name: name.clone(),
            class: kept.class.text().to_owned(),
            generated: kept.recipe.is_some(),
            due_at,
            overdue: due_at.is_some_and(|due| due < now().wall),
            granted_to: granted.get(name).cloned().unwrap_or_default(),
            versions: versions.collect(),
            source: sources.remove(name).map(|source| told_of(kept, source)),
            rotation: rotating.remove(name),
        }
    });
    each.collect()
}

/// Fills in which version there it is, where this daemon has not read it yet.
fn told_of(kept: &Kept, mut source: SecretSource) -> SecretSource {
    let current = kept.current().and_then(|number| kept.versions.get(&number));
    let origin = current.and_then(|version| version.origin.as_ref());
    source.version = source.version.or_else(|| origin.map(|origin| origin.version));
    source
}

pub(crate) fn record(shared: &Shared, stack: &StackName, by: &Principal, entries: Vec<(Kind, Value)>) {
    let entries = entries
        .into_iter()
        .map(|(kind, data)| Entry::new(by.clone(), kind).on(Subject::from(stack.clone())).with(data));
    shared.store.record(entries.collect());
}

/// Writes an entry down and returns when it is.
async fn durable(shared: &Shared, entry: Entry) -> Result<(), ApiError> {
    let written = commit(&shared.store, tend_store::Batch::new().entry(entry)).await;
    written.map_err(|_| {
        ApiError::new(
            Class::Unavailable,
            "it could not be written down who sees the value, so it is not shown",
        )
        .hint("free some space where tend keeps its state (`tend info` names the folder), then try again")
    })
}
