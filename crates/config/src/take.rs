//! Whether a candidate becomes the next revision, and what becomes of one that waits to be confirmed.
//!
//! Pure: times are handed in. The daemon does what is decided here, in one transaction with the revision.
//!
//! Invariant: a candidate with a violation changes nothing (test `a_set_with_one_violation_is_never_taken`).
//!
//! ```text
//!            take, with confirm             confirm
//!   settled ────────────────────► waiting ───────────► settled
//!      ▲                          │    │
//!      └──────────────────────────┘    └─ take: still waiting, same way back
//!         due: go back
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tend_base::{Mono, Now, Wall};
use tend_text::{Diagnostic, Location, Report, Severity};

use crate::ask::{Ask, Asked, Taker, plan};
use crate::error::Error;
use crate::revision::Revision;
use crate::schema::Schema;
use crate::set::{Diff, Set};

/// A change that is taken back unless somebody confirms it. Stored with the revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirm {
    /// The revision to be confirmed: the newest taken since.
    pub revision: u64,
    /// The way back, as a whole: it must be there whatever is dropped from the history.
    pub back: Box<Revision>,
    /// When it is due, for people, and for a daemon that starts after the machine did.
    pub until: Wall,
    /// When it is due by the clock that never jumps.
    pub deadline: Mono,
    /// Of which boot `deadline` is.
    pub boot: String,
}

impl Confirm {
    /// Returns whether the time is over. In the boot it was made in, the clock that never jumps decides; in a later one the time of day.
    #[must_use]
    pub fn is_due(&self, now: Now, boot: &str) -> bool {
        if boot == self.boot {
            now.mono >= self.deadline
        } else {
            now.wall >= self.until
        }
    }

    /// Returns the revision that takes the change back, when the time is over. It becomes the one in force, and nothing waits any more.
    /// Nothing when what is in force is what it would go back to.
    #[must_use]
    pub fn due(&self, current: &Revision, now: Now, boot: &str) -> Option<Revision> {
        if !self.is_due(now, boot) {
            return None;
        }
        let who = format!("tend: revision {} was not confirmed", self.revision);
        current.go_back(&self.back, now.wall, &who).ok()
    }

    /// Ends the waiting.
    ///
    /// # Errors
    /// When another revision waits than the one that is confirmed, or none.
    pub fn confirm(waiting: Option<&Self>, number: u64) -> Result<(), Error> {
        match waiting {
            Some(confirm) if confirm.revision == number => Ok(()),
            other => Err(Error::NothingToConfirm {
                number,
                waiting: other.map(|confirm| confirm.revision),
            }),
        }
    }
}

/// What is to be decided about.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// What the layers give, or what is wrong with them.
    pub outcome: Result<&'a Set, &'a Report>,
    /// Who made the change.
    pub who: &'a str,
    /// For how long to wait for a confirmation, if one is asked for.
    pub confirm: Option<Duration>,
}

/// What stands.
#[derive(Clone, Debug)]
pub struct Standing<'a> {
    /// The revision in force.
    pub current: Option<&'a Revision>,
    /// The change that waits to be confirmed.
    pub waiting: Option<&'a Confirm>,
    /// The keys.
    pub schema: &'a Schema,
    /// The services that run now.
    pub running: &'a [Taker],
    /// The boot of the machine, as the kernel names it.
    pub boot: &'a str,
}

/// What is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It becomes the revision in force.
    Taken(Box<Step>),
    /// It holds what is in force, or what somebody went back from.
    Same,
    /// Nothing changes: everything that is wrong.
    Refused(Report),
}

/// The next revision with all that belongs to it, to be stored in one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The revision.
    pub revision: Revision,
    /// What changes.
    pub diff: Diff,
    /// What that asks of each service that runs.
    pub asks: BTreeMap<String, Ask>,
    /// What waits to be confirmed from now on.
    pub waiting: Option<Confirm>,
}

impl Step {
    /// Gives the revision another number: one that was given before to a revision that is gone is not given again.
    #[must_use]
    pub fn numbered(mut self, number: u64) -> Self {
        if let Some(waiting) = self
            .waiting
            .as_mut()
            .filter(|waiting| waiting.revision == self.revision.number)
        {
            waiting.revision = number;
        }
        self.revision.number = number;
        self
    }
}

/// Decides about a candidate.
#[must_use]
pub fn take(standing: &Standing<'_>, candidate: &Candidate<'_>, now: Now) -> Taken {
    let set = match candidate.outcome {
        Ok(set) => set,
        Err(report) => return Taken::Refused(report.clone()),
    };
    let Some(current) = standing.current else {
        let revision = Revision::of(set, 1, now.wall, candidate.who);
        let diff = Diff::between(&BTreeMap::new(), &revision.entries);
        return Taken::Taken(Box::new(Step {
            // What starts with its first revision has nothing to be told.
            asks: BTreeMap::new(),
            revision,
            diff,
            waiting: None,
        }));
    };
    match current.next(set, now.wall, candidate.who) {
        Some(revision) => step(standing, current, revision, candidate.confirm, now),
        None => Taken::Same,
    }
}

/// Decides about going back to an earlier revision, which `History::rollback` made.
#[must_use]
pub fn take_back(standing: &Standing<'_>, revision: Revision, confirm: Option<Duration>, now: Now) -> Taken {
    match standing.current {
        Some(current) => step(standing, current, revision, confirm, now),
        None => Taken::Same,
    }
}

fn step(standing: &Standing<'_>, current: &Revision, revision: Revision, confirm: Option<Duration>, now: Now) -> Taken {
    let diff = current.diff(&revision);
    let asks = plan(&diff, standing.schema, standing.running);
    let refused = refusals(&asks);
    if !refused.is_empty() {
        return Taken::Refused(Report(refused));
    }
    // Until one that waits is confirmed, everything after it is taken back with it.
    let back = standing
        .waiting
        .map_or_else(|| Box::new(current.clone()), |waiting| waiting.back.clone());
    let waiting = match (confirm, standing.waiting) {
        (Some(within), _) => Some(Confirm {
            revision: revision.number,
            back,
            until: Wall(
                now.wall
                    .0
                    .saturating_add(u64::try_from(within.as_millis()).unwrap_or(u64::MAX)),
            ),
            deadline: now.mono + within,
            boot: standing.boot.to_owned(),
        }),
        (None, Some(waiting)) => Some(Confirm {
            revision: revision.number,
            ..waiting.clone()
        }),
        (None, None) => None,
    };
    Taken::Taken(Box::new(Step {
        revision,
        diff,
        asks,
        waiting,
    }))
}

fn refusals(asks: &BTreeMap<String, Ask>) -> Vec<Diagnostic> {
    asks.iter()
        .filter_map(|(service, ask)| match &ask.asked {
            Asked::Refused { reason } => {
                let (message, help) = reason.split_once(": ").unwrap_or((reason, "stop the service first"));
                Some(Diagnostic {
                    severity: Severity::Error,
                    key: ask.keys.first().cloned(),
                    message: message.to_owned(),
                    location: Location::Elsewhere(format!("the service {service}")),
                    also: None,
                    help: Some(help.to_owned()),
                })
            }
            _ => None,
        })
        .collect()
}
