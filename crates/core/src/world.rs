//! Everything the controller knows: what is wanted beside what was observed.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tend_base::Mono;

use crate::ban::Bans;
use crate::configuration::Configuration;
use crate::deployment::{Deployment, Ending, Exposure, Lane, Phase, Releases, Stage};
use crate::door::Doors;
use crate::model::{Port, Release, ReplicaId, Replicas, Service, ServiceId, ServiceName, Stack, StackName, Workload};
use crate::observed::{self, EdgeFacts, Endpoint, Endpoints, Replica, ServiceFacts};

/// A stack as it was asked for, with what was asked of it since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// As its file says.
    pub stack: Stack,
    /// Counts the applications of this stack, from 1.
    pub revision: u64,
    /// What people asked for beside the file.
    pub adjustments: BTreeMap<ServiceName, Adjustment>,
    /// It is being taken down.
    pub removing: bool,
    /// What people asked of its routes beside the file.
    #[serde(default)]
    pub doors: Doors,
}

/// What people asked of one service beside its file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adjustment {
    /// `tend scale`.
    pub replicas: Option<u32>,
    /// `tend stop`.
    pub stopped: bool,
}

/// What is wanted beside what is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    /// Processors of the machine.
    pub cores: u32,
    /// Ports that may be given to replicas and services, outside the kernel's ephemeral range.
    pub ports: std::ops::Range<u16>,
    /// What is wanted.
    pub stacks: BTreeMap<StackName, Wanted>,
    /// What is there of replicas.
    pub replicas: BTreeMap<ReplicaId, Replica>,
    /// What is there of services.
    pub services: BTreeMap<ServiceId, ServiceFacts>,
    /// Their releases, and what is under way to run another.
    pub releases: BTreeMap<StackName, Releases>,
    /// What their replicas are started with by configuration.
    pub configurations: BTreeMap<StackName, Configuration>,
    /// What is there of the edge.
    pub edge: EdgeFacts,
    /// Who is let in nowhere. Shared, because the world is copied for each wish and they may be many.
    pub bans: Arc<Bans>,
    /// Ports found taken by someone else.
    pub ports_avoided: BTreeSet<u16>,
    /// The highest incarnation ever given to a replica: one is never given twice, not even after its stack was removed and came back.
    pub incarnation_last: u64,
    /// This is what an earlier daemon knew; the host has not been looked at since.
    pub survey_pending: bool,
    /// What changed lately, newest last, for the crash cards.
    pub changes: Vec<WorldChange>,
}

/// Something that changed and may explain a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldChange {
    /// When.
    pub at: Mono,
    /// When, for people.
    pub wall: tend_base::Wall,
    /// In which stack.
    pub stack: StackName,
    /// By whom, for people.
    pub by: String,
    /// What, for people.
    pub what: String,
}

impl World {
    /// Returns the stack that is wanted now: once every replica of a deployment runs its target, that of the target; before, and
    /// when it goes back, that of the release before.
    #[must_use]
    pub fn stack_wanted(&self, name: &StackName) -> Option<&Stack> {
        self.settled(name)
            .and_then(|target| self.release(name, target))
            .map(|release| &release.stack)
            .or_else(|| Some(&self.stacks.get(name)?.stack))
    }

    /// Returns the release whose definition holds for the whole stack though its deployment has not ended.
    fn settled(&self, name: &StackName) -> Option<u64> {
        let deployment = self.deployment(name)?;
        matches!(
            deployment.phase,
            Phase::Settling | Phase::Confirming | Phase::Finishing(Ending::Committed)
        )
        .then_some(deployment.target)
    }

    /// Returns a release that is kept.
    #[must_use]
    pub fn release(&self, stack: &StackName, number: u64) -> Option<&Release> {
        self.releases.get(stack)?.kept.get(&number)
    }

    /// Returns what is wanted of a service, unless its stack is unknown or being removed. A service that only the target of a
    /// deployment has is wanted as soon as its turn has come.
    #[must_use]
    pub fn service(&self, id: &ServiceId) -> Option<(&Wanted, &Service)> {
        let wanted = self.stacks.get(&id.stack).filter(|wanted| !wanted.removing)?;
        let stack = self.stack_wanted(&id.stack)?;
        let service = stack.services.get(&id.service).or_else(|| {
            let deployment = self.deployment(&id.stack)?;
            let lane = deployment.lanes.get(&id.service)?;
            let target = self.release(&id.stack, deployment.target)?;
            (lane.stage > Stage::Waiting).then(|| target.stack.services.get(&id.service))?
        })?;
        Some((wanted, service))
    }

    /// Returns the services of a stack that are wanted now, each with its definition.
    pub fn services_wanted(&self, name: &StackName) -> impl Iterator<Item = (ServiceId, &Wanted, &Service)> {
        let own = self.stack_wanted(name).map(|stack| stack.services.keys());
        let new = self.deployment(name).map(|deployment| deployment.lanes.keys());
        let names: BTreeSet<&ServiceName> = own.into_iter().flatten().chain(new.into_iter().flatten()).collect();
        names.into_iter().filter_map(|service| {
            let id = ServiceId {
                stack: name.clone(),
                service: service.clone(),
            };
            let (wanted, service) = self.service(&id)?;
            Some((id, wanted, service))
        })
    }

    /// Returns the deployment under way in a stack.
    #[must_use]
    pub fn deployment(&self, stack: &StackName) -> Option<&Deployment> {
        self.releases.get(stack)?.deployment.as_ref()
    }

    /// Returns what a deployment is doing to a service; none when it leaves it alone.
    #[must_use]
    pub fn lane(&self, id: &ServiceId) -> Option<&Lane> {
        self.deployment(&id.stack)?.lanes.get(&id.service)
    }

    /// Returns the stack as a replica is to run it, even while the stack is being removed: that of the target where a deployment
    /// has come to it, else the one that is wanted.
    #[must_use]
    pub fn stack_of(&self, replica: &ReplicaId) -> Option<&Stack> {
        let deployment = self.deployment(&replica.stack);
        let target = deployment
            .filter(|deployment| deployment.is_target(replica))
            .and_then(|deployment| Some(&self.release(&replica.stack, deployment.target)?.stack));
        target.or_else(|| Some(&self.stacks.get(&replica.stack)?.stack))
    }

    /// Returns the definition a replica belongs to, even while its stack is being removed.
    #[must_use]
    pub fn definition(&self, replica: &ReplicaId) -> Option<&Service> {
        self.stack_of(replica)?.services.get(&replica.service)
    }

    /// Returns what a deployment has replicas of its release started with: what came with it, or what is in force.
    #[must_use]
    pub fn configuration_of_target(&self, stack: &StackName) -> Option<&Configuration> {
        let deployment = self.deployment(stack);
        let own = deployment.and_then(|deployment| deployment.configuration.as_ref());
        own.or_else(|| self.configurations.get(stack))
    }

    /// Returns what a replica is started with by configuration: that of the release that it runs, or is to run.
    #[must_use]
    pub fn configuration_of(&self, replica: &ReplicaId) -> Option<&Configuration> {
        match self.is_target(replica) {
            true => self.configuration_of_target(&replica.stack),
            false => self.configurations.get(&replica.stack),
        }
    }

    /// Returns whether a replica runs, or is to run, what a deployment brings.
    #[must_use]
    pub fn is_target(&self, replica: &ReplicaId) -> bool {
        let deployment = self.deployment(&replica.stack);
        deployment.is_some_and(|deployment| deployment.is_target(replica))
    }

    /// Returns a number that changes when replicas would have to be started anew for a definition or the configuration in force to take
    /// effect. What is prepared once for a service goes by [`Service::fingerprint`] alone.
    #[must_use]
    pub fn fingerprint(&self, stack: &StackName, service: &Service) -> u64 {
        fingerprint(self.configurations.get(stack), service)
    }

    /// Returns the same for what a deployment brings.
    #[must_use]
    pub fn fingerprint_of_target(&self, stack: &StackName, service: &Service) -> u64 {
        fingerprint(self.configuration_of_target(stack), service)
    }

    /// Returns the same for one replica, whose configuration is that of the release that it runs, or is to run.
    #[must_use]
    pub fn fingerprint_for(&self, replica: &ReplicaId, service: &Service) -> u64 {
        fingerprint(self.configuration_of(replica), service)
    }

    /// Returns how many replicas of a service are wanted now; none of a container, which no engine can run yet, and never more
    /// than one of a service with a port of its own.
    #[must_use]
    pub fn replicas_wanted(&self, id: &ServiceId) -> u32 {
        self.service(id)
            .map_or(0, |(wanted, service)| self.count(wanted, service))
    }

    /// Returns how many replicas of a service are wanted as a definition has it that may not be the one that is wanted now.
    #[must_use]
    pub fn replicas_wanted_of(&self, id: &ServiceId, stack: &Stack) -> u32 {
        let wanted = self.stacks.get(&id.stack);
        let service = stack.services.get(&id.service);
        wanted
            .zip(service)
            .map_or(0, |(wanted, service)| self.count(wanted, service))
    }

    /// Returns how many replicas of a service there would be if it had not been stopped by a person; 0 where it was not.
    #[must_use]
    pub fn replicas_stopped(&self, id: &ServiceId) -> u32 {
        let adjustments = self.stacks.get(&id.stack).map(|wanted| &wanted.adjustments);
        let is_stopped = adjustments
            .and_then(|all| all.get(&id.service))
            .is_some_and(|own| own.stopped);
        self.service(id)
            .filter(|_| is_stopped)
            .map_or(0, |(wanted, service)| self.count_started(wanted, service))
    }

    fn count(&self, wanted: &Wanted, service: &Service) -> u32 {
        match wanted
            .adjustments
            .get(&service.name)
            .is_some_and(|adjustment| adjustment.stopped)
        {
            true => 0,
            false => self.count_started(wanted, service),
        }
    }

    /// How many there are of a service that is not stopped.
    fn count_started(&self, wanted: &Wanted, service: &Service) -> u32 {
        let adjustment = wanted.adjustments.get(&service.name).cloned().unwrap_or_default();
        match &service.workload {
            Workload::Container { .. } => 0,
            Workload::Process(_) => {
                let count = adjustment.replicas.unwrap_or(match service.replicas {
                    Replicas::Count(count) => count,
                    Replicas::Max => self.cores.max(1),
                });
                match service.port {
                    // Two cannot listen on one port.
                    Port::Fixed(_) => count.min(1),
                    _ => count,
                }
            }
        }
    }

    /// Returns the release that a replica runs, or is to run; none where a stack was only ever brought up in place.
    #[must_use]
    pub fn release_of(&self, replica: &ReplicaId) -> Option<u64> {
        match self.deployment(&replica.stack) {
            Some(deployment) if deployment.is_target(replica) => Some(deployment.target),
            _ => self.releases.get(&replica.stack)?.running,
        }
    }

    /// Returns how many slots of a service are to be filled now: the replicas wanted, and while old ones are exchanged for new ones
    /// those beside them.
    #[must_use]
    pub fn slots_wanted(&self, id: &ServiceId) -> u32 {
        match self.replicas_wanted(id) {
            0 => 0,
            wanted => wanted + self.lane(id).map_or(0, |lane| lane.surge),
        }
    }

    /// Returns whether a replica is wanted.
    #[must_use]
    pub fn is_wanted(&self, replica: &ReplicaId) -> bool {
        replica.slot <= self.slots_wanted(&replica.service_id())
    }

    /// Returns how many serving replicas of a service have to be left when one is taken out on purpose: all others, or as many as a
    /// deployment keeps while it is exchanging them.
    #[must_use]
    pub fn floor(&self, id: &ServiceId) -> u32 {
        match self.lane(id) {
            Some(lane) if !matches!(lane.stage, Stage::Waiting | Stage::Done) => lane.floor,
            _ => self.replicas_wanted(id).saturating_sub(1),
        }
    }

    /// Returns whether what runs in a slot, whatever is to run there next, is of the release that a deployment is to bring.
    #[must_use]
    pub fn runs_target(&self, id: &ReplicaId, replica: &Replica) -> bool {
        let Some(deployment) = self.deployment(&id.stack) else {
            return false;
        };
        let target = self.release(&id.stack, deployment.target);
        let service = target.and_then(|release| release.stack.services.get(&id.service));
        deployment.lanes.contains_key(&id.service)
            && service.is_some_and(|service| self.fingerprint_of_target(&id.stack, service) == replica.fingerprint)
    }

    /// Returns whether a replica that is ready is given requests of clients, all it can get or a share.
    #[must_use]
    pub fn serves(&self, id: &ReplicaId, replica: &Replica) -> bool {
        match self.lane(&id.service_id()).map(|lane| lane.exposure) {
            None | Some(Exposure::Both | Exposure::Share(_)) => true,
            Some(Exposure::Before) => !self.runs_target(id, replica),
            Some(Exposure::Target) => self.runs_target(id, replica),
        }
    }

    /// Returns the replicas known of a service, wanted or not, by slot.
    pub fn replicas_of(&self, id: &ServiceId) -> impl Iterator<Item = (&ReplicaId, &Replica)> {
        let from = ReplicaId {
            stack: id.stack.clone(),
            service: id.service.clone(),
            slot: 0,
        };
        let to = ReplicaId {
            slot: u32::MAX,
            ..from.clone()
        };
        self.replicas.range(from..=to)
    }

    /// Returns the endpoints as the edge should have them now.
    ///
    /// Invariant: a replica that is not ready is no endpoint that takes new requests (test and simulator invariant
    /// `the_edge_is_never_pointed_at_a_replica_that_is_not_ready`).
    #[must_use]
    pub fn endpoints(&self) -> Endpoints {
        let mut endpoints = Endpoints::new();
        for (id, replica) in &self.replicas {
            let Some(port) = replica.port else { continue };
            if !self.stacks.contains_key(&id.stack) {
                continue;
            }
            let lane = self.lane(&id.service_id());
            let target = lane.is_some() && self.runs_target(id, replica);
            let (left, candidate) = match lane.map(|lane| lane.exposure) {
                None | Some(Exposure::Both) => (false, false),
                Some(Exposure::Before | Exposure::Share(_)) => (false, target),
                Some(Exposure::Target) => (!target, false),
            };
            let draining = match replica.phase {
                observed::Phase::Running { .. } if replica.ready_since.is_some() => left,
                observed::Phase::Stopping { signalled: None, .. } if replica.ready_since.is_some() => true,
                _ => continue,
            };
            let endpoint = Endpoint {
                replica: id.clone(),
                incarnation: replica.incarnation,
                port,
                draining,
                candidate,
            };
            endpoints.entry(id.service_id()).or_default().push(endpoint);
        }
        endpoints
    }

    /// Returns a number that changes whenever the routes, or what is told with them, may have changed: it covers every stack and its
    /// revision.
    #[must_use]
    pub fn revisions(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.edge.rules.hash(&mut hasher);
        for (name, wanted) in &self.stacks {
            (name, wanted.revision, wanted.removing).hash(&mut hasher);
            wanted.doors.hash(&mut hasher);
            self.settled(name).hash(&mut hasher);
            for (service, lane) in self.deployment(name).iter().flat_map(|deployment| &deployment.lanes) {
                (service, lane.exposure).hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    /// Returns the ports that may be given, lowest first; those once found taken by someone else come last.
    pub fn free_ports(&self) -> impl Iterator<Item = u16> {
        let fixed = self.stacks.values().flat_map(|wanted| wanted.stack.services.values());
        let given: BTreeSet<u16> = self
            .replicas
            .values()
            .filter_map(|replica| replica.port)
            .chain(self.services.values().filter_map(|facts| facts.loopback_port))
            .chain(fixed.filter_map(|service| match service.port {
                Port::Fixed(port) => Some(port),
                _ => None,
            }))
            .collect();
        let (avoided, given_too) = (&self.ports_avoided, given.clone());
        let first = move |port: &u16| !given.contains(port) && !avoided.contains(port);
        let last = move |port: &u16| !given_too.contains(port) && avoided.contains(port);
        self.ports.clone().filter(first).chain(self.ports.clone().filter(last))
    }
}

fn fingerprint(configuration: Option<&Configuration>, service: &Service) -> u64 {
    let definition = service.fingerprint();
    match configuration {
        Some(configuration) => configuration.fingerprint(&service.name, definition),
        None => definition,
    }
}
