//! The chapter: asks each part in turn. Decides nothing by itself.

use std::time::Duration;

use tend_base::Now;
use tend_core::controller::{Chapter, Decision};
use tend_core::model::{Port, Service, ServiceId, Workload};
use tend_core::observed::{Phase, Replica, ServiceFacts};
use tend_core::plan::Step;
use tend_core::world::World;

use crate::{gate, launch, probe, restart, route, stop};

/// After a new shim could not be started for a replica: its output waits in the FIFO meanwhile.
const SHIM_AGAIN: Duration = Duration::from_secs(1);

/// Supervision as a chapter of the controller.
#[derive(Clone, Copy, Debug, Default)]
pub struct Supervise;

impl Chapter for Supervise {
    fn decide(&self, world: &World, now: Now) -> Decision {
        let mut decision = Decision::default();
        for name in world.stacks.keys() {
            for (id, _, service) in world.services_wanted(name) {
                if let Workload::Process(_) = service.workload {
                    start(world, &id, now, &mut decision);
                }
            }
        }
        for (id, replica) in &world.replicas {
            if !replica.is_up() {
                continue;
            }
            let definition = world.definition(id);
            stop::decide(world, id, replica, definition, now, &mut decision);
            if let (Some(service), Phase::Running { since, .. }) = (definition, &replica.phase) {
                probe::decide(id, replica, service, *since, now, &mut decision);
                match replica.shim_failed.map(|failed| failed + SHIM_AGAIN) {
                    _ if !replica.shim_lost => {}
                    Some(again) if again > now.mono => decision.wake(again),
                    _ => decision.steps.push(Step::ReplaceShim {
                        replica: id.clone(),
                        incarnation: replica.incarnation,
                    }),
                }
            }
        }
        route::decide(world, now, &mut decision);
        decision
    }
}

/// Starts what is wanted of a service and not there, as far as it may start yet.
fn start(world: &World, id: &ServiceId, now: Now, decision: &mut Decision) {
    let count = world.slots_wanted(id);
    if count == 0 {
        return;
    }
    // A release is prepared before it is deployed, so this concerns what runs in place: one definition for all slots.
    let prepared = world.definition(&id.replica(1));
    if let Some(Workload::Process(process)) = prepared.map(|service| &service.workload)
        && let Some(command) = &process.prepare
    {
        let fingerprint = prepared.map_or(0, Service::fingerprint);
        let facts = world.services.get(id);
        if facts.is_some_and(|facts| prepare_failed(facts, fingerprint)) {
            return;
        }
        if facts.and_then(|facts| facts.prepared) != Some(fingerprint) {
            let Some(mut launch) = launch::launch(world, &id.replica(1), None) else {
                return;
            };
            launch.command.clone_from(command);
            // It is for the definition: another configuration is no reason to build again.
            launch.fingerprint = fingerprint;
            decision.steps.push(Step::Prepare {
                service: id.clone(),
                launch: Box::new(launch),
            });
            return;
        }
    }
    for slot in 1..=count {
        let replica_id = id.replica(slot);
        // A slot of a deployment may run another definition than the one beside it.
        let Some(service) = world.definition(&replica_id) else {
            continue;
        };
        let fresh = Replica::default();
        let replica = world.replicas.get(&replica_id).unwrap_or(&fresh);
        if !matches!(replica.phase, Phase::Absent | Phase::Ended { .. }) {
            continue;
        }
        // What completed runs once more after a service that it follows was restarted.
        let again = replica.completed && gate::follows(world, id, service, replica);
        if again && gate::comes_later(world, id, service, replica) || !again && restart::is_final(replica) {
            continue;
        }
        if !replica.was_ready && gate::waits_for(world, id, service).is_some() {
            continue;
        }
        let at = restart::start_at(&replica_id, replica, service);
        if at > now.mono {
            decision.wake(at);
            continue;
        }
        let port = match service.port {
            Port::None => None,
            Port::Fixed(port) => Some(port),
            Port::Variable(_) | Port::Descriptor(_) => {
                match replica
                    .port
                    .filter(|port| world.ports.contains(port))
                    .or_else(|| world.free_ports().find(|port| !is_given(decision, *port)))
                {
                    Some(port) => Some(port),
                    None => continue,
                }
            }
        };
        let Some(launch) = launch::launch(world, &replica_id, port) else {
            continue;
        };
        let starts = decision.steps.iter().filter(|step| matches!(step, Step::Start { .. }));
        let starts = starts.count() as u64;
        decision.steps.push(Step::Start {
            replica: replica_id,
            incarnation: world.incarnation_last + 1 + starts,
            launch: Box::new(launch),
        });
    }
}

/// Returns whether the `prepare` command failed for this very definition.
pub(crate) fn prepare_failed(facts: &ServiceFacts, fingerprint: u64) -> bool {
    facts.prepare_failure.is_some() && facts.prepare_failed_for.is_none_or(|failed| failed == fingerprint)
}

/// Two starts decided in one round must not be given the same port.
fn is_given(decision: &Decision, port: u16) -> bool {
    decision
        .steps
        .iter()
        .any(|step| matches!(step, Step::Start { launch, .. } if launch.port == Some(port)))
}
