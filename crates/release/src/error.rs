//! What can go wrong with artifacts, restore points and preflight, for a person. Knows no exit codes and no HTTP.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tend_base::format_duration;

/// Files named in an error; more are counted.
const NAMED_MAX: usize = 10;

/// A failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service's folder is not there.
    #[error("there is no folder `{path}`")]
    NoFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The checkout holds changes that no revision has.
    #[error("the checkout `{path}` has changes that are in no commit: {}", named(changed))]
    Dirty {
        /// The top folder of the checkout.
        path: PathBuf,
        /// The changed files, relative to it.
        changed: Vec<String>,
    },
    /// There is no such revision.
    #[error("the checkout `{path}` has no revision `{revision}`")]
    NoRevision {
        /// The top folder of the checkout.
        path: PathBuf,
        /// What was asked for.
        revision: String,
    },
    /// The service's folder is not in the revision.
    #[error("the folder `{folder}` is not in revision `{revision}`")]
    NotInRevision {
        /// The folder, relative to the top of the checkout.
        folder: PathBuf,
        /// The revision.
        revision: String,
    },
    /// A path to be kept lies outside of what was copied.
    #[error("`artifact: {path}` lies outside of `{root}`, which is all that is copied")]
    Outside {
        /// The path as it was given.
        path: PathBuf,
        /// The top of the copy, as the source has it.
        root: PathBuf,
    },
    /// A path to be kept is not there after the `prepare` command.
    #[error("`artifact: {path}` is not there{}", after(*prepared))]
    NotMade {
        /// The path as it was given.
        path: PathBuf,
        /// Whether there was a `prepare` command.
        prepared: bool,
    },
    /// A path to be kept goes through a symbolic link.
    #[error("`artifact: {path}` goes through the symbolic link `{link}`")]
    ThroughLink {
        /// The path as it was given.
        path: PathBuf,
        /// The link, relative to the top of the copy.
        link: PathBuf,
    },
    /// Something that is neither file, folder nor symbolic link.
    #[error("`{path}` is neither a file, a folder nor a symbolic link")]
    Unusual {
        /// What it is.
        path: PathBuf,
    },
    /// A name that a list of files cannot hold.
    #[error("the name of `{path}` holds a line break")]
    Name {
        /// Which.
        path: PathBuf,
    },
    /// The list of what to leave out cannot be read as such.
    #[error("line {line} of `{path}` cannot be read: {why}")]
    Ignore {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// The stack is being built already.
    #[error("another build of the stack `{stack}` is under way")]
    Building {
        /// The stack.
        stack: String,
    },
    /// The `prepare` command failed.
    #[error("`prepare` failed: {why}")]
    Prepare {
        /// What who ran it says.
        why: String,
    },
    /// An artifact is not there.
    #[error("there is no artifact `{path}`")]
    NoArtifact {
        /// Its folder.
        path: PathBuf,
    },
    /// An artifact was changed.
    #[error("the artifact `{path}` was changed: its files give {found}")]
    Changed {
        /// Its folder.
        path: PathBuf,
        /// The digest its files have now.
        found: String,
    },
    /// A program that is needed is not installed.
    #[error("`{program}` is not installed")]
    NoProgram {
        /// Its name.
        program: String,
        /// Debian's package that has it.
        package: &'static str,
    },
    /// A program failed.
    #[error("`{program}` failed: {why}")]
    Program {
        /// Its name with the verb, such as `git status`.
        program: String,
        /// What it said, or how it ended.
        why: String,
    },
    /// A program took too long.
    #[error("`{program}` did not end within {}", format_duration(*limit))]
    ProgramTimeout {
        /// Its name with the verb.
        program: String,
        /// How long it was given.
        limit: Duration,
    },
    /// A file or folder could not be used.
    #[error("could not {act} `{path}`")]
    File {
        /// What was tried: `read`, `write`, `remove`.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program to be run is missing.
    #[error("the program `{path}` is missing")]
    ExecutableMissing {
        /// The program.
        path: PathBuf,
    },
    /// The program to be run may not be executed.
    #[error("the program `{path}` is not executable: {why}")]
    NotExecutable {
        /// The program.
        path: PathBuf,
        /// Why not.
        why: &'static str,
        /// What to do about it.
        next: &'static str,
    },
    /// The program to be run was built for another kind of machine.
    #[error("the program `{path}` is built for {built_for}, and this machine is {machine}")]
    WrongArchitecture {
        /// The program.
        path: PathBuf,
        /// What it was built for.
        built_for: String,
        /// What this machine is.
        machine: String,
    },
    /// What is needed to run the program is missing.
    #[error("the program `{path}` needs the interpreter `{interpreter}`, which is missing")]
    InterpreterMissing {
        /// The program.
        path: PathBuf,
        /// What it names.
        interpreter: String,
    },
    /// The database could not be copied.
    #[error("could not {act} the SQLite database `{path}`")]
    Sqlite {
        /// What was tried.
        act: &'static str,
        /// The database or its copy.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// Reading the restore point back showed that it is no good.
    #[error("the restore point of `{of}` is no good: {why}")]
    NotReadBack {
        /// The database, without a password.
        of: String,
        /// What was seen.
        why: String,
    },
    /// The database could not be copied in time.
    #[error("the restore point of `{of}` was not taken within {}", format_duration(*limit))]
    RestorePointTimeout {
        /// The database, without a password.
        of: String,
        /// How long it was given.
        limit: Duration,
    },
    /// A restore point is being taken into the folder already.
    #[error("another restore point is being taken into `{path}`")]
    TakingRestorePoint {
        /// The folder.
        path: PathBuf,
    },
    /// The URL of a database cannot be read; it is not repeated, since it may hold a password.
    #[error("the URL of the PostgreSQL database cannot be read: {why}")]
    DatabaseUrl {
        /// What is wrong with it.
        why: &'static str,
    },
}

impl Error {
    /// Says what to do next, in one sentence.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Dirty { .. } => {
                "commit these files, or name in .gitignore what does not belong to the release, or deploy the files as they are with --allow-dirty"
                    .to_owned()
            }
            Self::NoRevision { .. } => "fetch it first, or name another: `git log --oneline` lists them".to_owned(),
            Self::NotInRevision { .. } => "commit the folder, or name a revision that has it".to_owned(),
            Self::Outside { .. } => {
                "keep what belongs to the release inside; in a git checkout the whole repository is copied".to_owned()
            }
            Self::NotMade { prepared: true, .. } => "look at what `prepare` makes, and where".to_owned(),
            Self::NotMade { prepared: false, .. } => {
                "name with `prepare` the command that makes it; only what is committed is copied".to_owned()
            }
            Self::ThroughLink { .. } => "name the real path".to_owned(),
            Self::Unusual { .. } | Self::Name { .. } => {
                "remove it, or name it in .tendignore where the folder is no git checkout".to_owned()
            }
            Self::Building { .. } => "wait until it is over, or abort the deploy that it belongs to".to_owned(),
            Self::Changed { .. } | Self::NoArtifact { .. } => "deploy again: it is built anew from its source".to_owned(),
            Self::NoProgram { package, .. } => format!("install it: apt-get install {package}"),
            Self::ProgramTimeout { program, .. } if program.starts_with("pg_") => {
                "see what the server is waiting for: select * from pg_stat_activity".to_owned()
            }
            Self::File { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "make room on that disk".to_owned()
            }
            Self::Sqlite { source, .. } if source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) => {
                "make room on that disk".to_owned()
            }
            Self::ExecutableMissing { .. } => {
                "see that `prepare` makes it, that `artifact` keeps it and that `command` names it".to_owned()
            }
            Self::NotExecutable { next, .. } => (*next).to_owned(),
            Self::WrongArchitecture { machine, .. } => format!("build it for {machine}"),
            Self::InterpreterMissing { interpreter, .. } => {
                format!("install `{interpreter}`, or build the program so that it does without")
            }
            Self::NotReadBack { .. } => "nothing was migrated; look at the database itself before the next try".to_owned(),
            Self::RestorePointTimeout { .. } => "see who keeps the database locked, and try again".to_owned(),
            Self::TakingRestorePoint { .. } => "wait until it is there, and try again".to_owned(),
            Self::DatabaseUrl { .. } => "write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE".to_owned(),
            _ => return None,
        };
        Some(hint)
    }

    /// Wraps a failure of the file system.
    pub(crate) fn file(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { act, path, source }
    }
}

fn named(files: &[String]) -> String {
    let mut text = files.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if files.len() > NAMED_MAX {
        text += &format!(" and {} more", files.len() - NAMED_MAX);
    }
    text
}

fn after(prepared: bool) -> &'static str {
    if prepared { " after `prepare`" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_changed_files_are_counted_instead_of_named() {
        let changed: Vec<String> = (0..12).map(|number| format!("f{number}")).collect();
        let error = Error::Dirty {
            path: "/srv/app".into(),
            changed,
        };
        assert_eq!(
            error.to_string(),
            "the checkout `/srv/app` has changes that are in no commit: f0, f1, f2, f3, f4, f5, f6, f7, f8, f9 and 2 more"
        );
    }
}
