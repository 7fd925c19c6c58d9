//! What a backend tells, as plain values: targets, metadata, rules with their health, the program itself.
//!
//! What goes out as it is has Prometheus' own names in JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use tend_alert::{Active, Rule};
use tend_promql::{Labels, Timestamp};

use crate::json::pairs;
use crate::moment::written;

/// Who is scraped, and who was left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Targets {
    /// Those that are scraped, sorted by pool.
    pub active: Vec<Target>,
    /// Those that relabelling dropped; there may be more.
    pub dropped: Vec<DroppedTarget>,
    /// How many were dropped, by pool.
    pub dropped_counts: BTreeMap<String, u64>,
}

/// Somebody who is scraped.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Labels before relabelling.
    #[serde(serialize_with = "pairs")]
    pub discovered_labels: Labels,
    /// Labels that all its series have.
    #[serde(serialize_with = "pairs")]
    pub labels: Labels,
    /// The job it is of.
    pub scrape_pool: String,
    /// What is asked.
    pub scrape_url: String,
    /// The same as others reach it.
    pub global_url: String,
    /// Why the last scrape failed; empty when it did not.
    pub last_error: String,
    /// When it was scraped last.
    #[serde(serialize_with = "written")]
    pub last_scrape: Option<Timestamp>,
    /// How long that took, in seconds.
    pub last_scrape_duration: f64,
    /// How it is.
    pub health: TargetHealth,
    /// How often it is scraped, as it is written in a configuration.
    pub scrape_interval: String,
    /// How long a scrape may take.
    pub scrape_timeout: String,
}

/// How a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetHealth {
    /// It was not asked yet.
    Unknown,
    /// It answered.
    Up,
    /// It did not.
    Down,
}

/// Somebody whom relabelling dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DroppedTarget {
    /// Labels before relabelling.
    #[serde(serialize_with = "pairs")]
    pub discovered_labels: Labels,
    /// The job it would have been of.
    pub scrape_pool: String,
}

/// What an exporter says of a metric.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricMetadata {
    /// The name of the metric.
    pub metric: String,
    /// The labels of the target.
    pub target: Labels,
    /// `counter`, `gauge`, `histogram`, `summary`, `unknown` and so on.
    pub kind: String,
    /// What it is, for people.
    pub help: String,
    /// Its unit; mostly empty.
    pub unit: String,
}

/// Rules that are evaluated together.
#[derive(Clone, Debug)]
pub struct RuleGroup {
    /// Its name.
    pub name: String,
    /// The file it stands in.
    pub file: String,
    /// From one evaluation to the next, in milliseconds.
    pub interval: i64,
    /// How many results a rule may have; 0 for any number.
    pub limit: u64,
    /// In order.
    pub rules: Vec<RuleStatus>,
    /// How long the last evaluation took, in seconds.
    pub evaluation_time: f64,
    /// When it was.
    pub last_evaluation: Option<Timestamp>,
}

/// A rule and what became of it.
#[derive(Clone, Debug)]
pub struct RuleStatus {
    /// The rule.
    pub rule: Rule,
    /// How its last evaluation ended.
    pub health: Health,
    /// How long that took, in seconds.
    pub evaluation_time: f64,
    /// When it was.
    pub last_evaluation: Option<Timestamp>,
    /// Alerts it has; those that resolved are left out of answers.
    pub active: Vec<Active>,
}

/// How the last evaluation of a rule ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// There was none.
    Unknown,
    /// Well.
    Ok,
    /// Not, and why.
    Failed(String),
}

/// What this program is and how it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// What was built, as Prometheus' API says it.
    pub build: Build,
    /// The same as Alertmanager's says it: `version` is the one whose API is spoken, as `0.28.0`. `amtool` of another version says so, and works.
    pub alert_build: Build,
    /// What runs.
    pub runtime: Runtime,
    /// What it was started with, by names as Prometheus has them (`storage.tsdb.retention.time`).
    pub flags: BTreeMap<String, String>,
}

/// What was built. `version` is the version of Prometheus that the API speaks: Grafana offers functions by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Build {
    /// The version of the API, as `3.1.0`.
    pub version: String,
    /// What it was built from.
    pub revision: String,
    /// The branch of that.
    pub branch: String,
    /// Who built it.
    pub build_user: String,
    /// When.
    pub build_date: String,
    /// In Prometheus the compiler; here which program this is.
    pub go_version: String,
}

/// What runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runtime {
    /// When it was started.
    pub start_time: Timestamp,
    /// The folder it runs in.
    pub folder: String,
    /// The name of the machine.
    pub hostname: String,
    /// Whether the present configuration is the last one that was given.
    pub reload_success: bool,
    /// When a configuration was taken last.
    pub last_config_time: Timestamp,
    /// How long samples are kept, as `15d or 32GiB`.
    pub retention: String,
}

/// What is in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Pieces that samples are kept in.
    pub chunks: u64,
    /// The time of the oldest sample.
    pub min_time: Timestamp,
    /// The time of the newest.
    pub max_time: Timestamp,
}
