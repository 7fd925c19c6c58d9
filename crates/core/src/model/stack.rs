//! A stack: what one stack file asks for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    Alerts, ConfigSources, DeployPolicy, Edge, Metrics, Replicas, RotationPolicy, Service, ServiceName, StackName,
    Vault, Workload,
};

/// Everything one stack file (with its includes and overrides) asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stack {
    /// Its name, unique on the machine.
    pub name: StackName,
    /// Where it was written.
    pub source: StackSource,
    /// Its services by name.
    pub services: BTreeMap<ServiceName, Service>,
    /// What it asks of the edge.
    pub edge: Edge,
    /// What it wants of its deploys.
    #[serde(default)]
    pub deploy: DeployPolicy,
    /// Where its configuration comes from; none when it has no such chapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigSources>,
    /// Where secrets come from that are not this machine's own; none when it has no such chapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault: Option<Vault>,
    /// What it wants measured; nothing when it has no such chapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// What it wants of its alerts; it raises none when it has no such chapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerts: Option<Alerts>,
    /// How secrets are rotated, by their name in the store, where their class leaves something open.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rotations: BTreeMap<String, RotationPolicy>,
}

/// Where a stack was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackSource {
    /// Absolute paths of the stack files, the first being the main one.
    pub files: Vec<PathBuf>,
    /// Absolute folder that relative paths start from.
    pub directory: PathBuf,
    /// Numeric user that owns the main file.
    pub owner_uid: u32,
    /// Its group.
    pub owner_gid: u32,
}

impl Stack {
    /// Returns the services that run as processes on this machine, with how many replicas each, `cores` standing for `max`.
    pub fn processes(&self, cores: u32) -> impl Iterator<Item = (&Service, u32)> {
        self.services
            .values()
            .filter(|service| service.is_process())
            .map(move |service| {
                let count = match service.replicas {
                    Replicas::Count(count) => count,
                    Replicas::Max => cores.max(1),
                };
                (service, count)
            })
    }

    /// Returns the names of the services, each after those it depends on.
    #[must_use]
    pub fn dependencies_first(&self) -> Vec<&ServiceName> {
        let mut left: Vec<&Service> = self.services.values().collect();
        let mut order = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let waits = |service: &Service| {
                let mut depends_on = service.depends_on.iter();
                depends_on.any(|dependency| left.iter().any(|other| other.name == dependency.service))
            };
            // Stack files have no circles; of one that came here by other ways any order is as good.
            let next = left.iter().position(|service| !waits(service)).unwrap_or(0);
            order.push(&left.remove(next).name);
        }
        order
    }

    /// Returns the services that need a container engine.
    pub fn containers(&self) -> impl Iterator<Item = &Service> {
        self.services
            .values()
            .filter(|service| matches!(service.workload, Workload::Container { .. }))
    }
}
