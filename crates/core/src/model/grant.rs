//! Which secrets a service is given, by name and version, and in which way. Holds no value, and knows of none.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Service, Stack};

/// One secret that the replicas of a service are given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its name in the store.
    pub secret: String,
    /// Its version; 0 in a definition for which none was looked up yet, as it comes from the file.
    #[serde(default)]
    pub version: u64,
    /// In which way.
    pub delivery: SecretDelivery,
}

/// The way in which a replica is given a secret. There is no other: an argument is seen by everybody on the machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretDelivery {
    /// As a file of this name, in the folder that `TEND_SECRETS` names.
    File(String),
    /// In this variable of its environment.
    Environment(String),
    /// As an open file with this number, 3 or above.
    Descriptor(i32),
}

/// Returns whether a text can be the name of a secret: letters, digits, `_`, `-` and `.`, beginning with a letter or digit, at most 64.
///
/// It becomes the name of a file and part of an address, so it is narrow.
#[must_use]
pub fn is_secret_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    text.len() <= 64
        && text.bytes().all(plain)
        && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
}

impl Stack {
    /// Returns the names of all secrets that its processes are given.
    #[must_use]
    pub fn secrets_named(&self) -> BTreeSet<&str> {
        let grants = self.granting().flat_map(|service| &service.secrets);
        grants.map(|grant| grant.secret.as_str()).collect()
    }

    /// Returns the version of each secret as its services name it; 0 where none was looked up.
    #[must_use]
    pub fn secret_versions(&self) -> BTreeMap<String, u64> {
        let grants = self.granting().flat_map(|service| &service.secrets);
        grants.map(|grant| (grant.secret.clone(), grant.version)).collect()
    }

    /// Gives each secret the version that is current; returns whether any was another before. A secret that is not among them keeps
    /// its own.
    pub fn give_secrets(&mut self, current: &BTreeMap<String, u64>) -> bool {
        let mut changed = false;
        for grant in self.services.values_mut().flat_map(|service| &mut service.secrets) {
            if let Some(version) = current.get(&grant.secret).filter(|version| **version != grant.version) {
                grant.version = *version;
                changed = true;
            }
        }
        changed
    }

    /// Returns the definition as its file has it: no version of a secret was looked up.
    #[must_use]
    pub fn as_in_file(&self) -> Self {
        let mut stack = self.clone();
        for grant in stack.services.values_mut().flat_map(|service| &mut service.secrets) {
            grant.version = 0;
        }
        stack
    }

    fn granting(&self) -> impl Iterator<Item = &Service> {
        self.services.values().filter(|service| service.is_process())
    }
}
