//! Emptying a replica before it is sent its stop signal.
//!
//! ```text
//!  out of the routes ─► told: no new work ─► asked again and again how much is in flight ─► 0, or the deadline is over ─► may be stopped
//! ```
//! It is told only once the edge sends it nothing new, so that no client meets its refusal; what is in flight is finished beside the
//! draining. One that does not answer is told again until the deadline: that it cannot be asked does not prove that it does nothing.

use std::time::Duration;

use tend_base::Now;
use tend_core::controller::Decision;
use tend_core::model::{Quiesce, ReplicaId};
use tend_core::observed::Replica;
use tend_core::plan::{QuiesceTurn, Step};

/// From one question to the next: soon enough that an empty replica does not hold up a deploy, seldom enough to be no load on it.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Returns how the replica is emptied, and at which port it is asked; none when it is not.
fn wanted(replica: &Replica) -> Option<(&Quiesce, u16)> {
    replica.quiesce.as_ref().zip(replica.port)
}

/// Returns whether nothing speaks against the stop signal any more: it has nothing in flight, its deadline is over, or there is
/// nothing to wait for.
pub(crate) fn is_over(replica: &Replica, now: Now) -> bool {
    let Some((quiesce, _)) = wanted(replica) else {
        return true;
    };
    let facts = &replica.quiescing;
    let late = facts.since.is_some_and(|since| now.mono >= since + quiesce.deadline);
    facts.in_flight == Some(0) || late
}

/// Tells the replica, and asks it when it is time to. What it said may be old by the time the edge has drained it too, so it is
/// asked until it is stopped.
pub(crate) fn go_on(id: &ReplicaId, replica: &Replica, now: Now, decision: &mut Decision) {
    let Some((quiesce, port)) = wanted(replica) else {
        return;
    };
    let facts = &replica.quiescing;
    let deadline = facts.since.map(|since| since + quiesce.deadline);
    if let Some(deadline) = deadline.filter(|deadline| *deadline > now.mono) {
        decision.wake(deadline);
    }
    let due = facts.asked.map(|asked| asked + ASK_EVERY);
    match due {
        // The answer wakes us.
        _ if facts.asking => {}
        Some(due) if due > now.mono => decision.wake(due),
        _ => decision.steps.push(Step::Quiesce {
            replica: id.clone(),
            incarnation: replica.incarnation,
            port,
            quiesce: quiesce.clone(),
            turn: match (facts.since, facts.in_flight) {
                (None, _) => QuiesceTurn::Tell,
                (Some(_), None) => QuiesceTurn::TellAgain,
                (Some(_), Some(_)) => QuiesceTurn::Ask,
            },
        }),
    }
}
