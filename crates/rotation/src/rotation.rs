//! The machine: facts in, the next step out. Knows the phases of `path`, and performs nothing.
//!
//! ```text
//!   next ──► Perform(id, step) ──► keep this state ──► perform ──► take(answer) ──┐
//!    ▲                                                                            │
//!    └────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! One step is out at a time. Whoever performs keeps the state after [`Rotation::next`] and before performing: then a state that was
//! read back knows of every act that may have happened. A step must not go on being performed when the next one is asked for.

use serde::{Deserialize, Serialize};

use tend_base::Mono;

use crate::path::{Phase, back, forward};
use crate::{
    Act, Answer, Give, HolderId, Observation, Order, Outcome, RotationError, Stage, Standing, Step, StepId, Which,
};

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Keep the state, then perform this and hand the answer to [`Rotation::take`].
    Perform(StepId, Step),
    /// Nothing before this time; ask again then, or after a fact.
    Wait(Mono),
    /// It has ended; [`Rotation::standing`] says how.
    Ended,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum End {
    Done,
    Undone,
}

/// What is out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Out {
    id: StepId,
    step: Step,
    at: Mono,
}

/// What was seen last, in this phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    at: Mono,
    observation: Observation,
}

/// A rotation.
///
/// Invariant: an act that takes a version away is handed out only right after it was seen that nobody holds that version (test
/// `by_seeds`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    order: Order,
    /// The phases of the present direction, and which of them it is in.
    path: Vec<Phase>,
    at: usize,
    /// So many phases forward were begun: a step of them was handed out.
    begun: usize,
    /// Why it goes back.
    undoing: Option<String>,
    end: Option<End>,
    last_id: u64,
    out: Option<Out>,
    phase_since: Mono,
    failures: u32,
    last_failure: Option<String>,
    not_before: Mono,
    /// How much is left of what is performed, and since when that has been so.
    #[serde(default)]
    left: Option<(String, Mono)>,
    seen: Option<Seen>,
    /// A look is due before anybody is rolled.
    look: bool,
    /// So often it was asked to roll the holders of this phase.
    rolls: u32,
    /// That was done once at least: whoever starts from then on gets what this phase is to give. Asking alone is no roll.
    #[serde(default)]
    rolled: bool,
    /// Since when nobody was seen with what must not be held.
    quiet_since: Option<Mono>,
}

impl Rotation {
    /// Begins a rotation. Nothing has happened yet.
    #[must_use]
    pub fn begin(order: Order, now: Mono) -> Self {
        Self {
            path: forward(order.class),
            order,
            at: 0,
            begun: 0,
            undoing: None,
            end: None,
            last_id: 0,
            out: None,
            phase_since: now,
            failures: 0,
            last_failure: None,
            not_before: now,
            left: None,
            seen: None,
            look: true,
            rolls: 0,
            rolled: false,
            quiet_since: None,
        }
    }

    /// Returns what was asked for.
    #[must_use]
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// Forgets what only the process before could know: what was out has an unknown outcome, and what was seen is old.
    ///
    /// To be called with a state that was read back, before anything else.
    pub fn restarted(&mut self, now: Mono) {
        self.out = None;
        self.not_before = now;
        // The clock began anew with the machine: time that passed before is not counted, so every wait is rather too long.
        self.phase_since = self.phase_since.min(now);
        if let Some((_, since)) = &mut self.left {
            *since = (*since).min(now);
        }
        self.look_again();
    }

    /// Goes back: the old version will be in use, and the new one gone. Harmless when it goes back already.
    ///
    /// # Errors
    /// When it has ended, and when the old version may be gone for good.
    pub fn abort(&mut self, why: &str, now: Mono) -> Result<(), RotationError> {
        let secret = || self.order.secret.clone();
        if self.end.is_some() {
            return Err(RotationError::Ended { secret: secret() });
        }
        if self.undoing.is_some() {
            return Ok(());
        }
        let begun = &self.path[..self.begun];
        let was = |act| begun.contains(&Phase::Act(act)) || begun.contains(&Phase::Guarded(act));
        if was(Act::Retire) || (was(Act::Revoke) && !self.order.old_can_return) {
            return Err(RotationError::TooLate { secret: secret() });
        }
        self.path = back(self.order.class, begun);
        self.undoing = Some(why.to_owned());
        self.enter(0, now);
        Ok(())
    }

    /// Returns the next step, and takes it as handed out.
    pub fn next(&mut self, now: Mono) -> Next {
        if now < self.phase_since {
            self.restarted(now);
        }
        let patience = self.order.patience;
        if let Some(out) = &self.out {
            if now.since(out.at) < patience.answer_within {
                return Next::Wait(out.at + patience.answer_within);
            }
            self.out = None;
            self.failed("no answer came", now);
        }
        loop {
            let Some(phase) = self.phase() else {
                return Next::Ended;
            };
            if now < self.not_before {
                return Next::Wait(self.not_before);
            }
            let step = match phase {
                Phase::Act(act) => Step::Act(act),
                Phase::Overlap => {
                    if now.since(self.phase_since) < patience.overlap {
                        return Next::Wait(self.phase_since + patience.overlap);
                    }
                    self.enter(self.at + 1, now);
                    continue;
                }
                Phase::Guarded(act) => {
                    if !self.just_seen(now) {
                        self.back_to_looking(now);
                        continue;
                    }
                    Step::Act(act)
                }
                Phase::Bring { give, .. } => self.bring(give),
            };
            return self.hand(step, now);
        }
    }

    /// Takes the answer to a step. One to a step that is not out is not listened to: it was taken as lost, and that is what counts.
    pub fn take(&mut self, answer: Answer, now: Mono) {
        let Some(out) = self.out.take_if(|out| out.id == answer.step) else {
            return;
        };
        match (out.step, answer.outcome) {
            (Step::Act(_), Outcome::Done) => self.enter(self.at + 1, now),
            (Step::Act(_), Outcome::NotYet { left }) => {
                self.last_failure = None;
                if self.left.as_ref().is_none_or(|(before, _)| *before != left) {
                    self.left = Some((left, now));
                }
                self.not_before = now + self.order.patience.look_every;
            }
            (Step::Roll { .. }, Outcome::Done) => (self.look, self.rolled) = (true, true),
            (Step::Observe, Outcome::Seen(observation)) => self.saw(observation, now),
            (_, Outcome::Failed { why }) => self.failed(&why, now),
            (step, _) => self.failed(&format!("the answer does not belong to the step {step:?}"), now),
        }
    }

    /// Returns where it stands.
    #[must_use]
    pub fn standing(&self, now: Mono) -> Standing {
        match self.end {
            Some(End::Done) => return Standing::Done,
            Some(End::Undone) => {
                return Standing::Undone {
                    why: self.undoing.clone().unwrap_or_default(),
                };
            }
            None => {}
        }
        let (stage, phase) = (self.stage(), self.phase());
        let left = self.left.as_ref().filter(|_| self.last_failure.is_none());
        // What becomes less goes on, however long it takes.
        let since = left.map_or(self.phase_since, |(_, since)| self.phase_since.max(*since));
        let late = now.since(since) > self.order.patience.deadline;
        if !late || phase == Some(Phase::Overlap) {
            let left = left.map(|(text, _)| text.clone());
            return Standing::Working { stage, left };
        }
        let (mut holders, mut unknown, mut others, mut complete) = (Vec::new(), Vec::new(), None, false);
        if let (Some(Phase::Bring { give, zero }), Some(seen)) = (phase, &self.seen) {
            (holders, unknown) = seen.observation.not_at(give);
            others = zero.and_then(|which| seen.observation.others(which));
            complete = seen.observation.complete;
        }
        let why = self.why_held(phase, &holders, &unknown, others, complete);
        Standing::Held {
            stage,
            why,
            holders,
            unknown,
            others,
        }
    }

    fn why_held(
        &self,
        phase: Option<Phase>,
        holders: &[HolderId],
        unknown: &[HolderId],
        others: Option<u64>,
        complete: bool,
    ) -> String {
        let names = |ids: &[HolderId]| ids.iter().map(|id| id.0.as_str()).collect::<Vec<_>>().join(", ");
        let mut parts = Vec::new();
        if let (Some(Phase::Bring { give, zero }), true) = (phase, self.seen.is_some()) {
            let (old, new) = (self.order.old, self.order.new);
            if !holders.is_empty() {
                let what = match give {
                    Give::Only(Which::New) => format!("still hold version {old}"),
                    Give::Only(Which::Old) => format!("still hold version {new}"),
                    Give::Both(_) => "do not have both versions yet".to_owned(),
                };
                parts.push(format!("{} {what}", names(holders)));
            }
            if !unknown.is_empty() {
                parts.push(format!("what {} holds is not known", names(unknown)));
            }
            if !complete {
                parts.push("not all holders could be looked at".to_owned());
            }
            match (zero, others) {
                (Some(_), None) => parts.push("whether anybody else uses it is not known".to_owned()),
                (Some(_), Some(count)) if count > 0 => parts.push(format!("{count} others still use it")),
                _ => {}
            }
        }
        let left = self.left.as_ref().map(|(text, _)| text.clone());
        parts.extend(self.last_failure.clone().or(left));
        if parts.is_empty() {
            parts.push("no answer yet".to_owned());
        }
        parts.join("; ")
    }

    /// Returns the stage it is in.
    #[must_use]
    pub fn stage(&self) -> Stage {
        if self.undoing.is_some() {
            return Stage::Undoing;
        }
        match self.phase() {
            Some(Phase::Act(Act::Store)) => Stage::Staging,
            Some(Phase::Bring {
                give: give @ Give::Only(_),
                ..
            }) => {
                let seen = self.seen.as_ref();
                let all_there = seen.is_some_and(|seen| seen.observation.not_at(give).0.is_empty());
                if all_there { Stage::Zero } else { Stage::Rolling }
            }
            Some(Phase::Act(Act::Prepare | Act::ProveNew) | Phase::Bring { .. }) => Stage::Overlap,
            Some(Phase::Overlap) => Stage::Waiting,
            Some(Phase::Act(Act::Reencrypt(_))) => Stage::Reencrypting,
            _ => Stage::Revoking,
        }
    }

    fn phase(&self) -> Option<Phase> {
        self.path.get(self.at).copied()
    }

    fn hand(&mut self, step: Step, now: Mono) -> Next {
        if self.undoing.is_none() {
            self.begun = self.begun.max(self.at + 1);
        }
        self.last_id += 1;
        let id = StepId(self.last_id);
        self.out = Some(Out {
            id,
            step: step.clone(),
            at: now,
        });
        Next::Perform(id, step)
    }

    /// Looks first, then rolls who is behind, then looks again.
    fn bring(&mut self, give: Give) -> Step {
        let behind = match &self.seen {
            Some(seen) if !self.look => seen.observation.not_at(give).0,
            _ => Vec::new(),
        };
        // Whoever starts from now on must get it too, so a roll is asked for until one is done, even when nobody has to change.
        let never = !self.rolled && self.seen.is_some() && !self.look;
        if behind.is_empty() && !never {
            return Step::Observe;
        }
        self.rolls = self.rolls.saturating_add(1);
        self.look = true;
        Step::Roll { holders: behind, give }
    }

    fn saw(&mut self, observation: Observation, now: Mono) {
        let Some(Phase::Bring { give, zero }) = self.phase() else {
            return;
        };
        let patience = self.order.patience;
        let (behind, unknown) = observation.not_at(give);
        let nobody_else = zero.is_none_or(|which| observation.others(which) == Some(0));
        let all = observation.complete && behind.is_empty() && unknown.is_empty() && nobody_else;
        self.seen = Some(Seen { at: now, observation });
        self.look = false;
        self.failures = 0;
        if !all || !self.rolled {
            self.quiet_since = None;
            // The first roll is at once; who does not follow is asked again ever more rarely.
            self.not_before = now
                + if behind.is_empty() && self.rolled {
                    patience.look_every
                } else {
                    patience.pause(self.rolls)
                };
            return;
        }
        let since = *self.quiet_since.get_or_insert(now);
        if zero.is_some() && now.since(since) < patience.quiet {
            self.not_before = now + patience.look_every;
            return;
        }
        let seen = self.seen.take();
        self.enter(self.at + 1, now);
        self.seen = seen;
    }

    /// Whether the proof is of this very moment: no older than two looks are apart.
    fn just_seen(&self, now: Mono) -> bool {
        let fresh = self.order.patience.look_every * 2;
        self.failures == 0 && self.seen.as_ref().is_some_and(|seen| now.since(seen.at) <= fresh)
    }

    fn failed(&mut self, why: &str, now: Mono) {
        self.failures = self.failures.saturating_add(1);
        self.last_failure = Some(why.to_owned());
        self.look = true;
        self.quiet_since = None;
        let (failures, phase_since) = (self.failures, self.phase_since);
        match self.phase() {
            // What must be refused is accepted, or nobody knows: it is made invalid once more, on fresh proof.
            Some(Phase::Guarded(_) | Phase::Act(Act::ProveOldRefused)) => {
                self.back_to_looking(now);
                // The deadline runs on, and so do the pauses.
                (self.failures, self.phase_since) = (failures, phase_since);
                self.last_failure = Some(why.to_owned());
            }
            // Somebody may have undone what is proven here; it may be done again.
            Some(Phase::Act(Act::ProveNew | Act::ProveOldAccepted)) => self.at -= 1,
            _ => {}
        }
        self.not_before = now + self.order.patience.pause(failures);
    }

    fn back_to_looking(&mut self, now: Mono) {
        let bring = self.path[..self.at]
            .iter()
            .rposition(|phase| matches!(phase, Phase::Bring { zero: Some(_), .. }));
        let since = self.phase_since;
        self.enter(
            bring.expect("invariant: what takes a version away stands after the proof"),
            now,
        );
        self.phase_since = since;
        // They were rolled before; whoever has fallen back is seen by the look.
        (self.rolls, self.rolled) = (1, true);
    }

    fn look_again(&mut self) {
        self.look = true;
        self.seen = None;
        self.quiet_since = None;
    }

    fn enter(&mut self, at: usize, now: Mono) {
        self.at = at;
        self.out = None;
        self.phase_since = now;
        self.failures = 0;
        self.last_failure = None;
        self.left = None;
        self.not_before = now;
        (self.rolls, self.rolled) = (0, false);
        self.look_again();
        if self.phase().is_none() {
            self.end = Some(if self.undoing.is_some() { End::Undone } else { End::Done });
        }
    }
}
