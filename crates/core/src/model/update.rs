//! How a service is brought from one release to the next: in what portions, in what order, and what counts as good.
//!
//! The names and meanings of [`Update`] are those of `deploy.update_config` in the Compose specification; what Compose does not
//! have (smoke tests, canary, quiescing) stands beside it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How replicas are replaced when a release is rolled out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Update {
    /// How many replicas are replaced at once; 0 means all.
    pub parallelism: u32,
    /// Between two portions.
    pub delay: Duration,
    /// Whether the new replica is there before the old one goes.
    pub order: Order,
    /// What follows when more replicas fail than `max_failure_ratio` allows.
    pub failure_action: FailureAction,
    /// How long a new replica is looked at after it became ready before it counts as good.
    pub monitor: Duration,
    /// Share of the replicas that may fail, from 0 to 1.
    pub max_failure_ratio: f64,
    /// How many readiness answers in a row a new replica has to give; at least 1. Ours, not Compose's.
    pub consecutive: u32,
    /// A new replica that is not ready this long after its start has failed. Ours, not Compose's.
    pub ready_within: Duration,
}

impl Update {
    /// What holds where the stack file says nothing of updates: never fewer replicas than before, and a way back by itself. Compose's
    /// own default (stop-first, pause) leaves a service short of a replica and a failed deploy half done, which is what its users
    /// complain of (Dokploy/dokploy#3810, moby/moby#37972).
    pub const OURS: Self = Self {
        parallelism: 1,
        delay: Duration::ZERO,
        order: Order::StartFirst,
        failure_action: FailureAction::Rollback,
        monitor: Duration::from_secs(5),
        max_failure_ratio: 0.0,
        consecutive: 3,
        // 30 tries, 10 s apart: what the guides' deploy scripts wait (requirement D1).
        ready_within: Duration::from_secs(300),
    };

    /// What Compose means where `update_config` or `rollback_config` is given and a key in it is not.
    ///
    /// From the Compose specification (compose-spec, deploy.md): `delay` 0s, `failure_action` pause, `monitor` 0s,
    /// `max_failure_ratio` 0, `order` stop-first. It names no default of `parallelism`; Docker's own reading of the file
    /// (`convertUpdateConfig` of docker/cli) takes 1. What Compose does not have is ours.
    pub const COMPOSE: Self = Self {
        parallelism: 1,
        delay: Duration::ZERO,
        order: Order::StopFirst,
        failure_action: FailureAction::Pause,
        monitor: Duration::ZERO,
        max_failure_ratio: 0.0,
        ..Self::OURS
    };

    /// Returns how to go back where the stack file says nothing of it: all replicas at once, and held when that fails too, since
    /// there is nothing further to go back to.
    #[must_use]
    pub const fn back(self) -> Self {
        Self {
            parallelism: 0,
            failure_action: match self.failure_action {
                FailureAction::Rollback => FailureAction::Pause,
                other => other,
            },
            ..self
        }
    }

    /// Returns how many of `count` replicas are replaced at once, at least one.
    #[must_use]
    pub fn portion(&self, count: u32) -> u32 {
        match self.parallelism {
            0 => count.max(1),
            some => some.min(count.max(1)),
        }
    }
}

impl Default for Update {
    fn default() -> Self {
        Self::OURS
    }
}

/// Which of the two is there first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The new one; for a moment there is one more.
    StartFirst,
    /// The old one goes first; for a moment there is one fewer.
    StopFirst,
}

/// What follows when an update fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureAction {
    /// Back to the release before.
    Rollback,
    /// Nothing more is replaced; a person decides.
    Pause,
    /// On with the next portion.
    Continue,
}

/// How a service's new release is given traffic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Portion by portion.
    #[default]
    Rolling,
    /// One portion first serves a share of the requests until its figures tell.
    Canary(Canary),
}

/// A canary and when it is believed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Canary {
    /// Share of the requests it is given, in thousandths, 1 to 999.
    pub share_permille: u32,
    /// Requests that go to it whatever the share.
    pub allow: Vec<Allow>,
    /// Requests it must have answered before anything is said of it.
    pub requests_min: u64,
    /// How much larger its share of failures may be than that of the old release, in thousandths of all its requests.
    pub worse_permille: u32,
    /// After this long without a verdict it is *inconclusive*: held, and said so.
    pub patience: Duration,
}

/// A request that is sent to the canary on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allow {
    /// Where the value stands.
    pub place: AllowPlace,
    /// Name of the header or cookie; a header's in lower case.
    pub name: String,
    /// Its value, compared exactly.
    pub value: String,
}

/// Where an [`Allow`] looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllowPlace {
    /// In a request header.
    Header,
    /// In a cookie.
    Cookie,
}

/// A question that a new release has to answer rightly, asked through the edge before it is given traffic and once more after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Smoke {
    /// The path asked for with GET, query included.
    pub path: String,
    /// The status it has to answer with.
    pub status: u16,
    /// What the body has to hold.
    pub contains: Option<String>,
    /// How long the answer may take.
    pub timeout: Duration,
}

/// How a worker that handles money is brought to have nothing in flight before it is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quiesce {
    /// Tells it to take no new work: a POST to this path of the replica.
    pub path: String,
    /// Answers how much is in flight: a GET of this path of the replica; `0` alone, or a Prometheus sample.
    pub in_flight_path: String,
    /// The sample to read there; absent when the body is the number.
    pub in_flight_metric: Option<String>,
    /// After this long it is stopped all the same, and the journal says with how much in flight.
    pub deadline: Duration,
}

/// What a stack wants of its deploys as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployPolicy {
    /// Brings the database to what the new release needs.
    pub migrate: Option<Migrate>,
    /// What a restore point is taken of.
    pub databases: Vec<Database>,
    /// Releases kept beside the running one and the way back.
    pub keep_count: u32,
    /// Releases older than this go, whatever `keep_count` would leave; absent keeps them by count alone.
    pub keep_age: Option<Duration>,
    /// Run after a deploy ended, whatever its end; the facts are in its environment as `TEND_DEPLOY_…`.
    pub notify: Option<Vec<String>>,
    /// The name of the environment this stack is, such as `production`.
    pub environment: Option<String>,
    /// The stack whose running release may be promoted to this one.
    pub promote_from: Option<super::StackName>,
    /// A person has to approve before the first replica is replaced.
    pub approval: bool,
    /// Free bytes that must be on the disk of the state folder before anything begins.
    pub disk_free_min: u64,
}

impl Default for DeployPolicy {
    fn default() -> Self {
        Self {
            migrate: None,
            databases: Vec::new(),
            keep_count: 5,
            keep_age: None,
            notify: None,
            environment: None,
            promote_from: None,
            approval: false,
            disk_free_min: 512 << 20,
        }
    }
}

/// A migration command and what it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migrate {
    /// In whose environment and artifact it runs.
    pub service: super::ServiceName,
    /// Program and arguments. It must be safe to run again, as every migration tool's is: a machine may die in the middle.
    pub command: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
    /// The SQL files it applies, as a glob relative to the service's folder: read for their class and for long locks.
    pub files: Option<String>,
}

/// A database that a restore point is taken of.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Database {
    /// A file of SQLite; may be absent before the first deploy.
    Sqlite(PathBuf),
    /// A PostgreSQL URL, which may hold a password and is never printed.
    Postgres(String),
}

/// Shows no URL: it may hold a password.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(_) => f.write_str("Postgres(***)"),
        }
    }
}
