//! Whom to ask, which question, and when.
//!
//! In the first moments a replica is asked in quick succession, because a service that starts in milliseconds should serve in
//! milliseconds; the pauses grow with its age until they reach the probe's own interval.

use std::time::Duration;

use tend_base::{Mono, Now};
use tend_core::controller::Decision;
use tend_core::model::{Probe, ReplicaId, Service};
use tend_core::observed::{ProbeFacts, Replica};
use tend_core::plan::{ProbeKind, Step};

/// The pause after the first question. A C program answers about 2 ms after it was started (measured), an interpreter in 50 to 500 ms.
const PAUSE_FIRST: Duration = Duration::from_millis(2);

/// A replica that starts up is asked again when it is older by one part of so many: it is known to be ready at most 25 % late, for
/// thirty questions in its first five seconds. Doubled pauses are up to 100 % late, and were half of the time to serve again.
const PARTS_OF_AGE: u32 = 4;

/// Adds the questions that are due for one running replica.
pub(crate) fn decide(
    id: &ReplicaId,
    replica: &Replica,
    service: &Service,
    since: Mono,
    now: Now,
    decision: &mut Decision,
) {
    if service.readiness.is_none() && replica.ready_since.is_none() {
        decision.wake(since + service.start_period);
    }
    if let Some(ready) = replica.ready_since.filter(|_| replica.failures > 0) {
        decision.wake(ready + service.restart.window);
    }
    let probes = [
        (ProbeKind::Readiness, service.readiness.as_ref(), &replica.readiness),
        (ProbeKind::Liveness, service.liveness.as_ref(), &replica.liveness),
    ];
    for (kind, probe, facts) in probes {
        let Some(probe) = probe else { continue };
        if facts.asking {
            continue;
        }
        let due = due(probe, facts, kind, since);
        if due > now.mono {
            decision.wake(due);
            continue;
        }
        decision.steps.push(Step::Probe {
            replica: id.clone(),
            incarnation: replica.incarnation,
            kind,
            action: probe.action.clone(),
            port: replica.port,
            timeout: probe.timeout,
        });
    }
}

fn due(probe: &Probe, facts: &ProbeFacts, kind: ProbeKind, since: Mono) -> Mono {
    match (facts.asked, kind) {
        (None, ProbeKind::Readiness) => since,
        // A replica that starts up slowly is not to be killed for it.
        (None, ProbeKind::Liveness) => since + probe.start_period.max(PAUSE_FIRST),
        (Some(asked), _) if facts.passing => asked + probe.interval,
        (Some(asked), ProbeKind::Readiness) => {
            let quick = PAUSE_FIRST.max(asked.since(since) / PARTS_OF_AGE);
            asked + quick.min(probe.start_interval).min(probe.interval)
        }
        (Some(asked), ProbeKind::Liveness) => asked + probe.interval,
    }
}
