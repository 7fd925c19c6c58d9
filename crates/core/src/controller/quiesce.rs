//! Folding what is learnt of a replica that is emptied before it is stopped, and saying in the journal with what in flight it was.
//!
//! Decides nothing: when it is told, asked and stopped is the supervisor's.

use serde_json::{Value, json};
use tend_base::Now;

use super::fold::millis;
use super::{Chapter, Controller, Reaction};
use crate::journal::{Entry, Kind};
use crate::model::ReplicaId;
use crate::observed::{Phase, QuiesceFacts};
use crate::plan::{QuiesceTurn, StepKey};

impl QuiesceFacts {
    /// Returns how much was in flight by the last that was heard, for the journal: null when it never said, none when it was never
    /// asked.
    pub(super) fn evidence(&self) -> Option<Value> {
        self.since.map(|_| json!(self.in_flight))
    }
}

impl<C: AsRef<[Box<dyn Chapter>]>> Controller<C> {
    pub(super) fn quiesced(
        &mut self,
        id: &ReplicaId,
        incarnation: u64,
        turn: QuiesceTurn,
        result: Result<u64, String>,
        reaction: &mut Reaction,
    ) {
        let key = StepKey::Quiesce(id.clone());
        if turn == QuiesceTurn::Tell {
            self.finish(key, &result.as_ref().map(|_| ()).map_err(Clone::clone), reaction);
        } else {
            // Not in the journal when it began.
            self.in_flight.remove(&key);
        }
        let Some(replica) = self.current(id, incarnation) else {
            return;
        };
        let waits = matches!(replica.phase, Phase::Stopping { signalled: None, .. });
        if !waits || !replica.quiescing.asking {
            // It was told to go meanwhile: what it has in flight then is what the journal says it had.
            return;
        }
        let facts = &mut replica.quiescing;
        facts.asking = false;
        match result {
            Ok(count) => (facts.in_flight, facts.why) = (Some(count), None),
            Err(why) => facts.why = Some(why),
        }
    }

    /// Notes how a replica is emptied as long as its definition is the one it was started from: the file may have changed in nothing
    /// but that, and a life that was found is known by its fingerprint alone.
    pub(super) fn keep_quiesce(&mut self, id: &ReplicaId) {
        let Some((service, replica)) = self.world.definition(id).zip(self.world.replicas.get(id)) else {
            return;
        };
        let fingerprint = self.world.fingerprint_for(id, service);
        if !replica.is_up() || replica.quiesce == service.quiesce || replica.fingerprint != fingerprint {
            return;
        }
        let quiesce = service.quiesce.clone();
        if let Some(replica) = self.world.replicas.get_mut(id) {
            replica.quiesce = quiesce;
            self.dirty.replicas.insert(id.clone());
        }
    }

    /// Returns what the journal is to say of the emptying of a replica that is sent its stop signal now.
    pub(super) fn quiesce_ended(&self, id: &ReplicaId, incarnation: u64, now: Now) -> Option<Entry> {
        let facts = &self.world.replicas.get(id)?.quiescing;
        let after_ms = millis(now.mono.since(facts.since?));
        let (kind, data) = match facts.in_flight {
            Some(0) => (Kind::ReplicaQuiesced, json!({ "in_flight": 0, "after_ms": after_ms })),
            count => (
                Kind::ReplicaQuiesceGaveUp,
                json!({ "in_flight": count, "error": facts.why, "after_ms": after_ms }),
            ),
        };
        Some(self.entry(kind, id, incarnation, data))
    }
}
