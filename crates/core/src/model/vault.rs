//! Which secrets of a stack have their values in a Vault, and how one logs in there. Holds no value, and asks nobody.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A Vault, or OpenBao, that some secrets of a stack come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vault {
    /// `https://HOST:PORT`.
    pub address: String,
    /// The namespace everything is in; none for the topmost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Certificates that are believed in the place of the machine's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// How one logs in.
    pub login: VaultLogin,
    /// How often each secret is looked at.
    pub every: Duration,
    /// Where each secret is, by its name in tend's store.
    pub secrets: BTreeMap<String, VaultSecret>,
}

/// How one logs in at a Vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VaultLogin {
    /// With a token.
    Token(VaultCredential),
    /// With the ids of a role.
    AppRole {
        /// Where the method is mounted.
        mount: String,
        /// Which role.
        role_id: VaultCredential,
        /// Its password; none where the role is bound otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret_id: Option<VaultCredential>,
    },
}

/// Where a token or an id is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VaultCredential {
    /// In this file, which is read at each log-in.
    File(PathBuf),
    /// It is this secret of tend's store.
    Secret(String),
}

/// Where one secret is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultSecret {
    /// `MOUNT/data/NAME` of a KV engine of version 2.
    pub path: String,
    /// Which of its fields.
    pub field: String,
}
