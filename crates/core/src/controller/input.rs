//! What can happen to the controller: wishes of people, outcomes of steps, observations of the host.

use tend_base::Mono;

use crate::ban::BanChange;
use crate::configuration::ConfigureWish;
use crate::deployment::{Act, Outcome, Purpose};
use crate::door::DoorChange;
use crate::journal::Principal;
use crate::model::{Issued, Quiesce, Release, ReplicaId, ServiceId, ServiceName, Stack, StackName};
use crate::observed::{Exit, Lived, StartFailure};
use crate::plan::{ProbeKind, QuiesceTurn};

/// One thing that happened. Wishes come first, then outcomes of steps, then what the host shows by itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Bring this stack up, or to this definition.
    Apply {
        /// The whole stack.
        stack: Box<Stack>,
        /// Who asks.
        by: Principal,
    },
    /// Take a stack down.
    Remove {
        /// Which.
        stack: StackName,
        /// Who asks.
        by: Principal,
    },
    /// Run so many replicas of a service.
    Scale {
        /// Which.
        service: ServiceId,
        /// How many.
        replicas: u32,
        /// Who asks.
        by: Principal,
    },
    /// Restart replicas, one after the other where that keeps the service answering.
    Restart {
        /// Which service.
        service: ServiceId,
        /// Only this slot.
        slot: Option<u32>,
        /// Who asks.
        by: Principal,
    },
    /// Stop a service or let it run again.
    Stop {
        /// Which.
        service: ServiceId,
        /// True to stop it, false to let it run.
        stopped: bool,
        /// Who asks.
        by: Principal,
    },

    /// Close the routes of a stack or service, let their requests wait, or end either.
    Door {
        /// Of which stack.
        stack: StackName,
        /// Only the routes to this one.
        service: Option<ServiceName>,
        /// What.
        change: DoorChange,
        /// Who asks.
        by: Principal,
    },
    /// Other versions of a stack's secrets are current: every definition of it is given those, that of earlier releases too.
    Secrets {
        /// Of which stack.
        stack: StackName,
        /// The versions of each secret that are given.
        issued: std::collections::BTreeMap<String, Issued>,
        /// Who made them so.
        by: Principal,
    },
    /// Ban addresses, or let them in again.
    Ban {
        /// What.
        change: BanChange,
        /// Who asks.
        by: Principal,
    },
    /// A revision of the configuration was taken.
    Configure(Box<ConfigureWish>),
    /// Run another release.
    Deploy(Box<DeployWish>),
    /// What a person says to a deployment under way.
    Decide {
        /// In which stack.
        stack: StackName,
        /// Which.
        deployment: u64,
        /// What.
        word: Word,
        /// Who.
        by: Principal,
        /// Why.
        why: String,
    },

    /// Outcome of [`crate::plan::Step::Act`].
    Acted {
        /// In which stack.
        stack: StackName,
        /// For which deployment.
        deployment: u64,
        /// What was done.
        act: Act,
        /// The evidence, or why it failed.
        result: Outcome,
    },
    /// Outcome of [`crate::plan::Step::Prepare`].
    Prepared {
        /// Of which service.
        service: ServiceId,
        /// For which definition.
        fingerprint: u64,
        /// Why it failed.
        result: Result<(), String>,
    },
    /// Outcome of [`crate::plan::Step::Start`].
    Started {
        /// Which.
        replica: ReplicaId,
        /// Which life.
        incarnation: u64,
        /// The process id.
        result: Result<u32, StartFailure>,
    },
    /// Outcome of [`crate::plan::Step::Probe`].
    Probed {
        /// Which.
        replica: ReplicaId,
        /// Which life.
        incarnation: u64,
        /// Which question.
        kind: ProbeKind,
        /// What the failure was.
        result: Result<(), String>,
    },
    /// Outcome of [`crate::plan::Step::Quiesce`].
    Quiesced {
        /// Which.
        replica: ReplicaId,
        /// Which life.
        incarnation: u64,
        /// What it was told and asked.
        turn: QuiesceTurn,
        /// How much it has in flight, or why that is not known.
        result: Result<u64, String>,
    },
    /// Outcome of [`crate::plan::Step::Signal`].
    Signalled {
        /// Which.
        replica: ReplicaId,
        /// Which life.
        incarnation: u64,
        /// Why it could not be sent.
        result: Result<(), String>,
    },
    /// Outcome of [`crate::plan::Step::Kill`].
    Killed {
        /// Which.
        replica: ReplicaId,
        /// Which life.
        incarnation: u64,
        /// Why it could not be done.
        result: Result<(), String>,
    },
    /// Outcome of [`crate::plan::Step::ReplaceShim`].
    ShimReplaced {
        /// Which.
        replica: ReplicaId,
        /// Which life.
        incarnation: u64,
        /// Why it could not be done.
        result: Result<(), String>,
    },
    /// Outcome of [`crate::plan::Step::Publish`]: whether the edge was told.
    Published {
        /// Which snapshot.
        generation: u64,
        /// Why it could not be told.
        result: Result<(), String>,
    },
    /// Outcome of [`crate::plan::Step::Verify`].
    Verified {
        /// Which service.
        service: ServiceId,
        /// For which revision.
        revision: u64,
        /// The replica that answered, or why none did.
        result: Result<ReplicaId, String>,
    },
    /// Outcome of [`crate::plan::Step::StartEdge`] when it failed; success shows as [`Input::EdgeConnected`].
    EdgeStartFailed {
        /// Why.
        why: String,
    },

    /// A process found running when the daemon came up, proven by pid, start time and executable.
    Adopted {
        /// Which.
        replica: ReplicaId,
        /// Which life.
        incarnation: u64,
        /// Its process id.
        pid: u32,
        /// When it was started.
        since: Mono,
        /// The port it was given.
        port: Option<u16>,
        /// The definition it was started from.
        fingerprint: u64,
        /// How it is emptied before it is stopped, as that definition had it; none also where what was found does not tell.
        quiesce: Option<Quiesce>,
        /// Its shim is alive too.
        shim_alive: bool,
    },
    /// The host was looked at after [`crate::controller::restore`]: all that was found running or ended has been reported.
    ///
    /// Before it nothing is decided; with it, what was running and was not reported has ended, nobody knows how.
    Surveyed,
    /// A replica's process ended. May be reported again by a daemon that came back: the second time changes nothing.
    Exited {
        /// Which.
        replica: ReplicaId,
        /// Which life.
        incarnation: u64,
        /// How.
        exit: Exit,
        /// From when to when it ran, where that is on record: it may have ended long before anybody looked.
        lived: Option<Lived>,
        /// Its last lines of output.
        last_lines: Vec<String>,
    },
    /// A replica's shim is gone, the replica itself is not.
    ShimLost {
        /// Which.
        replica: ReplicaId,
        /// Which life.
        incarnation: u64,
    },
    /// What a replica uses.
    Measured {
        /// Which.
        replica: ReplicaId,
        /// Which life.
        incarnation: u64,
        /// Memory in bytes.
        memory: u64,
        /// Thousandths of one processor.
        cpu_permille: u32,
    },
    /// How many requests the edge has in flight on a draining replica.
    InFlight {
        /// Which.
        replica: ReplicaId,
        /// How many.
        count: u64,
    },
    /// Ports that were given to nobody yet are held by somebody else: others are given first.
    PortsTaken {
        /// Which.
        ports: Vec<u16>,
    },
    /// The port at which others reach a service could not be bound: somebody else holds it.
    InnerPortTaken {
        /// Which service.
        service: ServiceId,
        /// Its port.
        port: u16,
    },
    /// The edge is there.
    EdgeConnected {
        /// The generation it says it serves; 0 when none.
        serving: u64,
    },
    /// The edge serves a snapshot.
    EdgeServing {
        /// Which.
        generation: u64,
    },
    /// The edge is gone.
    EdgeLost,
    /// Something the edge is told of that stands in no stack is another, such as a certificate: it is told anew.
    EdgeRulesChanged,
    /// Time passed.
    Tick,
}

/// A wish to run another release.
#[derive(Clone, Debug, PartialEq)]
pub struct DeployWish {
    /// Of which stack.
    pub stack: StackName,
    /// What runs now, when it was brought up in place and is no release yet: recorded first, so that there is a way back.
    pub baseline: Option<Release>,
    /// A release made for this; none to run one that is kept. Its number has to be the next one.
    pub release: Option<Release>,
    /// The number of the release to be run.
    pub target: u64,
    /// Why.
    pub purpose: Purpose,
    /// Undone by itself unless confirmed within this time after it settled.
    pub confirm: Option<std::time::Duration>,
    /// Who asks.
    pub by: Principal,
    /// What they say of it.
    pub reason: Option<String>,
}

/// What a person can say to a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Let it go on: an approval was asked for, or it is held.
    Approve,
    /// End it: undo what it changed.
    Abort,
    /// It is good: do not undo it when its time is over.
    Confirm,
}
