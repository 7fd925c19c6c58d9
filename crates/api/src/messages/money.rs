//! Requests that move money: the keys they came with, and callbacks that wait.

use serde::{Deserialize, Serialize};
use tend_base::Wall;

/// Idempotency keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoneyList {
    /// The latest first.
    pub keys: Vec<MoneyKey>,
}

/// An idempotency key, and what became of its first request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoneyKey {
    /// The digits that name it.
    pub id: String,
    /// As the client wrote it.
    pub key: String,
    /// Who answers, as `mps/api`.
    pub service: String,
    /// Of the request.
    pub method: String,
    /// Of the request.
    pub path: String,
    /// Of the request, as the access log and the service have it.
    pub request_id: String,
    /// `begun`, `answered` or `in doubt`.
    pub state: String,
    /// When the first request came.
    pub begun_at: Wall,
    /// Of a doubt: what happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Of an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Of an answer: its body where that is text, and where one key was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Of an answer: until when it is given again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Wall>,
    /// Who answered, as `mps/api/1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<String>,
}

/// Callbacks that wait for their service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolReport {
    /// By route.
    pub routes: Vec<SpoolRoute>,
    /// Those that services did not want, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedCallback>,
}

/// A callback that its service did not want. It is kept until somebody drops it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedCallback {
    /// The same as on every delivery (`X-Tend-Delivery-Id`).
    pub id: String,
    /// As `mps/api */callbacks`: service, host, path.
    pub route: String,
    /// Of the request.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// When it came.
    pub received_at: Wall,
    /// It was tried so often.
    pub tries: u32,
    /// What the service said.
    pub why: String,
}

/// The callbacks of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolRoute {
    /// As `mps/api */callbacks`: service, host, path.
    pub route: String,
    /// So many wait.
    pub waiting: u64,
    /// When the first of them came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_at: Option<Wall>,
    /// How often the first of them was tried.
    pub tries: u32,
    /// What its last try gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// So many the service did not want; they are kept and not tried again.
    pub refused: u64,
}
