//! Folding in what the shell found of ports: those that somebody else holds.
//!
//! Owns which port a service is moved to. Who the others are, and how it is found out, is the shell's.

use serde_json::json;
use tend_base::Now;

use super::{Chapter, Controller, Reaction};
use crate::journal::{Entry, Kind};
use crate::model::{ReplicaId, ServiceId};

impl<C: AsRef<[Box<dyn Chapter>]>> Controller<C> {
    /// Gives a service another port when its inner one is held by somebody else: its address would lead there.
    pub(super) fn inner_port_taken(&mut self, id: &ServiceId, port: u16, now: Now, reaction: &mut Reaction) {
        self.world.ports_avoided.insert(port);
        let facts = self.world.services.get(id);
        if facts.and_then(|facts| facts.loopback_port) != Some(port) {
            return;
        }
        let next = self.world.free_ports().next();
        // With none left that was not found taken too, the service keeps its address: moved on, it would be moved without end.
        let Some(next) = next.filter(|next| !self.world.ports_avoided.contains(next)) else {
            return;
        };
        if let Some(facts) = self.world.services.get_mut(id) {
            facts.loopback_port = Some(next);
        }
        self.dirty.services.insert(id.clone());
        // The edge has to hear of it, though no replica changed.
        self.world.edge.published = None;
        // What was started before has the old address in its environment.
        let replicas = self.world.replicas.iter();
        let restart: Vec<ReplicaId> = replicas
            .filter(|(replica, facts)| replica.stack == id.stack && facts.is_up())
            .map(|(replica, _)| replica.clone())
            .collect();
        let by = self.daemon.clone();
        let what = format!("the inner address of {id} moved from port {port}, which somebody else holds, to {next}");
        self.change(&id.stack, &by, what, now);
        let hint = (!restart.is_empty()).then(|| {
            let stack = &id.stack;
            format!("what runs still has the old address: if it asks {id} there, `tend restart --stack {stack}`")
        });
        let entry = Entry::new(by, Kind::ServiceMoved).on(id.clone());
        reaction.entries.push(entry.with(json!({
            "from": port,
            "to": next,
            "restart": restart,
            "hint": hint,
        })));
    }
}
