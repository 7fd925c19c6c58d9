//! How things stand with a server and with each secret, to be told. Decides nothing.

use serde::{Deserialize, Serialize};
use tend_base::Wall;

/// What is the matter with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// It was not asked yet.
    Starting,
    /// It answers.
    Fresh,
    /// It is sealed.
    Sealed,
    /// Nobody answers.
    Away,
    /// It is on standby.
    Standby,
    /// It wants to be asked less often.
    Throttled,
    /// It fails.
    Failing,
    /// One cannot log in.
    LoginRefused,
}

impl Condition {
    /// Returns the words for it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Starting => "not asked yet",
            Self::Fresh => "fresh",
            Self::Sealed => "sealed",
            Self::Away => "away",
            Self::Standby => "on standby",
            Self::Throttled => "throttled",
            Self::Failing => "failing",
            Self::LoginRefused => "login refused",
        }
    }
}

/// How a server stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What is the matter.
    pub condition: Condition,
    /// Since when.
    pub since: Wall,
    /// What went wrong last, where something did.
    pub why: Option<String>,
    /// What a person can do about it.
    pub hint: Option<String>,
    /// When the token ends, unless it is renewed; none without a token, or with one that lives for ever.
    pub token_until: Option<Wall>,
}

/// What is the matter with one secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Freshness {
    /// It was never read.
    Unread,
    /// What was read last is what is there.
    Fresh,
    /// It was read, and cannot be asked for at the moment: the server is the reason.
    Stale,
    /// There is nothing at its path.
    Missing,
    /// Its newest version was deleted.
    Deleted,
    /// The token may not read it.
    Denied,
    /// What is there cannot be used.
    Unusable,
}

impl Freshness {
    /// Returns the word for it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Unread => "not read yet",
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Missing => "missing",
            Self::Deleted => "deleted",
            Self::Denied => "denied",
            Self::Unusable => "unusable",
        }
    }
}

/// How one secret stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStanding {
    /// What is the matter.
    pub freshness: Freshness,
    /// The version that was read last; none when none was.
    pub version: Option<u64>,
    /// When it was last seen to be the newest.
    pub read_at: Option<Wall>,
    /// Since when it is not fresh.
    pub since: Option<Wall>,
    /// Why it is not.
    pub why: Option<String>,
    /// What a person can do about it.
    pub hint: Option<String>,
}
