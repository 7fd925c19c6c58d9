//! What a stack wants measured: who is asked, how often, for how long it is kept, and the figures it is judged by.
//!
//! Holds addresses and references, and asks nobody. What a `prometheus.yml` says is read where it is carried out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SecretText;

/// What a stack wants measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Where the APIs of Prometheus and Alertmanager are served over HTTP; nowhere when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// The base URL of a Prometheus, or VictoriaMetrics, that answers queries and rules in the place of the store that is built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<SecretText>,
    /// A `prometheus.yml` whose `scrape_configs` are carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<PathBuf>,
    /// How often each replica and each collector is asked, where nothing else is said.
    pub interval: Duration,
    /// An answer later than this is none.
    pub timeout: Duration,
    /// For how long samples are kept.
    pub retention: Retention,
    /// Who else is sent every sample.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remote_write: Vec<RemoteWrite>,
    /// What is measured without an exporter.
    pub collect: Collect,
    /// What of the scorecard is another here than in the guide.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub score: BTreeMap<Figure, FigureLimits>,
}

/// For how long samples are kept; what comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Until they are this old.
    pub time: Duration,
    /// Until there are so many bytes of them; any number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_max: Option<u64>,
}

/// Who is sent every sample, by Prometheus' remote write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteWrite {
    /// Where to.
    pub url: SecretText,
    /// What is sent as `Authorization: Bearer …`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<SecretText>,
}

/// What is measured without an exporter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collect {
    /// The machine: processors, memory, disks, network.
    pub node: bool,
    /// Each replica's process.
    pub processes: bool,
    /// The edge.
    pub edge: bool,
    /// PostgreSQL servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub postgres: Vec<CollectFrom>,
    /// MySQL and MariaDB servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mysql: Vec<CollectFrom>,
    /// Redis servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redis: Vec<CollectFrom>,
}

/// A server that is measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectFrom {
    /// What it is called: the label `instance` of its series. No other of its kind in the stack has the same.
    pub name: String,
    /// Where it is.
    pub url: SecretText,
}

/// How the replicas of one service are asked for their metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceMetrics {
    /// The port they are asked at; the service's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The path, with its query.
    pub path: String,
    /// The label `job` of their series; rules name it.
    pub job: String,
    /// How often; as the chapter says when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// An answer later than this is none; as the chapter says when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// More labels of their series.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A figure of the guide's table of reference values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Mean time from a request to its answer, in seconds.
    ResponseTime,
    /// Share of transactions that succeeded, 0 to 1.
    SuccessRate,
    /// 95th percentile of the time of database queries, in seconds.
    DatabaseP95,
    /// Resident memory of a process, in bytes.
    Memory,
    /// Share of the processors in use, 0 to 1.
    Cpu,
    /// WebSockets open.
    Websockets,
    /// Share of look-ups that a cache answered, 0 to 1.
    CacheHits,
    /// Share of requests answered with a 5xx, 0 to 1.
    Errors,
}

/// What a figure is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// A share, 0 to 1; shown in per cent.
    Share,
    /// Bytes.
    Bytes,
    /// A number of things.
    Count,
}

/// What a stack says of one figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FigureLimits {
    /// It is not looked at.
    Off,
    /// It is judged so; what is absent is the guide's.
    Set {
        /// The value that is no longer normal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warning: Option<f64>,
        /// The value beyond which it is critical.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        critical: Option<f64>,
        /// The PromQL that gives it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        query: Option<String>,
    },
}

impl Figure {
    /// All of them, in the guide's order.
    pub const ALL: [Figure; 8] = [
        Figure::ResponseTime,
        Figure::SuccessRate,
        Figure::DatabaseP95,
        Figure::Memory,
        Figure::Cpu,
        Figure::Websockets,
        Figure::CacheHits,
        Figure::Errors,
    ];

    /// Returns its name in the stack file, in labels and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Figure::ResponseTime => "response_time",
            Figure::SuccessRate => "success_rate",
            Figure::DatabaseP95 => "database_p95",
            Figure::Memory => "memory",
            Figure::Cpu => "cpu",
            Figure::Websockets => "websockets",
            Figure::CacheHits => "cache_hits",
            Figure::Errors => "errors",
        }
    }

    /// Returns what it is counted in.
    #[must_use]
    pub const fn unit(self) -> Unit {
        match self {
            Figure::ResponseTime | Figure::DatabaseP95 => Unit::Seconds,
            Figure::SuccessRate | Figure::Cpu | Figure::CacheHits | Figure::Errors => Unit::Share,
            Figure::Memory => Unit::Bytes,
            Figure::Websockets => Unit::Count,
        }
    }

    /// Returns whether less of it is worse.
    #[must_use]
    pub const fn less_is_worse(self) -> bool {
        matches!(self, Figure::SuccessRate | Figure::CacheHits)
    }

    /// Returns where it stops to be normal and beyond what it is critical, as the table of reference values in guide 001 has it.
    #[must_use]
    pub const fn reference(self) -> (f64, f64) {
        match self {
            Figure::ResponseTime => (0.2, 0.5),
            Figure::SuccessRate => (0.95, 0.90),
            Figure::DatabaseP95 => (0.3, 1.0),
            Figure::Memory => (536_870_912.0, 1_073_741_824.0),
            Figure::Cpu => (0.30, 0.70),
            Figure::Websockets => (100.0, 500.0),
            Figure::CacheHits => (0.70, 0.50),
            Figure::Errors => (0.01, 0.05),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Figure;

    #[test]
    fn what_is_critical_is_beyond_the_warning_and_a_name_is_that_of_the_stored_form() {
        for figure in Figure::ALL {
            let (warning, critical) = figure.reference();
            assert_eq!(critical < warning, figure.less_is_worse(), "{figure:?}");
            assert_eq!(serde_json::to_value(figure).unwrap(), figure.name());
        }
    }
}
