//! What the engine keeps over a restart, as data.
//!
//! Owns its shape. Where it is written, and when, is the business of who drives the engine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tend_alert::Alerting;
use tend_promql::Timestamp;

use crate::twin::KeptTwin;

/// The version of [`Kept`] that is written; an older `tend` that meets a newer one begins from the series.
pub const KEPT_VERSION: u32 = 1;

/// The state of all groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// [`KEPT_VERSION`].
    pub version: u32,
    /// In the order of files.
    pub groups: Vec<KeptGroup>,
}

/// The state of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptGroup {
    /// Its file.
    pub file: String,
    /// Its name.
    pub name: String,
    /// When it was last evaluated, in milliseconds since 1970.
    pub last_at: Option<Timestamp>,
    /// Its alerting rules; those that record keep nothing.
    pub rules: Vec<KeptRule>,
}

/// The state of an alerting rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptRule {
    /// The name of the alert.
    pub name: String,
    /// The rule's labels as they are written: with the name, what a rule is known by.
    pub labels: BTreeMap<String, String>,
    /// Its alerts.
    pub alerting: Alerting,
    /// Its twin.
    #[serde(default)]
    pub twin: KeptTwin,
}
