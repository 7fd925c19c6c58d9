//! Looking after what was built: where it lies, putting it there whole, comparing it with its digest, removing what nobody needs.
//!
//! Knows neither sources nor commands, and not which releases there are: the caller says what is needed.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags};
use tend_base::{Clock, SystemClock, write_atomically};
use tend_core::model::Artifact;

use crate::build::BuildLock;
use crate::error::Error;
use crate::lock::Lock;
use crate::tree::{self, Tree};

/// Beginning of the name of what is being removed: an artifact is there whole or not at all.
const REMOVED: &str = ".removed-";

/// How long the store is waited for. Others hold it while they look at one artifact, not while they build.
const STORE_PATIENCE: Duration = Duration::from_secs(120);

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// The digests of the artifacts.
    pub digests: Vec<String>,
    /// How much room on the disk that gave, in bytes, with what killed builds had left.
    pub bytes: u64,
}

/// Compares the files of an artifact with its digest.
///
/// # Errors
/// [`Error::Changed`], or [`Error::NoArtifact`] when its folder is not there.
pub fn verify(artifact: &Artifact) -> Result<(), Error> {
    if !artifact.path.is_dir() {
        return Err(Error::NoArtifact {
            path: artifact.path.clone(),
        });
    }
    let tree = Tree::open(&artifact.path)?;
    let found = tree.digest(&tree.all()?)?;
    if found == artifact.digest {
        Ok(())
    } else {
        Err(Error::Changed {
            path: artifact.path.clone(),
            found,
        })
    }
}

/// Removes the artifacts below the state folder whose digest is not in `needed`, and what killed builds left.
///
/// An artifact that was built, or asked for again, less than `spare` ago is left: its release may not be written down yet.
///
/// # Errors
/// [`Error::File`] when something cannot be removed; what was removed before stays removed.
pub fn remove(state: &Path, needed: &BTreeSet<String>, spare: Duration) -> Result<Removed, Error> {
    let store = Store::of(state);
    let mut removed = Removed::default();
    if !store.0.is_dir() {
        return Ok(removed);
    }
    let lock = store.lock()?;
    let now = SystemClock.now().wall.0 / 1000;
    let mut spared = BTreeSet::new();
    let mut keys = Vec::new();
    for key in names(&store.keys())? {
        let path = store.keys().join(&key);
        let written = match fs::metadata(&path) {
            // The neighbour of a file being replaced.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata.map_err(Error::file("read", &path))?.mtime(),
        };
        if now.saturating_sub(u64::try_from(written).unwrap_or(0)) < spare.as_secs() {
            spared.extend(store.digest_of(&key));
        } else {
            keys.push(key);
        }
    }
    let unneeded = |digest: &String| !needed.contains(digest) && !spared.contains(digest);
    // Before the artifacts: a key of one that is half removed must not be found.
    for key in keys {
        if store.digest_of(&key).is_none_or(|digest| unneeded(&digest)) {
            let path = store.keys().join(key);
            fs::remove_file(&path).map_err(Error::file("remove", &path))?;
        }
    }
    for name in names(&store.0)? {
        if is_digest(&name) && unneeded(&name) {
            let path = store.folder(&name);
            let aside = store.0.join(format!("{REMOVED}{name}"));
            // What an interrupted removal left of the same.
            removed.bytes += tree::remove(&aside)?;
            fs::rename(&path, &aside).map_err(Error::file("remove", &path))?;
            removed.digests.push(name);
        }
    }
    // From here on nothing is touched that a build could ask for.
    drop(lock);
    for name in names(&store.0)? {
        if name.starts_with(REMOVED) {
            removed.bytes += tree::remove(&store.0.join(&name))?;
        }
    }
    for name in names(&state.join("builds"))? {
        // One that is under way is left alone.
        if let Some(lock) = name
            .strip_suffix(".lock")
            .and_then(|stack| BuildLock::take(state, stack, Duration::ZERO).ok())
        {
            removed.bytes += lock.clear();
        }
    }
    Ok(removed)
}

/// The folder of all artifacts.
#[derive(Debug)]
pub(crate) struct Store(PathBuf);

impl Store {
    pub(crate) fn of(state: &Path) -> Self {
        Self(state.join("artifacts"))
    }

    /// Makes the folders. Who runs what is in them may pass through them, and nobody else may see what there is.
    pub(crate) fn make(&self) -> Result<(), Error> {
        for (folder, mode) in [
            (self.0.clone(), 0o711),
            (self.0.with_file_name("builds"), 0o711),
            (self.keys(), 0o700),
        ] {
            let made =
                fs::create_dir_all(&folder).and_then(|()| fs::set_permissions(&folder, Permissions::from_mode(mode)));
            made.map_err(Error::file("make", &folder))?;
        }
        Ok(())
    }

    /// Returns where the artifact of a digest lies.
    pub(crate) fn folder(&self, digest: &str) -> PathBuf {
        self.0.join(digest)
    }

    fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// Returns the digest that a key stands for, when there is its artifact.
    pub(crate) fn digest_of(&self, key: &str) -> Option<String> {
        let text = fs::read_to_string(self.keys().join(key)).ok()?;
        let digest = text.trim_end();
        (is_digest(digest) && self.folder(digest).is_dir()).then(|| digest.to_owned())
    }

    /// Returns the digest that a key stands for, when its artifact is there unchanged; it is spared for a while then.
    pub(crate) fn reuse(&self, key: &str) -> Result<Option<String>, Error> {
        let found = {
            let _lock = self.lock()?;
            let found = self.digest_of(key);
            if let Some(digest) = &found {
                self.remember(key, digest)?;
            }
            found
        };
        let Some(digest) = found else {
            return Ok(None);
        };
        let tree = Tree::open(&self.folder(&digest))?;
        Ok((tree.digest(&tree.all()?)? == digest).then_some(digest))
    }

    /// Holds the store against being searched for what is not needed: what is there under the lock, and has a new key, stays.
    fn lock(&self) -> Result<Lock, Error> {
        let lock = File::open(&self.0).and_then(|folder| Lock::take(folder, STORE_PATIENCE));
        lock.and_then(|lock| lock.ok_or_else(|| io::ErrorKind::WouldBlock.into()))
            .map_err(Error::file("lock", &self.0))
    }

    /// Writes down what a key stands for.
    fn remember(&self, key: &str, digest: &str) -> Result<(), Error> {
        let path = self.keys().join(key);
        write_atomically(&path, format!("{digest}\n").as_bytes(), 0o644).map_err(Error::file("write", &path))
    }

    /// Moves a finished folder to its place, durably, and writes down the key it is found by. One that is there already stays, unless
    /// somebody changed it.
    pub(crate) fn put(&self, kept: &Path, digest: &str, key: &str) -> Result<(), Error> {
        let target = self.folder(digest);
        let failed = || Error::file("write", &target);
        // One call for all files of a tree that may have tens of thousands; a call for each takes minutes.
        let folder = File::open(kept).map_err(Error::file("open", kept))?;
        rustix::fs::syncfs(&folder).map_err(|errno| failed()(errno.into()))?;

        let _lock = self.lock()?;
        let is_there = target.is_dir();
        let is_good = is_there && {
            let tree = Tree::open(&target)?;
            tree.digest(&tree.all()?)? == digest
        };
        if !is_good {
            let mut flags = RenameFlags::empty();
            if is_there {
                // The one that was changed goes to where ours was, and is removed with it. Moving a folder changes it (its `..`), so it
                // must be writable for that moment.
                fs::set_permissions(&target, Permissions::from_mode(0o755)).map_err(failed())?;
                flags = RenameFlags::EXCHANGE;
            }
            rustix::fs::renameat_with(CWD, kept, CWD, &target, flags).map_err(|errno| failed()(errno.into()))?;
            fs::set_permissions(&target, Permissions::from_mode(0o555))
                .and_then(|()| folder.sync_all())
                .and_then(|()| File::open(&self.0)?.sync_all())
                .map_err(failed())?;
        }
        self.remember(key, digest)
    }
}

fn is_digest(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::file("read", folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(Error::file("read", folder))?.file_name();
        // Ours are all plain text.
        names.extend(name.into_string().ok());
    }
    names.sort();
    Ok(names)
}
