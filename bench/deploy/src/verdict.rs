//! What of all that clients saw is bad: WebSockets that ended too early, and answers of a release that was said to be gone.
//!
//! The drain of a replica is seen from outside, the same for every way to deploy: it begins when the replica answers new requests no more,
//! and its deadline is so much later. A WebSocket that ends before that, or while its replica still answers, ended too early.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::clients::{Answer, End, How};

/// How much a deadline may be missed: a replica is met each sixty milliseconds or so, and later on a busy machine.
const TOLERANCE: Duration = Duration::from_millis(500);

/// How WebSockets ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Sockets {
    /// Before the deadline of their replica's drain.
    pub(crate) early: u64,
    /// Of them, without a word.
    pub(crate) early_cut: u64,
    /// At that deadline or later.
    pub(crate) drained: u64,
    /// Of them, without a word.
    pub(crate) drained_cut: u64,
}

/// Judges each end by when its replica was met last before it. `answers` are in the order of their times.
pub(crate) fn sockets(ends: &[End], answers: &[Answer], drain: Duration) -> Sockets {
    let mut met: HashMap<u64, Vec<Instant>> = HashMap::new();
    for answer in answers {
        met.entry(answer.pid).or_default().push(answer.at);
    }
    let mut sockets = Sockets::default();
    for end in ends {
        let times = met.get(&end.pid).map_or(&[][..], Vec::as_slice);
        let before = times.partition_point(|at| *at <= end.at);
        // A replica that was never met was not seen to leave either.
        let drained_for = before
            .checked_sub(1)
            .map_or(Duration::ZERO, |last| end.at - times[last]);
        let cut = u64::from(end.how == How::Cut);
        if drained_for + TOLERANCE < drain {
            sockets.early += 1;
            sockets.early_cut += cut;
        } else {
            sockets.drained += 1;
            sockets.drained_cut += cut;
        }
    }
    sockets
}

/// Returns how many requests that were sent in a span of time were answered by another release than the one that was said to run.
pub(crate) fn stale(answers: &[Answer], version: &str, from: Instant, to: Instant) -> u64 {
    let within = answers.iter().filter(|answer| answer.sent >= from && answer.sent < to);
    within.filter(|answer| answer.version != version).count() as u64
}

/// Returns how many moments lie in a span of time.
pub(crate) fn within(moments: &[Instant], from: Instant, to: Instant) -> u64 {
    moments.iter().filter(|at| **at >= from && **at < to).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(at: Instant, pid: u64, version: &str) -> Answer {
        Answer {
            sent: at,
            at,
            pid,
            version: version.to_owned(),
        }
    }

    #[test]
    fn a_socket_ends_early_unless_its_replica_was_drained_for_long_enough() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let answers: Vec<Answer> = (0..10).map(|turn| answer(at(100 * turn), 1 + turn % 2, "a")).collect();
        // Replica 1 was met last after 800 ms, replica 2 after 900 ms.
        for (ends_at, pid, how, wanted) in [
            (850, 1, How::Closed(1001), "early"),
            (5_000, 1, How::Closed(1001), "early"),
            (5_900, 1, How::Closed(1001), "drained"),
            (5_500, 2, How::Cut, "drained"),
            (9_000, 2, How::Cut, "drained"),
            (850, 2, How::Cut, "early"),
            (9_000, 3, How::Cut, "early"),
        ] {
            let end = End {
                at: at(ends_at),
                pid,
                how,
            };
            let cut = u64::from(how == How::Cut);
            let judged = sockets(&[end], &answers, Duration::from_secs(5));
            let expected = match wanted {
                "early" => Sockets {
                    early: 1,
                    early_cut: cut,
                    ..Sockets::default()
                },
                _ => Sockets {
                    drained: 1,
                    drained_cut: cut,
                    ..Sockets::default()
                },
            };
            assert_eq!(judged, expected, "{ends_at} {pid}");
        }
    }

    #[test]
    fn an_answer_is_stale_when_it_was_asked_for_after_the_end_of_the_deploy() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let answers = [
            answer(at(10), 1, "a"),
            answer(at(20), 1, "b"),
            answer(at(30), 1, "a"),
            answer(at(40), 1, "a"),
        ];
        assert_eq!(stale(&answers, "b", at(20), at(40)), 1);
        assert_eq!(stale(&answers, "a", at(0), at(100)), 1);
        assert_eq!(within(&[at(1), at(2), at(3)], at(2), at(3)), 1);
    }
}
