//! What is looked through: the daemon's folders, file by file, and how closely. Opens no file.
//!
//! A folder is listed again once its files were looked through: what was rotated or begun meanwhile is looked through too.

use std::collections::BTreeSet;
use std::fs::FileType;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use tend_api::Paths;

/// A folder in which files keep appearing is listed so many times.
const LISTED_MAX: usize = 10;

/// How closely a file is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// For known values, and for what looks like a secret.
    Closely,
    /// For known values: other things there that look like a secret are so on purpose, or are a user's own.
    ForValues,
}

/// Where is looked, and where not.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Files and folders, each with all below it.
    pub(super) roots: Vec<(PathBuf, Look)>,
    /// What is not looked at, with why.
    pub(super) left_out: Vec<String>,
}

/// A file that was found.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) look: Look,
    pub(super) bytes: u64,
}

impl Places {
    /// Returns everything in the daemon's folders. `secret_files` are the files that replicas are given their secrets in.
    pub(super) fn all(paths: &Paths, secret_files: &Path, in_memory: bool) -> io::Result<Self> {
        let mut places = Self::default();
        let mut names: Vec<_> = std::fs::read_dir(&paths.state)?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<_>>()?;
        names.sort();
        for name in names {
            let path = paths.state.join(&name);
            let look = match name.to_str() {
                Some("bin") => {
                    places.leave_out(&path, "programs of tend");
                    continue;
                }
                Some("data") => {
                    places.leave_out(&path, "what services keep there themselves");
                    continue;
                }
                // Code and databases of users.
                Some("artifacts" | "builds" | "restore-points") => Look::ForValues,
                // Keys are kept there.
                Some("secrets" | "certificates" | "machine.key") => Look::ForValues,
                _ => Look::Closely,
            };
            places.roots.push((path, look));
        }
        // What tend writes for itself: names of secrets look as if they were some.
        places.roots.push((paths.run.clone(), Look::ForValues));
        if in_memory {
            places.leave_out(secret_files, "in memory, where replicas are given their secrets");
        } else if !secret_files.starts_with(&paths.run) {
            places.roots.push((secret_files.to_owned(), Look::ForValues));
        }
        Ok(places)
    }

    /// Returns the output of some stacks.
    pub(super) fn output_of(paths: &Paths, stacks: &[String]) -> Self {
        let logs = paths.state.join("logs");
        let roots = stacks.iter().map(|stack| (logs.join(stack), Look::Closely));
        let mut places = Self {
            roots: roots.filter(|(path, _)| path.exists()).collect(),
            ..Self::default()
        };
        let others = "journal, state and what all stacks share: only the daemon's user and root have it looked through";
        places.leave_out(&paths.state, others);
        places
    }

    fn leave_out(&mut self, path: &Path, why: &str) {
        if path.exists() {
            self.left_out.push(format!("{}: {why}", path.display()));
        }
    }

    fn is_left_out(&self, path: &Path) -> bool {
        let told = format!("{}: ", path.display());
        self.left_out.iter().any(|left| left.starts_with(&told))
    }

    /// Returns how many files and bytes there are now.
    pub(super) fn size(&self) -> (u64, u64) {
        let (mut files, mut bytes) = (0, 0);
        // What cannot be listed is told when it is looked through.
        let _ = self.visit(&mut |_| {}, &mut |file| {
            files += 1;
            bytes += file.bytes;
            ControlFlow::Continue(())
        });
        (files, bytes)
    }

    /// Shows every file once, in the order of names; folders that cannot be listed go to `unread`. Links are not followed, and what is
    /// no file (sockets, pipes) is passed over.
    pub(super) fn visit(
        &self,
        unread: &mut dyn FnMut(String),
        each: &mut dyn FnMut(&File) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for (root, look) in &self.roots {
            match std::fs::symlink_metadata(root) {
                Ok(facts) if facts.is_file() => each(&File {
                    path: root.clone(),
                    look: *look,
                    bytes: facts.len(),
                })?,
                Ok(facts) if facts.is_dir() => self.folder(root, *look, unread, each)?,
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn folder(
        &self,
        folder: &Path,
        look: Look,
        unread: &mut dyn FnMut(String),
        each: &mut dyn FnMut(&File) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if self.is_left_out(folder) {
            return ControlFlow::Continue(());
        }
        let mut seen = BTreeSet::new();
        for _ in 0..LISTED_MAX {
            let new = match listed(folder) {
                Ok(entries) => entries.into_iter().filter(|(_, _, inode)| !seen.contains(inode)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => {
                    unread(format!("{}: {error}", folder.display()));
                    break;
                }
            };
            let new: Vec<_> = new.collect();
            if new.is_empty() {
                break;
            }
            for (path, kind, inode) in new {
                if kind.is_dir() {
                    seen.insert(inode);
                    self.folder(&path, look, unread, each)?;
                } else if kind.is_file() {
                    // Rotated between listing and now, it is another file under this name, and the one listed has another name.
                    let Ok(facts) = std::fs::symlink_metadata(&path) else {
                        continue;
                    };
                    if facts.is_file() && seen.insert(facts.ino()) {
                        let bytes = facts.len();
                        each(&File { path, look, bytes })?;
                    }
                } else {
                    seen.insert(inode);
                }
            }
        }
        ControlFlow::Continue(())
    }
}

/// Returns what stands in a folder, by name.
fn listed(folder: &Path) -> io::Result<Vec<(PathBuf, FileType, u64)>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        entries.push((entry.path(), entry.file_type()?, entry.ino()));
    }
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tend-audit-places-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str) {
            let path = self.0.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }

        fn paths(&self) -> Paths {
            Paths {
                state: self.0.join("state"),
                run: self.0.join("run"),
            }
        }

        fn visited(&self, places: &Places, mut meanwhile: impl FnMut(&str)) -> Vec<String> {
            let mut names = Vec::new();
            let _ = places.visit(&mut |why| panic!("{why}"), &mut |file| {
                let name = file.path.strip_prefix(&self.0).unwrap().display().to_string();
                meanwhile(&name);
                names.push(name);
                ControlFlow::Continue(())
            });
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn all_is_looked_through_but_programs_services_own_data_and_secrets_in_memory() {
        let folder = Folder::new("all");
        for name in [
            "state/tend.db",
            "state/machine.key",
            "state/bin/1/tend",
            "state/data/mps/x",
            "state/logs/mps/api/1/stdout.log",
            "state/anything/new",
            "run/r/1/state",
            "run/s/1/db_password",
        ] {
            folder.write(name);
        }
        std::os::unix::fs::symlink("/etc", folder.0.join("state/logs/link")).unwrap();
        let places = Places::all(&folder.paths(), &folder.0.join("run/s"), true).unwrap();
        let expected = [
            "state/anything/new",
            "state/logs/mps/api/1/stdout.log",
            "state/machine.key",
            "state/tend.db",
            "run/r/1/state",
        ];
        assert_eq!(folder.visited(&places, |_| {}), expected);
        assert_eq!(places.size().0, 5);
        assert_eq!(places.left_out.len(), 3, "{:?}", places.left_out);
        // On a disk they are looked through as well.
        let places = Places::all(&folder.paths(), &folder.0.join("run/s"), false).unwrap();
        assert!(
            folder
                .visited(&places, |_| {})
                .contains(&"run/s/1/db_password".to_owned())
        );
    }

    #[test]
    fn of_a_stack_its_output_alone_is_looked_through() {
        let folder = Folder::new("own");
        folder.write("state/tend.db");
        folder.write("state/logs/mps/api/1/stdout.log");
        folder.write("state/logs/other/api/1/stdout.log");
        let places = Places::output_of(&folder.paths(), &["mps".to_owned(), "none".to_owned()]);
        assert_eq!(folder.visited(&places, |_| {}), ["state/logs/mps/api/1/stdout.log"]);
    }

    #[test]
    fn a_file_that_is_rotated_meanwhile_is_looked_through_once_and_its_successor_too() {
        let folder = Folder::new("rotated");
        folder.write("state/logs/mps/api/1/stderr.log");
        folder.write("state/logs/mps/api/1/stdout.log");
        let places = Places::output_of(&folder.paths(), &["mps".to_owned()]);
        let logs = folder.0.join("state/logs/mps/api/1");
        let mut rotated = false;
        let names = folder.visited(&places, |_| {
            if !std::mem::replace(&mut rotated, true) {
                std::fs::rename(logs.join("stdout.log"), logs.join("stdout.log.1")).unwrap();
                std::fs::write(logs.join("stdout.log"), "new").unwrap();
            }
        });
        assert_eq!(
            names,
            [
                "state/logs/mps/api/1/stderr.log",
                "state/logs/mps/api/1/stdout.log",
                "state/logs/mps/api/1/stdout.log.1"
            ]
        );
    }
}
