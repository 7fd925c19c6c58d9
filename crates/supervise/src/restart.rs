//! When a replica that ended is started again.
//!
//! ```text
//!  ended ──stable before──► at once
//!        ──again and again─► delay, doubled up to delay_max, with jitter
//!        ──more than max_attempts in a row─► failing: once every delay_max, for ever (half-open), each try said in the journal
//! ```

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tend_base::{Backoff, Mono};
use tend_core::model::{ReplicaId, Service};
use tend_core::observed::{Phase, Replica};

/// A policy may ask for less, even for none: then what dies at once would be started as fast as the machine can.
const DELAY_MIN: Duration = Duration::from_millis(100);

/// Returns the moment the replica may be started; a moment in the past means at once.
pub(crate) fn start_at(id: &ReplicaId, replica: &Replica, service: &Service) -> Mono {
    let Phase::Ended { at } = replica.phase else {
        return Mono::default();
    };
    let policy = &service.restart;
    let first = policy.delay.max(DELAY_MIN);
    let backoff = Backoff {
        first,
        max: policy.delay_max.max(first),
    };
    if replica.failures > policy.max_attempts {
        return at + backoff.max;
    }
    // The first failure is answered at once: most crashes are single, and a user waits for the answer.
    at + backoff.delay(replica.failures.saturating_sub(1), jitter(id, replica.incarnation))
}

/// Returns whether the replica is left as it is: it completed, or a start can never succeed as things stand.
pub(crate) fn is_final(replica: &Replica) -> bool {
    replica.completed || replica.start_failure.as_ref().is_some_and(|failure| failure.permanent)
}

/// Returns a number that differs between replicas and between lives, so that many do not restart at the same moment.
fn jitter(id: &ReplicaId, incarnation: u64) -> u64 {
    // DefaultHasher::new has fixed keys: the same seed gives the same run in the simulator.
    let mut hasher = DefaultHasher::new();
    (id, incarnation).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::state::tests::service;

    #[test]
    fn the_first_restart_is_immediate_and_later_ones_wait_longer() {
        let id: ReplicaId = "s/a/1".parse().unwrap();
        let mut service = service("a");
        service.restart.delay = Duration::from_millis(100);
        service.restart.delay_max = Duration::from_secs(30);
        service.restart.max_attempts = 5;
        let ended = Mono(1_000_000_000);
        let wait = |failures| {
            let replica = Replica {
                phase: Phase::Ended { at: ended },
                failures,
                ..Replica::default()
            };
            start_at(&id, &replica, &service).since(ended)
        };
        assert_eq!(wait(1), Duration::ZERO);
        assert!(wait(2) >= Duration::from_millis(50) && wait(2) <= Duration::from_millis(100));
        assert!(wait(4) >= Duration::from_millis(200) && wait(4) <= Duration::from_millis(400));
        for failures in 6..1000 {
            assert_eq!(wait(failures), Duration::from_secs(30), "tried for ever, never silent");
        }
    }
}
