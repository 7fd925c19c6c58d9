//! Asking git about a checkout, and having it write out a revision.
//!
//! Changes nothing in the checkout: no lock is taken in it, and what is written out goes through an index of its own, elsewhere. git
//! itself refuses a checkout of another user, since its configuration may name programs; so it is run as the checkout's owner.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Error;
use crate::program::Program;
use crate::source::Owner;

/// Longest that git may take for one answer. It is for a disk that hangs: the largest repositories are written out in minutes.
const GIT_MAX: Duration = Duration::from_secs(600);

/// Mode of a submodule in git's lists.
const SUBMODULE: &[u8] = b"160000 ";

/// A checkout.
#[derive(Clone, Debug)]
pub(crate) struct Checkout {
    /// Its top folder.
    pub(crate) top: PathBuf,
    owner: Option<Owner>,
}

impl Checkout {
    /// Returns the checkout that a folder lies in, as far as it is part of it; none when it is in none.
    ///
    /// `directory` is absolute and has no links in it.
    pub(crate) fn of(directory: &Path, owner: Option<Owner>) -> Result<Option<Self>, Error> {
        let Some(top) = directory.ancestors().find(|folder| folder.join(".git").exists()) else {
            return Ok(None);
        };
        let checkout = Self {
            top: top.to_owned(),
            owner,
        };
        if top != directory {
            // A folder that is named in .gitignore has nothing to do with the checkout around it.
            let mut ask = checkout.git("check-ignore");
            ask.command.args(["--quiet", "--"]).arg(directory);
            let (status, said) = ask.ended()?;
            match status.code() {
                Some(0) => return Ok(None),
                Some(1) => {}
                _ => {
                    return Err(Error::Program {
                        program: "git check-ignore".to_owned(),
                        why: said,
                    });
                }
            }
        }
        Ok(Some(checkout))
    }

    /// Returns the full name of a commit.
    pub(crate) fn commit(&self, revision: &str) -> Result<String, Error> {
        self.object(format!("{revision}^{{commit}}"))?
            .ok_or_else(|| Error::NoRevision {
                path: self.top.clone(),
                revision: revision.to_owned(),
            })
    }

    /// Returns the name of the tree that a folder is in a commit.
    pub(crate) fn tree(&self, commit: &str, folder: &Path) -> Result<String, Error> {
        let mut name = OsString::from(format!("{commit}:"));
        name.push(folder);
        self.object(name)?.ok_or_else(|| Error::NotInRevision {
            folder: folder.to_owned(),
            revision: commit.to_owned(),
        })
    }

    fn object(&self, name: impl AsRef<OsStr>) -> Result<Option<String>, Error> {
        let mut ask = self.git("rev-parse");
        ask.command
            .args(["--verify", "--quiet", "--end-of-options"])
            .arg(name.as_ref());
        let (status, said) = ask.ended()?;
        match status.code() {
            Some(0) => Ok(Some(said.trim().to_owned())),
            // With --quiet, an object that is not there is told by the status alone.
            Some(_) if said.is_empty() => Ok(None),
            _ => Err(Error::Program {
                program: "git rev-parse".to_owned(),
                why: said,
            }),
        }
    }

    /// Returns the files below a folder that are in no commit as they are, relative to the top: changed, new or gone.
    pub(crate) fn changed(&self, folder: &Path) -> Result<Vec<String>, Error> {
        let mut ask = self.git("status");
        ask.command
            .args(["--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--"])
            .arg(below(folder));
        let listed = ask.output()?;
        let entries = listed.split(|byte| *byte == 0).filter(|entry| entry.len() > 3);
        Ok(entries
            .map(|entry| String::from_utf8_lossy(&entry[3..]).into_owned())
            .collect())
    }

    /// Returns the files below a folder that belong to the checkout as it stands: known to git, or new and not ignored.
    ///
    /// A submodule, and a repository inside that git does not know, is listed as a folder.
    pub(crate) fn files(&self, folder: &Path) -> Result<Vec<PathBuf>, Error> {
        let mut ask = self.git("ls-files");
        ask.command
            .args([
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
                "--deduplicate",
                "--",
            ])
            .arg(below(folder));
        Ok(paths(&ask.output()?))
    }

    /// Writes what is below `folder` in `commit` into the folder `to`, as if that were the top of the checkout.
    ///
    /// `index` is where git may keep a file meanwhile; both places must be the owner's.
    pub(crate) fn write_out(&self, commit: &str, folder: &Path, to: &Path, index: &Path) -> Result<(), Error> {
        let git = |verb| {
            let mut program = self.git(verb);
            program.command.env("GIT_INDEX_FILE", index);
            program
        };
        let mut read = git("read-tree");
        read.command.arg(commit);
        read.output()?;
        let mut list = git("ls-files");
        list.command.args(["--stage", "-z", "--"]).arg(below(folder));
        let listed = list.output()?;
        // `MODE OBJECT STAGE\tPATH`
        let entries = listed.split(|byte| *byte == 0).filter_map(|entry| {
            let tab = entry.iter().position(|byte| *byte == b'\t')?;
            Some((&entry[..tab], &entry[tab + 1..]))
        });
        let (submodules, files): (Vec<_>, Vec<_>) = entries.partition(|(facts, _)| facts.starts_with(SUBMODULE));
        let mut prefix = to.as_os_str().to_owned();
        prefix.push("/");
        let mut write = git("checkout-index");
        let mut option = OsString::from("--prefix=");
        option.push(&prefix);
        write.command.args(["--force", "-z", "--stdin"]).arg(option);
        for (_, path) in files {
            write.input.extend_from_slice(path);
            write.input.push(0);
        }
        if !write.input.is_empty() {
            write.output()?;
        }
        for (facts, path) in submodules {
            let path = Path::new(OsStr::from_bytes(path));
            let inner = Self {
                top: self.top.join(path),
                owner: self.owner,
            };
            // One that nobody fetched is an empty folder, as it is in a fresh clone.
            if inner.top.join(".git").exists()
                && let Some(object) = facts.split(|byte| *byte == b' ').nth(1)
            {
                let commit = String::from_utf8_lossy(object);
                let mut index = index.as_os_str().to_owned();
                index.push("-submodule");
                inner.write_out(&commit, Path::new(""), &to.join(path), Path::new(&index))?;
            }
        }
        Ok(())
    }

    fn git(&self, verb: &str) -> Program {
        let mut program = Program::new("git", verb, "git", self.owner, GIT_MAX);
        // The checkout may belong to somebody else than the one as whom the service runs, as git is run here: what git warns of is that
        // the configuration of the checkout has programs run, and they have no more rights than the service.
        let mut safe = OsString::from("safe.directory=");
        safe.push(&self.top);
        program.command.arg("-c").arg(safe);
        program
            .command
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            .args(["-c", "core.fsmonitor=false", "-C"])
            .arg(&self.top);
        if verb != "check-ignore" {
            // Names are names, whatever letters they hold. That one takes them so anyhow, and refuses to be told.
            program.command.arg("--literal-pathspecs");
        }
        program.command.arg(verb);
        program
    }
}

/// Returns how git is told to look below a folder.
fn below(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    }
}

fn paths(listed: &[u8]) -> Vec<PathBuf> {
    let names = listed.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| PathBuf::from(OsString::from_vec(name.strip_suffix(b"/").unwrap_or(name).to_vec())))
        .collect()
}
