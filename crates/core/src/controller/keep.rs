//! What survives the daemon: the documents the controller writes, and the world made from them again.
//!
//! Documents may be older than what runs: the daemon does not wait for the disk before each step. So a world that was
//! restored is only a memory, and nothing is decided from it before the host was looked at ([`super::Input::Surveyed`]).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Chapter, Controller, Document, DocumentKind};
use crate::deployment::Releases;
use crate::model::{Prefix, Quiesce, ReplicaId, ServiceId, StackName, Stop};
use crate::observed::{LastExit, Phase, Replica, StopReason};
use crate::world::World;

/// What has to be kept again.
#[derive(Clone, Debug, Default)]
pub(super) struct Dirty {
    pub(super) stacks: BTreeSet<StackName>,
    /// The releases of a stack; the records among them, which never change, are named one by one.
    pub(super) releases: BTreeSet<StackName>,
    pub(super) release: BTreeSet<(StackName, u64)>,
    pub(super) configurations: BTreeSet<StackName>,
    /// Whole revisions, to be kept or, without a value, to be forgotten.
    pub(super) revisions: BTreeMap<(StackName, u64), Option<Value>>,
    pub(super) services: BTreeSet<ServiceId>,
    pub(super) replicas: BTreeSet<ReplicaId>,
    pub(super) bans: BTreeSet<Prefix>,
    pub(super) edge: bool,
    pub(super) machine: bool,
}

/// What is kept of a replica. Every field has a default, so that another version's document can be read.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    incarnation: u64,
    /// The definition this life was started from: of one that has ended nothing else tells, and a deployment asks whether it ran
    /// the target.
    fingerprint: u64,
    port: Option<u16>,
    restarts: u64,
    failures: u32,
    /// It can serve now.
    ready: bool,
    /// It could once since it is wanted.
    was_ready: bool,
    /// There is, or is about to be, a process.
    up: bool,
    /// There is not yet, as far as was reported.
    starting: bool,
    /// It was being made to end, and why.
    stopping: Option<StopReason>,
    /// The stop signal was sent.
    signalled: bool,
    restart_requested: bool,
    restart_follows: bool,
    completed: bool,
    /// How it is stopped when its definition is gone.
    stop: Option<Stop>,
    /// How it is emptied before that.
    quiesce: Option<Quiesce>,
    last_exit: Option<LastExit>,
}

impl From<&Replica> for Kept {
    fn from(replica: &Replica) -> Self {
        let signalled = match replica.phase {
            Phase::Stopping { signalled, .. } => Some(signalled.is_some()),
            _ => None,
        };
        Self {
            incarnation: replica.incarnation,
            fingerprint: replica.fingerprint,
            port: replica.port,
            restarts: replica.restarts,
            failures: replica.failures,
            ready: replica.is_ready(),
            was_ready: replica.was_ready,
            up: replica.is_up(),
            starting: replica.phase == Phase::Starting,
            stopping: signalled.and(replica.stop_reason),
            signalled: signalled.unwrap_or(false),
            restart_requested: replica.restart_requested,
            restart_follows: replica.restart_follows,
            completed: replica.completed,
            stop: replica.stop.clone(),
            quiesce: replica.quiesce.clone(),
            last_exit: replica.last_exit.clone(),
        }
    }
}

impl From<Kept> for Replica {
    fn from(kept: Kept) -> Self {
        Self {
            // Until the host was looked at, what was up counts as being started: nothing is sent to it and no second one is started.
            phase: if kept.up { Phase::Starting } else { Phase::Absent },
            incarnation: kept.incarnation,
            fingerprint: kept.fingerprint,
            port: kept.port,
            restarts: kept.restarts,
            failures: kept.failures,
            served_before: kept.ready,
            was_ready: kept.was_ready,
            stop_reason: kept.stopping,
            signalled_before: kept.signalled,
            starting_before: kept.starting,
            restart_requested: kept.restart_requested,
            restart_follows: kept.restart_follows,
            completed: kept.completed,
            stop: kept.stop,
            quiesce: kept.quiesce,
            last_exit: kept.last_exit,
            ..Self::default()
        }
    }
}

impl<C: AsRef<[Box<dyn Chapter>]>> Controller<C> {
    /// Returns the documents of all that changed since the last call.
    pub(super) fn documents(&mut self) -> Vec<Document> {
        let dirty = std::mem::take(&mut self.dirty);
        let mut documents = Vec::new();
        for stack in dirty.stacks {
            let value = self.world.stacks.get(&stack).map(|wanted| json!(wanted));
            documents.push(Document {
                kind: DocumentKind::Stack,
                id: stack.to_string(),
                value,
            });
        }
        for stack in dirty.releases {
            let value = self.world.releases.get(&stack).map(|releases| json!(releases));
            documents.push(Document {
                kind: DocumentKind::Releases,
                id: stack.to_string(),
                value,
            });
        }
        for (stack, number) in dirty.release {
            let releases = self.world.releases.get(&stack);
            documents.push(Document {
                kind: DocumentKind::Release,
                id: format!("{stack}/{number}"),
                value: releases
                    .and_then(|releases| releases.kept.get(&number))
                    .map(|release| json!(release)),
            });
        }
        for stack in dirty.configurations {
            let value = self.world.configurations.get(&stack);
            documents.push(Document {
                kind: DocumentKind::Configuration,
                id: stack.to_string(),
                value: value.map(|configuration| json!(configuration)),
            });
        }
        for ((stack, number), value) in dirty.revisions {
            documents.push(Document {
                kind: DocumentKind::Revision,
                id: format!("{stack}/{number}"),
                value,
            });
        }
        for service in dirty.services {
            let value = self
                .world
                .services
                .get(&service)
                .map(|facts| json!({ "loopback_port": facts.loopback_port, "prepared": facts.prepared }));
            documents.push(Document {
                kind: DocumentKind::Service,
                id: service.to_string(),
                value,
            });
        }
        for id in dirty.replicas {
            let value = self.world.replicas.get(&id).map(|replica| json!(Kept::from(replica)));
            documents.push(Document {
                kind: DocumentKind::Replica,
                id: id.to_string(),
                value,
            });
        }
        for prefix in dirty.bans {
            documents.push(Document {
                kind: DocumentKind::Ban,
                id: prefix.to_string(),
                value: self.world.bans.get(&prefix).map(|ban| json!(ban)),
            });
        }
        if dirty.machine {
            let value = json!({ "incarnation_last": self.world.incarnation_last });
            documents.push(Document {
                kind: DocumentKind::Machine,
                id: "machine".to_owned(),
                value: Some(value),
            });
        }
        if dirty.edge {
            let value = json!({ "generation": self.world.edge.generation });
            documents.push(Document {
                kind: DocumentKind::Edge,
                id: "edge".to_owned(),
                value: Some(value),
            });
        }
        documents
    }
}

/// Returns the world as it was kept: what is wanted, and what was known of each replica.
///
/// Nothing is decided from it until the host was looked at: the daemon reports each process it finds with
/// [`super::Input::Adopted`] and each end it finds recorded with [`super::Input::Exited`], both together in the order of their
/// incarnations (a later life makes the end of an earlier one old news), then [`super::Input::Surveyed`]. A recorded end may be
/// forgotten on the host once what was handed in with [`super::Input::Exited`] is durable.
///
/// # Errors
/// Names the document that cannot be read, which only another version of tend can have written.
pub fn restore(
    cores: u32,
    ports: Range<u16>,
    documents: impl IntoIterator<Item = (String, String, Value)>,
) -> Result<World, String> {
    let mut world = World {
        cores,
        ports,
        survey_pending: true,
        ..World::default()
    };
    for (kind, id, value) in documents {
        let unreadable = |error: &dyn std::fmt::Display| format!("the kept {kind} `{id}` cannot be read: {error}");
        let number = |name: &str| value.get(name).and_then(Value::as_u64);
        match kind.as_str() {
            "stack" => {
                let wanted = serde_json::from_value(value.clone()).map_err(|error| unreadable(&error))?;
                let name = id.parse().map_err(|error| unreadable(&error))?;
                world.stacks.insert(name, wanted);
            }
            "releases" => {
                let name = id.parse().map_err(|error| unreadable(&error))?;
                let read: Releases = serde_json::from_value(value.clone()).map_err(|error| unreadable(&error))?;
                let releases = world.releases.entry(name).or_default();
                *releases = Releases {
                    kept: std::mem::take(&mut releases.kept),
                    ..read
                };
            }
            "release" => {
                let (stack, number) = id.split_once('/').ok_or_else(|| unreadable(&"no number in it"))?;
                let name = stack.parse().map_err(|error| unreadable(&error))?;
                let number: u64 = number.parse().map_err(|error| unreadable(&error))?;
                let release = serde_json::from_value(value.clone()).map_err(|error| unreadable(&error))?;
                world.releases.entry(name).or_default().kept.insert(number, release);
            }
            "configuration" => {
                let configuration = serde_json::from_value(value.clone()).map_err(|error| unreadable(&error))?;
                let name = id.parse().map_err(|error| unreadable(&error))?;
                world.configurations.insert(name, configuration);
            }
            "replica" => {
                let kept: Kept = serde_json::from_value(value.clone()).map_err(|error| unreadable(&error))?;
                world.incarnation_last = world.incarnation_last.max(kept.incarnation);
                let id = id.parse().map_err(|error| unreadable(&error))?;
                world.replicas.insert(id, kept.into());
            }
            "service" => {
                let (stack, service) = id.split_once('/').ok_or_else(|| unreadable(&"no service in it"))?;
                let id = ServiceId {
                    stack: stack.parse().map_err(|error| unreadable(&error))?,
                    service: service.parse().map_err(|error| unreadable(&error))?,
                };
                let facts = world.services.entry(id).or_default();
                facts.loopback_port = number("loopback_port").and_then(|port| u16::try_from(port).ok());
                facts.prepared = number("prepared");
            }
            "machine" => {
                let last = number("incarnation_last").unwrap_or(0);
                world.incarnation_last = world.incarnation_last.max(last);
            }
            "ban" => {
                let prefix = id.parse().map_err(|error| unreadable(&error))?;
                let ban = serde_json::from_value(value.clone()).map_err(|error| unreadable(&error))?;
                Arc::make_mut(&mut world.bans).insert(prefix, ban);
            }
            "edge" => world.edge.generation = number("generation").unwrap_or(0),
            _ => {}
        }
    }
    Ok(world)
}
