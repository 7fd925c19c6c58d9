//! Where a rotation stands, in words for a person. Decides nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::HolderId;

/// The stage of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The new version is put into the store.
    Staging,
    /// Both versions are made valid, and stay so.
    Overlap,
    /// Both are known to all; what was made with the old one may still be shown.
    Waiting,
    /// What lies encrypted by the old version is encrypted anew.
    Reencrypting,
    /// The holders are brought to the new version.
    Rolling,
    /// Who still holds the old version is looked for.
    Zero,
    /// The old version is made invalid.
    Revoking,
    /// It goes back.
    Undoing,
}

/// Where a rotation stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "standing")]
pub enum Standing {
    /// It goes on.
    Working {
        /// Where it is.
        stage: Stage,
        /// How much is left of it, as who performs it says.
        left: Option<String>,
    },
    /// It does not come further; both versions stay valid meanwhile. It goes on by itself when the reason is gone.
    Held {
        /// Where it is.
        stage: Stage,
        /// The last failure or what is waited for.
        why: String,
        /// These still have what they should not have any more.
        holders: Vec<HolderId>,
        /// Of these it is not known.
        unknown: Vec<HolderId>,
        /// So many others use it; none when that is not known.
        others: Option<u64>,
    },
    /// The new version is in use and the old one is refused and retired.
    Done,
    /// The old version is in use and the new one is gone.
    Undone {
        /// Why it went back.
        why: String,
    },
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Staging => "staging the new version",
            Self::Overlap => "making both versions valid",
            Self::Waiting => "waiting until nothing made with the old version is shown any more",
            Self::Reencrypting => "encrypting with the new version",
            Self::Rolling => "bringing the holders to the new version",
            Self::Zero => "seeing that nobody holds the old version",
            Self::Revoking => "making the old version invalid",
            Self::Undoing => "going back",
        })
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Working { stage, left: None } => write!(f, "{stage}"),
            Self::Working {
                stage,
                left: Some(left),
            } => write!(f, "{stage}: {left}"),
            Self::Held { stage, why, .. } => write!(f, "held while {stage}: {why}"),
            Self::Done => f.write_str("done"),
            Self::Undone { why } => write!(f, "undone: {why}"),
        }
    }
}
