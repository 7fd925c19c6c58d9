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

/// What the edge had counted of the release before when a canary was first looked at, so that only what came since is told.
///
/// Of the target every request counts: before its canary no client meets it. So its figures, which are the few, outlive this daemon
/// with the edge; those of the release before begin anew with a daemon that came back, which costs time and no certainty.
#[derive(Default)]
pub(crate) struct Counted(Mutex<BTreeMap<(ServiceId, u64), First>>);

/// The first look at one canary.
#[derive(Default)]
struct First {
    /// How often an edge had said something by then.
    moment: u64,
    /// What it said of each life first after that.
    sums: Sums,
}

impl Counted {
    /// Returns the moment of the first look, which is now if there was none.
    fn begin(&self, service: &ServiceId, deployment: u64, now: u64) -> u64 {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What an earlier deployment of the service counted is over.
        first.retain(|(of, number), _| of != service || *number == deployment);
        let first = first.entry((service.clone(), deployment)).or_insert_with(|| First {
            moment: now,
            sums: Sums::new(),
        });
        first.moment
    }

    /// Returns how much was counted of each life since the edge first spoke of it after the first look.
    fn since(&self, service: &ServiceId, deployment: u64, sums: Sums) -> Sums {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = first.entry((service.clone(), deployment)).or_default();
        let since = sums.into_iter().map(|(life, (requests, failures))| {
            let (requests_first, failures_first) = *first.sums.entry(life.clone()).or_insert((requests, failures));
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
    let (shared, number) = (&performer.shared, scene.deployment.number);
    let moment = performer.counted.begin(&id, number, shared.edge_counts_said());
    let of = |target: bool, moment: u64| -> Sums {
        let own = lives.iter().filter(|(_, is_target)| **is_target == target);
        let sums = own.filter_map(|(life, _)| Some((life.clone(), shared.edge_counts_after(&life.0, life.1, moment)?)));
        sums.collect()
    };
    let before = performer.counted.since(&id, number, of(false, moment));
    json!({ "before": sum(&before), "target": sum(&of(true, 0)) })
}

/// Returns the sums of all lives together.
fn sum(sums: &Sums) -> Value {
    let (requests, failures) = sums.values().fold((0, 0), |(requests, failures), sums| {
        (requests + sums.0, failures + sums.1)
    });
    json!({ "requests": requests, "failures": failures })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_since_the_first_look_is_counted() {
        let counted = Counted::default();
        let service = "mps/api/1".parse::<ReplicaId>().unwrap().service_id();
        let life = |slot: u32, incarnation| (format!("mps/api/{slot}").parse::<ReplicaId>().unwrap(), incarnation);
        assert_eq!(counted.begin(&service, 1, 40), 40);
        assert_eq!(counted.begin(&service, 1, 60), 40, "the first look stays the first");
        let first = counted.since(&service, 1, [(life(1, 1), (100, 5))].into());
        assert_eq!(first, [(life(1, 1), (0, 0))].into());
        // One that the edge speaks of only later is counted from then on: what it did before is not known.
        let next = counted.since(&service, 1, [(life(1, 1), (130, 6)), (life(2, 9), (10, 2))].into());
        assert_eq!(next, [(life(1, 1), (30, 1)), (life(2, 9), (0, 0))].into());
        let then = counted.since(&service, 1, [(life(2, 9), (15, 2))].into());
        assert_eq!(then, [(life(2, 9), (5, 0))].into());
        // Another deployment begins anew.
        assert_eq!(counted.begin(&service, 2, 90), 90);
        let other = counted.since(&service, 2, [(life(1, 1), (130, 6))].into());
        assert_eq!(other, [(life(1, 1), (0, 0))].into());
    }
}
