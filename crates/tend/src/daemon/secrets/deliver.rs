//! How the values of secrets reach a replica: variables and open files go to its shim in memory, files are put on tmpfs.
//!
//! Knows nothing of who may have what: a definition names secret and version, and only a current version is given.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tend_base::{Secret, without_os_numbers};
use tend_core::model::{Grant, Issued, SecretDelivery};
use tend_core::observed::StartFailure;
use tend_core::plan::Launch;
use tend_linux::Credentials;

use super::super::shared::Shared;

/// Tells a replica the folder of its secret files.
const FOLDER_VARIABLE: &str = "TEND_SECRETS";

/// In the folder of a life: which secrets it was given, names and versions only.
const GIVEN_FILE: &str = "secrets";

/// What follows the name of a life in that of the folder with its configuration.
const CONFIGURATION: &str = ".c";

/// File systems that are memory, as statfs(2) names them: tmpfs and ramfs.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// What a replica is given.
#[derive(Default)]
pub(crate) struct Given {
    /// For its shim.
    pub(crate) secrets: tend_linux::Secrets,
    /// Name and versions of each.
    pub(crate) versions: BTreeMap<String, Issued>,
    files: Vec<(String, Secret)>,
}

impl Given {
    /// Writes down in the folder of a life which secrets it was given: what it holds is what was given, whatever its definition says
    /// later.
    pub(crate) fn record(&self, life: &Path) -> io::Result<()> {
        if self.versions.is_empty() {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(life)?;
        let numbers = self.versions.iter().map(|(name, issued)| {
            let Issued { version, also } = *issued;
            // A number alone where there is one alone, as it always was.
            let held = also.map_or_else(|| version.into(), |also| serde_json::json!([version, also]));
            (name.clone(), held)
        });
        let text = serde_json::Value::Object(numbers.collect()).to_string();
        tend_base::write_atomically(&life.join(GIVEN_FILE), text.as_bytes(), 0o600)
    }
}

/// Writes down that a life was given other versions by a file that it read again.
pub(crate) fn also_given(life: &Path, versions: &BTreeMap<String, u64>) {
    if versions.is_empty() {
        return;
    }
    let mut given = Given {
        versions: given_to(life),
        ..Given::default()
    };
    let each = versions.iter();
    given
        .versions
        .extend(each.map(|(name, version)| (name.clone(), Issued::from(*version))));
    // Without it a rotation waits until the replica is started anew.
    let _ = given.record(life);
}

/// Returns the secrets that a life was given: name and versions.
pub(crate) fn given_to(life: &Path) -> BTreeMap<String, Issued> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Held {
        One(u64),
        Two(u64, u64),
    }
    let text = std::fs::read(life.join(GIVEN_FILE)).unwrap_or_default();
    let held: BTreeMap<String, Held> = serde_json::from_slice(&text).unwrap_or_default();
    let issued = |held| match held {
        Held::One(version) => version.into(),
        Held::Two(version, also) => Issued {
            version,
            also: Some(also),
        },
    };
    held.into_iter().map(|(name, held)| (name, issued(held))).collect()
}

/// Looks up what a replica is to be given, and puts its files where it will find them. `life` is the folder of its life.
///
/// Reads files, so it is not for a thread that others wait for.
pub(crate) fn give(
    shared: &Shared,
    stack: &str,
    grants: &[Grant],
    who: Option<&Credentials>,
    life: &Path,
) -> Result<Given, StartFailure> {
    let mut given = look_up(shared, stack, grants)?;
    let folder = folder_of(shared, life);
    if !given.files.is_empty() {
        put(shared, &folder, &given.files, who)?;
        let path = Secret::new(folder.display().to_string());
        given.secrets.env.push((FOLDER_VARIABLE.into(), path));
    }
    given.record(life).map_err(|error| {
        passing(
            format!(
                "which secrets it is given could not be written to `{}`: {error}",
                life.display()
            ),
            "free some space there".to_owned(),
        )
    })?;
    Ok(given)
}

/// Returns the environment of a command of a service with the secrets that are variables in it. One that needs none is not kept from
/// running by a store that cannot be opened.
pub(crate) fn environment(
    shared: &Shared,
    launch: &Launch,
    stack: &str,
    mut environment: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, String> {
    let in_variables = |grant: &&Grant| matches!(grant.delivery, SecretDelivery::Environment(_));
    let grants: Vec<Grant> = launch.secrets.iter().filter(in_variables).cloned().collect();
    let given = look_up(shared, stack, &grants).map_err(|failure| failure.why)?;
    for (name, value) in &given.secrets.env {
        environment.insert(name.to_string_lossy().into_owned(), value.expose().to_owned());
    }
    let service = launch
        .environment
        .get("TEND_SERVICE")
        .and_then(|name| name.parse().ok());
    if let (Some(service), Ok(stack)) = (service, stack.parse()) {
        let outside = shared.deliveries.outside(&stack, &service);
        environment.extend(
            outside
                .into_iter()
                .map(|(name, value)| (name, value.expose().to_owned())),
        );
    }
    Ok(environment)
}

fn look_up(shared: &Shared, stack: &str, grants: &[Grant]) -> Result<Given, StartFailure> {
    let mut given = Given::default();
    if grants.is_empty() {
        return Ok(given);
    }
    let unusable = |error: &tend_secrets::SecretsError| passing(error.with_causes(), error.hint());
    let book = shared.secrets.book(stack).map_err(|error| unusable(&error))?;
    let book = book.ok_or_else(|| {
        passing(
            format!("the secrets of {stack} are gone from the store"),
            "put them back from a backup, or store them again with `tend secret set`".to_owned(),
        )
    })?;
    // Before anybody has one: the store may have been put back from a backup.
    super::known(shared, stack, &book);
    for grant in grants {
        let beside = grant.delivery.beside();
        let other = grant.also.and_then(|also| Some((also, beside?)));
        for (version, delivery) in std::iter::once((grant.version, grant.delivery.clone())).chain(other.clone()) {
            let value = book.given(&grant.secret, version).map_err(|error| unusable(&error))?;
            let value = value.clone();
            match delivery {
                SecretDelivery::File(name) => given.files.push((name, value)),
                SecretDelivery::Environment(variable) => given.secrets.env.push((variable.into(), value)),
                SecretDelivery::Descriptor(number) => given.secrets.descriptors.push((number, value)),
            }
        }
        let issued = Issued {
            version: grant.version,
            also: other.map(|(also, _)| also),
        };
        // Given in two ways of which one holds one value alone, it does not know both.
        let known = given.versions.entry(grant.secret.clone()).or_insert(issued);
        known.also = known.also.filter(|also| issued.also == Some(*also));
    }
    Ok(given)
}

/// Returns the folder with the secret files of a life.
fn folder_of(shared: &Shared, life: &Path) -> PathBuf {
    shared.secrets.files.join(life.file_name().unwrap_or_default())
}

fn put(
    shared: &Shared,
    folder: &Path,
    files: &[(String, Secret)],
    who: Option<&Credentials>,
) -> Result<(), StartFailure> {
    let all = &shared.secrets.files;
    let cannot = |error: io::Error| cannot_put("secrets", folder, &error);
    DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(all)
        .map_err(cannot)?;
    // A replica passes through to its own folder and sees no other's name.
    std::fs::set_permissions(all, std::fs::Permissions::from_mode(0o711)).map_err(cannot)?;
    only_in_memory(shared)?;
    // Left by a life of this number that never ran.
    let _ = std::fs::remove_dir_all(folder);
    DirBuilder::new().mode(0o700).create(folder).map_err(cannot)?;
    for (name, value) in files {
        let path = folder.join(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o400)
            .open(&path)
            .map_err(cannot)?;
        file.write_all(value.expose().as_bytes()).map_err(cannot)?;
        if let Some(who) = who {
            chown(&path, Some(who.uid), Some(who.gid)).map_err(cannot)?;
        }
    }
    if let Some(who) = who {
        chown(folder, Some(who.uid), Some(who.gid)).map_err(cannot)?;
    }
    Ok(())
}

fn cannot_put(what: &str, folder: &Path, error: &io::Error) -> StartFailure {
    passing(
        format!(
            "its {what} could not be put into `{}`: {}",
            folder.display(),
            without_os_numbers(&error.to_string())
        ),
        "look at the owner, the mode and the free space of that folder".to_owned(),
    )
}

/// Refuses to write secrets to a disk.
fn only_in_memory(shared: &Shared) -> Result<(), StartFailure> {
    let all = &shared.secrets.files;
    if shared.secrets.on_disk || in_memory(all).map_err(|error| cannot_put("secrets", all, &error))? {
        return Ok(());
    }
    Err(StartFailure {
        permanent: true,
        ..passing(
            format!("its secrets would be written to a disk: `{}` is not on tmpfs", all.display()),
            "start the daemon with TEND_SECRETS_RUN naming a folder on tmpfs, such as one below /dev/shm or /run; or with \
             TEND_SECRETS_ON_DISK=allow; or give the secrets with `environment:` or `fd:`"
                .to_owned(),
        )
    })
}

pub(super) fn in_memory(folder: &Path) -> io::Result<bool> {
    let kind = u64::try_from(rustix::fs::statfs(folder)?.f_type).unwrap_or(0);
    Ok(IN_MEMORY.contains(&(kind & 0xffff_ffff)))
}

/// Returns the folder with what a life is given of its stack's configuration.
pub(crate) fn configuration_of(shared: &Shared, life: &Path) -> PathBuf {
    let mut folder = folder_of(shared, life).into_os_string();
    folder.push(CONFIGURATION);
    PathBuf::from(folder)
}

/// Makes a folder that a replica's user passes through to what is its own, and in which only the daemon writes. Where secrets will be in
/// it, it must be in memory.
pub(crate) fn make_passage(shared: &Shared, folder: &Path, secret: bool) -> Result<(), StartFailure> {
    let all = &shared.secrets.files;
    let made = || -> io::Result<()> {
        for folder in [all, folder] {
            DirBuilder::new().recursive(true).mode(0o711).create(folder)?;
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o711))?;
        }
        Ok(())
    };
    made().map_err(|error| cannot_put("configuration", folder, &error))?;
    match secret {
        true => only_in_memory(shared),
        false => Ok(()),
    }
}

/// Removes the files of a life that is over.
pub(crate) fn forget(shared: &Shared, life: &Path) {
    // What cannot be removed is looked at again when the daemon next starts.
    let _ = std::fs::remove_dir_all(folder_of(shared, life));
    let _ = std::fs::remove_dir_all(configuration_of(shared, life));
}

/// Removes the files of lives that are not there any more.
pub(crate) fn sweep(shared: &Shared, lives: &Path) {
    let entries = std::fs::read_dir(&shared.secrets.files).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !lives.join(name.strip_suffix(CONFIGURATION).unwrap_or(&name)).exists() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// A failure that may pass by itself, or when somebody does what the hint says.
pub(crate) fn passing(why: String, hint: String) -> StartFailure {
    StartFailure {
        why,
        hint: Some(hint),
        permanent: false,
        port_taken: false,
    }
}
