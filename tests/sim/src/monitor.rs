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
    /// It did not serve when it began to leave, also if that was under a daemon before: the next one only knows that it leaves.
    pub(crate) left_unready: bool,
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
    /// The fingerprint of what this life runs or ran; 0 where that was not told.
    pub(crate) ran: u64,
}

/// What was known of a replica before a transaction, should that be lost.
#[derive(Clone, Debug)]
struct Before {
    /// None until it is handed in.
    transaction: Option<u64>,
    replica: ReplicaId,
    /// None when nothing was.
    known: Option<Known>,
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
    /// What the transactions changed that are not durable, in the order they did.
    before: Vec<Before>,
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
        self.became(incarnation);
        self.over = false;
        self.since = Some(since);
        (self.unready, self.dead) = (0, 0);
    }

    /// Another life, if it is one, says nothing of how the one before was and ended.
    fn became(&mut self, incarnation: u64) {
        if self.incarnation != incarnation {
            self.begins(incarnation);
        }
    }

    fn begins(&mut self, incarnation: u64) {
        *self = Self {
            incarnation,
            was_ready: self.was_ready,
            failures: self.failures,
            ..Self::default()
        };
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
            Input::Configure(wish) => self.begin_anew(|id| {
                let before = world.configurations.get(&id.stack);
                let before = before.and_then(|before| before.of(&id.service));
                id.stack == wish.stack && before != wish.configuration.of(&id.service)
            }),
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
                self.remember(replica, None);
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
                fingerprint,
                ..
            } => {
                self.remember(replica, None);
                let known = self.known.entry(replica.clone()).or_default();
                if known.incarnation != *incarnation || !known.over {
                    let (same, unready) = (known.incarnation == *incarnation, known.unready);
                    known.lives(*incarnation, *since);
                    known.ran = *fingerprint;
                    let retries = world
                        .definition(replica)
                        .and_then(|service| service.readiness.as_ref())
                        .map_or(u32::MAX, |probe| probe.retries.max(1));
                    if same && unready >= retries {
                        // That it did not serve was written down; that it failed a question or two was not.
                        known.unready = unready;
                    }
                }
                self.incarnation_last = self.incarnation_last.max(*incarnation);
            }
            Input::Probed {
                replica,
                incarnation,
                kind,
                result,
            } => {
                if *kind == ProbeKind::Readiness {
                    self.remember(replica, None);
                }
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
                // What never lived by the documents cannot have ended.
                let missing = |known: &Known| known.incarnation > 0 && known.since.is_none() && !known.over;
                let all = self.known.iter().filter(|(_, known)| missing(known));
                let missing: Vec<_> = all.map(|(id, _)| id.clone()).collect();
                for id in missing {
                    self.remember(&id, None);
                    let policy = world.definition(&id).map(|service| service.restart.condition);
                    let known = self.known.entry(id).or_default();
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
        let meant: Vec<_> = self.known.keys().filter(|id| meant(id)).cloned().collect();
        for id in meant {
            self.remember(&id, None);
            let known = self.known.entry(id).or_default();
            (known.failures, known.left, known.succeeded) = (0, false, false);
        }
    }

    /// Keeps how a replica stands, before something changes that a killed daemon may not have written down.
    fn remember(&mut self, id: &ReplicaId, transaction: Option<u64>) {
        self.before.push(Before {
            transaction,
            replica: id.clone(),
            known: self.known.get(id).cloned(),
        });
    }

    /// What was heard last is in this transaction; those up to `durable` cannot be lost any more.
    pub(crate) fn handed_in(&mut self, transaction: u64, durable: u64) {
        self.before
            .retain(|before| before.transaction.is_none_or(|number| number > durable));
        for before in &mut self.before {
            before.transaction.get_or_insert(transaction);
        }
    }

    fn exited(&mut self, id: &ReplicaId, incarnation: u64, exit: &Exit, world: &World, now: Mono) {
        self.remember(id, None);
        let known = self.known.entry(id.clone()).or_default();
        if incarnation < known.incarnation || (incarnation == known.incarnation && known.over) {
            return;
        }
        known.became(incarnation);
        self.incarnation_last = self.incarnation_last.max(incarnation);
        let on_purpose = known.leaving.is_some_and(|(reason, _)| is_on_purpose(reason));
        match known.leaving.map(|(reason, _)| reason) {
            Some(StopReason::Unwanted) => known.was_ready = false,
            // Another definition begins with a clean record, also where a deployment ended before it was there.
            Some(StopReason::Changed) => known.failures = 0,
            _ => {}
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
            let service = world.definition(&id);
            let known = self.known.entry(id).or_default();
            if known.leaving.is_none() {
                known.left_unready = service.is_some_and(|service| !known.is_ready(service, now));
            }
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
                replica,
                incarnation,
                launch,
            } => {
                self.incarnation_last = self.incarnation_last.max(*incarnation);
                self.remember(replica, Some(transaction));
                let known = self.known.entry(replica.clone()).or_default();
                known.begins(*incarnation);
                known.ran = launch.fingerprint;
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
    ///
    /// Of a transaction that was lost the next daemon knows nothing: not that somebody wanted a job run again, not that it was
    /// started. If that life left nothing on the host, the one before is the last there was, and ended as it did; if it did, it is
    /// reported once more.
    pub(crate) fn daemon_died(&mut self, lost: &[u64]) {
        for before in std::mem::take(&mut self.before).into_iter().rev() {
            if before.transaction.is_some_and(|number| !lost.contains(&number)) {
                continue;
            }
            let was_ready = self.known.get(&before.replica).is_some_and(|known| known.was_ready);
            match before.known {
                Some(mut known) => {
                    known.was_ready |= was_ready;
                    self.known.insert(before.replica, known);
                }
                None => {
                    self.known.remove(&before.replica);
                }
            }
        }
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
pub(crate) fn replica_of(entry: &Entry) -> Option<ReplicaId> {
    let subject = &entry.subject;
    Some(ReplicaId {
        stack: subject.stack.clone()?,
        service: subject.service.clone()?,
        slot: subject.slot?,
    })
}

/// Returns why the replica an entry is about has to go.
pub(crate) fn reason_of(entry: &Entry) -> Option<StopReason> {
    use StopReason::{Changed, NotLive, OverMemory, Restart, Scheduled, Unwanted};
    let text = entry.data["reason"].as_str()?;
    [Unwanted, Restart, Changed, Scheduled, NotLive, OverMemory]
        .into_iter()
        .find(|reason| reason.text() == text)
}
