//! Releases of a stack, and the attempts to run them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tend_base::Wall;
use tend_core::model::{ServiceName, StackName};

use super::Definition;

/// All releases of a stack that are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseList {
    /// Of which stack.
    pub stack: StackName,
    /// Oldest first.
    pub releases: Vec<ReleaseSummary>,
    /// The attempt under way.
    #[serde(default)]
    pub deployment: Option<DeploymentReport>,
    /// Attempts that ended, oldest first.
    #[serde(default)]
    pub history: Vec<AttemptReport>,
}

/// One release in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseSummary {
    /// Its number.
    pub number: u64,
    /// What it is at the moment.
    pub role: ReleaseRole,
    /// When it was made, in milliseconds since 1970 UTC.
    pub made_at: Wall,
    /// By whom.
    pub made_by: String,
    /// The git revisions it was built from, shortened to one where all are alike; empty without git.
    #[serde(default)]
    pub revision: String,
    /// The release of another stack that it was promoted from, as `mps-staging/7`.
    #[serde(default)]
    pub promoted_from: Option<String>,
    /// What is to be known before it is run again, such as a folder that tend does not keep.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// What a release is to its stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseRole {
    /// It runs.
    Running,
    /// It ran before, and is the way back.
    Back,
    /// A deployment is on its way to it.
    Target,
    /// It is kept.
    #[serde(other)]
    Kept,
}

impl ReleaseRole {
    /// Returns the word shown for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ReleaseRole::Running => "running",
            ReleaseRole::Back => "way back",
            ReleaseRole::Target => "on its way",
            ReleaseRole::Kept => "kept",
        }
    }
}

/// One release. Values of its environment are not shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseReport {
    /// Of which stack.
    pub stack: StackName,
    /// As in the list.
    #[serde(flatten)]
    pub summary: ReleaseSummary,
    /// SHA-256 of the definition as its file had it, in hexadecimal.
    pub configuration: String,
    /// What was built, by service; one that is not here runs in place.
    #[serde(default)]
    pub artifacts: BTreeMap<ServiceName, ArtifactReport>,
    /// Versions of the secrets it was resolved with.
    #[serde(default)]
    pub secrets: BTreeMap<String, u64>,
    /// The migrations it knows, in order, each with its class: `expand`, `contract` or `irreversible`.
    #[serde(default)]
    pub migrations: Vec<MigrationReport>,
    /// How each service is defined.
    #[serde(default)]
    pub services: BTreeMap<ServiceName, Definition>,
}

/// What a service of a release was built into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactReport {
    /// SHA-256 over the names, modes and contents of all its files, in hexadecimal.
    pub digest: String,
    /// The folder that holds it.
    pub path: PathBuf,
    /// The git revision it was built from.
    #[serde(default)]
    pub revision: Option<String>,
}

/// A migration of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationReport {
    /// Its file name.
    pub name: String,
    /// What it does to the code that ran before.
    pub class: String,
}

/// An attempt under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentReport {
    /// Its number in the stack.
    pub number: u64,
    /// `deploy` or `rollback`.
    pub purpose: String,
    /// The release to be run.
    pub target: u64,
    /// The release that ran when it began.
    #[serde(default)]
    pub from: Option<u64>,
    /// How far it is, in a word or two.
    pub phase: String,
    /// Who asked for it.
    pub by: String,
    /// What they said of it.
    #[serde(default)]
    pub reason: Option<String>,
    /// When it began, in milliseconds since 1970 UTC.
    pub begun: Wall,
    /// It is undone then unless it is confirmed before.
    #[serde(default)]
    pub confirm_until: Option<Wall>,
    /// Why it is undone or held.
    #[serde(default)]
    pub why: Option<String>,
}

/// An attempt that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptReport {
    /// Its number in the stack.
    pub number: u64,
    /// `deploy` or `rollback`.
    pub purpose: String,
    /// The release it was about.
    pub target: u64,
    /// The release before.
    #[serde(default)]
    pub from: Option<u64>,
    /// `committed`, `refused` or `undone`.
    pub result: String,
    /// Why, when it did not do what was asked.
    #[serde(default)]
    pub why: Option<String>,
    /// Who asked for it.
    pub by: String,
    /// When it ended, in milliseconds since 1970 UTC.
    pub ended: Wall,
    /// From its begin to its end, in milliseconds.
    #[serde(default)]
    pub took_ms: u64,
}

/// Whether an earlier release can be run again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackReport {
    /// Of which stack.
    pub stack: StackName,
    /// The release that runs.
    pub from: u64,
    /// The release that would be run.
    pub to: u64,
    /// Whether `tend rollback` would do it.
    pub safe: bool,
    /// What speaks against it.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// What was looked at and found to be no obstacle.
    #[serde(default)]
    pub notes: Vec<String>,
}
