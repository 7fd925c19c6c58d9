//! Reads from the edge how many requests both releases of a service answered and failed since its canary began.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use tend_core::model::{ReplicaId, ServiceId, ServiceName};

use super::Scene;
use crate::daemon::steps::Performer;

/// A life of a replica.
type Life = (ReplicaId, u64);

/// Requests and failures of each life.
type Sums = BTreeMap<Life, (u64, u64)>;

/// What the edge had counted when a canary was first looked at, so that only what came since is told.
#[derive(Default)]
pub(crate) struct Counted(Mutex<BTreeMap<(ServiceId, u64), Sums>>);

impl Counted {
    /// Returns how much was counted since the first look, for each life.
    fn since(&self, service: &ServiceId, deployment: u64, sums: Sums) -> Sums {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What an earlier deployment of the service counted is over.
        first.retain(|(of, number), _| of != service || *number == deployment);
        let first = first
            .entry((service.clone(), deployment))
            .or_insert_with(|| sums.clone());
        let since = sums.into_iter().map(|(life, (requests, failures))| {
            let (requests_first, failures_first) = first.get(&life).copied().unwrap_or_default();
            let sums = (
                requests.saturating_sub(requests_first),
                failures.saturating_sub(failures_first),
            );
            (life, sums)
        });
        since.collect()
    }
}

pub(super) async fn count(performer: &Performer, scene: &Scene, service: &ServiceName) -> Value {
    let id = ServiceId {
        stack: scene.stack().clone(),
        service: service.clone(),
    };
    let of = id.clone();
    let lives = performer.hub.ask(move |controller, _| {
        let world = controller.world();
        let lives = world.replicas_of(&of).filter(|(_, replica)| replica.is_up());
        let lives = lives.map(|(id, replica)| ((id.clone(), replica.incarnation), world.runs_target(id, replica)));
        lives.collect::<BTreeMap<Life, bool>>()
    });
    let lives = lives.await;
    let sums = lives.keys().filter_map(|(replica, incarnation)| {
        let sums = performer.shared.edge_counts(replica, *incarnation)?;
        Some(((replica.clone(), *incarnation), sums))
    });
    let since = performer.counted.since(&id, scene.deployment.number, sums.collect());
    let sum = |target: bool| {
        let own = since.iter().filter(|(life, _)| lives.get(*life) == Some(&target));
        let (requests, failures) = own.fold((0, 0), |(requests, failures), (_, sums)| {
            (requests + sums.0, failures + sums.1)
        });
        json!({ "requests": requests, "failures": failures })
    };
    json!({ "before": sum(false), "target": sum(true) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_since_the_first_look_is_counted() {
        let counted = Counted::default();
        let service = "mps/api/1".parse::<ReplicaId>().unwrap().service_id();
        let life = |slot: u32, incarnation| (format!("mps/api/{slot}").parse::<ReplicaId>().unwrap(), incarnation);
        let first = counted.since(&service, 1, [(life(1, 1), (100, 5))].into());
        assert_eq!(first, [(life(1, 1), (0, 0))].into());
        // A life that the edge first told of later counts whole.
        let next = counted.since(&service, 1, [(life(1, 1), (130, 6)), (life(4, 9), (10, 2))].into());
        assert_eq!(next, [(life(1, 1), (30, 1)), (life(4, 9), (10, 2))].into());
        // Another deployment begins anew.
        let other = counted.since(&service, 2, [(life(1, 1), (130, 6))].into());
        assert_eq!(other, [(life(1, 1), (0, 0))].into());
    }
}
