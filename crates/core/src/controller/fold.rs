//! Folding an input into the facts, and saying in the journal what changed by it. Decides nothing.
//!
//! An input about an incarnation that is not the current one is old news and changes nothing.

use std::time::Duration;

use serde_json::json;
use tend_base::{Mono, Now};

use super::survey::Found;
use super::{Chapter, Controller, Input, Reaction, subject_of};
use crate::journal::{Change, CrashCard, Entry, Kind, Subject};
use crate::model::{Condition, Port, ReplicaId, StackName};
use crate::observed::{Exit, LastExit, Lived, Phase, ProbeFacts, Replica, StartFailure, StopReason};
use crate::plan::{ProbeKind, StepKey};

/// How a life ended.
pub(super) struct End {
    exit: Exit,
    lived: Option<Lived>,
    last_lines: Vec<String>,
}

impl End {
    pub(super) fn unknown(why: &str) -> Self {
        Self {
            exit: Exit::Unknown(why.to_owned()),
            lived: None,
            last_lines: Vec::new(),
        }
    }
}

impl Replica {
    /// Forgets what stood in the way of a start: somebody asked for one.
    pub(super) fn begin_anew(&mut self) {
        self.failures = 0;
        self.start_failure = None;
        self.completed = false;
    }

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
            Input::Door {
                stack,
                service,
                change,
                by,
            } => self.door(&stack, service, &change, by, now, reaction),
            Input::Secrets { stack, issued, by } => self.secrets(&stack, &issued, &by, now),
            Input::Ban { change, by } => self.ban(&change, by, now, reaction),
            Input::Configure(wish) => self.configure(*wish, now, reaction),
            Input::Deploy(wish) => self.deploy(*wish, None, now, reaction),
            Input::Decide {
                stack,
                deployment,
                word,
                by,
                why,
            } => self.decide_deployment(&stack, deployment, word, by, why, now, reaction),
            Input::Acted {
                stack,
                deployment,
                act,
                result,
            } => self.acted(&stack, deployment, act, result, reaction),
            Input::Prepared {
                service,
                fingerprint,
                result,
            } => {
                self.finish(StepKey::Prepare(service.clone()), &result, reaction);
                // Its stack may have been removed meanwhile.
                if let Some(facts) = self.world.services.get_mut(&service) {
                    match result {
                        Ok(()) => (facts.prepared, facts.prepare_failure) = (Some(fingerprint), None),
                        Err(why) => {
                            (facts.prepare_failure, facts.prepare_failed_for) = (Some(why), Some(fingerprint));
                        }
                    }
                    self.dirty.services.insert(service);
                }
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
            Input::Quiesced {
                replica,
                incarnation,
                turn,
                result,
            } => self.quiesced(&replica, incarnation, turn, result, reaction),
            Input::Signalled { replica, result, .. } => self.finish(StepKey::Signal(replica), &result, reaction),
            Input::Killed {
                replica: id,
                incarnation,
                result,
            } => {
                self.finish(StepKey::Kill(id.clone()), &result, reaction);
                if let Some(replica) = self.current(&id, incarnation).filter(|_| result.is_err())
                    && let Phase::Stopping { signalled, killed, .. } = &mut replica.phase
                {
                    // Tried again when another grace period is over.
                    (*signalled, *killed) = (Some(now.mono), false);
                }
            }
            Input::ShimReplaced {
                replica: id,
                incarnation,
                result,
            } => {
                self.finish(StepKey::ReplaceShim(id.clone()), &result, reaction);
                if let Some(replica) = self.current(&id, incarnation) {
                    if result.is_err() {
                        replica.shim_failed = Some(now.mono);
                    } else {
                        (replica.shim_lost, replica.shim_failed) = (false, None);
                        reaction
                            .entries
                            .push(self.entry(Kind::ShimReplaced, &id, incarnation, json!({})));
                    }
                }
            }
            Input::Published { generation, result } => {
                self.finish(StepKey::Publish, &result, reaction);
                if result.is_err() && self.world.edge.generation == generation {
                    // The edge did not hear of it: publish again.
                    (self.world.edge.published, self.world.edge.publish_failed) = (None, Some(now.mono));
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
                // Its stack may have been removed meanwhile.
                if let Some(facts) = self.world.services.get_mut(&service) {
                    match result {
                        Ok(_) => {
                            (facts.answered_revision, facts.answer_failure) = (Some(revision), None);
                            facts.answer_failures = 0;
                        }
                        Err(why) => {
                            facts.answer_failure = Some((now.mono, why));
                            facts.answer_failures += 1;
                        }
                    }
                }
            }
            Input::EdgeStartFailed { why } => {
                self.finish(StepKey::StartEdge, &Err(why.clone()), reaction);
                let edge = &mut self.world.edge;
                (edge.failed, edge.ended_at) = (Some((now.mono, why)), Some(now.mono));
                edge.failures += 1;
            }
            Input::EdgeConnected { serving } => self.edge_connected(serving, now, reaction),
            Input::EdgeServing { generation } => self.edge_serving(generation, reaction),
            Input::EdgeLost => self.edge_lost(now, reaction),
            Input::EdgeRulesChanged => self.world.edge.rules += 1,
            Input::Adopted {
                replica,
                incarnation,
                pid,
                since,
                port,
                fingerprint,
                quiesce,
                shim_alive,
            } => {
                let found = Found {
                    pid,
                    since,
                    port,
                    fingerprint,
                    quiesce,
                    shim_alive,
                };
                self.adopted(&replica, incarnation, found, now, reaction);
            }
            Input::Surveyed => self.surveyed(now, reaction),
            Input::Exited {
                replica,
                incarnation,
                exit,
                lived,
                last_lines,
            } => {
                let end = End {
                    exit,
                    lived,
                    last_lines,
                };
                self.exited(&replica, incarnation, end, now, reaction);
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
                // Only while it is drained: what the edge said of an earlier drain must not pass for news of this one.
                if let Some(replica) = self.world.replicas.get_mut(&replica)
                    && matches!(replica.phase, Phase::Stopping { signalled: None, .. })
                {
                    replica.in_flight = Some(count);
                }
            }
            Input::PortsTaken { ports } => self.world.ports_avoided.extend(ports),
            Input::InnerPortTaken { service, port } => self.inner_port_taken(&service, port, now, reaction),
            Input::Tick => {}
        }
    }

    /// Changes the facts that follow from time alone.
    pub(super) fn advance(&mut self, now: Now, reaction: &mut Reaction) {
        let ids: Vec<ReplicaId> = self.world.replicas.keys().cloned().collect();
        for id in ids {
            self.keep_quiesce(&id);
            let Some(service) = self.world.definition(&id) else {
                continue;
            };
            let (start_period, window, probed) = (
                service.start_period,
                service.restart.window,
                service.readiness.is_some(),
            );
            let max_attempts = service.restart.max_attempts;
            let stop = service.stop.clone();
            let Some(replica) = self.world.replicas.get_mut(&id) else {
                continue;
            };
            if replica.is_up() && replica.stop.as_ref() != Some(&stop) {
                replica.stop = Some(stop);
                self.dirty.replicas.insert(id.clone());
            }
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
        self.forget_removed(reaction);
    }

    /// Drops what belongs to stacks that are gone, and the stacks being removed of which nothing runs any more.
    fn forget_removed(&mut self, reaction: &mut Reaction) {
        let orphans: Vec<ReplicaId> = self
            .world
            .replicas
            .iter()
            .filter(|(id, replica)| !self.world.stacks.contains_key(&id.stack) && !replica.is_up())
            .map(|(id, _)| id.clone())
            .collect();
        for id in orphans {
            self.world.replicas.remove(&id);
            self.dirty.replicas.insert(id);
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

    pub(super) fn current(&mut self, id: &ReplicaId, incarnation: u64) -> Option<&mut Replica> {
        self.world
            .replicas
            .get_mut(id)
            .filter(|replica| replica.incarnation == incarnation)
    }

    pub(super) fn entry(&self, kind: Kind, id: &ReplicaId, incarnation: u64, data: serde_json::Value) -> Entry {
        Entry::new(self.daemon.clone(), kind)
            .on(Subject::from(id.clone()).incarnation(incarnation))
            .with(data)
    }

    pub(super) fn finish(&mut self, key: StepKey, result: &Result<(), String>, reaction: &mut Reaction) {
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
        self.dirty.replicas.insert(id.clone());
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
        // A port that somebody else took says nothing about the replica: it is given another one, and there are only so many.
        let taken = if failure.port_taken { replica.port.take() } else { None };
        let data = json!({ "error": failure.why, "hint": failure.hint });
        replica.start_failure = Some(failure);
        self.world.ports_avoided.extend(taken);
        // With a port of its own, or when none is left that was not found taken, trying again at once would never end.
        let fixed = self
            .world
            .definition(id)
            .is_some_and(|service| matches!(service.port, Port::Fixed(_)));
        let next = self.world.free_ports().next();
        let another = next.is_some_and(|port| !self.world.ports_avoided.contains(&port));
        let counts = taken.is_none() || fixed || !another;
        let Some(replica) = self.current(id, incarnation) else {
            return;
        };
        replica.failures += u32::from(counts);
        let failures = replica.failures;
        self.dirty.replicas.insert(id.clone());
        reaction
            .entries
            .push(self.entry(Kind::ReplicaStartFailed, id, incarnation, data));
        if counts {
            self.note_failing(id, incarnation, failures, reaction);
        }
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
        if let Some(replica) = self.current(id, incarnation) {
            replica.probe_mut(kind).asking = false;
        }
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
        match result {
            Ok(()) => {
                (facts.passing, facts.failures, facts.why) = (true, 0, None);
                facts.successes = facts.successes.saturating_add(1);
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
                facts.successes = 0;
                let failures = facts.failures;
                let retries = retries.max(1);
                // Past the number too: it may have been lowered, or the replica counted as ready by other means.
                let news = failures == retries || facts.passing || (kind == ProbeKind::Readiness && ready);
                if failures >= retries && news {
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

    pub(super) fn exited(&mut self, id: &ReplicaId, incarnation: u64, end: End, now: Now, reaction: &mut Reaction) {
        let End {
            exit,
            lived,
            last_lines,
        } = end;
        // Of another boot, or of a clock nobody shares, is what did not end before now.
        let lived = lived.filter(|lived| lived.from <= lived.to && lived.to <= now.mono);
        let policy = self.world.definition(id).map(|service| service.restart);
        let survey_pending = self.world.survey_pending;
        if survey_pending {
            let replica = self.world.replicas.entry(id.clone()).or_default();
            if replica.incarnation < incarnation {
                replica.became(incarnation);
                self.world.incarnation_last = self.world.incarnation_last.max(incarnation);
                self.dirty.machine = true;
            }
        }
        self.dirty.replicas.insert(id.clone());
        let Some(replica) = self.current(id, incarnation).filter(|replica| replica.is_up()) else {
            return;
        };
        let ended = lived.map_or(now.mono, |lived| lived.to);
        let started = lived.map(|lived| lived.from).or(replica.started_at);
        let window = policy.map_or(Duration::ZERO, |policy| policy.window);
        let was_stable = replica.ready_since.is_some_and(|ready| ended >= ready + window);
        let uptime = started.map_or(Duration::ZERO, |started| ended.since(started));
        // A replica that was killed for its own fault has failed, whoever sent the signal.
        let asked = replica.stop_reason;
        let renewal = asked.is_some_and(StopReason::is_renewal);
        let expected = renewal || matches!(asked, Some(StopReason::Unwanted | StopReason::Scheduled));
        if was_stable {
            replica.stable_at = Some(ended);
            replica.failures = 0;
        }
        let killed = matches!(replica.phase, Phase::Stopping { killed: true, .. });
        let in_flight = replica.quiescing.evidence();
        if asked == Some(StopReason::Changed) {
            // Another definition begins with a clean record.
            (replica.failures, replica.start_failure, replica.completed) = (0, None, false);
        }
        if asked == Some(StopReason::Unwanted) {
            // Wanted again, it waits for its dependencies again. Its port is there for others: every deployment fills slots for a while.
            replica.was_ready = false;
            replica.port = None;
        }
        (replica.served_before, replica.signalled_before, replica.starting_before) = (false, false, false);
        replica.phase = Phase::Ended { at: now.mono };
        replica.ready_since = None;
        replica.shim_lost = false;
        replica.stop_reason = None;
        replica.last_exit = Some(LastExit {
            exit: exit.clone(),
            at: wall_at(ended, now),
            uptime,
            asked,
            last_lines: last_lines.clone(),
        });
        let text = match asked {
            Some(reason) if !expected => format!("{exit}: {}", reason.text()),
            _ => exit.to_string(),
        };
        if expected {
            let mut data = json!({ "exit": text, "uptime_ms": millis(uptime), "killed": killed });
            if let Some(in_flight) = in_flight {
                data["in_flight"] = in_flight;
            }
            reaction
                .entries
                .push(self.entry(Kind::ReplicaStopped, id, incarnation, data));
            if renewal {
                self.restart_dependents(&id.service_id());
            }
            return;
        }
        let once = policy.is_some_and(|policy| match policy.condition {
            Condition::Never => true,
            Condition::OnFailure => exit.is_success(),
            Condition::Always => false,
        });
        if once {
            replica.completed = true;
        }
        if !(once && exit.is_success()) {
            replica.failures += 1;
        }
        let (failures, stable_at) = (replica.failures, replica.stable_at);
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
        if !once {
            self.note_failing(id, incarnation, failures, reaction);
        }
    }

    /// Says so when a replica has just failed once more often than its policy counts as bad luck.
    fn note_failing(&self, id: &ReplicaId, incarnation: u64, failures: u32, reaction: &mut Reaction) {
        let policy = self.world.definition(id).map(|service| service.restart);
        if policy.is_some_and(|policy| failures.checked_sub(1) == Some(policy.max_attempts)) {
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

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the time of day of a past moment, as the clock stands now.
fn wall_at(at: Mono, now: Now) -> tend_base::Wall {
    tend_base::Wall(now.wall.0.saturating_sub(millis(now.mono.since(at))))
}
