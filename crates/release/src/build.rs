//! From a source to an artifact: copies the source, has `prepare` run in the copy, keeps what is named, stores it under its digest.
//!
//! Who runs `prepare`, in which group and with which environment, is the caller's. Below the state folder:
//!
//! ```text
//!  builds/STACK.lock             held while a build of the stack is under way
//!  builds/STACK/KEY-PID/         one build under way; the next build of the stack clears what a killed one left
//!      copy/                     the source, where `prepare` works
//!      kept/                     what becomes the artifact
//!  artifacts/DIGEST/             complete, on disk, read-only; put there by a rename
//!  artifacts/keys/KEY            which digest a source and command gave, so that they are not built again
//! ```

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tend_core::model::{Artifact, StackName};

use crate::artifacts::Store;
use crate::error::Error;
use crate::lock::{Lock, PATIENCE};
use crate::source::{Files, Origin, Owner, Source};
use crate::tree::{self, Entries, Kind, Modes, Tree};

/// First part of what a key is made of; another number means that older artifacts are not taken for the same.
const KEY_FORMAT: &str = "tend build 1";

/// What is to be built.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The state folder.
    pub state: &'a Path,
    /// Whose artifact; two builds of one stack are never under way at once.
    pub stack: &'a StackName,
    /// The service's folder in the source.
    pub directory: &'a Path,
    /// Makes what the source does not hold, such as a compiler does.
    pub prepare: Option<&'a [String]>,
    /// What is kept after that, relative to `directory`; all of `directory` when empty.
    pub keep: &'a [PathBuf],
    /// The environment `prepare` runs in, without what is another each time: another environment is built anew.
    pub environment: &'a BTreeMap<String, String>,
    /// The git revision; what is checked out when absent.
    pub revision: Option<&'a str>,
    /// Builds from a checkout with changes that are in no commit, instead of refusing it.
    pub allow_dirty: bool,
    /// How long `prepare` may take.
    pub timeout: Duration,
    /// By whom git is run and to whom the copy belongs; this process's own user when absent.
    pub owner: Option<Owner>,
}

/// A `prepare` command to be run by the caller.
#[derive(Clone, Copy, Debug)]
pub struct Prepare<'a> {
    /// Program and arguments.
    pub command: &'a [String],
    /// The service's folder in the copy; a program with a `/` is relative to it.
    pub directory: &'a Path,
    /// How long it may take. The caller ends it, with all it started, when this is over, and leaves none of its processes behind in
    /// any case.
    pub timeout: Duration,
}

/// What a build gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The artifact.
    pub artifact: Artifact,
    /// What it was built from; says by [`Source::relocate`] where paths of the source are in it.
    pub source: Source,
    /// The service's folder in the artifact.
    pub directory: PathBuf,
    /// It was there already.
    pub reused: bool,
}

/// Returns what a build would be made from now, and what it gave when it was built before. Changes nothing.
///
/// # Errors
/// As [`crate::source`].
pub fn find(request: &Request<'_>) -> Result<(Source, Option<Built>), Error> {
    let source = Origin::of(request)?.source;
    let store = Store::of(request.state);
    let built = store
        .digest_of(&key(request, &source))
        .map(|digest| built(&store, &digest, source.clone(), true));
    Ok((source, built))
}

/// Builds the artifact of a service, or returns the one that the same source and command gave before.
///
/// `prepare` is called at most once, with the command of the request; what it returns as an error becomes [`Error::Prepare`]. May be
/// called again after it was interrupted at any moment.
///
/// # Errors
/// [`Error::Dirty`], [`Error::Building`], and whatever the source, `prepare` or the disk gives. Nothing is left behind then.
pub fn build(
    request: &Request<'_>,
    prepare: &mut dyn FnMut(&Prepare<'_>) -> Result<(), String>,
) -> Result<Built, Error> {
    let store = Store::of(request.state);
    store.make()?;
    let lock = BuildLock::take(request.state, request.stack.as_str(), PATIENCE)?;
    lock.clear();
    let Origin { mut source, files } = Origin::of(request)?;
    if source.dirty && !request.allow_dirty {
        return Err(Error::Dirty {
            path: source.root,
            changed: source.changed,
        });
    }
    if let Some(digest) = store.reuse(&key(request, &source))? {
        return Ok(built(&store, &digest, source, true));
    }

    let work = Work::make(&lock, &key(request, &source))?;
    let copy = work.0.join("copy");
    match files {
        Files::Git {
            checkout,
            commit,
            scope,
        } => {
            let index = work.0.join("git");
            for folder in [&copy, &index] {
                make_private(folder)?;
                give(folder, request.owner)?;
            }
            checkout.write_out(&commit, &scope, &copy, &index.join("index"))?;
        }
        Files::Here { entries } => {
            make_private(&copy)?;
            Tree::open(&source.root)?.copy(&entries, &copy, Modes::Working)?;
            let tree = Tree::open(&copy)?;
            let copied = tree.all()?;
            // Files may have been changed since they were listed; what counts is what was copied.
            source.digest = format!("files:{}", tree.digest(&copied)?);
            // From the inside out: while we write into a folder, nobody else may.
            for path in copied.keys().rev() {
                give(&copy.join(path), request.owner)?;
            }
            give(&copy, request.owner)?;
        }
    }
    if let Some(command) = request.prepare {
        let prepared = prepare(&Prepare {
            command,
            directory: &copy.join(&source.folder),
            timeout: request.timeout,
        });
        prepared.map_err(|why| Error::Prepare { why })?;
    }

    let tree = Tree::open(&copy)?;
    let entries = kept(request, &source, &tree)?;
    let kept = work.0.join("kept");
    fs::create_dir(&kept).map_err(Error::file("make", &kept))?;
    tree.copy(&entries, &kept, Modes::Sealed)?;
    // Before all is synced, so that most of what is thrown away never gets to the disk. What cannot be removed now, because a process
    // that `prepare` left still writes there, goes with the next build.
    let _ = tree::remove(&copy);
    let tree = Tree::open(&kept)?;
    let digest = tree.digest(&tree.all()?)?;
    store.put(&kept, &digest, &key(request, &source))?;
    Ok(built(&store, &digest, source, false))
}

fn built(store: &Store, digest: &str, source: Source, reused: bool) -> Built {
    let path = store.folder(digest);
    Built {
        directory: path.join(&source.folder),
        artifact: Artifact {
            digest: digest.to_owned(),
            path,
            revision: source.revision.clone(),
            source: source.digest.clone(),
        },
        source,
        reused,
    }
}

/// Returns what is kept of the copy, with the folders on the way and the service's folder.
fn kept(request: &Request<'_>, source: &Source, copy: &Tree) -> Result<Entries, Error> {
    let whole = [PathBuf::from(".")];
    let wanted = if request.keep.is_empty() {
        &whole[..]
    } else {
        request.keep
    };
    let mut entries = Entries::new();
    // There even when nothing in it is: it is the working folder of what runs.
    let mut folders = vec![source.folder.clone()];
    for path in wanted {
        let Some(below) = source.below_root(path) else {
            return Err(Error::Outside {
                path: path.clone(),
                root: source.root.clone(),
            });
        };
        match copy.kind_at(&below)? {
            Some(Kind::Folder) => entries.extend(copy.below(&below, &|_, _| false)?),
            Some(kind) => {
                entries.insert(below.clone(), kind);
            }
            None => {
                return Err(Error::NotMade {
                    path: path.clone(),
                    prepared: request.prepare.is_some(),
                });
            }
        }
        folders.extend(below.parent().map(Path::to_owned));
    }
    for folder in folders {
        let above = folder.ancestors().filter(|path| !path.as_os_str().is_empty());
        entries.extend(above.map(|path| (path.to_owned(), Kind::Folder)));
    }
    Ok(entries)
}

/// Returns what says that two builds give the same: source, place in it, command, environment and what is kept.
fn key(request: &Request<'_>, source: &Source) -> String {
    let mut text = String::new();
    // Each with its length, so that nothing can be taken for something else.
    let mut add = |part: &str| text += &format!("{} {part}\n", part.len());
    add(KEY_FORMAT);
    add(&source.digest);
    add(&source.folder.to_string_lossy());
    for path in request.keep {
        add("keep");
        add(&path.to_string_lossy());
    }
    if let Some(command) = request.prepare {
        for word in command {
            add("word");
            add(word);
        }
        for (name, value) in request.environment {
            add(name);
            add(value);
        }
    }
    tree::hash(text.as_bytes())
}

/// Makes a folder that only its owner may look into: what is built from may be more secret than what is kept of it.
fn make_private(folder: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().mode(0o700).create(folder);
    made.map_err(Error::file("make", folder))
}

/// Gives a file or folder to the one who works with it.
fn give(path: &Path, owner: Option<Owner>) -> Result<(), Error> {
    match owner {
        Some(owner) => {
            std::os::unix::fs::lchown(path, Some(owner.uid), Some(owner.gid)).map_err(Error::file("give away", path))
        }
        None => Ok(()),
    }
}

/// The right to build for a stack; given back by the kernel when its holder dies.
#[derive(Debug)]
pub(crate) struct BuildLock {
    _file: Lock,
    folder: PathBuf,
}

impl BuildLock {
    pub(crate) fn take(state: &Path, stack: &str, patience: Duration) -> Result<Self, Error> {
        let builds = state.join("builds");
        let path = builds.join(format!("{stack}.lock"));
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(Error::file("open", &path))?;
        match Lock::take(file, patience).map_err(Error::file("lock", &path))? {
            Some(file) => Ok(Self {
                _file: file,
                folder: builds.join(stack),
            }),
            None => Err(Error::Building {
                stack: stack.to_owned(),
            }),
        }
    }

    /// Removes what builds that were killed left; returns how many bytes that freed.
    pub(crate) fn clear(&self) -> u64 {
        // What a command that outlived its daemon still writes cannot all be removed now. The next build works elsewhere and tries again.
        tree::remove(&self.folder).unwrap_or(0)
    }
}

/// The folder of one build, removed with it.
struct Work(PathBuf);

impl Work {
    fn make(lock: &BuildLock, key: &str) -> Result<Self, Error> {
        // A folder of its own: a command of a build that was killed may still write into that one's.
        let path = lock.folder.join(format!("{}-{}", &key[..16], std::process::id()));
        let failed = || Error::file("make", &path);
        fs::create_dir_all(&lock.folder).map_err(failed())?;
        // A left-over of a process with our number.
        tree::remove(&path)?;
        fs::create_dir(&path).map_err(failed())?;
        let work = Self(path.clone());
        for folder in [&lock.folder, &path] {
            fs::set_permissions(folder, Permissions::from_mode(0o711)).map_err(failed())?;
        }
        Ok(work)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // The next build tries again.
        let _ = tree::remove(&self.0);
    }
}
