//! What the monitor answered.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the monitor answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MonitorAnswer {
    /// The status, as HTTP has it.
    pub status: u16,
    /// JSON; a text where it was none.
    pub body: Value,
}
