//! A deployment: one attempt to bring a stack from the release that runs to another, as a value that survives the daemon.
//!
//! Owns the nouns and what follows from them for a single replica; `tend-deploy` decides how a deployment goes on.
//!
//! ```text
//!  Preparing ─► Approval ─► Migrating ─► Rolling ─► Settling ─► Confirming ─► Finishing ─► Ended(Committed)
//!      │            │            │           │          │             │
//!      └─ Ended(Refused) ◄───────┘           └──────────┴─────────────┴──► Undoing ─► Finishing ─► Ended(Undone)
//!                                            └──► Held (a person decides)
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tend_base::{Mono, Wall};

use crate::configuration::Configuration;
use crate::journal::Principal;
use crate::model::{Release, ReplicaId, ServiceName};

/// What is known of a stack's releases and of the attempts to run them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Releases {
    /// The highest number ever given to a release.
    pub last: u64,
    /// The records that are kept. Each is a document of its own, since it never changes.
    #[serde(skip)]
    pub kept: BTreeMap<u64, Release>,
    /// The one that runs; none when the stack was only ever brought up in place.
    pub running: Option<u64>,
    /// The one that ran before it and can be gone back to.
    pub back: Option<u64>,
    /// The attempt under way, which is also the lock: there is never a second one.
    pub deployment: Option<Deployment>,
    /// Attempts that ended, newest last.
    pub history: Vec<Ended>,
    /// The highest number ever given to an attempt.
    pub deployments: u64,
}

/// Why there is an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// To run a new release.
    Deploy,
    /// To run an earlier one again: straight to full, without canary.
    Rollback,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// Number in its stack, from 1.
    pub number: u64,
    /// The release to be run.
    pub target: u64,
    /// The release that ran when it began.
    pub from: Option<u64>,
    /// Why.
    pub purpose: Purpose,
    /// Who asked.
    pub by: Principal,
    /// What they said of it.
    pub reason: Option<String>,
    /// When it began.
    pub begun: Wall,
    /// It is undone by itself unless confirmed within this time after it settled.
    pub confirm: Option<Duration>,
    /// What replicas of the target are started with, where that is another revision than the one in force. It is in force with the end of the
    /// attempt, or gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Configuration>,
    /// How far it is.
    pub phase: Phase,
    /// Since when it is there, as far as this daemon knows: one that comes back looks anew for as long as is asked for.
    #[serde(skip)]
    pub since: Option<Mono>,
    /// When it is undone unless somebody confirms; by the wall clock, since it holds over a reboot too.
    pub confirm_until: Option<Wall>,
    /// The same by the clock that does not jump, as far as this daemon knows.
    #[serde(skip)]
    pub confirm_at: Option<Mono>,
    /// What every service under way is at; a service that does not change is not in it.
    pub lanes: BTreeMap<ServiceName, Lane>,
    /// What came of each act, by what names it.
    #[serde(with = "pairs")]
    pub acts: BTreeMap<Act, Outcome>,
    /// A person asked for its end.
    pub abort: Option<String>,
    /// A person let it go on.
    pub approved: Option<String>,
    /// A person said that it is good.
    pub confirmed: Option<String>,
    /// Why it is undone, held or refused.
    pub why: Option<String>,
}

/// How far an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Looking whether it can be done, and taking the restore point; nothing changed yet.
    Preparing,
    /// Waiting for a person to approve.
    Approval,
    /// The migration command runs.
    Migrating,
    /// Replicas are replaced.
    Rolling,
    /// The definition is the new one; the last old replicas leave, and all is looked at once more through the edge.
    Settling,
    /// Waiting for a person to confirm; without one it is undone.
    Confirming,
    /// Going back.
    Undoing,
    /// Stopped half-way because the stack file says so; a person decides.
    Held,
    /// Telling who wants to know, and clearing away.
    Finishing(Ending),
    /// Over.
    Ended(Ending),
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Every proof was seen: the target runs.
    Committed,
    /// Nothing was changed.
    Refused,
    /// What was changed was taken back: the release before runs.
    Undone,
}

/// An attempt that ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Its number.
    pub number: u64,
    /// The release it was about.
    pub target: u64,
    /// The release before.
    pub from: Option<u64>,
    /// Why there was one.
    pub purpose: Purpose,
    /// How it ended.
    pub result: Ending,
    /// Why, when it did not do what was asked.
    pub why: Option<String>,
    /// Who asked.
    pub by: Principal,
    /// When it began.
    pub begun: Wall,
    /// When it ended.
    pub ended: Wall,
}

/// Which replicas of one service run the target, and who of them is given requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    /// Slots that run the target; all others run what ran before.
    pub slots: BTreeSet<u32>,
    /// Every slot runs the target, whatever `slots` says.
    pub all: bool,
    /// Slots beyond the wanted number, filled while old and new are exchanged.
    pub surge: u32,
    /// Fewest serving replicas to be left when one is taken out.
    pub floor: u32,
    /// Who serves.
    pub exposure: Exposure,
    /// How far this service is.
    pub stage: Stage,
    /// Since when it stands so, as far as this daemon knows.
    #[serde(skip)]
    pub since: Option<Mono>,
    /// Since when the portion under way is good, for the pause before the next; of a canary, when its figures were last looked at.
    #[serde(skip)]
    pub good: Option<Mono>,
    /// Slots of new replicas that failed so far.
    pub failed: BTreeSet<u32>,
    /// Lives up to this one began before the service's turn: what they had done by then says nothing of the target.
    pub born: u64,
    /// What the requests of its canary told, once they did.
    #[serde(default)]
    pub figures: Option<String>,
    /// Lives up to this one are not counted at all: a person said to go on although they failed.
    #[serde(default)]
    pub excused: u64,
}

/// Who of a service's replicas is given requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exposure {
    /// Only those of the release before; the new ones only answer who asks for them on purpose.
    #[default]
    Before,
    /// The new ones get a share, in thousandths.
    Share(u32),
    /// Both alike.
    Both,
    /// Only those of the target.
    Target,
}

/// How far one service is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Its turn has not come.
    #[default]
    Waiting,
    /// The first new replicas are started and looked at; they get no requests of clients.
    Candidate,
    /// They get a share of the requests until the figures tell.
    Canary,
    /// Portion by portion, old ones are replaced.
    Shifting,
    /// Every slot runs what it should.
    Done,
}

/// Something done for a deployment that is neither starting nor stopping a replica.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Looks whether it can be done: disk, database, files, ports.
    Preflight,
    /// Takes a restore point of the databases, reads it back and counts it.
    RestorePoint,
    /// Runs the migration command.
    Migrate,
    /// Asks the smoke questions of a service's new replicas, before they get requests.
    Smoke(ServiceName),
    /// Reads from the edge how many requests both releases of a service answered and failed; asked again and again.
    Count(ServiceName),
    /// Has the shim of a replica say what really runs.
    Attest(ReplicaId, u64),
    /// Asks the smoke questions once more as a client does.
    SmokePublic(ServiceName),
    /// Runs the notify command.
    Notify,
    /// Removes releases that are not kept any more.
    Prune,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Preflight => f.write_str("look whether it can be done"),
            Act::RestorePoint => f.write_str("take a restore point"),
            Act::Migrate => f.write_str("migrate"),
            Act::Smoke(service) => write!(f, "smoke test of the new {service}"),
            Act::Count(service) => write!(f, "count what both releases of {service} answered"),
            Act::Attest(replica, _) => write!(f, "see what really runs as {replica}"),
            Act::SmokePublic(service) => write!(f, "smoke test of {service} as a client"),
            Act::Notify => f.write_str("notify"),
            Act::Prune => f.write_str("remove releases that are not kept"),
        }
    }
}

impl Deployment {
    /// Returns whether a replica runs, or is to run, the target.
    #[must_use]
    pub fn is_target(&self, replica: &ReplicaId) -> bool {
        self.lanes
            .get(&replica.service)
            .is_some_and(|lane| lane.holds(replica.slot))
    }
}

impl Lane {
    /// Returns whether a slot runs, or is to run, the target.
    #[must_use]
    pub fn holds(&self, slot: u32) -> bool {
        self.all || self.slots.contains(&slot)
    }
}

/// What came of an act: the evidence, or why it failed.
pub type Outcome = Result<Value, String>;

/// A map whose keys are not texts, kept as a list of pairs: JSON has no other keys.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Act, Outcome};

    pub(super) fn serialize<S: Serializer>(map: &BTreeMap<Act, Outcome>, serializer: S) -> Result<S::Ok, S::Error> {
        map.iter().collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Act, Outcome>, D::Error> {
        Ok(Vec::<(Act, Outcome)>::deserialize(deserializer)?.into_iter().collect())
    }
}
