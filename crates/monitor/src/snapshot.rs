//! What the monitor is told by the daemon: whole and versioned.
//!
//! Holds texts of files and not their names alone: what was read when a stack was taken is what is carried out. Its JSON holds secrets, so
//! it goes over a socket of one owner and into no file.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tend_alert::{Change, Deploying};
use tend_base::Exposed;

/// The version of this shape. A monitor that is told another keeps what it has, and says so.
pub const SNAPSHOT_VERSION: u32 = 1;

/// All that is to be measured and told on this machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`SNAPSHOT_VERSION`].
    pub version: u32,
    /// Grows with each snapshot.
    pub generation: u64,
    /// Whether the machine itself is measured, and how often; milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Pace>,
    /// Whether the edge is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge: Option<Pace>,
    /// How long samples are kept, in milliseconds: the longest that a stack asks for.
    pub retention_ms: i64,
    /// How many bytes of them are: the least that a stack asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_bytes: Option<u64>,
    /// By name.
    pub stacks: BTreeMap<String, StackPart>,
    /// What goes on around stacks, by name. Apart from what they want, because it changes more often and nothing is read anew for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub goings_on: BTreeMap<String, GoingsOn>,
}

/// What goes on around a stack: its journal's changes, and deployments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoingsOn {
    /// What changed lately, the oldest first. No value of a secret is in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// Deployments that run or ended lately.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deploys: Vec<Deploying>,
}

impl Default for Pace {
    /// Every 15 seconds, for 10 seconds at most: what the guides' configurations say.
    fn default() -> Self {
        Self {
            interval_ms: 15_000,
            timeout_ms: 10_000,
        }
    }
}

/// How often something is asked, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Milliseconds from one to the next.
    pub interval_ms: i64,
    /// Milliseconds after which there is no answer.
    pub timeout_ms: i64,
}

/// The text of a file, and what messages call it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileText {
    /// Where it was read.
    pub path: PathBuf,
    /// What it says; it may hold secrets.
    pub text: Exposed,
}

/// What one stack wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StackPart {
    /// On whose behalf the files are read that its files name; whose they are is not looked at where nobody is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<u32>,
    /// Where the APIs are served over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// The base URL of a Prometheus that answers in the place of the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<Exposed>,
    /// Who else is sent every sample.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remote_write: Vec<RemoteWrite>,
    /// How often things are asked where nothing else is said.
    pub pace: Pace,
    /// A `prometheus.yml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrape: Option<FileText>,
    /// Files of rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<FileText>,
    /// An `alertmanager.yml`; nobody is told without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing: Option<FileText>,
    /// Values for `secret:NAME` in it, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Exposed>,
    /// Whether our own texts are in Chinese.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub chinese: bool,
    /// The base of links in messages.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub external_url: String,
    /// Whether a rule whose series are gone says so.
    pub absent: bool,
    /// For so many milliseconds from its begin a deployment holds alerts back at most; none is held back without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_deploys_ms: Option<i64>,
    /// The sign of life to somebody outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Heartbeat>,
    /// Whether the daemon is asked what it knows of the stack.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub daemon: bool,
    /// Replicas that are asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<ReplicaTarget>,
    /// Processes that are measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<ProcessTarget>,
    /// Servers that are measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerTarget>,
    /// What of the scorecard is another here than in the guide; as the stack file's model has it.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub score: serde_json::Value,
}

/// Who is sent every sample, by Prometheus' remote write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteWrite {
    /// Where to.
    pub url: Exposed,
    /// What is sent as `Authorization: Bearer …`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<Exposed>,
}

/// A sign of life to somebody outside, who calls when it stays out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Who is asked, by GET.
    pub url: Exposed,
    /// Milliseconds from one to the next.
    pub every_ms: i64,
    /// Only while the way from a scrape to a receipt was proven so recently; milliseconds.
    pub proven_within_ms: i64,
    /// The receivers that are told of a watchdog, so that their receipts prove the way.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub watchdog: BTreeSet<String>,
}

/// A replica that is asked for its metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaTarget {
    /// Its service.
    pub service: String,
    /// Its number in the service.
    pub replica: u32,
    /// The label `job`.
    pub job: String,
    /// Where it listens; nothing of one that a person stopped, which counts as down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// The path, with its query.
    pub path: String,
    /// How often, and for how long.
    pub pace: Pace,
    /// More labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// The process of a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessTarget {
    /// Its service.
    pub service: String,
    /// Its number in the service.
    pub replica: u32,
    /// Its process.
    pub pid: u32,
}

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerKind {
    /// PostgreSQL.
    Postgres,
    /// MySQL or MariaDB.
    Mysql,
    /// Redis.
    Redis,
}

/// A server that is measured from here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerTarget {
    /// What it speaks.
    pub kind: ServerKind,
    /// The label `instance`.
    pub name: String,
    /// Where it is, with its password.
    pub url: Exposed,
}
