//! What the daemon was told and decided, kept a second time and in another way: what the invariants compare the controller with.
//!
//! It outlives the daemon. Where the daemon may rightly know less than was true, because it was killed before it could write
//! it down, this takes the side that accuses less.

use std::collections::{BTreeMap, BTreeSet};

use tend_base::Mono;
use tend_core::controller::Input;
use tend_core::journal::{Entry, Kind};
use tend_core::model::{Condition, ReplicaId, Service, ServiceId};
use tend_core::observed::{Endpoint, Exit, StopReason};
use tend_core::plan::{ProbeKind, Step, StepKey};
use tend_core::world::World;

use crate::host::{FakeEdge, Host};
use crate::store::Store;

/// One replica, as the daemon was told of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The life spoken of.
    pub(crate) incarnation: u64,
    /// It was reported running and not ended, to the daemon that lives now.
    pub(crate) since: Option<Mono>,
    /// It passed its readiness at least once in this life.
    pub(crate) passed: bool,
    /// Readiness failures reported since the last success.
    pub(crate) unready: u32,
    /// Liveness failures reported since the last success.
    pub(crate) dead: u32,
    /// Bytes last reported.
    pub(crate) memory: u64,
    /// Ready since, without a break.
    pub(crate) ready_since: Option<Mono>,
    /// It was ready once since it is wanted.
    pub(crate) was_ready: bool,
    /// It is drained or told to go, for this reason.
    pub(crate) leaving: Option<(StopReason, Mono)>,
    /// It began to leave while a deployment was under way, which has a floor of its own.
    pub(crate) deployed: bool,
    /// The transaction that says it was told to go.
    pub(crate) told_in: Option<u64>,
    /// A person asked for its restart in this life.
    pub(crate) restart_wished: bool,
    /// Ends in a row.
    pub(crate) failures: u32,
    /// It ended, whoever was told.
    pub(crate) over: bool,
    /// When it ended, told to the daemon that lives now.
    pub(crate) ended: Option<Mono>,
    /// It was leaving when the daemon was killed, which that one may not have written down.
    pub(crate) uncertain: bool,
    /// It ended with success and was not started since.
    pub(crate) succeeded: bool,
    /// It ended as its policy leaves it and was not started since.
    pub(crate) left: bool,
}

/// Everything remembered.
#[derive(Debug, Default)]
pub(crate) struct Monitor {
    pub(crate) known: BTreeMap<ReplicaId, Known>,
    /// Steps whose outcome is not in, of the daemon that lives now.
    pub(crate) performing: BTreeSet<StepKey>,
    /// The highest incarnation decided by the daemon that lives now.
    pub(crate) incarnation_last: u64,
    /// What the edge served when the daemon came back, and must go on to serve: until its first publication.
    pub(crate) must_stay: Vec<Endpoint>,
    /// When the daemon that lives now first had a life take no new work, by incarnation.
    pub(crate) quiesced: BTreeMap<u64, Mono>,
    /// Recorded steps in the present second.
    pub(crate) steps_in_second: (u64, u64),
}

impl Known {
    /// Returns whether it counts as ready by what was told.
    pub(crate) fn is_ready(&self, service: &Service, now: Mono) -> bool {
        let Some(since) = self.since else { return false };
        match &service.readiness {
            Some(probe) => self.passed && self.unready < probe.retries.max(1),
            None => now >= since + service.start_period,
        }
    }

    /// Brings the memory of readiness up to a moment.
    fn settle(&mut self, service: &Service, now: Mono) {
        if self.is_ready(service, now) {
            let since = match (&service.readiness, self.since) {
                (None, Some(since)) => since + service.start_period,
                _ => now,
            };
            let ready = *self.ready_since.get_or_insert(since);
            self.was_ready = true;
            if now >= ready + service.restart.window {
                self.failures = 0;
            }
        } else {
            self.ready_since = None;
        }
    }

    fn lives(&mut self, incarnation: u64, since: Mono) {
        self.over = false;
        self.since = Some(since);
        self.incarnation = incarnation;
        (self.unready, self.dead) = (0, 0);
    }
}

impl Monitor {
    /// Remembers what the daemon is about to be told.
    pub(crate) fn hear(&mut self, input: &Input, world: &World, now: Mono) {
        for (id, known) in &mut self.known {
            if let Some(service) = world.definition(id) {
                known.settle(service, now);
            }
        }
        self.finished(input);
        match input {
            Input::Apply { stack, .. } => self.begin_anew(|id| id.stack == stack.name),
            Input::Restart { service, slot, .. } => {
                let meant = |id: &ReplicaId| id.service_id() == *service && slot.is_none_or(|slot| slot == id.slot);
                self.begin_anew(meant);
                for (_, known) in self.known.iter_mut().filter(|(id, _)| meant(id)) {
                    known.restart_wished = true;
                }
            }
            Input::Stop {
                service,
                stopped: false,
                ..
            } => self.begin_anew(|id| id.service_id() == *service),
            Input::Started {
                replica,
                incarnation,
                result,
            } => {
                let known = self.known.entry(replica.clone()).or_default();
                if known.incarnation == *incarnation && !known.over {
                    match result {
                        Ok(_) => known.lives(*incarnation, now),
                        // With another port it may be tried at once.
                        Err(failure) if failure.port_taken => known.over = true,
                        Err(_) => {
                            known.failures += 1;
                            (known.ended, known.over) = (Some(now), true);
                        }
                    }
                }
            }
            Input::Adopted {
                replica,
                incarnation,
                since,
                ..
            } => {
                let known = self.known.entry(replica.clone()).or_default();
                if known.incarnation != *incarnation || !known.over {
                    known.lives(*incarnation, *since);
                }
                self.incarnation_last = self.incarnation_last.max(*incarnation);
            }
            Input::Probed {
                replica,
                incarnation,
                kind,
                result,
            } => {
                let Some(known) = self.known.get_mut(replica) else {
                    return;
                };
                if known.incarnation != *incarnation || known.leaving.is_some() || known.since.is_none() {
                    return;
                }
                let failures = match kind {
                    ProbeKind::Readiness => {
                        known.passed |= result.is_ok();
                        &mut known.unready
                    }
                    ProbeKind::Liveness => &mut known.dead,
                };
                *failures = if result.is_ok() { 0 } else { *failures + 1 };
            }
            Input::Measured {
                replica,
                incarnation,
                memory,
                ..
            } => {
                if let Some(known) = self
                    .known
                    .get_mut(replica)
                    .filter(|known| known.incarnation == *incarnation)
                {
                    known.memory = *memory;
                }
            }
            Input::Exited {
                replica,
                incarnation,
                exit,
                ..
            } => self.exited(replica, *incarnation, exit, world, now),
            Input::Surveyed => {
                for (id, known) in self
                    .known
                    .iter_mut()
                    .filter(|(_, known)| known.since.is_none() && !known.over)
                {
                    let policy = world.definition(id).map(|service| service.restart.condition);
                    (known.over, known.left) = (true, policy == Some(Condition::Never));
                }
            }
            _ => {}
        }
        for (id, known) in &mut self.known {
            if let Some(service) = world.definition(id) {
                known.settle(service, now);
            }
        }
    }

    fn begin_anew(&mut self, meant: impl Fn(&ReplicaId) -> bool) {
        for (_, known) in self.known.iter_mut().filter(|(id, _)| meant(id)) {
            (known.failures, known.left, known.succeeded) = (0, false, false);
        }
    }

    fn exited(&mut self, id: &ReplicaId, incarnation: u64, exit: &Exit, world: &World, now: Mono) {
        let known = self.known.entry(id.clone()).or_default();
        if incarnation < known.incarnation || (incarnation == known.incarnation && known.over) {
            return;
        }
        self.incarnation_last = self.incarnation_last.max(incarnation);
        let on_purpose = known.leaving.is_some_and(|(reason, _)| is_on_purpose(reason));
        if known.leaving.is_some_and(|(reason, _)| reason == StopReason::Unwanted) {
            known.was_ready = false;
        }
        let policy = world.definition(id).map(|service| service.restart.condition);
        if !on_purpose {
            known.failures += u32::from(!std::mem::take(&mut known.uncertain));
            known.left = match policy {
                Some(Condition::Never) => true,
                Some(Condition::OnFailure) => exit.is_success(),
                _ => false,
            };
        }
        known.incarnation = incarnation;
        known.over = true;
        known.succeeded = exit.is_success();
        (known.since, known.ended, known.ready_since, known.leaving) = (None, Some(now), None, None);
        known.passed = false;
    }

    /// Remembers that the outcome of a step is in.
    fn finished(&mut self, input: &Input) {
        let key = match input {
            Input::Prepared { service, .. } => StepKey::Prepare(service.clone()),
            Input::Started { replica, .. } => StepKey::Start(replica.clone()),
            Input::Probed { replica, kind, .. } => StepKey::Probe(replica.clone(), *kind),
            Input::Quiesced { replica, .. } => StepKey::Quiesce(replica.clone()),
            Input::Signalled { replica, .. } => StepKey::Signal(replica.clone()),
            Input::Killed { replica, .. } => StepKey::Kill(replica.clone()),
            Input::ShimReplaced { replica, .. } => StepKey::ReplaceShim(replica.clone()),
            Input::Published { .. } => StepKey::Publish,
            Input::Verified { service, .. } => StepKey::Verify(service.clone()),
            Input::Acted { stack, act, .. } => StepKey::Act(stack.clone(), act.clone()),
            Input::EdgeStartFailed { .. } | Input::EdgeConnected { .. } => StepKey::StartEdge,
            _ => return,
        };
        self.performing.remove(&key);
    }

    /// Remembers which replicas the daemon began to take out of service.
    pub(crate) fn note_entries(&mut self, entries: &[Entry], world: &World, now: Mono) {
        for entry in entries.iter().filter(|entry| entry.kind == Kind::DeployStage) {
            // What moved to another definition begins with a clean record.
            let of = |id: &ReplicaId| {
                Some(&id.stack) == entry.subject.stack.as_ref() && Some(&id.service) == entry.subject.service.as_ref()
            };
            for (_, known) in self.known.iter_mut().filter(|(id, _)| of(id)) {
                known.failures = 0;
            }
        }
        for entry in entries.iter().filter(|entry| entry.kind == Kind::ReplicaStopping) {
            let (Some(id), Some(reason)) = (replica_of(entry), reason_of(entry)) else {
                continue;
            };
            let deployed = world.deployment(&id.stack).is_some();
            let known = self.known.entry(id).or_default();
            known.leaving.get_or_insert((reason, now));
            known.deployed |= deployed;
        }
    }

    /// Remembers a step that was decided in a transaction.
    pub(crate) fn decided(&mut self, step: &Step, transaction: u64, now: Mono) {
        self.performing.insert(step.key());
        if step.is_recorded() {
            let second = now.0 / 1_000_000_000;
            let (at, count) = self.steps_in_second;
            self.steps_in_second = (second, if at == second { count + 1 } else { 1 });
        }
        match step {
            Step::Start {
                replica, incarnation, ..
            } => {
                self.incarnation_last = self.incarnation_last.max(*incarnation);
                let before = self.known.get(replica).cloned().unwrap_or_default();
                self.known.insert(
                    replica.clone(),
                    Known {
                        incarnation: *incarnation,
                        was_ready: before.was_ready,
                        failures: before.failures,
                        ..Known::default()
                    },
                );
            }
            Step::Signal { replica, why, .. } | Step::Kill { replica, why, .. } => {
                let known = self.known.entry(replica.clone()).or_default();
                known.leaving.get_or_insert((*why, now));
                known.told_in.get_or_insert(transaction);
            }
            Step::Quiesce { incarnation, .. } => {
                self.quiesced.entry(*incarnation).or_insert(now);
            }
            Step::Publish { .. } => self.must_stay.clear(),
            _ => {}
        }
    }

    /// The daemon was killed: nobody has been told anything yet.
    pub(crate) fn daemon_died(&mut self, lost: &[u64]) {
        self.performing.clear();
        self.quiesced.clear();
        self.incarnation_last = 0;
        for known in self.known.values_mut() {
            // What had ended is in the documents, or is told again, and then has waited by another clock.
            (known.since, known.ended, known.memory) = (None, None, 0);
            // The failures may not have been written down.
            known.failures = 0;
            if known.told_in.is_some_and(|told| lost.contains(&told)) {
                known.told_in = None;
            }
            if known.leaving.take().is_some() {
                // Whether the next daemon knows that it is leaving is not known here.
                (known.uncertain, known.was_ready) = (true, true);
            }
        }
    }

    /// A daemon starts: what the edge serves by good evidence has to stay.
    pub(crate) fn daemon_started(&mut self, edge: &FakeEdge, host: &Host, store: &Store) {
        self.must_stay.clear();
        for endpoint in edge
            .endpoints
            .values()
            .flatten()
            .filter(|endpoint| edge.alive && !endpoint.draining)
        {
            let document = store.document("replica", &endpoint.replica.to_string());
            let is = |name: &str, wanted: serde_json::Value| document.is_some_and(|kept| kept[name] == wanted);
            let evident = is("incarnation", endpoint.incarnation.into()) && is("ready", true.into());
            if evident && host.processes.contains_key(&endpoint.incarnation) {
                self.must_stay.push(endpoint.clone());
            }
        }
    }

    /// Returns what is known of the wanted replicas of a service.
    pub(crate) fn wanted_of<'a>(
        &'a self,
        world: &'a World,
        service: &'a ServiceId,
    ) -> impl Iterator<Item = (ReplicaId, Known)> + 'a {
        (1..=world.replicas_wanted(service)).map(|slot| {
            let id = ReplicaId {
                stack: service.stack.clone(),
                service: service.service.clone(),
                slot,
            };
            let known = self.known.get(&id).cloned().unwrap_or_default();
            (id, known)
        })
    }
}

/// Returns whether a replica ended for this reason did not fail.
pub(crate) fn is_on_purpose(reason: StopReason) -> bool {
    !matches!(reason, StopReason::NotLive | StopReason::OverMemory)
}

/// Returns the replica an entry is about.
fn replica_of(entry: &Entry) -> Option<ReplicaId> {
    let subject = &entry.subject;
    Some(ReplicaId {
        stack: subject.stack.clone()?,
        service: subject.service.clone()?,
        slot: subject.slot?,
    })
}

fn reason_of(entry: &Entry) -> Option<StopReason> {
    use StopReason::{Changed, NotLive, OverMemory, Restart, Scheduled, Unwanted};
    let text = entry.data["reason"].as_str()?;
    [Unwanted, Restart, Changed, Scheduled, NotLive, OverMemory]
        .into_iter()
        .find(|reason| reason.text() == text)
}
