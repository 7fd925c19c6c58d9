//! Who is let in nowhere.

use serde::{Deserialize, Serialize};
use tend_base::Wall;
use tend_core::model::Prefix;

/// The bans that hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanList {
    /// In the order of their addresses.
    pub bans: Vec<BanStatus>,
    /// The edge said that it enforces them as they are listed; false while no edge runs, or while it is behind.
    pub enforced: bool,
    /// Connections and requests of banned addresses that the running edge has refused, in all; absent when it was not reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<u64>,
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanStatus {
    /// Whom: an address or a range.
    pub address: Prefix,
    /// When it began.
    pub since: Wall,
    /// When it ends by itself; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Wall>,
    /// Who asked for it last.
    pub by: String,
    /// Why, as they say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Trusted hops within it that came into a stack file after the ban: they are let in all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub but: Vec<Prefix>,
}
