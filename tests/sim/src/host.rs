//! The fake host: processes with their shims, how they ended, and the fake edge. Does what it is told; decides and checks nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tend_base::Mono;
use tend_core::model::{Quiesce, ReplicaId};
use tend_core::observed::{Endpoints, Exit, StopReason};

use crate::keeper::Holds;
use crate::scenario::MEMORY;

/// A process of a replica.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) replica: ReplicaId,
    pub(crate) pid: u32,
    pub(crate) port: Option<u16>,
    pub(crate) fingerprint: u64,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) started: Mono,
    /// It answers well from here on.
    pub(crate) warm_at: Mono,
    pub(crate) hung_until: Mono,
    pub(crate) flaps_until: Mono,
    pub(crate) ignores_stop: bool,
    pub(crate) shim_alive: bool,
    pub(crate) memory: u64,
    /// Bytes more at each measurement.
    pub(crate) leak: u64,
    /// A daemon had it told to end, and why.
    pub(crate) asked: Option<StopReason>,
    /// How it is emptied by the definition it was started from.
    pub(crate) quiesce: Option<Quiesce>,
    /// Things it has in flight until it takes no new work.
    pub(crate) work: u64,
    /// How long each of them takes from then on, one after the other; none when that never ends.
    pub(crate) work_takes: Option<Duration>,
    /// When it was first told to take no new work.
    pub(crate) quiesced_at: Option<Mono>,
    /// What it has of its stack's configuration.
    pub(crate) holds: Holds,
}

/// How a process ended, as its shim keeps it until the daemon has it in the journal.
#[derive(Clone, Debug)]
pub(crate) struct End {
    /// What its folder tells of it beside.
    pub(crate) process: Process,
    pub(crate) exit: Exit,
}

/// An end somebody can know of, for the invariants.
#[derive(Clone, Debug)]
pub(crate) struct Death {
    pub(crate) replica: ReplicaId,
    pub(crate) incarnation: u64,
    pub(crate) asked: Option<StopReason>,
}

/// The processes of the machine.
#[derive(Debug, Default)]
pub(crate) struct Host {
    /// By incarnation.
    pub(crate) processes: BTreeMap<u64, Process>,
    /// By incarnation.
    pub(crate) ends: BTreeMap<u64, End>,
    pub(crate) deaths: Vec<Death>,
    pub(crate) started: BTreeSet<u64>,
    pub(crate) taken_ports: BTreeSet<u16>,
    pid_last: u32,
}

impl Host {
    /// Starts a process; says which rule that breaks if it does.
    pub(crate) fn start(&mut self, incarnation: u64, mut process: Process) -> Result<u32, String> {
        let replica = &process.replica;
        if let Some((other, _)) = self.processes.iter().find(|(_, other)| other.replica == *replica) {
            return Err(format!("{replica} is started as {incarnation} while its {other} lives"));
        }
        if !self.started.insert(incarnation) {
            return Err(format!(
                "{replica} is started as {incarnation}, a number that was used before"
            ));
        }
        if let Some(port) = process.port
            && let Some(other) = self.processes.values().find(|other| other.port == Some(port))
        {
            return Err(format!(
                "{replica} is started on port {port}, where {} listens",
                other.replica
            ));
        }
        self.pid_last += 1;
        process.pid = self.pid_last;
        process.memory = MEMORY;
        self.processes.insert(incarnation, process);
        Ok(self.pid_last)
    }

    /// Ends a process; its shim, if it lives, keeps how. One of which nothing is left to know it by (`traced` is false) never was.
    pub(crate) fn end(&mut self, incarnation: u64, exit: Exit, traced: bool) -> Option<(Process, Exit)> {
        let process = self.processes.remove(&incarnation)?;
        let seen = if process.shim_alive {
            let end = End {
                process: process.clone(),
                exit: exit.clone(),
            };
            self.ends.insert(incarnation, end);
            exit
        } else {
            Exit::Unknown("its shim was killed".to_owned())
        };
        if process.shim_alive || traced {
            self.deaths.push(Death {
                replica: process.replica.clone(),
                incarnation,
                asked: process.asked,
            });
        } else {
            self.started.remove(&incarnation);
        }
        Some((process, seen))
    }

    /// Returns the incarnation and process of a replica.
    pub(crate) fn process_of(&self, replica: &ReplicaId) -> Option<(u64, &Process)> {
        let mut all = self.processes.iter();
        all.find(|(_, process)| process.replica == *replica)
            .map(|(incarnation, process)| (*incarnation, process))
    }
}

impl Process {
    /// Returns how much it really has in flight now.
    pub(crate) fn in_flight(&self, now: Mono) -> u64 {
        let Some((at, takes)) = self.quiesced_at.zip(self.work_takes) else {
            return self.work;
        };
        let done = now.since(at).as_micros() / takes.as_micros().max(1);
        self.work.saturating_sub(u64::try_from(done).unwrap_or(u64::MAX))
    }

    /// Returns whether it would answer a probe well now; none while it does not answer at all.
    pub(crate) fn answers(&self, now: Mono) -> Option<bool> {
        if now < self.hung_until {
            return None;
        }
        // Flapping: well in one tenth of a second, badly in the next.
        let flap = now < self.flaps_until && (now.0 / 100_000_000).is_multiple_of(2);
        Some(now >= self.warm_at && !flap)
    }
}

/// The edge process, and what it has on the disk.
#[derive(Debug, Default)]
pub(crate) struct FakeEdge {
    pub(crate) alive: bool,
    /// Counts its processes.
    pub(crate) life: u64,
    /// It is connected to the daemon of this epoch.
    pub(crate) connected_to: Option<u64>,
    pub(crate) generation: u64,
    pub(crate) endpoints: Endpoints,
}
