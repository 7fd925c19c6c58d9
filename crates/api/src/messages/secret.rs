//! Secrets: what is known of them beside their values, and, when it is asked for, a value.

use serde::{Deserialize, Serialize};
use tend_base::{Exposed, Wall};
use tend_core::model::StackName;

/// The secrets of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretList {
    /// Of which stack.
    pub stack: StackName,
    /// By name.
    pub items: Vec<SecretReport>,
    /// How many keys beside the machine's own open them.
    pub recovery_keys: u32,
}

/// One secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretReport {
    /// Its name.
    pub name: String,
    /// How it is rotated.
    pub class: String,
    /// Tend makes its values.
    pub generated: bool,
    /// When its current version should have been rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Wall>,
    /// That moment is over.
    pub overdue: bool,
    /// The services that are given it, as their definition stands.
    pub granted_to: Vec<String>,
    /// Its versions, the newest first.
    pub versions: Vec<SecretVersion>,
    /// Where its values come from, when that is a Vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SecretSource>,
    /// Where its rotation stands, while it is rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<String>,
}

/// Where the values of a secret come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretSource {
    /// The address of the Vault.
    pub address: String,
    /// Its path there.
    pub path: String,
    /// Which of the fields.
    pub field: String,
    /// The version there that was read last; not the version here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// `fresh`, or why it is not: `sealed`, `away`, `on standby`, `throttled`, `failing` or `login refused` of the server; `missing`,
    /// `deleted`, `denied` or `unusable` of the secret; `not read yet`.
    pub state: String,
    /// Since when it is not fresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Wall>,
    /// When it was last seen to be the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Wall>,
    /// Why it is not fresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// One version of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretVersion {
    /// Its number, from 1.
    pub version: u64,
    /// `staged`, `current`, `retired` or `destroyed`.
    pub state: String,
    /// When it was stored.
    pub made_at: Wall,
    /// By whom.
    pub made_by: String,
    /// When it became what it is.
    pub since: Wall,
    /// The replicas that run and were given it.
    pub held_by: Vec<String>,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretChanged {
    /// What was done, a line for each secret.
    pub messages: Vec<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
}

/// The value of a secret, for its owner's eyes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretValue {
    /// Which secret.
    pub name: String,
    /// Which version.
    pub version: u64,
    /// The value.
    pub value: Exposed,
}

/// A key that opens all secrets beside the machine's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryKeyReport {
    /// Its public half, which is kept.
    pub public: String,
    /// The key itself where it was made for this; it is kept nowhere and told once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Exposed>,
}
