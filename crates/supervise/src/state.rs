//! What a person is told: the state of each replica in one word and a reason, and how far a stack is from what was asked.

use std::fmt;

use tend_base::{Now, format_duration};
use tend_core::model::{ReplicaId, ServiceId, StackName, Workload};
use tend_core::observed::{Phase, Replica};
use tend_core::world::World;

use crate::{chapter, gate, restart};

/// The state of a replica, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaState {
    /// For a dependency, or for its `prepare` command.
    Waiting,
    /// Its process is being started, or is up and not ready for the first time yet.
    Starting,
    /// It can serve.
    Ready,
    /// It was ready and is not now.
    Unready,
    /// It is being drained or was told to go.
    Stopping,
    /// It is not wanted to run.
    Stopped,
    /// It ended with success and is left so.
    Completed,
    /// It ended and is started again after a pause.
    BackingOff,
    /// It ended too often, or cannot be started; it is tried at long intervals, or not before something changes.
    Failing,
}

impl fmt::Display for ReplicaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReplicaState::Waiting => "waiting",
            ReplicaState::Starting => "starting",
            ReplicaState::Ready => "ready",
            ReplicaState::Unready => "unready",
            ReplicaState::Stopping => "stopping",
            ReplicaState::Stopped => "stopped",
            ReplicaState::Completed => "completed",
            ReplicaState::BackingOff => "backing_off",
            ReplicaState::Failing => "failing",
        })
    }
}

/// Returns the state of a replica and, where there is one, the reason.
#[must_use]
pub fn replica_state(world: &World, id: &ReplicaId, now: Now) -> (ReplicaState, Option<String>) {
    let fresh = Replica::default();
    let replica = world.replicas.get(id).unwrap_or(&fresh);
    let service = world.definition(id);
    match &replica.phase {
        Phase::Starting => (ReplicaState::Starting, None),
        Phase::Stopping { .. } => (ReplicaState::Stopping, replica.why_stopping()),
        Phase::Running { .. } if replica.ready_since.is_some() => (ReplicaState::Ready, None),
        Phase::Running { .. } if replica.readiness.failures > 0 && replica.was_ready => {
            (ReplicaState::Unready, replica.readiness.why.clone())
        }
        Phase::Running { .. } => (ReplicaState::Starting, replica.readiness.why.clone()),
        Phase::Absent | Phase::Ended { .. } if replica.completed => {
            let exit = replica.last_exit.as_ref().map(|last| last.exit.clone());
            match exit.filter(|exit| !exit.is_success()) {
                Some(exit) => (
                    ReplicaState::Failing,
                    Some(format!("it {exit}, and is not to be restarted")),
                ),
                None => (ReplicaState::Completed, None),
            }
        }
        Phase::Absent | Phase::Ended { .. } if !world.is_wanted(id) => (ReplicaState::Stopped, None),
        Phase::Absent | Phase::Ended { .. } => {
            if let Some(why) = prepare_failure(world, &id.service_id()) {
                return (
                    ReplicaState::Failing,
                    Some(format!("its prepare command failed: {why}")),
                );
            }
            if let Some(failure) = &replica.start_failure
                && restart::is_final(replica)
            {
                return (ReplicaState::Failing, Some(failure.why.clone()));
            }
            let Some(service) = service else {
                return (ReplicaState::Stopped, None);
            };
            // A replica that ended before it was ever ready waits for its dependencies again, whenever its pause is over.
            let waits = gate::waits_for(world, &id.service_id(), service).filter(|_| !replica.was_ready);
            if replica.failures > 0 && waits.is_none() {
                let what = replica.start_failure.as_ref().map_or_else(
                    || {
                        replica
                            .last_exit
                            .as_ref()
                            .map_or_else(String::new, |last| format!("it {}", last.exit))
                    },
                    |failure| failure.why.clone(),
                );
                let at = restart::start_at(id, replica, service);
                let wait = format_duration(at.since(now.mono));
                let failing = replica.failures > service.restart.max_attempts;
                let state = if failing {
                    ReplicaState::Failing
                } else {
                    ReplicaState::BackingOff
                };
                return (state, Some(format!("{what}; tried again in {wait}")));
            }
            (ReplicaState::Waiting, waits.map(|what| format!("waits for {what}")))
        }
    }
}

/// Returns why the `prepare` command failed for the service as it is wanted now.
fn prepare_failure<'a>(world: &'a World, id: &ServiceId) -> Option<&'a String> {
    let (_, service) = world.service(id)?;
    let facts = world.services.get(id)?;
    let failed = chapter::prepare_failed(facts, service.fingerprint());
    facts.prepare_failure.as_ref().filter(|_| failed)
}

/// How far one service is from what `tend up` promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    /// Which.
    pub service: ServiceId,
    /// How far.
    pub state: GoalState,
}

/// How far a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GoalState {
    /// Not there yet, and on its way; the text says what is missing.
    Pending(String),
    /// There: answered through the edge, ready, stayed up, or completed; the text says which.
    Met(String),
    /// It will not get there without a change.
    Failed {
        /// Why.
        why: String,
        /// The last lines of output that may tell.
        last_lines: Vec<String>,
        /// What to do next.
        hint: Option<String>,
    },
    /// It needs a container engine, which this version does not drive.
    NeedsEngine,
}

/// Ends in a row, without having been ready, after which `tend up` stops waiting. Three is one accident, one coincidence, one pattern.
const UNREADY_ENDS_MAX: u32 = 3;

/// Returns how far each service of a stack is.
#[must_use]
pub fn goals(world: &World, stack: &StackName, now: Now) -> Vec<Goal> {
    let Some(wanted) = world.stacks.get(stack).filter(|wanted| !wanted.removing) else {
        return Vec::new();
    };
    let routed = |service: &tend_core::model::ServiceName| wanted.stack.edge.routes_to(service).next().is_some();
    let mut goals = Vec::new();
    for service in wanted.stack.services.values() {
        let id = ServiceId {
            stack: stack.clone(),
            service: service.name.clone(),
        };
        let state = match service.workload {
            Workload::Container { .. } => GoalState::NeedsEngine,
            Workload::Process(_) => process_goal(world, wanted.revision, &id, routed(&service.name), now),
        };
        goals.push(Goal { service: id, state });
    }
    goals
}

fn process_goal(world: &World, revision: u64, id: &ServiceId, routed: bool, now: Now) -> GoalState {
    let wanted = world.replicas_wanted(id);
    let facts = world.services.get(id).cloned().unwrap_or_default();
    if let Some(why) = prepare_failure(world, id) {
        let why = format!("its prepare command failed: {why}");
        return GoalState::Failed {
            why,
            last_lines: Vec::new(),
            hint: Some("run that command by hand".to_owned()),
        };
    }
    let mut missing = Vec::new();
    let mut completed = 0;
    for slot in 1..=wanted {
        let replica_id = ReplicaId {
            stack: id.stack.clone(),
            service: id.service.clone(),
            slot,
        };
        let (state, why) = replica_state(world, &replica_id, now);
        let replica = world.replicas.get(&replica_id);
        match state {
            ReplicaState::Ready if replica.is_some_and(|r| needs_renewal(world, &replica_id, r)) => {
                missing.push(format!("{replica_id} is to be restarted"));
            }
            ReplicaState::Ready => {}
            ReplicaState::Completed => completed += 1,
            _ => {
                let ends = replica.map_or(0, |replica| replica.failures);
                if state == ReplicaState::Failing || ends >= UNREADY_ENDS_MAX {
                    return failed(&replica_id, replica, why);
                }
                missing.push(match why {
                    Some(why) => format!("{replica_id} is {state}: {why}"),
                    None => format!("{replica_id} is {state}"),
                });
            }
        }
    }
    if let Some(first) = missing.into_iter().next() {
        return GoalState::Pending(first);
    }
    let extra = world
        .replicas_of(id)
        .find(|(id, replica)| !world.is_wanted(id) && replica.is_up());
    if let Some((extra, _)) = extra {
        return GoalState::Pending(format!("{extra} is to be stopped"));
    }
    if wanted == 0 {
        return GoalState::Met("stopped, as wanted".to_owned());
    }
    if completed == wanted {
        return GoalState::Met("completed".to_owned());
    }
    if routed {
        if facts.answered_revision == Some(revision) {
            return GoalState::Met("answers through the edge".to_owned());
        }
        let why = facts
            .answer_failure
            .map_or_else(String::new, |(_, why)| format!(": {why}"));
        return GoalState::Pending(format!("{id} has not answered through the edge yet{why}"));
    }
    let probed = world
        .service(id)
        .is_some_and(|(_, service)| service.readiness.is_some());
    GoalState::Met(
        if probed {
            "ready"
        } else {
            "stayed up for its start period"
        }
        .to_owned(),
    )
}

fn needs_renewal(world: &World, id: &ReplicaId, replica: &Replica) -> bool {
    let Some(service) = world.definition(id) else {
        return replica.restart_requested;
    };
    let changed = world.fingerprint_for(id, service) != replica.fingerprint;
    changed || replica.restart_requested || gate::follows(world, &id.service_id(), service, replica)
}

fn failed(id: &ReplicaId, replica: Option<&Replica>, why: Option<String>) -> GoalState {
    let last = replica.and_then(|replica| replica.last_exit.as_ref());
    let failure = replica.and_then(|replica| replica.start_failure.as_ref());
    GoalState::Failed {
        why: format!("{id}: {}", why.unwrap_or_else(|| "it does not stay up".to_owned())),
        last_lines: last.map(|last| last.last_lines.clone()).unwrap_or_default(),
        hint: failure.and_then(|failure| failure.hint.clone()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    use tend_core::model::{
        Condition, Logs, Port, Process, Replicas, Resources, RestartPolicy, Service, Stop, Strategy, Update, WhenBehind,
    };

    /// A service that does nothing, for tests.
    pub(crate) fn service(name: &str) -> Service {
        Service {
            name: name.parse().unwrap(),
            workload: Workload::Process(Process {
                command: vec!["/bin/true".to_owned()],
                directory: "/".into(),
                environment: BTreeMap::new(),
                user: None,
                prepare: None,
                open_files_max: None,
                artifact: Vec::new(),
                artifact_digest: None,
            }),
            replicas: Replicas::Count(1),
            depends_on: Vec::new(),
            restart: RestartPolicy {
                condition: Condition::Always,
                delay: Duration::from_millis(100),
                delay_max: Duration::from_secs(30),
                max_attempts: 10,
                window: Duration::from_secs(1),
            },
            restart_schedule: None,
            liveness: None,
            readiness: None,
            start_period: Duration::from_secs(1),
            resources: Resources::default(),
            stop: Stop {
                signal: 15,
                grace_period: Duration::from_secs(10),
                drain: Stop::DRAIN,
            },
            logs: Logs {
                file_bytes_max: 10 << 20,
                files_max: 5,
                when_behind: WhenBehind::Drop,
            },
            port: Port::None,
            update: Update::default(),
            rollback: Update::default(),
            strategy: Strategy::default(),
            smoke: Vec::new(),
            quiesce: None,
            secrets: Vec::new(),
            config: None,
            metrics: None,
        }
    }

    #[test]
    fn an_unknown_stack_has_no_goals() {
        assert_eq!(
            goals(&World::default(), &"x".parse().unwrap(), Now::default()),
            Vec::new()
        );
    }
}
