//! A release: what exactly was, is or will be running, as a record that never changes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tend_base::Wall;

use super::{ServiceName, Stack};
use crate::journal::Principal;

/// What exactly runs. Never changed once made: another artifact, another value of a variable, is another release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// Number in its stack, from 1; never given twice.
    pub number: u64,
    /// The definition as its file had it, for telling whether the file changed since.
    pub file: Stack,
    /// The definition as it runs: a service with an artifact has that artifact's folder.
    pub stack: Stack,
    /// What was built, by service; one without is run in place, from a folder that tend does not keep.
    pub artifacts: BTreeMap<ServiceName, Artifact>,
    /// SHA-256 of the definition as the file had it, in hexadecimal: the revision of the configuration.
    pub configuration: String,
    /// Versions of the secrets it was resolved with. Rolling back the code never brings an older version back.
    #[serde(default)]
    pub secrets: BTreeMap<String, u64>,
    /// What the database has to look like for it.
    #[serde(default)]
    pub schema: Schema,
    /// When it was made.
    pub made_at: Wall,
    /// By whom.
    pub made_by: Principal,
    /// The release of another stack that it was promoted from, as `mps-staging/7`.
    #[serde(default)]
    pub promoted_from: Option<String>,
}

/// What a release was built into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// SHA-256 over the names, modes and contents of all its files, in hexadecimal.
    pub digest: String,
    /// The folder that holds it, which nobody writes to.
    pub path: PathBuf,
    /// The git revision it was built from; absent where the source is no git checkout.
    pub revision: Option<String>,
    /// What the source was, whether in git or not: an artifact of the same source and command is not built again.
    pub source: String,
}

/// What the migrations of a release do to the database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Every migration the release knows, in order.
    pub migrations: Vec<Migration>,
}

/// One migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// Its file name.
    pub name: String,
    /// What it does to code of the release before.
    pub class: MigrationClass,
}

/// What a migration does to the code that ran before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MigrationClass {
    /// Only adds: the release before runs on with it.
    Expand,
    /// Takes away what the release before needs: held back while that release is the way back.
    Contract,
    /// Cannot be lived with by the release before, and cannot be taken back either.
    Irreversible,
}

impl MigrationClass {
    /// Returns the word for it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Expand => "expand",
            Self::Contract => "contract",
            Self::Irreversible => "irreversible",
        }
    }
}
