//! Folding in what people ask for: stacks applied and removed, services scaled, restarted, stopped.
//!
//! Owns what each wish changes in what is wanted. When and how it is fulfilled is decided by the chapters.

use serde_json::json;
use tend_base::Now;

use super::{Chapter, Controller, Reaction};
use crate::door::DoorChange;
use crate::journal::{Entry, Kind, Principal, Subject};
use crate::model::{Issued, Port, Service, ServiceId, ServiceName, Stack, StackName};
use crate::observed::{Phase, Replica, StopReason};
use crate::world::{Wanted, WorldChange};

/// Changes kept for the crash cards; older ones explain nothing any more.
const CHANGES_MAX: usize = 64;

impl<C: AsRef<[Box<dyn Chapter>]>> Controller<C> {
    pub(super) fn change(&mut self, stack: &StackName, by: &Principal, what: String, now: Now) {
        if self.world.changes.len() == CHANGES_MAX {
            self.world.changes.remove(0);
        }
        self.world.changes.push(WorldChange {
            at: now.mono,
            wall: now.wall,
            stack: stack.clone(),
            by: by.to_string(),
            what,
        });
    }

    pub(super) fn apply(&mut self, stack: Stack, by: Principal, now: Now, reaction: &mut Reaction) {
        let name = stack.name.clone();
        if self.world.deployment(&name).is_some() {
            // Two who change one stack at once would each undo the other: the door says so, and here it is too late to.
            return;
        }
        let before = self.world.stacks.get(&name);
        // The same definition again is the same revision: nothing is routed anew, but that it answers is looked at again.
        let same = before.is_some_and(|wanted| wanted.stack == stack && !wanted.removing);
        let revision = before.map_or(0, |wanted| wanted.revision) + u64::from(!same);
        self.meet_services(&stack);
        for (_, facts) in self.world.services.iter_mut().filter(|(id, _)| {
            let service = stack.services.get(&id.service);
            id.stack == name && service.is_some_and(Service::is_process)
        }) {
            (facts.prepare_failure, facts.prepare_failed_for) = (None, None);
            facts.answer_failures = 0;
            facts.answered_revision = None;
        }
        // `up` is a new beginning: what stood in the way of a start before may have been mended.
        for (id, replica) in self.world.replicas.iter_mut().filter(|(id, _)| id.stack == name) {
            replica.begin_anew();
            self.dirty.replicas.insert(id.clone());
        }
        // The file is what is wanted: what was scaled or stopped by hand before is as the file has it again.
        let adjustments = std::collections::BTreeMap::new();
        // What is closed stays closed: `up` may well be what it was closed for.
        let doors = self.world.stacks.get(&name).filter(|wanted| !wanted.removing);
        let doors = doors.map(|wanted| wanted.doors.clone()).unwrap_or_default();
        self.world.stacks.insert(
            name.clone(),
            Wanted {
                stack,
                revision,
                adjustments,
                removing: false,
                doors,
            },
        );
        self.dirty.stacks.insert(name.clone());
        self.leave_release(&name);
        if !same {
            self.change(&name, &by, format!("stack applied, revision {revision}"), now);
        }
        let entry = Entry::new(by, Kind::StackApplied).on(name);
        reaction.entries.push(entry.with(json!({ "revision": revision })));
    }

    /// Knows of every service of a stack that runs as a process, and gives each that listens its inner port before its replicas start.
    pub(super) fn meet_services(&mut self, stack: &Stack) {
        for service in stack.services.values().filter(|service| service.is_process()) {
            let id = ServiceId {
                stack: stack.name.clone(),
                service: service.name.clone(),
            };
            let known = self.world.services.entry(id.clone()).or_default();
            if service.port != Port::None && known.loopback_port.is_none() {
                let port = self.world.free_ports().next();
                self.world.services.entry(id.clone()).or_default().loopback_port = port;
            }
            self.dirty.services.insert(id);
        }
    }

    pub(super) fn remove(&mut self, name: &StackName, by: Principal, now: Now, reaction: &mut Reaction) {
        let Some(wanted) = self.world.stacks.get_mut(name) else {
            return;
        };
        wanted.removing = true;
        wanted.revision += 1;
        self.give_up_deployment(name, "the stack was taken down", now, reaction);
        self.dirty.stacks.insert(name.clone());
        self.change(name, &by, "the stack is being taken down".to_owned(), now);
        let entry = Entry::new(by, Kind::StackRemoved).on(name.clone());
        reaction.entries.push(entry.with(json!({ "outcome": "asked for" })));
    }

    pub(super) fn scale(&mut self, id: &ServiceId, replicas: u32, by: Principal, now: Now, reaction: &mut Reaction) {
        if self.world.deployment(&id.stack).is_some() {
            // The number is what a deployment counts by; the door says so.
            return;
        }
        let from = self.world.replicas_wanted(id);
        let Some(wanted) = self.world.stacks.get_mut(&id.stack) else {
            return;
        };
        wanted.adjustments.entry(id.service.clone()).or_default().replicas = Some(replicas);
        self.dirty.stacks.insert(id.stack.clone());
        self.change(&id.stack, &by, format!("{id} scaled from {from} to {replicas}"), now);
        let entry = Entry::new(by, Kind::ServiceScaled).on(id.clone());
        reaction
            .entries
            .push(entry.with(json!({ "from": from, "to": replicas })));
    }

    pub(super) fn door(
        &mut self,
        stack: &StackName,
        service: Option<ServiceName>,
        change: &DoorChange,
        by: Principal,
        now: Now,
        reaction: &mut Reaction,
    ) {
        let Some(wanted) = self.world.stacks.get_mut(stack) else {
            return;
        };
        let before = wanted.doors.of(service.as_ref());
        wanted.doors.change(service.as_ref(), change, now.wall, &by.to_string());
        self.dirty.stacks.insert(stack.clone());
        let (kind, data) = match change {
            DoorChange::Close(what) => (
                Kind::MaintenanceBegun,
                json!({ "what": what, "before": before.maintenance }),
            ),
            DoorChange::Open => (Kind::MaintenanceEnded, json!({ "before": before.maintenance })),
            DoorChange::Pause(what) => (Kind::PauseBegun, json!({ "what": what, "before": before.pause })),
            DoorChange::Resume => (Kind::PauseEnded, json!({ "before": before.pause })),
        };
        let subject = match service {
            Some(service) => Subject::from(ServiceId {
                stack: stack.clone(),
                service,
            }),
            None => Subject::from(stack.clone()),
        };
        self.change(stack, &by, change.to_string(), now);
        reaction.entries.push(Entry::new(by, kind).on(subject).with(data));
    }

    /// Gives every definition of a stack the versions of its secrets that are current. Whoever runs with another is replaced by
    /// supervision, as after any change of a definition.
    ///
    /// Invariant: going back to an earlier release never brings a retired secret back, because the kept releases follow too (test
    /// `an_earlier_release_is_given_the_secrets_of_now`).
    pub(super) fn secrets(
        &mut self,
        name: &StackName,
        issued: &std::collections::BTreeMap<String, Issued>,
        by: &Principal,
        now: Now,
    ) {
        let Some(wanted) = self.world.stacks.get_mut(name) else {
            return;
        };
        let before = wanted.stack.clone();
        let rotated = wanted.stack.give_secrets(issued);
        if !rotated.is_empty() {
            self.dirty.stacks.insert(name.clone());
        }
        let kept = self.world.releases.get_mut(name);
        for (number, release) in kept.into_iter().flat_map(|releases| &mut releases.kept) {
            if !release.stack.give_secrets(issued).is_empty() {
                self.dirty.release.insert((name.clone(), *number));
            }
        }
        let others: Vec<ServiceName> = before
            .services
            .values()
            .filter(|service| {
                let after = self.world.stacks[name].stack.services.get(&service.name);
                after.is_some_and(|after| after.secrets != service.secrets)
            })
            .map(|service| service.name.clone())
            .collect();
        if others.is_empty() {
            return;
        }
        for (id, replica) in &mut self.world.replicas {
            if id.stack == *name && others.contains(&id.service) {
                replica.begin_anew();
                self.dirty.replicas.insert(id.clone());
            }
        }
        let rotated: Vec<&str> = rotated.iter().map(String::as_str).collect();
        self.change(name, by, format!("secret rotated: {}", rotated.join(", ")), now);
    }

    pub(super) fn restart(
        &mut self,
        id: &ServiceId,
        slot: Option<u32>,
        by: Principal,
        now: Now,
        reaction: &mut Reaction,
    ) {
        let comes_later = self.dependency_restarts(id);
        for (replica_id, replica) in &mut self.world.replicas {
            if replica_id.service_id() == *id && slot.is_none_or(|slot| slot == replica_id.slot) {
                replica.begin_anew();
                replica.restart_requested = replica.is_up();
                // Asked for by itself, it does not wait for a dependency that was restarted before and does not come back.
                replica.restart_follows &= comes_later;
                self.dirty.replicas.insert(replica_id.clone());
            }
        }
        // At once, because a replica that is down is only started, and no end of it will tell.
        self.restart_dependents(id);
        if let Some(facts) = self.world.services.get_mut(id) {
            facts.prepare_failure = None;
        }
        self.change(&id.stack, &by, format!("a restart of {id} was asked for"), now);
        let entry = Entry::new(by, Kind::ServiceRestarted).on(id.clone());
        reaction.entries.push(entry.with(json!({ "slot": slot })));
    }

    /// Returns whether a service after whose restart this one is restarted is still to be restarted, or just leaves for it.
    fn dependency_restarts(&self, id: &ServiceId) -> bool {
        let Some((_, service)) = self.world.service(id) else {
            return false;
        };
        let restarts = |replica: &Replica| match replica.phase {
            Phase::Stopping { .. } => replica.stop_reason.is_some_and(StopReason::is_renewal),
            Phase::Running { .. } => replica.restart_requested || replica.restart_follows,
            _ => false,
        };
        self.world.replicas.iter().any(|(on, replica)| {
            let mut depends_on = service.depends_on.iter();
            on.stack == id.stack
                && depends_on.any(|dependency| dependency.restart && dependency.service == on.service)
                && restarts(replica)
        })
    }

    /// Marks the replicas of the services that are to be restarted after `id` was: they say so with `restart: true` in `depends_on`.
    ///
    /// Their own end marks the next ones in turn.
    pub(super) fn restart_dependents(&mut self, id: &ServiceId) {
        let dependents: Vec<ServiceId> = self
            .world
            .services_wanted(&id.stack)
            .filter(|(_, _, service)| {
                let mut depends_on = service.depends_on.iter();
                depends_on.any(|dependency| dependency.restart && dependency.service == id.service)
            })
            .map(|(dependent, ..)| dependent)
            .collect();
        for (replica_id, replica) in &mut self.world.replicas {
            if (replica.is_up() || replica.completed) && dependents.contains(&replica_id.service_id()) {
                replica.restart_follows = true;
                self.dirty.replicas.insert(replica_id.clone());
            }
        }
    }

    pub(super) fn stop(&mut self, id: &ServiceId, stopped: bool, by: Principal, now: Now, reaction: &mut Reaction) {
        let Some(wanted) = self.world.stacks.get_mut(&id.stack) else {
            return;
        };
        wanted.adjustments.entry(id.service.clone()).or_default().stopped = stopped;
        self.dirty.stacks.insert(id.stack.clone());
        for (replica_id, replica) in self.world.replicas.iter_mut().filter(|_| !stopped) {
            if replica_id.service_id() == *id {
                replica.begin_anew();
                self.dirty.replicas.insert(replica_id.clone());
            }
        }
        let to = if stopped { 0 } else { self.world.replicas_wanted(id) };
        self.change(
            &id.stack,
            &by,
            format!("{id} was {}", if stopped { "stopped" } else { "started" }),
            now,
        );
        let entry = Entry::new(by, Kind::ServiceScaled).on(id.clone());
        reaction
            .entries
            .push(entry.with(json!({ "stopped": stopped, "to": to })));
    }
}
