//! What the controller has to know of a stack's configuration: which variables its services are started with because of it.
//!
//! Keys, layers and rules are `tend-config`'s. What a replica is told while it runs is no decision of the controller either: only what a
//! replica has to be started anew for stands here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tend_base::Fnv64;

use crate::controller::DeployWish;
use crate::journal::Principal;
use crate::model::{Grant, ServiceName, Stack, StackName};

/// A revision of a stack's configuration, as far as replicas are started with it. Outlives the stack: who takes one down and up again
/// finds the same history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Configuration {
    /// Its number in the stack, from 1; never given twice.
    pub revision: u64,
    /// What each service is started with.
    pub services: BTreeMap<ServiceName, StartedWith>,
    /// The highest number ever given in the stack, where that is not its own: a revision that came with a deployment is gone with it, and its
    /// number is not given again.
    pub last: u64,
}

/// What a service is started with because of a revision: another one of these is another start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StartedWith {
    /// Variables. No secret is among them.
    pub variables: BTreeMap<String, String>,
    /// Secrets of the store, by name and version.
    pub secrets: Vec<Grant>,
    /// Variables whose secret values stand outside of the store, such as in `.env`, and the mark by which one value is told from another;
    /// the daemon has the values.
    pub outside: BTreeMap<String, String>,
}

impl StartedWith {
    /// Returns whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty() && self.secrets.is_empty() && self.outside.is_empty()
    }
}

impl Configuration {
    /// Returns the number of the revision to come.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.revision.max(self.last) + 1
    }

    /// Returns what a service is started with, if there is anything.
    #[must_use]
    pub fn of(&self, service: &ServiceName) -> Option<&StartedWith> {
        self.services.get(service).filter(|with| !with.is_empty())
    }

    /// Returns a fingerprint that also changes when a service has to be started anew for its configuration; that of its definition alone
    /// when it has none, so that what ran before there was any is known again.
    pub(crate) fn fingerprint(&self, service: &ServiceName, definition: u64) -> u64 {
        let Some(with) = self.of(service) else {
            return definition;
        };
        let mut hash = Fnv64::default();
        hash.number(definition);
        let mut text = |text: &str| {
            hash.bytes(text.as_bytes());
            hash.number(text.len() as u64);
        };
        for (name, value) in with.variables.iter().chain(&with.outside) {
            text(name);
            text(value);
        }
        for grant in &with.secrets {
            text(&grant.secret);
            text(&grant.version.to_string());
            text(&format!("{:?}", grant.delivery));
        }
        hash.value()
    }
}

/// A revision that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigureWish {
    /// Of which stack.
    pub stack: StackName,
    /// What follows from it for replicas; its number has to be the next one, or it is the one in force, confirmed.
    pub configuration: Configuration,
    /// The whole revision, kept as it is and not looked into. No secret is in it.
    pub record: Value,
    /// What it changes, for the journal; secrets are masked.
    pub changes: Value,
    /// Revisions that are kept no longer.
    pub forgotten: Vec<u64>,
    /// What goes into force with it.
    pub beside: Beside,
    /// Who, as which it is recorded.
    pub by: Principal,
}

/// What goes into force with a revision, and is refused with it: both are one change, and one start.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Beside {
    /// The definition stays as it is.
    #[default]
    Nothing,
    /// The definition that the stack is brought up with.
    Definition(Box<Stack>),
    /// A deployment: replicas of its release are started with the revision, all others hold what was in force before; which of the two the
    /// stack has in the end is decided with the deployment.
    Deployment(Box<DeployWish>),
}
