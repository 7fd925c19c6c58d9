//! What a load needs from outside: files, paths, variables and choices.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Where files come from. The command line reads the disk; tests and the fuzzer bring their own.
///
/// All paths given are absolute. Nothing is cached here: a file named twice is read twice.
pub trait Files {
    /// Reads a whole file. `NotFound` is told apart from other errors by the caller.
    ///
    /// # Errors
    /// Whatever the system says; its text is shown to the user.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Returns whether there is a regular file (or a link to one) at the path.
    fn is_file(&self, path: &Path) -> bool;

    /// Returns who owns a file.
    ///
    /// # Errors
    /// Whatever the system says.
    fn owner(&self, path: &Path) -> io::Result<Owner>;
}

/// Who owns a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Numeric user.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
}

/// What to load and how.
pub struct Input<'a> {
    /// Where files come from.
    pub files: &'a dyn Files,
    /// The stack files (`-f a -f b`), absolute, later ones laid over earlier ones. At least one.
    pub paths: Vec<PathBuf>,
    /// The environment of the process, for variables in values and for `environment` entries without a value.
    pub environment: BTreeMap<String, String>,
    /// Profiles asked for (`--profile`); `COMPOSE_PROFILES` is read besides.
    pub profiles: Vec<String>,
    /// The stack's name, if given (`-p`).
    pub name: Option<String>,
}

/// Names a stack file may have in a folder, the first found being taken.
pub const FILE_NAMES: [&str; 6] = [
    "stack.yml",
    "stack.yaml",
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];

/// Returns the stack file of a folder, followed by its override file if there is one; empty when the folder has none.
///
/// As in Compose, `compose.yaml` is overridden by `compose.override.yaml` or `.yml`, and `docker-compose.yml` by
/// `docker-compose.override.yml` or `.yaml`; `stack.yml` has no such silent companion.
#[must_use]
pub fn find(files: &dyn Files, directory: &Path) -> Vec<PathBuf> {
    let Some(name) = FILE_NAMES.iter().find(|name| files.is_file(&directory.join(name))) else {
        return Vec::new();
    };
    let mut found = vec![directory.join(name)];
    let stem = name.split('.').next().unwrap_or_default();
    if stem != "stack" {
        found.extend(
            ["yml", "yaml"]
                .map(|end| directory.join(format!("{stem}.override.{end}")))
                .into_iter()
                .find(|path| files.is_file(path)),
        );
    }
    found
}
