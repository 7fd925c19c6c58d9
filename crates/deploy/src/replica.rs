//! What is seen of one replica of the target: good, failed, or not known yet. Decides nothing about what follows.

use std::time::Duration;

use tend_base::Mono;
use tend_core::deployment::Lane;
use tend_core::model::{ReplicaId, Service, Update};
use tend_core::observed::{Phase, Replica};
use tend_core::world::World;

/// What is seen of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It runs the definition that is looked for, and has proven itself for as long as is asked for.
    Good,
    /// It may still prove itself; looked at again at that time at the latest, when nothing happens before.
    Pending(Option<Mono>),
    /// It ended, could not be started, or did not become ready in time.
    Failed(String),
}

/// How much a replica has to prove.
#[derive(Clone, Copy)]
pub(crate) struct Proof {
    /// How long it has to be ready.
    pub(crate) monitor: Duration,
    /// How many readiness answers in a row it has to give.
    pub(crate) consecutive: u32,
    /// It has failed when it is not ready so long after its turn began.
    pub(crate) ready_within: Duration,
}

impl From<&Update> for Proof {
    fn from(update: &Update) -> Self {
        Self {
            monitor: update.monitor,
            consecutive: update.consecutive,
            ready_within: update.ready_within,
        }
    }
}

impl Proof {
    /// One that is ready is good: what ran before has proven itself long ago, and every moment counts.
    pub(crate) fn ready(self) -> Self {
        Self {
            monitor: Duration::ZERO,
            consecutive: 1,
            ..self
        }
    }
}

/// Looks at the replica in a slot, which is to run `service`.
pub(crate) fn look(world: &World, id: &ReplicaId, service: &Service, lane: &Lane, proof: Proof, now: Mono) -> Seen {
    let since = lane.since.unwrap_or(now);
    let late = since + proof.ready_within;
    let waiting = |what: &str| {
        if now >= late {
            let within = tend_base::format_duration(proof.ready_within);
            Seen::Failed(format!("{id} {what} within {within}"))
        } else {
            Seen::Pending(Some(late))
        }
    };
    let fingerprint = world.fingerprint_for(id, service);
    let replica = world.replicas.get(id);
    let Some(replica) = replica.filter(|replica| replica.fingerprint == fingerprint) else {
        return waiting("was not started");
    };
    if let Some(why) = fault(id, replica, lane) {
        return Seen::Failed(why);
    }
    if replica.completed {
        // A job that ran to its end, and well: a failed one counts as a failure above.
        return Seen::Good;
    }
    let Phase::Running { .. } = replica.phase else {
        return waiting("did not come up");
    };
    let Some(ready) = replica.ready_since else {
        let why = replica.readiness.why.as_ref();
        return waiting(&match why {
            Some(why) => format!("did not become ready ({why})"),
            None => "did not become ready".to_owned(),
        });
    };
    if service.readiness.is_some() && replica.readiness.successes < proof.consecutive {
        return waiting("did not stay ready");
    }
    let proven = ready + proof.monitor;
    if now >= proven {
        Seen::Good
    } else {
        Seen::Pending(Some(proven))
    }
}

/// Returns what a replica of the target did wrong, if anything: it ended by itself or could not be started. A life that runs since
/// before its service's turn is not asked what it did by then, and one that a person excused is not asked at all. A port that
/// somebody took is no failure as long as there is another.
pub(crate) fn fault(id: &ReplicaId, replica: &Replica, lane: &Lane) -> Option<String> {
    let counts = replica.incarnation > lane.born || !matches!(replica.phase, Phase::Running { .. });
    if replica.failures == 0 || !counts || replica.incarnation <= lane.excused {
        return None;
    }
    if let Some(failure) = &replica.start_failure {
        return Some(format!("{id} could not be started: {}", failure.why));
    }
    Some(match &replica.last_exit {
        Some(last) => match last.asked {
            Some(reason) => format!("{id} {}: {}", last.exit, reason.text()),
            None => format!("{id} {}", last.exit),
        },
        None => format!("{id} failed"),
    })
}
