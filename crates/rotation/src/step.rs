//! What a rotation asks for and what it is told. Knows no order of them.

use serde::{Deserialize, Serialize};

/// One of the two versions of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// The one that was in use before.
    Old,
    /// The one that comes.
    New,
}

/// What a holder is to be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Give {
    /// One version and no other.
    Only(Which),
    /// Both: it uses this one, and accepts or reads the other too.
    Both(Which),
}

/// What a holder has, as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// This, and no other.
    These(Give),
    /// Neither version: it does not use this secret.
    Neither,
    /// It is not known: it starts, it did not answer, or it was not asked.
    Unknown,
}

/// Who may hold a version: a replica, or whatever else is given it. Its name is for a person.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HolderId(pub String);

/// Who holds what at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// All holders that exist, each once; who is missing here is taken as not there.
    pub holders: Vec<(HolderId, Held)>,
    /// Whether these are all. When not, nothing is concluded but what is bad.
    pub complete: bool,
    /// How many others use the old version, such as sessions at the database; none when it is not known. 0 where there can be no others.
    pub others_old: Option<u64>,
    /// The same of the new version, but for the sessions of holders that are to have it.
    pub others_new: Option<u64>,
}

/// One act that concerns no single holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Keep the new version in the store, staged. Undone by [`Act::Discard`].
    Store,
    /// Make the new version valid beside the old one: create the other user, register the key. Undone by [`Act::Withdraw`].
    Prepare,
    /// Use the new version once and see that it is accepted.
    ProveNew,
    /// Ask for all data to be encrypted by this version; answered [`Outcome::NotYet`] until nothing is left under the other.
    Reencrypt(Which),
    /// Make the old version invalid. Who performs it looks once more at who else uses it, and fails when somebody does: between a look
    /// and an act somebody may have come. Undone by [`Act::Restore`].
    Revoke,
    /// Use the old version once and see that it is refused.
    ProveOldRefused,
    /// The new version is current and the old one retired: it is given to nobody again. There is no way back from here.
    Retire,
    /// Way back: make the old version valid again.
    Restore,
    /// Way back: use the old version once and see that it is accepted.
    ProveOldAccepted,
    /// Way back: make the new version invalid; with the same last look as [`Act::Revoke`].
    Withdraw,
    /// Way back: the new version is thrown away in the store.
    Discard,
}

/// Something to perform. Each may be performed again, with the same outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// An act; answered by [`Outcome::Done`], [`Outcome::NotYet`] or [`Outcome::Failed`].
    Act(Act),
    /// Bring these holders to have this, one at a time where they serve; whoever starts from now on gets it too. Answered by
    /// [`Outcome::Done`] or [`Outcome::Failed`]; whether it came so is looked at afterwards in any case.
    Roll {
        /// Who has something else, in the order of their names.
        holders: Vec<HolderId>,
        /// What.
        give: Give,
    },
    /// Say who holds what now; answered by [`Outcome::Seen`] or [`Outcome::Failed`].
    Observe,
}

/// Which handing-out of a step an answer is for. Answers to earlier ones are not listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub u64);

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is done, and was seen to be.
    Done,
    /// It goes on; ask again.
    NotYet {
        /// For a person, such as «1200 rows are left».
        left: String,
    },
    /// It failed, for this reason; or nobody knows what became of it.
    Failed {
        /// For a person. No secret stands in it.
        why: String,
    },
    /// What was seen.
    Seen(Observation),
}

/// An answer to a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// To which.
    pub step: StepId,
    /// What came of it.
    pub outcome: Outcome,
}

impl Give {
    /// Returns whether a holder that was given this has a version, be it only to read.
    #[must_use]
    pub fn has(self, which: Which) -> bool {
        matches!(self, Self::Both(_)) || self == Self::Only(which)
    }

    /// Returns the version a holder uses that was given this.
    #[must_use]
    pub fn uses(self) -> Which {
        match self {
            Self::Only(which) | Self::Both(which) => which,
        }
    }
}

impl Observation {
    /// Returns how many others use a version; none when it is not known.
    pub(crate) fn others(&self, which: Which) -> Option<u64> {
        match which {
            Which::Old => self.others_old,
            Which::New => self.others_new,
        }
    }

    /// Returns who has something else than this, and of whom it is not known, in the order of their names.
    pub(crate) fn not_at(&self, give: Give) -> (Vec<HolderId>, Vec<HolderId>) {
        let of = |is: fn(Held, Give) -> bool| {
            let mut ids: Vec<_> = self
                .holders
                .iter()
                .filter(|(_, held)| is(*held, give))
                .map(|(id, _)| id.clone())
                .collect();
            ids.sort();
            ids
        };
        (
            of(|held, give| matches!(held, Held::These(has) if has != give)),
            of(|held, _| held == Held::Unknown),
        )
    }
}
