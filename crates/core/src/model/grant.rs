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
    /// Another version that is accepted beside it while the secret is rotated: given in the same way, under a name of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub also: Option<u64>,
    /// In which way.
    pub delivery: SecretDelivery,
}

/// Which versions of a secret are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Issued {
    /// The one that is used.
    pub version: u64,
    /// The one that is accepted beside it.
    pub also: Option<u64>,
}

impl Issued {
    /// Returns whether a version is one of them.
    #[must_use]
    pub fn has(self, version: u64) -> bool {
        self.version == version || self.also == Some(version)
    }
}

impl From<u64> for Issued {
    fn from(version: u64) -> Self {
        Self { version, also: None }
    }
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

impl std::fmt::Display for SecretDelivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(name) => write!(f, "the file `{name}`"),
            Self::Environment(variable) => write!(f, "the variable `{variable}`"),
            Self::Descriptor(number) => write!(f, "the open file {number}"),
        }
    }
}

impl Grant {
    /// Returns which versions are given.
    #[must_use]
    pub fn issued(&self) -> Issued {
        Issued {
            version: self.version,
            also: self.also,
        }
    }
}

impl SecretDelivery {
    /// Returns where the version is that is accepted beside the one that is used; none in a way that holds one value alone.
    #[must_use]
    pub fn beside(&self) -> Option<Self> {
        match self {
            Self::File(name) => Some(Self::File(format!("{name}.also"))),
            Self::Environment(variable) => Some(Self::Environment(format!("{variable}_ALSO"))),
            Self::Descriptor(_) => None,
        }
    }
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

    /// Gives each secret the versions of now; returns which were others before. A secret that is not among them keeps its own.
    pub fn give_secrets(&mut self, issued: &BTreeMap<String, Issued>) -> BTreeSet<String> {
        let mut changed = BTreeSet::new();
        for grant in self.services.values_mut().flat_map(|service| &mut service.secrets) {
            let Some(now) = issued.get(&grant.secret).copied() else {
                continue;
            };
            if now != grant.issued() {
                (grant.version, grant.also) = (now.version, now.also);
                changed.insert(grant.secret.clone());
            }
        }
        changed
    }

    /// Returns the definition as its file has it: no version of a secret was looked up.
    #[must_use]
    pub fn as_in_file(&self) -> Self {
        let mut stack = self.clone();
        for grant in stack.services.values_mut().flat_map(|service| &mut service.secrets) {
            (grant.version, grant.also) = (0, None);
        }
        stack
    }

    fn granting(&self) -> impl Iterator<Item = &Service> {
        self.services.values().filter(|service| service.is_process())
    }
}
