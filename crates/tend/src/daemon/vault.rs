//! Secrets of stacks that are in a Vault: read there, kept here, and given to replicas as any other.
//!
//! Owns a reader for each stack that names a Vault, how a version there becomes one of the store, and what is told of it. What to ask when
//! is `tend-vault`'s session; what may become of a version is `tend-secrets`; who is given which is `secrets`.
//!
//! A reader is never cut off while it takes something in: the store and the definitions would say different things until the next start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tend_api::messages::SecretSource;
use tend_api::{ApiError, Class};
use tend_base::{Mono, Secret};
use tend_core::journal::{Entry, Kind, Principal, Subject};
use tend_core::model::{Stack, StackName, Vault, VaultCredential, VaultLogin};
use tend_secrets::{Book, Origin};
use tend_vault::{
    Address, Answer, Ask, Client, Condition, Credential, Failure, Freshness, KvPath, Login, Method, Namespace, News,
    Next, PathStanding, Reading, Session, Standing, Trouble, VaultError,
};
use tokio::sync::watch;

use super::answer::secrets::{free, take};
use super::certificates::key_owner;
use super::hub::Hub;
use super::now;
use super::secrets::{self, blocking, owned, refused, uid_of};
use super::shared::Shared;

/// For all values that a stack has never had, before it is brought up.
const FILL_WITHIN: Duration = Duration::from_secs(20);

/// Between two looks at which stacks have a Vault: much else changes in the daemon, many times a second while replicas start.
const LOOK_AFTER: Duration = Duration::from_millis(200);

/// What the readers last said, by stack.
#[derive(Default)]
pub(crate) struct Vaults(Mutex<BTreeMap<String, Told>>);

#[derive(Clone)]
struct Told {
    address: String,
    standing: Standing,
    /// By the name that the secret has in the store.
    secrets: BTreeMap<String, (KvPath, String, PathStanding)>,
}

impl Vaults {
    /// Returns where each secret of a stack comes from, of those that come from a Vault.
    pub(crate) fn sources(&self, stack: &str) -> BTreeMap<String, SecretSource> {
        let told = self.lock();
        let Some(told) = told.get(stack) else {
            return BTreeMap::new();
        };
        let each = told.secrets.iter();
        each.map(|(name, (path, field, standing))| (name.clone(), told.source(path, field, standing)))
            .collect()
    }

    /// Returns since when the Vault of a stack cannot be asked; nothing while it can.
    pub(crate) fn away_since(&self, stack: &str) -> Option<tend_base::Wall> {
        let told = self.lock();
        let told = told.get(stack).filter(|told| told.in_trouble())?;
        Some(told.standing.since)
    }

    /// Returns what the status of a stack says: that its Vault cannot be asked, and which secrets are not as they should be.
    pub(crate) fn warnings(&self, stack: &str) -> Vec<String> {
        let told = self.lock();
        let Some(told) = told.get(stack) else {
            return Vec::new();
        };
        if told.in_trouble() {
            let Standing { since, why, hint, .. } = &told.standing;
            return vec![format!(
                "{}, since {since}: what was read before is used; {}",
                why.as_deref().unwrap_or_default(),
                hint.as_deref().unwrap_or_default()
            )];
        }
        let ending = told.standing.why.iter().map(|why| {
            format!(
                "the token for the Vault at {} ends{} and could not be replaced: {why}; {}",
                told.address,
                told.standing
                    .token_until
                    .map(|at| format!(" at {at}"))
                    .unwrap_or_default(),
                told.standing.hint.as_deref().unwrap_or_default()
            )
        });
        let amiss = told.secrets.iter().filter_map(|(name, (path, _, standing))| {
            let why = standing.why.as_ref()?;
            Some(format!(
                "secret {name} is used as it was read before: `{path}` is {} in Vault: {why}; {}",
                standing.freshness.text(),
                standing.hint.as_deref().unwrap_or_default()
            ))
        });
        ending.chain(amiss).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Told>> {
        // Each value is put in whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn in_trouble(&self) -> bool {
        is_trouble(self.standing.condition)
    }

    fn source(&self, path: &KvPath, field: &str, standing: &PathStanding) -> SecretSource {
        let (state, since, why, hint) = match self.in_trouble() {
            true => (
                self.standing.condition.text(),
                Some(self.standing.since),
                &self.standing.why,
                &self.standing.hint,
            ),
            false => (standing.freshness.text(), standing.since, &standing.why, &standing.hint),
        };
        SecretSource {
            address: self.address.clone(),
            path: path.to_string(),
            field: field.to_owned(),
            version: standing.version,
            state: state.to_owned(),
            since,
            read_at: standing.read_at,
            why: why.clone(),
            hint: hint.clone(),
        }
    }
}

fn is_trouble(condition: Condition) -> bool {
    !matches!(condition, Condition::Fresh | Condition::Starting)
}

/// The Vault of one stack, as its definition has it.
#[derive(Clone, PartialEq)]
pub(super) struct Wanted {
    pub(super) vault: Vault,
    pub(super) owner_uid: u32,
}

/// The same, read.
pub(super) struct Source {
    stack: StackName,
    wanted: Wanted,
    pub(super) client: Client,
    address: Address,
    /// Name in the store, and field, by path.
    pub(super) secrets: BTreeMap<KvPath, Vec<(String, String)>>,
    method: Method,
    /// Whose files of credentials are read.
    owner: Option<u32>,
}

impl Source {
    pub(super) fn new(stack: StackName, wanted: Wanted, daemon_uid: u32) -> Result<Self, VaultError> {
        let vault = &wanted.vault;
        let address = Address::parse(&vault.address)?;
        let namespace = vault.namespace.as_deref().map(Namespace::parse).transpose()?;
        let mut secrets: BTreeMap<KvPath, Vec<(String, String)>> = BTreeMap::new();
        for (name, secret) in &vault.secrets {
            let of = secrets.entry(KvPath::parse(&secret.path)?).or_default();
            of.push((name.clone(), secret.field.clone()));
        }
        Ok(Self {
            client: Client::new(address.clone(), namespace, vault.ca.clone()),
            method: match vault.login {
                VaultLogin::Token(_) => Method::Token,
                VaultLogin::AppRole { .. } => Method::AppRole,
            },
            owner: key_owner(daemon_uid, wanted.owner_uid),
            stack,
            address,
            secrets,
            wanted,
        })
    }

    fn session(&self, paths: impl IntoIterator<Item = KvPath>) -> Session {
        Session::new(self.method, self.wanted.vault.every, paths, now())
    }

    /// Asks what a session wants to know.
    async fn perform(&self, shared: &Arc<Shared>, ask: &Ask) -> Answer {
        match self.login(shared, ask).await {
            Ok(login) => self.client.perform(ask, &login).await,
            Err(failure) => Answer::Failed(failure),
        }
    }

    /// Returns how one logs in by now: a secret of the store may have another version than last time. Only for who logs in.
    pub(super) async fn login(&self, shared: &Arc<Shared>, ask: &Ask) -> Result<Login, Failure> {
        let stored = match ask {
            Ask::LogIn => self.stored(shared).await.map_err(|error| Failure {
                trouble: Trouble::Here,
                text: error.message,
                hint: error.hint,
            })?,
            _ => None,
        };
        let of = |credential: &VaultCredential| match credential {
            VaultCredential::File(path) => Credential::File {
                path: path.clone(),
                owner: self.owner,
            },
            VaultCredential::Secret(name) => {
                let value = stored
                    .as_ref()
                    .and_then(|book| book.given(name, book.current(name)?).ok());
                Credential::Value(value.cloned().unwrap_or_default())
            }
        };
        Ok(match &self.wanted.vault.login {
            VaultLogin::Token(token) => Login::Token(of(token)),
            VaultLogin::AppRole {
                mount,
                role_id,
                secret_id,
            } => Login::AppRole {
                mount: mount.clone(),
                role_id: of(role_id),
                secret_id: secret_id.as_ref().map(of),
            },
        })
    }

    /// Returns the store, where a credential is in it.
    async fn stored(&self, shared: &Arc<Shared>) -> Result<Option<Book>, ApiError> {
        let named: Vec<String> = match &self.wanted.vault.login {
            VaultLogin::Token(token) => vec![token],
            VaultLogin::AppRole { role_id, secret_id, .. } => secret_id.iter().chain([role_id]).collect(),
        }
        .into_iter()
        .filter_map(|credential| match credential {
            VaultCredential::Secret(name) => Some(name.clone()),
            VaultCredential::File(_) => None,
        })
        .collect();
        if named.is_empty() {
            return Ok(None);
        }
        let stack = self.stack.to_string();
        blocking(shared, move |shared| {
            let book = shared.secrets.book(&stack).map_err(|error| refused(&error))?;
            let missing = named
                .iter()
                .find(|name| book.as_ref().and_then(|book| book.current(name)).is_none());
            match missing {
                None => Ok(book),
                Some(name) => Err(ApiError::new(
                    Class::Config,
                    format!("the secret {name}, with which one logs in, has no value"),
                )
                .hint(format!("`tend secret set {name} -s {stack}` takes one"))),
            }
        })
        .await
    }

    /// Takes a version into the store, current at once; the definitions follow. Nothing is changed where it is there already.
    ///
    /// # Errors
    /// When it cannot be now; then it is to be told again.
    async fn take_in(&self, shared: &Arc<Shared>, hub: &Hub, news: &News, by: &Principal) -> Result<(), ApiError> {
        let names = self.secrets.get(&news.path).into_iter().flatten();
        let values: Vec<_> = names
            // What a field lacks is told by `amiss`.
            .filter_map(|(name, field)| {
                let value = news.fields.text(&news.path, field).ok()?.clone();
                let origin = Origin {
                    address: self.address.to_string(),
                    path: news.path.to_string(),
                    field: field.clone(),
                    version: news.version.number,
                    written: news.version.created_time.clone(),
                };
                Some((name.clone(), value, origin))
            })
            .collect();
        let (stack, given) = (self.stack.to_string(), values.clone());
        let known = blocking(shared, move |shared| {
            let book = shared.secrets.book(&stack).map_err(|error| refused(&error))?;
            Ok(book.is_some_and(|book| {
                given
                    .iter()
                    .all(|(name, value, _)| book.shown(name, None).is_ok_and(|(_, known)| known == value))
            }))
        });
        if !known.await? {
            free(hub, &self.stack).await?;
        }
        let (stack, owner, who) = (self.stack.to_string(), self.owner_of(by), by.clone());
        let done = blocking(shared, move |shared| {
            let stored = shared.secrets.with(|store| {
                let mut book = store.read(&stack)?.unwrap_or_else(|| Book::new(owner));
                if let Err(denied) = owned(&book, &stack, uid_of(&who)) {
                    return Ok(Err(denied));
                }
                let before = book.clone();
                let mut entries = Vec::new();
                for (name, value, origin) in values {
                    let at = json!(origin);
                    let (from, stored) = book.follow(&name, value, origin, now().wall)?;
                    if stored.unchanged {
                        continue;
                    }
                    let version = stored.version;
                    entries.push((
                        Kind::SecretStored,
                        json!({ "name": name, "version": version, "state": "current", "how": "vault", "origin": at }),
                    ));
                    if from.is_some() {
                        let data = json!({ "name": name, "from": from, "to": version });
                        entries.push((Kind::SecretRotated, data));
                    }
                }
                if book != before {
                    store.write(&stack, &book)?;
                    secrets::known(shared, &stack, &book);
                }
                Ok(Ok((entries, book.issued())))
            });
            stored.map_err(|error| refused(&error))?
        });
        let (entries, issued) = done.await?;
        let is_new = !entries.is_empty();
        let entries = entries.into_iter();
        let entry = |(kind, data)| {
            Entry::new(by.clone(), kind)
                .on(Subject::from(self.stack.clone()))
                .with(data)
        };
        shared.store.record(entries.map(entry).collect());
        if is_new {
            take(shared, hub, &self.stack, issued, by.clone()).await?;
        }
        Ok(())
    }

    /// Returns whose the secrets are, where there were none before: the caller's, and the stack owner's for root and the daemon.
    fn owner_of(&self, by: &Principal) -> u32 {
        match uid_of(by) {
            0 => self.wanted.owner_uid,
            uid => uid,
        }
    }

    /// Returns what is the matter with fields of a version: they are not there, or hold no text.
    fn amiss(&self, news: &News) -> BTreeMap<String, Failure> {
        let names = self.secrets.get(&news.path).into_iter().flatten();
        names
            .filter_map(|(name, field)| {
                let error = news.fields.text(&news.path, field).err()?;
                Some((name.clone(), Failure::from(&error)))
            })
            .collect()
    }

    fn tell(&self, shared: &Shared, session: &Session, amiss: &BTreeMap<String, Failure>) {
        let mut secrets = BTreeMap::new();
        for (path, names) in &self.secrets {
            let Some(standing) = session.of(path) else { continue };
            for (name, field) in names {
                let mut standing = standing.clone();
                if let Some(failure) = amiss.get(name).filter(|_| standing.freshness == Freshness::Fresh) {
                    standing.freshness = Freshness::Unusable;
                    standing.since = standing.read_at;
                    standing.why = Some(failure.text.clone());
                    standing.hint = Some(failure.hint.clone());
                }
                secrets.insert(name.clone(), (path.clone(), field.clone(), standing));
            }
        }
        let told = Told {
            address: self.address.to_string(),
            standing: session.standing(),
            secrets,
        };
        shared.vaults.lock().insert(self.stack.to_string(), told);
    }
}

/// Reads what a stack has never had a value of, so that it can be brought up; refuses a Vault that cannot be one. Secrets that have a
/// value are left to the reader: a Vault that is away keeps nobody from bringing up what was up before.
pub(crate) async fn fill(shared: &Arc<Shared>, hub: &Hub, stack: &Stack, by: &Principal) -> Result<(), ApiError> {
    let Some(vault) = &stack.vault else {
        return Ok(());
    };
    let wanted = Wanted {
        vault: vault.clone(),
        owner_uid: stack.source.owner_uid,
    };
    let source = Source::new(stack.name.clone(), wanted, shared.uid)
        .map_err(|error| ApiError::from_error(Class::Config, &error).hint(error.hint()))?;
    let (name, uid) = (stack.name.to_string(), uid_of(by));
    let current = blocking(shared, move |shared| {
        let book = shared.secrets.book(&name).map_err(|error| refused(&error))?;
        if let Some(book) = &book {
            owned(book, &name, uid)?;
        }
        Ok(book.map(|book| book.current_versions()).unwrap_or_default())
    });
    let current = current.await?;
    let mut missing: BTreeSet<String> = vault.secrets.keys().cloned().collect();
    missing.retain(|name| !current.contains_key(name));
    let wanted = |names: &Vec<(String, String)>| names.iter().any(|(name, _)| missing.contains(name));
    let paths: Vec<KvPath> = source
        .secrets
        .iter()
        .filter(|(_, names)| wanted(names))
        .map(|(path, _)| path.clone())
        .collect();
    let list = missing.iter().cloned().collect::<Vec<_>>().join(", ");
    let why_not = |failure: &Failure| {
        ApiError::new(
            Class::Unavailable,
            format!("{} needs values from its Vault that it never had: {list}", stack.name),
        )
        .detail(failure.text.clone())
        .hint(failure.hint.clone())
    };
    let read = async {
        let mut session = source.session(paths.clone());
        let mut left: BTreeSet<&KvPath> = paths.iter().collect();
        while !left.is_empty() {
            let Next::Ask(ask) = session.next(now().mono) else {
                break;
            };
            let answer = source.perform(shared, &ask).await;
            if let Answer::Failed(failure) = &answer {
                return Err(why_not(failure));
            }
            if let Some(news) = session.take(answer, now(), now().mono.0) {
                if let Some(failure) = source.amiss(&news).values().next() {
                    return Err(why_not(failure));
                }
                source.take_in(shared, hub, &news, by).await?;
                left.remove(&news.path);
            }
        }
        // What was deleted is no failure of the server's, and no value either.
        match left.into_iter().find_map(|path| session.of(path)) {
            None => Ok(()),
            Some(standing) => Err(why_not(&Failure {
                trouble: Trouble::NotThere,
                text: standing.why.unwrap_or_default(),
                hint: standing.hint.unwrap_or_default(),
            })),
        }
    };
    match tokio::time::timeout(FILL_WITHIN, read).await {
        Ok(read) => read,
        Err(_) => Err(why_not(&Failure {
            trouble: Trouble::Away,
            text: format!("it took longer than {}", tend_base::format_duration(FILL_WITHIN)),
            hint: "is the server overloaded? try again".to_owned(),
        })),
    }
}

/// Writes a value where the secret is, when that is in a Vault: the other fields there stay as they are, and what was written is read back
/// and taken as any other version. Returns what was done; nothing when the secret is this machine's own.
///
/// # Errors
/// When the caller may not, the Vault refuses, or somebody else wrote there at the same time; then nothing was written.
pub(crate) async fn write(
    shared: &Arc<Shared>,
    hub: &Hub,
    stack: &StackName,
    (name, value): (&str, &Secret),
    by: &Principal,
) -> Result<Option<String>, ApiError> {
    let known = stack.clone();
    let wanted = hub.ask(move |controller, _| {
        let stack = &controller.world().stacks.get(&known)?.stack;
        Some(Wanted {
            vault: stack.vault.clone()?,
            owner_uid: stack.source.owner_uid,
        })
    });
    let Some(wanted) = wanted.await.filter(|wanted| wanted.vault.secrets.contains_key(name)) else {
        return Ok(None);
    };
    let failed = |error: &VaultError| {
        let class = match error {
            VaultError::Conflict { .. } => Class::Conflict,
            _ => Class::Unavailable,
        };
        ApiError::from_error(class, error).hint(error.hint())
    };
    let field = wanted.vault.secrets[name].field.clone();
    let path = KvPath::parse(&wanted.vault.secrets[name].path).map_err(|error| failed(&error))?;
    let source = Source::new(stack.clone(), wanted, shared.uid).map_err(|error| failed(&error))?;
    let (of, owner, uid) = (stack.to_string(), source.wanted.owner_uid, uid_of(by));
    let may = blocking(shared, move |shared| {
        let book = shared.secrets.book(&of).map_err(|error| refused(&error))?;
        owned(&book.unwrap_or_else(|| Book::new(owner)), &of, uid)
    });
    may.await?;
    // Before anything is written there that could not be taken here.
    free(hub, stack).await?;
    let login = source
        .login(shared, &Ask::LogIn)
        .await
        .map_err(|failure| ApiError::new(Class::Unavailable, failure.text).hint(failure.hint))?;
    let client = &source.client;
    let token = client.log_in(&login).await.map_err(|error| failed(&error))?.secret;
    let fields = BTreeMap::from([(field, value.clone())]);
    let written = match client.read(&token, &path, None).await {
        Ok(Reading::Found { version, .. }) => client.patch(&token, &path, &fields, version.number).await,
        Ok(Reading::Deleted { version }) => client.write(&token, &path, &fields, version.number).await,
        Err(error) if error.trouble() == Trouble::NotThere => client.write(&token, &path, &fields, 0).await,
        Err(error) => Err(error),
    };
    let written = written.map_err(|error| failed(&error))?;
    let read = client.read(&token, &path, None).await.map_err(|error| failed(&error))?;
    if let Reading::Found { version, fields } = read {
        let news = News { path, version, fields };
        source.take_in(shared, hub, &news, by).await?;
    }
    Ok(Some(format!(
        "{name}: written to {} as version {}, and current here; replicas that hold another are replaced",
        source.wanted.vault.secrets[name].path, written.number
    )))
}

/// Refuses to give a secret a value here whose values come from a Vault: it would be replaced by the next one there.
pub(crate) async fn refuse_own(hub: &Hub, stack: &StackName, names: &[&str]) -> Result<(), ApiError> {
    let name = stack.clone();
    let vault = hub.ask(move |controller, _| controller.world().stacks.get(&name)?.stack.vault.clone());
    let Some(vault) = vault.await else {
        return Ok(());
    };
    let found = names.iter().find_map(|name| Some((name, vault.secrets.get(*name)?)));
    let Some((name, secret)) = found else {
        return Ok(());
    };
    let address = &vault.address;
    let on_command_line = secret.path.replacen("/data/", "/", 1);
    Err(ApiError::new(
        Class::Conflict,
        format!("the values of {name} come from the Vault at {address}, and the next one there would replace it"),
    )
    .hint(format!(
        "`tend secret set {name} -s {stack}` writes a value there, and so does `vault kv patch {on_command_line} {}=-`",
        secret.field
    )))
}

/// Starts to look after the secrets that stacks have in a Vault.
pub(crate) fn start(shared: Arc<Shared>, hub: Hub, by: Principal) {
    tokio::spawn(async move {
        let mut changes = hub.changes();
        let mut readers: BTreeMap<StackName, watch::Sender<Wanted>> = BTreeMap::new();
        loop {
            changes.mark_unchanged();
            let wanted = hub.ask(|controller, _| {
                let stacks = controller.world().stacks.values();
                let with_vault = stacks.filter_map(|wanted| {
                    let stack = &wanted.stack;
                    let wanted = Wanted {
                        vault: stack.vault.clone()?,
                        owner_uid: stack.source.owner_uid,
                    };
                    Some((stack.name.clone(), wanted))
                });
                with_vault.collect::<BTreeMap<_, _>>()
            });
            let wanted = wanted.await;
            // A reader ends when nobody holds its other end.
            readers.retain(|stack, _| wanted.contains_key(stack));
            for (stack, wanted) in wanted {
                match readers.get(&stack) {
                    Some(reader) => {
                        reader.send_if_modified(|now| {
                            let is_other = *now != wanted;
                            *now = wanted;
                            is_other
                        });
                    }
                    None => {
                        let (sender, receiver) = watch::channel(wanted);
                        let reader = Reader {
                            shared: Arc::clone(&shared),
                            hub: hub.clone(),
                            by: by.clone(),
                            stack: stack.clone(),
                        };
                        tokio::spawn(reader.read(receiver));
                        readers.insert(stack, sender);
                    }
                }
            }
            tokio::time::sleep(LOOK_AFTER).await;
            if changes.changed().await.is_err() {
                return;
            }
        }
    });
}

/// Reads the secrets of one stack until it has no Vault any more.
struct Reader {
    shared: Arc<Shared>,
    hub: Hub,
    by: Principal,
    stack: StackName,
}

impl Reader {
    async fn read(self, mut wanted: watch::Receiver<Wanted>) {
        loop {
            let now_wanted = wanted.borrow_and_update().clone();
            let another = match Source::new(self.stack.clone(), now_wanted, self.shared.uid) {
                Ok(source) => self.follow(&source, &mut wanted).await,
                // Refused by `fill`; a definition of an earlier tend at most comes here.
                Err(error) => {
                    self.record(
                        Kind::VaultUnavailable,
                        &json!({ "error": error.with_causes(), "hint": error.hint() }),
                    );
                    wanted.changed().await.is_ok()
                }
            };
            if !another {
                self.shared.vaults.lock().remove(self.stack.as_str());
                return;
            }
        }
    }

    /// Follows one definition; returns whether there is another.
    async fn follow(&self, source: &Source, wanted: &mut watch::Receiver<Wanted>) -> bool {
        let mut session = source.session(source.secrets.keys().cloned());
        let mut amiss = BTreeMap::new();
        let mut before = session.standing();
        source.tell(&self.shared, &session, &amiss);
        loop {
            let asking = match session.next(now().mono) {
                Next::Wait(until) => {
                    let sleep = tokio::time::sleep(Mono::since(until, now().mono));
                    tokio::select! {
                        () = sleep => continue,
                        another = wanted.changed() => return another.is_ok(),
                    }
                }
                Next::Ask(ask) => ask,
            };
            let answer = tokio::select! {
                answer = source.perform(&self.shared, &asking) => answer,
                another = wanted.changed() => return another.is_ok(),
            };
            if let Some(news) = session.take(answer, now(), now().mono.0) {
                let names = source.secrets.get(&news.path).into_iter().flatten();
                names.for_each(|(name, _)| drop(amiss.remove(name)));
                amiss.extend(source.amiss(&news));
                // It may be a deployment that is under way; then it is taken at the next look.
                if source.take_in(&self.shared, &self.hub, &news, &self.by).await.is_err() {
                    session.forget(&news.path);
                }
            }
            source.tell(&self.shared, &session, &amiss);
            let standing = session.standing();
            if standing.condition != before.condition {
                self.note(source, &before, &standing);
                before = standing;
            }
        }
    }

    /// Writes down that the server went away, or came back.
    fn note(&self, source: &Source, before: &Standing, after: &Standing) {
        let address = source.address.to_string();
        if is_trouble(after.condition) {
            self.record(
                Kind::VaultUnavailable,
                &json!({ "address": address, "condition": after.condition.text(), "error": after.why, "hint": after.hint }),
            );
        } else if is_trouble(before.condition) {
            self.record(
                Kind::VaultAvailable,
                &json!({ "address": address, "condition": before.condition.text(), "since": before.since }),
            );
        }
    }

    fn record(&self, kind: Kind, data: &serde_json::Value) {
        let entry = Entry::new(self.by.clone(), kind).on(Subject::from(self.stack.clone()));
        self.shared.store.record(vec![entry.with(data.clone())]);
    }
}
