//! What a daemon that comes back finds on the host: processes that run, and what of what was kept is there no more.
//!
//! Ends of lives that a shim kept come in like any other; see `fold`.

use serde_json::json;
use tend_base::{Mono, Now};

use super::fold::End;
use super::{Chapter, Controller, Reaction};
use crate::journal::Kind;
use crate::model::{Condition, Quiesce, ReplicaId};
use crate::observed::{Phase, QuiesceFacts, Replica};

/// What is known of a process found running.
pub(super) struct Found {
    pub(super) pid: u32,
    pub(super) since: Mono,
    pub(super) port: Option<u16>,
    pub(super) fingerprint: u64,
    pub(super) quiesce: Option<Quiesce>,
    pub(super) shim_alive: bool,
}

impl Replica {
    /// Forgets what was kept of an earlier incarnation: a later one was found, which there was no time to write down.
    pub(super) fn became(&mut self, incarnation: u64) {
        self.phase = Phase::Starting;
        self.incarnation = incarnation;
        self.stop_reason = None;
        (self.restart_requested, self.restart_follows) = (false, false);
        self.completed = false;
        (self.served_before, self.signalled_before, self.starting_before) = (false, false, false);
        self.quiescing = QuiesceFacts::default();
    }
}

impl<C: AsRef<[Box<dyn Chapter>]>> Controller<C> {
    /// Takes over a process that runs: as it was known by the daemon before, or as news if that one had no time to write it down.
    pub(super) fn adopted(
        &mut self,
        id: &ReplicaId,
        incarnation: u64,
        found: Found,
        now: Now,
        reaction: &mut Reaction,
    ) {
        let current = self.world.definition(id).and_then(|service| service.quiesce.clone());
        let before = self
            .world
            .replicas
            .get(id)
            .filter(|facts| facts.incarnation < incarnation);
        if let Some(lost) = before
            .filter(|facts| facts.phase == Phase::Starting)
            .map(|facts| facts.incarnation)
        {
            // It was up by what was kept, and its end, unlike that of others, was not reported before: nobody knows of it but us.
            self.not_found(id, lost, now, reaction);
        }
        let facts = self.world.replicas.entry(id.clone()).or_default();
        if facts.incarnation < incarnation {
            facts.became(incarnation);
            // A shim of an earlier version does not tell. Perhaps it was started from another definition: better asked in vain than not
            // at all.
            facts.quiesce = found.quiesce.or(current).or(facts.quiesce.take());
        }
        if facts.incarnation > incarnation || facts.phase != Phase::Starting {
            // Old news: another life is known already, or the end of this one was reported while the host was looked at.
            return;
        }
        let pid = found.pid;
        facts.starting_before = false;
        facts.phase = match facts.stop_reason {
            None => Phase::Running {
                pid,
                since: found.since,
            },
            Some(_) => Phase::Stopping {
                pid,
                since: now.mono,
                signalled: facts.signalled_before.then_some(now.mono),
                killed: false,
            },
        };
        // What could serve before the daemon was away is taken to serve still, until a probe says otherwise:
        // to take it out of the routes now would fail requests that nothing else would fail.
        let served = std::mem::take(&mut facts.served_before) || (facts.stop_reason.is_some() && facts.was_ready);
        facts.ready_since = served.then_some(now.mono);
        facts.readiness.passing = served;
        facts.started_at = Some(found.since);
        facts.fingerprint = found.fingerprint;
        facts.port = found.port;
        facts.shim_lost = !found.shim_alive;
        self.world.incarnation_last = self.world.incarnation_last.max(incarnation);
        self.dirty.machine = true;
        self.dirty.replicas.insert(id.clone());
        reaction
            .entries
            .push(self.entry(Kind::ReplicaAdopted, id, incarnation, json!({ "pid": pid })));
    }

    /// Ends the look around: what was up and was not found has ended.
    pub(super) fn surveyed(&mut self, now: Now, reaction: &mut Reaction) {
        if !std::mem::take(&mut self.world.survey_pending) {
            return;
        }
        let lost: Vec<_> = self
            .world
            .replicas
            .iter()
            .filter(|(_, replica)| replica.phase == Phase::Starting)
            .map(|(id, replica)| (id.clone(), replica.incarnation))
            .collect();
        for (id, incarnation) in lost {
            self.not_found(&id, incarnation, now, reaction);
        }
    }

    /// Nothing is there of a life that was up by what was kept. If its start was under way when the daemon ended, that was the daemon's
    /// end and not the replica's: it counts as no failure, and the start is begun again. What is never run twice is left alone: it may
    /// have run, which nobody kept.
    fn not_found(&mut self, id: &ReplicaId, incarnation: u64, now: Now, reaction: &mut Reaction) {
        let never_twice = self
            .world
            .definition(id)
            .is_some_and(|service| service.restart.condition == Condition::Never);
        let interrupted = self
            .current(id, incarnation)
            .filter(|replica| replica.starting_before && !never_twice);
        let Some(replica) = interrupted else {
            let end = End::unknown("nothing of it was found when the daemon came back");
            self.exited(id, incarnation, end, now, reaction);
            return;
        };
        replica.phase = Phase::Absent;
        replica.starting_before = false;
        self.dirty.replicas.insert(id.clone());
        reaction
            .entries
            .push(self.entry(Kind::ReplicaStartInterrupted, id, incarnation, json!({})));
    }
}
