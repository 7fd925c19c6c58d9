//! What the controller has to know of a stack's configuration: which variables its services are started with because of it.
//!
//! Keys, layers and rules are `tend-config`'s. What a replica is told while it runs is no decision of the controller either: only what a
//! replica has to be started anew for stands here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tend_base::Fnv64;

use crate::journal::Principal;
use crate::model::{ServiceName, StackName};

/// A revision of a stack's configuration, as far as replicas are started with it. Outlives the stack: who takes one down and up again
/// finds the same history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Configuration {
    /// Its number in the stack, from 1; never given twice.
    pub revision: u64,
    /// The variables of each service that takes its configuration from its environment. No secret is among them.
    pub environment: BTreeMap<ServiceName, BTreeMap<String, String>>,
}

impl Configuration {
    /// Returns what a service is started with.
    pub fn of(&self, service: &ServiceName) -> impl Iterator<Item = (&String, &String)> {
        self.environment.get(service).into_iter().flatten()
    }

    /// Returns a fingerprint that also changes when a service has to be started anew for its configuration; that of its definition alone
    /// when it has none, so that what ran before there was any is known again.
    pub(crate) fn fingerprint(&self, service: &ServiceName, definition: u64) -> u64 {
        let Some(environment) = self.environment.get(service).filter(|found| !found.is_empty()) else {
            return definition;
        };
        let mut hash = Fnv64::default();
        hash.number(definition);
        for text in environment.iter().flat_map(|(name, value)| [name, value]) {
            hash.bytes(text.as_bytes());
            hash.number(text.len() as u64);
        }
        hash.value()
    }
}

/// A revision that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigureWish {
    /// Of which stack.
    pub stack: StackName,
    /// What follows from it for replicas; its number has to be the next one.
    pub configuration: Configuration,
    /// The whole revision, kept as it is and not looked into. No secret is in it.
    pub record: Value,
    /// What it changes, for the journal; secrets are masked.
    pub changes: Value,
    /// Revisions that are kept no longer.
    pub forgotten: Vec<u64>,
    /// Who, as which it is recorded.
    pub by: Principal,
}
