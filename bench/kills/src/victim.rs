//! What is killed, how, and how it is seen to be back. Knows nothing of what is promised.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use tend_base::{Clock, SystemClock};

use crate::error::{Error, Result};
use crate::load::Load;
use crate::machine::{Machine, kill, wait};

/// How long a killed daemon is left dead: long enough that it would show if anything needed it.
const DAEMON_DEAD: Duration = Duration::from_millis(1500);

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Victim {
    /// Nothing: what the payments meet on this machine by themselves.
    None,
    /// A replica.
    Replica,
    /// The daemon, which is brought back after a while.
    Daemon,
    /// The shim of a replica.
    Shim,
    /// The edge.
    Edge,
}

/// One kill.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Round {
    /// The longest time without an acknowledged payment from the kill to the next one.
    pub(crate) longest_gap_ms: f64,
    /// From the kill until what was killed was back in its place; of the daemon, from its start until all replicas were adopted.
    pub(crate) back_ms: u64,
    /// Requests that failed from the kill to the next one.
    pub(crate) failed_requests: u64,
    /// Replicas whose process is another than before the kill, beside the one that was killed.
    pub(crate) restarted: usize,
    /// Replicas that a daemon which came back says it adopted.
    pub(crate) adopted: usize,
}

impl Victim {
    /// All, in the order in which they are killed.
    pub(crate) const ALL: [Self; 5] = [Self::None, Self::Replica, Self::Daemon, Self::Shim, Self::Edge];

    /// Returns the word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Replica => "a replica",
            Self::Daemon => "the daemon",
            Self::Shim => "a shim",
            Self::Edge => "the edge",
        }
    }

    /// Kills it `rounds` times, one each `interval`, while payments are made.
    pub(crate) fn kill_again_and_again(
        self,
        machine: &Machine,
        load: &Load,
        rounds: usize,
        interval: Duration,
    ) -> Result<Vec<Round>> {
        // The driver makes its merchants first; a second later the connections are warm.
        wait("payments are made", || Ok((load.acknowledged() > 0).then_some(())))?;
        let first = Instant::now() + Duration::from_secs(1);
        let mut done = Vec::new();
        for round in 0..rounds {
            let due = first + interval * u32::try_from(round).unwrap_or(u32::MAX);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let before = machine.wait_ready()?;
            let failed = load.failed();
            let begun = Instant::now();
            let (back_ms, adopted) = self.kill_once(machine, round, &before)?;
            let after = machine.wait_ready()?;
            let next = due + interval;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            if load.is_over() {
                return Err(Error::LoadOver {
                    seconds: interval.as_secs_f64(),
                });
            }
            let killed = (self == Self::Replica).then_some(round % before.len());
            let others = before.iter().zip(&after).enumerate();
            done.push(Round {
                longest_gap_ms: load.longest_gap_ms(begun, Instant::now()),
                back_ms,
                failed_requests: load.failed() - failed,
                restarted: others
                    .filter(|(slot, (before, after))| before != after && killed != Some(*slot))
                    .count(),
                adopted,
            });
        }
        Ok(done)
    }

    /// Returns how long it took to be back, and how many replicas were adopted.
    fn kill_once(self, machine: &Machine, round: usize, replicas: &[i32]) -> Result<(u64, usize)> {
        let begun = SystemClock.now().wall.0;
        match self {
            Self::None => Ok((0, 0)),
            Self::Replica => {
                let slot = round % replicas.len();
                kill(replicas[slot]);
                let back = since(machine, "replica.ready", begun, |event| {
                    event["subject"]["slot"].as_u64() == u64::try_from(slot + 1).ok()
                })?;
                Ok((back[0], 0))
            }
            Self::Daemon => {
                kill(machine.daemon()?);
                std::thread::sleep(DAEMON_DEAD);
                let begun = SystemClock.now().wall.0;
                machine.start_daemon()?;
                machine.wait_ready()?;
                let back = since(machine, "replica.adopted", begun, |_| true)?;
                Ok((back.iter().copied().max().unwrap_or_default(), back.len()))
            }
            Self::Shim => {
                let shims = machine.roles("shim");
                kill(shims[round % shims.len()]);
                let back = since(machine, "shim.replaced", begun, |_| true)?;
                Ok((back[0], 0))
            }
            Self::Edge => {
                let edges = machine.roles("edge");
                edges.first().copied().into_iter().for_each(kill);
                let back = since(machine, "edge.serving", begun, |_| true)?;
                Ok((back[0], 0))
            }
        }
    }
}

/// Waits for events of a kind since a moment, and returns how many milliseconds after it each was.
fn since(machine: &Machine, kind: &str, begun: u64, is_it: impl Fn(&Value) -> bool) -> Result<Vec<u64>> {
    wait(&format!("an event {kind}"), || {
        let events = machine.events(kind)?;
        let times = events
            .iter()
            .filter(|event| is_it(event))
            .filter_map(|event| event["at"].as_u64()?.checked_sub(begun));
        let times: Vec<u64> = times.collect();
        Ok((!times.is_empty()).then_some(times))
    })
}
