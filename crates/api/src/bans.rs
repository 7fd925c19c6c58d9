//! Calls about who is let in nowhere. Knows the shape of the requests, not whom nobody may ban.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tend_core::model::Prefix;

/// To ban addresses, or to go on banning them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanAsk {
    /// Whom: addresses and ranges.
    pub addresses: Vec<Prefix>,
    /// For how long from now, in milliseconds; for ever when absent. A ban that holds longer stays as long as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
    /// Why; kept in the journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Also this machine itself, trusted hops, and whom a stack lets in by address.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// From where the person who asks is logged in, so that nobody bans himself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
}

/// To let addresses in again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnbanAsk {
    /// Whom: as they were banned.
    pub addresses: Vec<Prefix>,
}
