//! What an artifact is built from: a git revision, a checkout as it stands, or the files of a folder; and where its paths land in an
//! artifact.
//!
//! Writes nothing. Does not know what is built, nor by what command.

use std::path::{Component, Path, PathBuf};

use crate::build::Request;
use crate::error::Error;
use crate::git::Checkout;
use crate::ignore::{FILE, Ignore};
use crate::tree::{Entries, Kind, Tree};

/// By whom git and other programs are run, and to whom the copy belongs that a `prepare` command works in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
}

/// What an artifact is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it is: `git:` and the name of a tree, or `files:` and the SHA-256 over names, modes and contents.
    pub digest: String,
    /// The commit, with `-dirty` behind it when the files are not as they are there; none where there is no git.
    pub revision: Option<String>,
    /// The files are not those of the commit.
    pub dirty: bool,
    /// Changed, new and missing files, relative to `root`.
    pub changed: Vec<String>,
    /// The top of what is copied: that of the checkout, or the service's folder where there is no git. Absolute, without links.
    pub root: PathBuf,
    /// The service's folder, relative to `root`; empty when it is the same.
    pub folder: PathBuf,
}

impl Source {
    /// Returns where a path of the source lands in an artifact that lies at `artifact`: what is below the top of the source keeps its
    /// place below `artifact`, everything else stays where it is.
    ///
    /// A relative path is taken as relative to the service's folder. Links are not looked at.
    #[must_use]
    pub fn relocate(&self, artifact: &Path, path: &Path) -> PathBuf {
        let absolute = self.root.join(&self.folder).join(path);
        match self.below_root(path) {
            Some(below) if below.as_os_str().is_empty() => artifact.to_owned(),
            Some(below) => artifact.join(below),
            None => absolute,
        }
    }

    /// Returns a path relative to the top of the source; none when it lies outside.
    pub(crate) fn below_root(&self, path: &Path) -> Option<PathBuf> {
        let path = self.root.join(&self.folder).join(path);
        let mut plain = PathBuf::new();
        for component in path.components() {
            match component {
                Component::ParentDir => {
                    plain.pop();
                }
                Component::CurDir => {}
                other => plain.push(other),
            }
        }
        plain.strip_prefix(&self.root).ok().map(Path::to_owned)
    }
}

/// Returns what a build of `request` would be made from now.
///
/// Of a checkout counts the service's folder alone when nothing is prepared and all that is kept lies in it, else the whole repository.
/// A dirty checkout is no error here; [`Source::changed`] names the files.
///
/// # Errors
/// When the folder, the revision or git is not there, or a file cannot be read.
pub fn source(request: &Request<'_>) -> Result<Source, Error> {
    Ok(Origin::of(request)?.source)
}

/// A source, and how to get at its files.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) source: Source,
    pub(crate) files: Files,
}

/// Where the files of a source come from.
#[derive(Debug)]
pub(crate) enum Files {
    /// Out of git.
    Git {
        checkout: Checkout,
        commit: String,
        /// What of it, relative to the top.
        scope: PathBuf,
    },
    /// These, as they lie below the top.
    Here { entries: Entries },
}

impl Origin {
    pub(crate) fn of(request: &Request<'_>) -> Result<Self, Error> {
        let directory = request.directory.canonicalize().ok().filter(|path| path.is_dir());
        let directory = directory.ok_or_else(|| Error::NoFolder {
            path: request.directory.to_owned(),
        })?;
        match Checkout::of(&directory, request.owner)? {
            Some(checkout) => Self::in_git(request, &directory, checkout),
            None => match request.revision {
                Some(revision) => Err(Error::NoRevision {
                    path: directory,
                    revision: revision.to_owned(),
                }),
                None => Self::without_git(directory),
            },
        }
    }

    fn in_git(request: &Request<'_>, directory: &Path, checkout: Checkout) -> Result<Self, Error> {
        let folder = directory
            .strip_prefix(&checkout.top)
            .unwrap_or(Path::new(""))
            .to_owned();
        let mut source = Source {
            digest: String::new(),
            revision: None,
            dirty: false,
            changed: Vec::new(),
            root: checkout.top.clone(),
            folder,
        };
        let within = |path: &PathBuf| {
            source
                .below_root(path)
                .is_some_and(|path| path.starts_with(&source.folder))
        };
        let scope = if request.prepare.is_none() && request.keep.iter().all(within) {
            source.folder.clone()
        } else {
            PathBuf::new()
        };
        let commit = checkout.commit(request.revision.unwrap_or("HEAD"))?;
        if request.revision.is_none() {
            source.changed = checkout.changed(&scope)?;
            source.dirty = !source.changed.is_empty();
        }
        if source.dirty {
            let top = Tree::open(&checkout.top)?;
            let entries = working_files(&top, &checkout, &scope, &source.folder)?;
            source.digest = format!("files:{}", top.digest(&entries)?);
            source.revision = Some(format!("{commit}-dirty"));
            return Ok(Self {
                source,
                files: Files::Here { entries },
            });
        }
        // Looked up even where the whole repository counts: without the service's folder there is nothing to run.
        checkout.tree(&commit, &source.folder)?;
        source.digest = format!("git:{}", checkout.tree(&commit, &scope)?);
        source.revision = Some(commit.clone());
        Ok(Self {
            source,
            files: Files::Git {
                checkout,
                commit,
                scope,
            },
        })
    }

    fn without_git(directory: PathBuf) -> Result<Self, Error> {
        let tree = Tree::open(&directory)?;
        let path = directory.join(FILE);
        let ignore = match tree.kind_at(Path::new(FILE))? {
            Some(Kind::File { .. }) => {
                let text = std::io::read_to_string(tree.file(Path::new(FILE))?).map_err(Error::file("read", &path))?;
                Ignore::parse(&text, &path)?
            }
            _ => Ignore::default(),
        };
        let entries = tree.below(Path::new(""), &|path, is_folder| ignore.leaves_out(path, is_folder))?;
        Ok(Self {
            source: Source {
                digest: format!("files:{}", tree.digest(&entries)?),
                revision: None,
                dirty: false,
                changed: Vec::new(),
                root: directory,
                folder: PathBuf::new(),
            },
            files: Files::Here { entries },
        })
    }
}

/// Returns the files of a checkout as they stand, with the folders they are in.
fn working_files(top: &Tree, checkout: &Checkout, scope: &Path, folder: &Path) -> Result<Entries, Error> {
    let no_git = Ignore::default();
    let mut entries = Entries::new();
    // There even when nothing in it is.
    let mut folders = vec![folder.join("x")];
    for path in checkout.files(scope)? {
        match top.kind_at(&path)? {
            // Known to git and removed here.
            None => continue,
            Some(Kind::Folder) => {
                entries.extend(top.below(&path, &|path, is_folder| no_git.leaves_out(path, is_folder))?)
            }
            Some(kind) => {
                entries.insert(path.clone(), kind);
            }
        }
        folders.push(path);
    }
    for path in folders {
        let above = path.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty());
        entries.extend(above.map(|path| (path.to_owned(), Kind::Folder)));
    }
    Ok(entries)
}
