//! Asking the monitor: what Prometheus' and Alertmanager's APIs are asked, on behalf of a stack.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tend_core::model::StackName;

/// A request to the monitor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MonitorAsk {
    /// Which stack's series, rules and alerts. In the path, where the path has it; then the body's is not read.
    pub stack: StackName,
    /// How.
    pub method: MonitorMethod,
    /// Path and query, such as `/api/v1/query?query=up`.
    pub target: String,
    /// What is sent along, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
}

/// How the monitor is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MonitorMethod {
    /// To see something.
    Get,
    /// To do something.
    Post,
    /// To end something.
    Delete,
}

impl MonitorMethod {
    /// Returns the method as HTTP has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}
