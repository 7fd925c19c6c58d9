//! Folding an input into the facts, and saying in the journal what changed by it. Decides nothing.
//!
//! An input about an incarnation that is not the current one is old news and changes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tend_base::{Mono, Now};

use super::{Chapter, Controller, Input, Reaction, subject_of};
use crate::journal::{Change, CrashCard, Entry, Kind, Principal, Subject};
use crate::model::{ReplicaId, ServiceId, Stack, StackName, Workload};
use crate::observed::{Exit, LastExit, Phase, ProbeFacts, Replica, StartFailure, StopReason};
use crate::plan::{ProbeKind, StepKey};
use crate::world::{Wanted, WorldChange};

/// What has to be kept again.
#[derive(Clone, Debug, Default)]
pub(super) struct Dirty {
    pub(super) stacks: BTreeSet<StackName>,
    pub(super) services: BTreeSet<ServiceId>,
    pub(super) replicas: BTreeSet<ReplicaId>,
    pub(super) edge: bool,
}

/// Changes kept for the crash cards; older ones explain nothing any more.
const CHANGES_MAX: usize = 64;

impl Replica {
    pub(super) fn probe_mut(&mut self, kind: ProbeKind) -> &mut ProbeFacts {
        match kind {
            ProbeKind::Liveness => &mut self.liveness,
            ProbeKind::Readiness => &mut self.readiness,
        }
    }
}

impl<C: AsRef<[Box<dyn Chapter>]>> Controller<C> {
    pub(super) fn fold(&mut self, input: Input, now: Now, reaction: &mut Reaction) {
        match input {
            Input::Apply { stack, by } => self.apply(*stack, by, now, reaction),
            Input::Remove { stack, by } => self.remove(&stack, by, now, reaction),
            Input::Scale { service, replicas, by } => self.scale(&service, replicas, by, now, reaction),
            Input::Restart { service, slot, by } => self.restart(&service, slot, by, now, reaction),
            Input::Stop { service, stopped, by } => self.stop(&service, stopped, by, now, reaction),
            Input::Prepared {
                service,
                fingerprint,
                result,
            } => {
                self.finish(StepKey::Prepare(service.clone()), &result, reaction);
                let facts = self.world.services.entry(service.clone()).or_default();
                match result {
                    Ok(()) => (facts.prepared, facts.prepare_failure) = (Some(fingerprint), None),
                    Err(why) => facts.prepare_failure = Some(why),
                }
                self.dirty.services.insert(service);
            }
            Input::Started {
                replica,
                incarnation,
                result,
            } => {
                self.finish(
                    StepKey::Start(replica.clone()),
                    &result.as_ref().map(|_| ()).map_err(|f| f.why.clone()),
                    reaction,
                );
                match result {
                    Ok(pid) => self.started(&replica, incarnation, pid, now, reaction),
                    Err(failure) => self.start_failed(&replica, incarnation, failure, now, reaction),
                }
            }
            Input::Probed {
                replica,
                incarnation,
                kind,
                result,
            } => {
                self.in_flight.remove(&StepKey::Probe(replica.clone(), kind));
                self.probed(&replica, incarnation, kind, result, now, reaction);
            }
            Input::Signalled { replica, result, .. } => self.finish(StepKey::Signal(replica), &result, reaction),
            Input::Killed { replica, result, .. } => self.finish(StepKey::Kill(replica), &result, reaction),
            Input::ShimReplaced {
                replica: id,
                incarnation,
                result,
            } => {
                self.finish(StepKey::ReplaceShim(id.clone()), &result, reaction);
                if let Some(replica) = self.current(&id, incarnation).filter(|_| result.is_ok()) {
                    replica.shim_lost = false;
                    reaction
                        .entries
                        .push(self.entry(Kind::ShimReplaced, &id, incarnation, json!({})));
                }
            }
            Input::Published { generation, result } => {
                self.finish(StepKey::Publish, &result, reaction);
                if result.is_err() && self.world.edge.generation == generation {
                    // The edge did not hear of it: publish again as soon as it is connected.
                    self.world.edge.published = None;
                }
            }
            Input::Verified {
                service,
                revision,
                result,
            } => {
                self.finish(
                    StepKey::Verify(service.clone()),
                    &result.as_ref().map(|_| ()).map_err(Clone::clone),
                    reaction,
                );
                let facts = self.world.services.entry(service).or_default();
                match result {
                    Ok(_) => (facts.answered_revision, facts.answer_failure) = (Some(revision), None),
                    Err(why) => facts.answer_failure = Some((now.mono, why)),
                }
            }
            Input::EdgeStartFailed { why } => {
                self.finish(StepKey::StartEdge, &Err(why.clone()), reaction);
                self.world.edge.failed = Some((now.mono, why));
            }
            Input::EdgeConnected { serving } => {
                self.in_flight.remove(&StepKey::StartEdge);
                let edge = &mut self.world.edge;
                (edge.connected, edge.failed, edge.serving) = (true, None, serving);
                edge.generation = edge.generation.max(serving);
                // Whatever it serves was made by an earlier daemon or for an earlier edge: say it again.
                edge.published = None;
                reaction
                    .entries
                    .push(Entry::new(self.daemon.clone(), Kind::EdgeStarted).with(json!({ "serving": serving })));
            }
            Input::EdgeServing { generation } => {
                self.world.edge.serving = self.world.edge.serving.max(generation);
                let entry = Entry::new(self.daemon.clone(), Kind::EdgeServing);
                reaction.entries.push(entry.with(json!({ "snapshot": generation })));
            }
            Input::EdgeLost => {
                if std::mem::take(&mut self.world.edge.connected) {
                    self.world.edge.published = None;
                    reaction.entries.push(Entry::new(self.daemon.clone(), Kind::EdgeLost));
                }
            }
            Input::Adopted {
                replica,
                incarnation,
                pid,
                since,
                port,
                fingerprint,
                shim_alive,
            } => {
                let facts = self.world.replicas.entry(replica.clone()).or_default();
                // What could serve before the daemon was away is taken to serve still, until a probe says otherwise:
                // to take it out of the routes now would fail requests that nothing else would fail.
                let served = facts.was_ready && facts.incarnation == incarnation;
                facts.ready_since = served.then_some(now.mono);
                facts.readiness.passing = served;
                facts.phase = Phase::Running { pid, since };
                facts.started_at = Some(since);
                facts.incarnation = incarnation;
                facts.fingerprint = fingerprint;
                facts.port = port;
                facts.shim_lost = !shim_alive;
                self.dirty.replicas.insert(replica.clone());
                reaction
                    .entries
                    .push(self.entry(Kind::ReplicaAdopted, &replica, incarnation, json!({ "pid": pid })));
            }
            Input::Exited {
                replica,
                incarnation,
                exit,
                last_lines,
            } => {
                self.exited(&replica, incarnation, exit, last_lines, now, reaction);
            }
            Input::ShimLost {
                replica: id,
                incarnation,
            } => {
                if let Some(replica) = self.current(&id, incarnation).filter(|replica| replica.pid().is_some()) {
                    replica.shim_lost = true;
                    reaction
                        .entries
                        .push(self.entry(Kind::ReplicaLostShim, &id, incarnation, json!({})));
                }
            }
            Input::Measured {
                replica,
                incarnation,
                memory,
                cpu_permille,
            } => {
                if let Some(replica) = self.current(&replica, incarnation) {
                    (replica.memory, replica.cpu_permille) = (Some(memory), Some(cpu_permille));
                }
            }
            Input::InFlight { replica, count } => {
                if let Some(replica) = self.world.replicas.get_mut(&replica) {
                    replica.in_flight = Some(count);
                }
            }
            Input::Tick => {}
        }
    }

    /// Changes the facts that follow from time alone.
    pub(super) fn advance(&mut self, now: Now, reaction: &mut Reaction) {
        let ids: Vec<ReplicaId> = self.world.replicas.keys().cloned().collect();
        for id in ids {
            let Some(service) = self.world.definition(&id) else {
                continue;
            };
            let (start_period, window, probed) = (
                service.start_period,
                service.restart.window,
                service.readiness.is_some(),
            );
            let max_attempts = service.restart.max_attempts;
            let Some(replica) = self.world.replicas.get_mut(&id) else {
                continue;
            };
            let Phase::Running { since, .. } = replica.phase else {
                continue;
            };
            if replica.ready_since.is_none() && !probed && now.mono >= since + start_period {
                self.became_ready(&id, now, reaction);
            }
            let Some(replica) = self.world.replicas.get_mut(&id) else {
                continue;
            };
            let stable = replica.ready_since.is_some_and(|ready| now.mono >= ready + window);
            if stable && replica.failures > 0 {
                let failures = std::mem::take(&mut replica.failures);
                let incarnation = replica.incarnation;
                if failures > max_attempts {
                    reaction.entries.push(self.entry(
                        Kind::ReplicaRecovered,
                        &id,
                        incarnation,
                        json!({ "failures": failures }),
                    ));
                }
            }
        }
        let gone: Vec<StackName> = self
            .world
            .stacks
            .iter()
            .filter(|(name, wanted)| {
                wanted.removing
                    && !self
                        .world
                        .replicas
                        .iter()
                        .any(|(id, replica)| id.stack == **name && replica.is_up())
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.world.stacks.remove(&name);
            self.dirty.stacks.insert(name.clone());
            let replicas: Vec<_> = self
                .world
                .replicas
                .keys()
                .filter(|id| id.stack == name)
                .cloned()
                .collect();
            for id in replicas {
                self.world.replicas.remove(&id);
                self.dirty.replicas.insert(id);
            }
            let services: Vec<_> = self
                .world
                .services
                .keys()
                .filter(|id| id.stack == name)
                .cloned()
                .collect();
            for id in services {
                self.world.services.remove(&id);
                self.dirty.services.insert(id);
            }
            reaction
                .entries
                .push(Entry::new(self.daemon.clone(), Kind::StackRemoved).on(name));
        }
    }

    fn current(&mut self, id: &ReplicaId, incarnation: u64) -> Option<&mut Replica> {
        self.world
            .replicas
            .get_mut(id)
            .filter(|replica| replica.incarnation == incarnation)
    }

    fn entry(&self, kind: Kind, id: &ReplicaId, incarnation: u64, data: serde_json::Value) -> Entry {
        Entry::new(self.daemon.clone(), kind)
            .on(Subject::from(id.clone()).incarnation(incarnation))
            .with(data)
    }

    fn finish(&mut self, key: StepKey, result: &Result<(), String>, reaction: &mut Reaction) {
        if self.in_flight.remove(&key) {
            let data = match result {
                Ok(()) => json!({ "outcome": "done" }),
                Err(why) => json!({ "outcome": "failed", "error": why }),
            };
            let entry = Entry::new(self.daemon.clone(), Kind::StepFinished)
                .on(subject_of(&key))
                .with(data);
            reaction.entries.push(entry);
        }
    }

    fn change(&mut self, stack: &StackName, by: &Principal, what: String, now: Now) {
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

    fn apply(&mut self, stack: Stack, by: Principal, now: Now, reaction: &mut Reaction) {
        let name = stack.name.clone();
        let before = self.world.stacks.get(&name);
        let revision = before.map_or(0, |wanted| wanted.revision) + 1;
        for service in stack
            .services
            .values()
            .filter(|service| matches!(service.workload, Workload::Process(_)))
        {
            let id = ServiceId {
                stack: name.clone(),
                service: service.name.clone(),
            };
            self.world.services.entry(id.clone()).or_default().prepare_failure = None;
            if service.port != crate::model::Port::None && self.world.services[&id].loopback_port.is_none() {
                let port = self.world.free_ports().next();
                self.world.services.entry(id.clone()).or_default().loopback_port = port;
            }
            self.dirty.services.insert(id.clone());
        }
        // `up` is a new beginning: what stood in the way of a start before may have been mended.
        for (_, replica) in self.world.replicas.iter_mut().filter(|(id, _)| id.stack == name) {
            replica.failures = 0;
            replica.start_failure = None;
            replica.completed = false;
        }
        // The file is what is wanted: what was scaled or stopped by hand before is as the file has it again.
        let adjustments = std::collections::BTreeMap::new();
        self.world.stacks.insert(
            name.clone(),
            Wanted {
                stack,
                revision,
                adjustments,
                removing: false,
            },
        );
        self.dirty.stacks.insert(name.clone());
        self.change(&name, &by, format!("stack applied, revision {revision}"), now);
        let entry = Entry::new(by, Kind::StackApplied).on(name);
        reaction.entries.push(entry.with(json!({ "revision": revision })));
    }

    fn remove(&mut self, name: &StackName, by: Principal, now: Now, reaction: &mut Reaction) {
        let Some(wanted) = self.world.stacks.get_mut(name) else {
            return;
        };
        wanted.removing = true;
        wanted.revision += 1;
        self.dirty.stacks.insert(name.clone());
        self.change(name, &by, "the stack is being taken down".to_owned(), now);
        let entry = Entry::new(by, Kind::StackRemoved).on(name.clone());
        reaction.entries.push(entry.with(json!({ "outcome": "asked for" })));
    }

    fn scale(&mut self, id: &ServiceId, replicas: u32, by: Principal, now: Now, reaction: &mut Reaction) {
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

    fn restart(&mut self, id: &ServiceId, slot: Option<u32>, by: Principal, now: Now, reaction: &mut Reaction) {
        for (replica_id, replica) in &mut self.world.replicas {
            if replica_id.service_id() == *id && slot.is_none_or(|slot| slot == replica_id.slot) {
                replica.failures = 0;
                replica.start_failure = None;
                replica.completed = false;
                replica.restart_requested = replica.is_up();
            }
        }
        self.change(&id.stack, &by, format!("a restart of {id} was asked for"), now);
        let entry = Entry::new(by, Kind::ServiceRestarted).on(id.clone());
        reaction.entries.push(entry.with(json!({ "slot": slot })));
    }

    fn stop(&mut self, id: &ServiceId, stopped: bool, by: Principal, now: Now, reaction: &mut Reaction) {
        let Some(wanted) = self.world.stacks.get_mut(&id.stack) else {
            return;
        };
        wanted.adjustments.entry(id.service.clone()).or_default().stopped = stopped;
        self.dirty.stacks.insert(id.stack.clone());
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

    fn started(&mut self, id: &ReplicaId, incarnation: u64, pid: u32, now: Now, reaction: &mut Reaction) {
        let Some(replica) = self
            .current(id, incarnation)
            .filter(|replica| replica.phase == Phase::Starting)
        else {
            return;
        };
        replica.phase = Phase::Running { pid, since: now.mono };
        replica.started_at = Some(now.mono);
        replica.start_failure = None;
        let port = replica.port;
        reaction.entries.push(self.entry(
            Kind::ReplicaStarted,
            id,
            incarnation,
            json!({ "pid": pid, "port": port }),
        ));
    }

    fn start_failed(
        &mut self,
        id: &ReplicaId,
        incarnation: u64,
        failure: StartFailure,
        now: Now,
        reaction: &mut Reaction,
    ) {
        let Some(replica) = self
            .current(id, incarnation)
            .filter(|replica| replica.phase == Phase::Starting)
        else {
            return;
        };
        replica.phase = Phase::Ended { at: now.mono };
        replica.failures += 1;
        let taken = if failure.port_taken { replica.port.take() } else { None };
        let data = json!({ "error": failure.why, "hint": failure.hint });
        replica.start_failure = Some(failure);
        self.world.ports_avoided.extend(taken);
        reaction
            .entries
            .push(self.entry(Kind::ReplicaStartFailed, id, incarnation, data));
    }

    fn became_ready(&mut self, id: &ReplicaId, now: Now, reaction: &mut Reaction) {
        let Some(replica) = self.world.replicas.get_mut(id) else {
            return;
        };
        let Phase::Running { since, .. } = replica.phase else {
            return;
        };
        replica.ready_since = Some(now.mono);
        replica.was_ready = true;
        self.dirty.replicas.insert(id.clone());
        let (incarnation, after) = (replica.incarnation, now.mono.since(since).as_millis());
        let after = u64::try_from(after).unwrap_or(u64::MAX);
        reaction
            .entries
            .push(self.entry(Kind::ReplicaReady, id, incarnation, json!({ "after_ms": after })));
    }

    fn probed(
        &mut self,
        id: &ReplicaId,
        incarnation: u64,
        kind: ProbeKind,
        result: Result<(), String>,
        now: Now,
        reaction: &mut Reaction,
    ) {
        let Some(service) = self.world.definition(id) else {
            return;
        };
        let probe = match kind {
            ProbeKind::Liveness => service.liveness.as_ref(),
            ProbeKind::Readiness => service.readiness.as_ref(),
        };
        let Some((retries, start_period)) = probe.map(|probe| (probe.retries, probe.start_period)) else {
            return;
        };
        let Some(replica) = self.current(id, incarnation) else {
            return;
        };
        let since = match replica.phase {
            Phase::Running { since, .. } => since,
            _ => return,
        };
        let ready = replica.ready_since.is_some();
        let facts = replica.probe_mut(kind);
        facts.asking = false;
        match result {
            Ok(()) => {
                (facts.passing, facts.failures, facts.why) = (true, 0, None);
                if kind == ProbeKind::Readiness && !ready {
                    self.became_ready(id, now, reaction);
                }
            }
            Err(why) => {
                // Before the first success, failures within the start period are the start and not a fault.
                let counts = facts.passing || now.mono >= since + start_period;
                facts.why = Some(why.clone());
                if !counts {
                    return;
                }
                facts.failures += 1;
                let failures = facts.failures;
                if failures == retries.max(1) {
                    facts.passing = false;
                    if kind == ProbeKind::Readiness && ready {
                        replica.ready_since = None;
                        self.dirty.replicas.insert(id.clone());
                        reaction.entries.push(self.entry(
                            Kind::ReplicaUnready,
                            id,
                            incarnation,
                            json!({ "reason": why }),
                        ));
                    }
                    let data = json!({ "probe": kind.text(), "failures": failures, "error": why });
                    reaction
                        .entries
                        .push(self.entry(Kind::ReplicaProbeFailed, id, incarnation, data));
                }
            }
        }
    }

    fn exited(
        &mut self,
        id: &ReplicaId,
        incarnation: u64,
        exit: Exit,
        last_lines: Vec<String>,
        now: Now,
        reaction: &mut Reaction,
    ) {
        let policy = self.world.definition(id).map(|service| service.restart);
        let Some(replica) = self.current(id, incarnation).filter(|replica| replica.is_up()) else {
            return;
        };
        let started = replica.started_at.unwrap_or(now.mono);
        let window = policy.map_or(Duration::ZERO, |policy| policy.window);
        let was_stable = replica.ready_since.is_some_and(|ready| now.mono >= ready + window);
        let uptime = now.mono.since(started);
        // A replica that was killed for its own fault has failed, whoever sent the signal.
        let asked = replica.stop_reason;
        let expected = matches!(
            asked,
            Some(StopReason::Unwanted | StopReason::Restart | StopReason::Changed | StopReason::Scheduled)
        );
        if was_stable {
            replica.stable_at = Some(now.mono);
            replica.failures = 0;
        }
        let killed = matches!(replica.phase, Phase::Stopping { killed: true, .. });
        replica.phase = Phase::Ended { at: now.mono };
        replica.ready_since = None;
        replica.shim_lost = false;
        replica.stop_reason = None;
        replica.last_exit = Some(LastExit {
            exit: exit.clone(),
            at: now.wall,
            uptime,
            asked,
            last_lines: last_lines.clone(),
        });
        let text = match asked {
            Some(reason) if !expected => format!("{exit}: {}", reason.text()),
            _ => exit.to_string(),
        };
        if expected {
            let data = json!({ "exit": text, "uptime_ms": millis(uptime), "killed": killed });
            reaction
                .entries
                .push(self.entry(Kind::ReplicaStopped, id, incarnation, data));
            return;
        }
        let once = policy.is_some_and(|policy| match policy.condition {
            crate::model::Condition::Never => true,
            crate::model::Condition::OnFailure => exit.is_success(),
            crate::model::Condition::Always => false,
        });
        if once {
            replica.completed = true;
        }
        if !(once && exit.is_success()) {
            replica.failures += 1;
        }
        let (failures, stable_at) = (replica.failures, replica.stable_at);
        let failing = policy.is_some_and(|policy| failures == policy.max_attempts + 1) && !once;
        let card = CrashCard {
            replica: Subject::from(id.clone()).incarnation(incarnation),
            exit: text,
            uptime_ms: millis(uptime),
            restarts: failures.saturating_sub(1),
            last_lines,
            stable_until: stable_at.map(|at| wall_at(at, now)),
            changes_since_stable: self.changes_since(id, stable_at),
            next: if once {
                "left as it is, as its restart policy says".to_owned()
            } else {
                "started again".to_owned()
            },
        };
        reaction
            .entries
            .push(self.entry(Kind::ReplicaExited, id, incarnation, json!(card)));
        if failing {
            reaction
                .entries
                .push(self.entry(Kind::ReplicaFailing, id, incarnation, json!({ "failures": failures })));
        }
    }

    fn changes_since(&self, id: &ReplicaId, stable_at: Option<Mono>) -> Vec<Change> {
        self.world
            .changes
            .iter()
            .filter(|change| change.stack == id.stack && stable_at.is_none_or(|stable| change.at > stable))
            .map(|change| Change {
                at: change.wall,
                by: change.by.clone(),
                what: change.what.clone(),
            })
            .collect()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the time of day of a past moment, as the clock stands now.
fn wall_at(at: Mono, now: Now) -> tend_base::Wall {
    tend_base::Wall(now.wall.0.saturating_sub(millis(now.mono.since(at))))
}
