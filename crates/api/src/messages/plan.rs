//! A plan as it is shown.

use serde::{Deserialize, Serialize};
use tend_core::model::StackName;

/// The steps from what is there to what is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanReport {
    /// Of which stack.
    pub stack: StackName,
    /// In the order they are taken; none when nothing has to change.
    pub steps: Vec<PlannedStep>,
    /// What will not be as the file asks, such as a service that needs an engine.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The release that a deployment would make; absent when the steps are those of `tend up`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<u64>,
    /// The release that runs; absent for a stack that runs in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// What it is done to, such as `mps/api/1`.
    pub subject: String,
    /// What is done, such as `start`.
    pub action: String,
    /// Why, or with what; may be empty.
    #[serde(default)]
    pub detail: String,
    /// What takes it back; absent when nothing does.
    #[serde(default)]
    pub undo: Option<String>,
}
