//! The loop: something happens, facts change, the chapters decide, steps come out.
//!
//! ```text
//!  Input ──► fold (facts, entries) ──► chapters decide ──► begin (facts) ──► Reaction { steps, entries, documents, wake_at }
//!    ▲                                                                              │
//!    └───────────────────── outcome of each step, exits, probes ◄───────────────────┘ performed by the shell
//! ```
//!
//! The controller is a value: it has no clock, disk, socket or randomness, so that the simulator can drive it and
//! [`Controller::rehearse`] can find out what it would do. Decisions are level-triggered: a chapter looks at the whole
//! [`World`] each time and never at the input, so a lost or repeated input cannot lead it astray.
//!
//! Invariant: no two steps with the same key are performed at once (test `a_step_is_not_performed_twice_at_once`).

mod ban;
mod configure;
mod deploy;
mod edge;
mod fold;
mod input;
mod keep;
mod ports;
mod quiesce;
mod rehearse;
mod survey;
mod wish;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tend_base::{Mono, Now, Wall};

use crate::deployment::Deployment;
use crate::journal::{Entry, Kind, Principal, Subject};
use crate::model::{ReplicaId, StackName};
use crate::observed::{Phase, QuiesceFacts, StopReason};
use crate::plan::{Step, StepKey};
use crate::world::World;

pub use input::{DeployWish, Input, Word};
pub use keep::restore;

/// A chapter of the manual: looks at the world and says what it wants done. Pure.
///
/// Deploy, heal and scale will be chapters beside supervise; they do not know each other.
pub trait Chapter: Send + Sync {
    /// Returns what is to be done now. Called again after every change until nothing new comes.
    fn decide(&self, world: &World, now: Now) -> Decision;
}

/// What a chapter wants done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Acts for the shell.
    pub steps: Vec<Step>,
    /// Replicas to take out of service first, and why; the stop signal follows once the edge has drained them.
    pub drains: Vec<(ReplicaId, StopReason)>,
    /// Deployments as they stand from now on, by stack.
    pub deployments: Vec<(StackName, Deployment)>,
    /// When to ask again if nothing happens before.
    pub wake_at: Option<Mono>,
}

impl Decision {
    /// Asks to be woken at `at` at the latest.
    pub fn wake(&mut self, at: Mono) {
        self.wake_at = Some(self.wake_at.map_or(at, |before| before.min(at)));
    }
}

/// Kinds of documents: the state beside the journal. The names are kept: renaming one needs a migration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DocumentKind {
    /// A stack as it was applied, with its revision and what was asked of it since. Id: its name.
    Stack,
    /// A service: the port at which others reach it, the definition it was last prepared for. Id: `mps/api`.
    Service,
    /// A replica: its incarnation, its port, what it was about to do. Id: `mps/api/1`.
    Replica,
    /// Numbers that are given once on the machine. Id: `machine`.
    Machine,
    /// The edge: the generation last given out. Id: `edge`.
    Edge,
    /// A release of a stack. Id: `mps/12`.
    Release,
    /// What is under way and what was with the releases of a stack. Id: its name.
    Releases,
    /// Somebody who is let in nowhere. Id: `203.0.113.0/24`.
    Ban,
    /// What replicas of a stack are started with by its configuration. Id: its name.
    Configuration,
    /// A whole revision of a configuration. Id: `mps/12`.
    Revision,
    /// A rotation under way. Id: `mps/database_url`.
    Rotation,
    /// The number of the last note of the monitor that is in the journal. Id: `notes`.
    Monitor,
}

impl DocumentKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Stack,
        Self::Service,
        Self::Replica,
        Self::Machine,
        Self::Edge,
        Self::Release,
        Self::Releases,
        Self::Ban,
        Self::Configuration,
        Self::Revision,
        Self::Rotation,
        Self::Monitor,
    ];

    /// Returns the name that is kept.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stack => "stack",
            Self::Service => "service",
            Self::Replica => "replica",
            Self::Machine => "machine",
            Self::Edge => "edge",
            Self::Release => "release",
            Self::Releases => "releases",
            Self::Ban => "ban",
            Self::Configuration => "configuration",
            Self::Revision => "revision",
            Self::Rotation => "rotation",
            Self::Monitor => "monitor",
        }
    }
}

/// A value to be kept in the state beside the journal; `None` deletes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What kind of thing it is about.
    pub kind: DocumentKind,
    /// Which of them.
    pub id: String,
    /// What it is.
    pub value: Option<Value>,
}

/// What the shell has to do after an input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reaction {
    /// To be performed; each outcome comes back as an input.
    pub steps: Vec<Step>,
    /// To be written to the journal.
    pub entries: Vec<Entry>,
    /// To be kept, in one transaction with the entries.
    pub documents: Vec<Document>,
    /// When to send [`Input::Tick`] if nothing happens before.
    pub wake_at: Option<Mono>,
}

/// Rounds of deciding after one input; more mean two chapters undo each other's work.
const ROUNDS_MAX: usize = 64;

/// A difference between the two clocks larger than this is a jump and not a correction. NTP slews half a second at most.
const CLOCK_JUMP_MIN_MILLIS: u64 = 2000;

/// The controller.
pub struct Controller<C> {
    world: World,
    chapters: C,
    daemon: Principal,
    in_flight: BTreeSet<StepKey>,
    clock: Option<(Mono, Wall)>,
    dirty: keep::Dirty,
}

impl<C: Clone> Clone for Controller<C> {
    fn clone(&self) -> Self {
        Self {
            world: self.world.clone(),
            chapters: self.chapters.clone(),
            daemon: self.daemon.clone(),
            in_flight: self.in_flight.clone(),
            clock: self.clock,
            dirty: self.dirty.clone(),
        }
    }
}

impl<C: AsRef<[Box<dyn Chapter>]>> Controller<C> {
    /// Starts from what was kept; `daemon` is who the controller's own acts are recorded as.
    #[must_use]
    pub fn new(world: World, chapters: C, daemon: Principal) -> Self {
        Self {
            world,
            chapters,
            daemon,
            in_flight: BTreeSet::new(),
            clock: None,
            dirty: keep::Dirty::default(),
        }
    }

    /// Returns what is known.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Returns what names the steps that are being performed.
    pub fn steps_under_way(&self) -> impl Iterator<Item = &StepKey> {
        self.in_flight.iter()
    }

    /// Takes in what happened and returns what is to be done.
    pub fn handle(&mut self, input: Input, now: Now) -> Reaction {
        let mut reaction = Reaction::default();
        self.notice_clock_jump(now, &mut reaction);
        self.fold(input, now, &mut reaction);
        for round in 0.. {
            if self.world.survey_pending {
                // Deciding on half of what runs would start a second process beside one that was not reported yet.
                break;
            }
            assert!(
                round < ROUNDS_MAX,
                "the chapters do not come to rest: {:?}",
                reaction.steps
            );
            self.advance(now, &mut reaction);
            let mut decision = Decision::default();
            for chapter in self.chapters.as_ref() {
                let one = chapter.decide(&self.world, now);
                decision.steps.extend(one.steps);
                decision.drains.extend(one.drains);
                decision.deployments.extend(one.deployments);
                if let Some(at) = one.wake_at {
                    decision.wake(at);
                }
            }
            reaction.wake_at = decision.wake_at;
            let mut changed = false;
            for (stack, deployment) in decision.deployments {
                changed |= self.keep_deployment(&stack, deployment, now, &mut reaction);
            }
            if changed {
                continue;
            }
            for (replica, reason) in decision.drains {
                changed |= self.begin_drain(&replica, reason, now, &mut reaction);
            }
            if changed {
                // First it is settled who is to run what, then who has to go, and steps are decided from what follows from both.
                continue;
            }
            for step in decision.steps {
                if self.in_flight.insert(step.key()) {
                    self.begin(&step, now);
                    if let Step::Kill {
                        replica,
                        incarnation,
                        why: StopReason::OverMemory,
                    } = &step
                    {
                        reaction.entries.push(self.over_memory(replica, *incarnation));
                    }
                    if let Step::Signal {
                        replica, incarnation, ..
                    } = &step
                    {
                        reaction.entries.extend(self.quiesce_ended(replica, *incarnation, now));
                    }
                    if step.is_recorded() {
                        reaction.entries.push(self.step_entry(Kind::StepStarted, &step));
                    }
                    reaction.steps.push(step);
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        reaction.documents = self.documents();
        reaction
    }

    fn over_memory(&self, id: &ReplicaId, incarnation: u64) -> Entry {
        let used = self.world.replicas.get(id).and_then(|replica| replica.memory);
        let limit = self
            .world
            .definition(id)
            .and_then(|service| service.resources.memory_max);
        Entry::new(self.daemon.clone(), Kind::ReplicaOverMemory)
            .on(Subject::from(id.clone()).incarnation(incarnation))
            .with(json!({ "bytes": used, "limit": limit, "action": "killed" }))
    }

    fn step_entry(&self, kind: Kind, step: &Step) -> Entry {
        let mut data = json!({ "what": step.to_string(), "undo": step.undo() });
        if let Step::Signal { replica, .. } = step
            && let Some(replica) = self.world.replicas.get(replica)
            && let Some(in_flight) = replica.quiescing.evidence()
        {
            data["in_flight"] = in_flight;
        }
        Entry::new(self.daemon.clone(), kind)
            .on(subject_of(&step.key()))
            .with(data)
    }

    fn begin_drain(&mut self, id: &ReplicaId, reason: StopReason, now: Now, reaction: &mut Reaction) -> bool {
        let Some(replica) = self.world.replicas.get_mut(id) else {
            return false;
        };
        let Phase::Running { pid, .. } = replica.phase else {
            return false;
        };
        replica.phase = Phase::Stopping {
            pid,
            since: now.mono,
            signalled: None,
            killed: false,
        };
        replica.stop_reason = Some(reason);
        replica.in_flight = None;
        replica.quiescing = QuiesceFacts::default();
        self.dirty.replicas.insert(id.clone());
        let subject = Subject::from(id.clone()).incarnation(replica.incarnation);
        let entry = Entry::new(self.daemon.clone(), Kind::ReplicaStopping).on(subject);
        reaction.entries.push(entry.with(json!({ "reason": reason.text() })));
        true
    }

    /// Changes the facts that follow from a step being under way.
    fn begin(&mut self, step: &Step, now: Now) {
        match step {
            Step::Start {
                replica: id,
                incarnation,
                launch,
            } => {
                let quiesce = self.world.definition(id).and_then(|service| service.quiesce.clone());
                let replica = self.world.replicas.entry(id.clone()).or_default();
                assert!(!replica.is_up(), "{id} is started while it is {:?}", replica.phase);
                replica.phase = Phase::Starting;
                replica.restarts += u64::from(replica.incarnation > 0);
                replica.incarnation = *incarnation;
                replica.started_at = None;
                replica.fingerprint = launch.fingerprint;
                replica.port = launch.port;
                replica.ready_since = None;
                replica.readiness = crate::observed::ProbeFacts::default();
                replica.liveness = crate::observed::ProbeFacts::default();
                replica.stop_reason = None;
                (replica.restart_requested, replica.restart_follows) = (false, false);
                replica.shim_lost = false;
                replica.completed = false;
                replica.in_flight = None;
                (replica.quiesce, replica.quiescing) = (quiesce, QuiesceFacts::default());
                (replica.memory, replica.cpu_permille) = (None, None);
                self.world.incarnation_last = self.world.incarnation_last.max(*incarnation);
                self.dirty.machine = true;
                self.dirty.replicas.insert(id.clone());
            }
            Step::Probe { replica: id, kind, .. } => {
                if let Some(facts) = self.world.replicas.get_mut(id).map(|replica| replica.probe_mut(*kind)) {
                    facts.asking = true;
                    facts.asked = Some(now.mono);
                }
            }
            Step::Quiesce { replica: id, .. } => {
                if let Some(facts) = self.world.replicas.get_mut(id).map(|replica| &mut replica.quiescing) {
                    facts.since.get_or_insert(now.mono);
                    (facts.asked, facts.asking) = (Some(now.mono), true);
                }
            }
            Step::Signal { replica: id, why, .. } => {
                if let Some(replica) = self.world.replicas.get_mut(id) {
                    replica.stop_reason = Some(*why);
                    if let Phase::Stopping { signalled, .. } = &mut replica.phase {
                        *signalled = Some(now.mono);
                    }
                    self.dirty.replicas.insert(id.clone());
                }
            }
            Step::Kill { replica: id, why, .. } => {
                if let Some(replica) = self.world.replicas.get_mut(id) {
                    replica.stop_reason.get_or_insert(*why);
                    replica.phase = match replica.phase {
                        Phase::Running { pid, .. } => Phase::Stopping {
                            pid,
                            since: now.mono,
                            signalled: Some(now.mono),
                            killed: true,
                        },
                        Phase::Stopping {
                            pid, since, signalled, ..
                        } => Phase::Stopping {
                            pid,
                            since,
                            signalled: signalled.or(Some(now.mono)),
                            killed: true,
                        },
                        ref other => other.clone(),
                    };
                    self.dirty.replicas.insert(id.clone());
                }
            }
            Step::Publish { generation, endpoints } => {
                assert!(*generation > self.world.edge.generation, "generations only grow");
                self.world.edge.generation = *generation;
                self.world.edge.published = Some(endpoints.clone());
                self.world.edge.published_revision = self.world.revisions();
                self.world.edge.publish_failed = None;
                self.dirty.edge = true;
            }
            Step::Act { .. }
            | Step::Prepare { .. }
            | Step::ReplaceShim { .. }
            | Step::StartEdge
            | Step::Verify { .. } => {}
        }
    }

    fn notice_clock_jump(&mut self, now: Now, reaction: &mut Reaction) {
        if let Some((mono, wall)) = self.clock {
            let expected = wall.0 + u64::try_from(now.mono.since(mono).as_millis()).unwrap_or(u64::MAX);
            let by = i128::from(now.wall.0) - i128::from(expected);
            if by.unsigned_abs() > u128::from(CLOCK_JUMP_MIN_MILLIS) {
                let by = i64::try_from(by).unwrap_or(i64::MAX);
                let entry = Entry::new(self.daemon.clone(), Kind::ClockJumped);
                reaction.entries.push(entry.with(json!({ "by_ms": by })));
            }
        }
        self.clock = Some((now.mono, now.wall));
    }
}

fn subject_of(key: &StepKey) -> Subject {
    match key {
        StepKey::Prepare(service) | StepKey::Verify(service) => service.clone().into(),
        StepKey::Start(id)
        | StepKey::Probe(id, _)
        | StepKey::Quiesce(id)
        | StepKey::Signal(id)
        | StepKey::Kill(id)
        | StepKey::ReplaceShim(id) => id.clone().into(),
        StepKey::Act(stack, _) => stack.clone().into(),
        StepKey::StartEdge | StepKey::Publish => Subject::default(),
    }
}
