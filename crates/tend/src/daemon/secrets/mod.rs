//! The secrets of stacks: the daemon's end of the store, and which versions a definition is given.
//!
//! Owns when the store is opened and who may have what of it. What may become of a version is `tend-secrets`; how values reach a
//! replica is `deliver`; what the state is sealed with, `at_rest`.

mod at_rest;
mod deliver;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use tend_api::{ApiError, Caller, Class};
use tend_core::controller::Input;
use tend_core::journal::{Entry, Kind, Principal};
use tend_core::model::{Issued, Stack, Workload};
use tend_redact::Value;
use tend_secrets::{Book, PASSPHRASE_CREDENTIAL, Passphrase, SecretsError, Store};

use super::hub::Hub;
use super::shared::Shared;
use super::{now, replicas};

pub(crate) use at_rest::AtRest;
pub(crate) use deliver::{
    Given, also_given, configuration_of, environment, forget, give, given_to, make_passage, passing, sweep,
};

/// Names a file with the passphrase of the machine's key.
const PASSPHRASE_FILE: &str = "TEND_SECRETS_PASSPHRASE_FILE";

/// Names another folder in memory for the files of replicas.
const FILES_FOLDER: &str = "TEND_SECRETS_RUN";

/// Says that this folder may be on a disk.
const ON_DISK: &str = "TEND_SECRETS_ON_DISK";

/// The store of secrets.
pub(crate) struct Secrets {
    folder: PathBuf,
    /// Where files of replicas are put.
    files: PathBuf,
    /// They may be on a disk: somebody said so.
    on_disk: bool,
    store: Mutex<Option<Store>>,
}

impl Secrets {
    pub(crate) fn new(state: &std::path::Path, run: &std::path::Path) -> Self {
        let named = std::env::var_os(FILES_FOLDER).map(PathBuf::from);
        Self {
            folder: state.join("secrets"),
            files: named.filter(|path| path.is_absolute()).unwrap_or_else(|| run.join("s")),
            on_disk: std::env::var_os(ON_DISK).is_some_and(|word| word == "allow"),
            store: Mutex::default(),
        }
    }

    /// Does something with the store. Reads and writes files, and computes for a second where there is a passphrase: not for a thread
    /// that others wait for.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Store) -> Result<T, SecretsError>) -> Result<T, SecretsError> {
        // The store holds no state of its own that half a change could break.
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *store {
            Some(store) => work(store),
            None => work(store.insert(Store::open(&self.folder, passphrase()?.as_ref())?)),
        }
    }

    /// Returns what the state is sealed with; the keys are made with the first start.
    pub(crate) fn at_rest(&self) -> Result<AtRest, SecretsError> {
        self.with(|store| store.state_key()).map(AtRest)
    }

    /// Returns the folder of the files that replicas are given, and whether it is memory.
    pub(crate) fn files(&self) -> (&Path, bool) {
        (&self.files, deliver::in_memory(&self.files).unwrap_or(false))
    }

    /// Returns the stacks that have secrets.
    pub(crate) fn stacks(&self) -> Result<Vec<String>, SecretsError> {
        self.with(|store| store.stacks())
    }

    /// Returns the secrets of a stack.
    pub(crate) fn book(&self, stack: &str) -> Result<Option<Book>, SecretsError> {
        self.with(|store| store.read(stack))
    }
}

/// Returns the passphrase that was given to this daemon: in a file, or as a systemd credential.
fn passphrase() -> Result<Option<Passphrase>, SecretsError> {
    if let Some(path) = std::env::var_os(PASSPHRASE_FILE).filter(|path| !path.is_empty()) {
        return Passphrase::of_file(&PathBuf::from(path)).map(Some);
    }
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    match credentials.map(|folder| folder.join(PASSPHRASE_CREDENTIAL)) {
        Some(path) if path.exists() => Passphrase::of_file(&path).map(Some),
        _ => Ok(None),
    }
}

/// Returns an error of the store as an answer.
pub(crate) fn refused(error: &SecretsError) -> ApiError {
    let class = match error {
        SecretsError::Unknown { .. } | SecretsError::NoVersion { .. } => Class::NotFound,
        SecretsError::NotUsable { .. } | SecretsError::NothingStaged { .. } => Class::Conflict,
        error if error.is_of_the_caller() => Class::Usage,
        _ => Class::Unavailable,
    };
    ApiError::from_error(class, error).hint(error.hint())
}

/// Does something with the secrets on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let shared = Arc::clone(shared);
    let done = tokio::task::spawn_blocking(move || work(&shared)).await;
    done.unwrap_or_else(|error| Err(ApiError::new(Class::Bug, error.to_string())))
}

/// Returns the user a principal stands for; root where it is no person.
pub(crate) fn uid_of(by: &Principal) -> u32 {
    match by {
        Principal::Person { uid, .. } => uid.unwrap_or(u32::MAX),
        _ => 0,
    }
}

/// Refuses a caller whose secrets these are not.
pub(crate) fn owned(book: &Book, stack: &str, uid: u32) -> Result<(), ApiError> {
    let caller = Caller { uid, gid: 0, pid: None };
    if caller.is_user_or_root(book.owner_uid) {
        return Ok(());
    }
    Err(ApiError::new(
        Class::Denied,
        format!(
            "the secrets of {stack} belong to user {}, and not to user {uid}",
            book.owner_uid
        ),
    )
    .hint("call as that user, or as root; once root has brought the stack up, they belong to its owner"))
}

/// Returns the versions of every secret that a definition names, as they are given now.
///
/// # Errors
/// All that are missing, at once; or that they belong to somebody else, or cannot be read.
pub(crate) async fn resolve(
    shared: &Arc<Shared>,
    stack: &Stack,
    by: &Principal,
) -> Result<BTreeMap<String, Issued>, ApiError> {
    let named: Vec<String> = stack.secrets_named().into_iter().map(str::to_owned).collect();
    if named.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (name, owner, uid) = (stack.name.to_string(), stack.source.owner_uid, uid_of(by));
    blocking(shared, move |shared| {
        let book = shared.secrets.book(&name).map_err(|error| refused(&error))?;
        if let Some(book) = &book {
            owned(book, &name, uid)?;
        }
        let issued = book.as_ref().map(Book::issued).unwrap_or_default();
        let missing: Vec<&str> = named
            .iter()
            .map(String::as_str)
            .filter(|name| !issued.contains_key(*name))
            .collect();
        if !missing.is_empty() {
            let count = missing.len();
            return Err(ApiError::new(
                Class::Config,
                format!(
                    "{name} needs {}: {}",
                    if count == 1 {
                        "a secret that has no value"
                    } else {
                        "secrets that have no value"
                    },
                    missing.join(", ")
                ),
            )
            .hint(format!(
                "`tend secret set {} -s {name}` takes a value from standard input, `tend secret generate` makes one",
                missing[0]
            )));
        }
        if let Some(mut book) = book.filter(|book| uid == 0 && book.owner_uid != owner) {
            // Root stored them before the stack was there: they are its owner's.
            book.owner_uid = owner;
            shared
                .secrets
                .with(|store| store.write(&name, &book))
                .map_err(|error| refused(&error))?;
        }
        Ok(issued)
    })
    .await
}

/// Takes the values of a stack for known, and tells its shims when that is new: they must not let them through.
pub(crate) fn known(shared: &Shared, stack: &str, book: &Book) {
    let values = book.values().map(|(name, _, value)| Value::new(name, value.expose()));
    if shared.known_secrets.keep(stack, values.collect()) {
        replicas::tell_secrets(shared, stack);
    }
}

/// Takes what the environments of a definition say is secret for known, and tells the stack's shims when that is new.
pub(crate) fn learn(shared: &Shared, stack: &Stack) {
    let name = stack.name.as_str();
    let new = environments(stack).filter(|environment| shared.known_secrets.learn(name, environment));
    if new.count() > 0 {
        replicas::tell_secrets(shared, name);
    }
}

fn environments(stack: &Stack) -> impl Iterator<Item = &BTreeMap<String, String>> {
    stack.services.values().filter_map(|service| match &service.workload {
        Workload::Process(process) => Some(&process.environment),
        _ => None,
    })
}

/// Takes the values of every stack for known, those of the store and those in environments. Before replicas are adopted: their shims are told then.
pub(crate) async fn known_of_all(shared: &Arc<Shared>, hub: &Hub) {
    let stacks = hub.ask(|controller, _| {
        let world = controller.world();
        let wanted = world.stacks.values().map(|wanted| &wanted.stack);
        let releases = world.releases.values().flat_map(|releases| releases.kept.values());
        let all = wanted.chain(releases.map(|release| &release.stack));
        let environments =
            all.flat_map(|stack| environments(stack).map(|environment| (stack.name.clone(), environment.clone())));
        let environments = environments.collect::<Vec<_>>();
        (world.stacks.keys().cloned().collect::<Vec<_>>(), environments)
    });
    let (stacks, environments) = stacks.await;
    for (stack, environment) in &environments {
        shared.known_secrets.learn(stack.as_str(), environment);
    }
    let read = blocking(shared, move |shared| {
        for stack in &stacks {
            match shared.secrets.book(stack.as_str()) {
                Ok(book) => book.iter().for_each(|book| known(shared, stack.as_str(), book)),
                // Said by `reconcile`.
                Err(_) => shared.known_secrets.unread(stack.as_str()),
            }
        }
        Ok(())
    });
    // It fails by a bug alone; then what was read so far is known.
    let _ = read.await;
}

/// Gives every definition the versions that are current: a daemon that was killed while it rotated a secret has changed the store and
/// not yet the definitions.
pub(crate) async fn reconcile(shared: &Arc<Shared>, hub: &Hub, by: &Principal) {
    let stacks = hub.ask(|controller, _| {
        let stacks = controller.world().stacks.values();
        let granting = stacks.filter(|wanted| !wanted.stack.secrets_named().is_empty());
        granting.map(|wanted| wanted.stack.name.clone()).collect::<Vec<_>>()
    });
    for stack in stacks.await {
        let name = stack.to_string();
        let issued = blocking(shared, move |shared| {
            let book = shared.secrets.book(&name).map_err(|error| refused(&error))?;
            Ok(book.map(|book| book.issued()).unwrap_or_default())
        });
        match issued.await {
            Ok(issued) => {
                let by = by.clone();
                hub.input(Input::Secrets { stack, issued, by }).await;
            }
            Err(error) => {
                let entry = Entry::new(by.clone(), Kind::SecretsUnavailable).on(stack);
                let data = json!({ "error": error.message, "hint": error.hint });
                shared.store.record(vec![entry.with(data)]);
            }
        }
    }
}

/// Returns what the status of a stack says of its secrets: those that should have been rotated.
pub(crate) async fn warnings(shared: &Arc<Shared>, stack: &str) -> Vec<String> {
    let stack = stack.to_owned();
    let due = blocking(shared, move |shared| {
        let book = match shared.secrets.book(&stack) {
            Ok(book) => book,
            Err(error) => {
                return Ok(vec![format!(
                    "the secrets cannot be used: {}; {}",
                    error.with_causes(),
                    error.hint()
                )]);
            }
        };
        let overdue = book.iter().flat_map(|book| &book.secrets).filter_map(|(name, kept)| {
            let late = now().wall.0.checked_sub(kept.due_at()?.0)?;
            Some(format!(
                "secret {name} should have been rotated {} days ago: `tend secret rotate {name} -s {stack}`",
                late / (24 * 3_600_000)
            ))
        });
        Ok(overdue.chain(shared.vaults.warnings(&stack)).collect())
    });
    due.await.unwrap_or_default()
}
