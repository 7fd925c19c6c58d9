//! What a `prometheus.yml` says, as values. Owns the defaults; how the text is read stands in `read`, what is done with it elsewhere.
//!
//! Source of names and defaults: Prometheus' configuration reference. Times are milliseconds, sizes bytes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tend_base::Secret;
use tend_fetch::TlsSettings;
use tend_promql::Labels;
use tend_relabel::Rule;

use crate::gather::BuiltIn;

/// The largest body where the file sets no limit. Prometheus has none; one exporter gone wild shall not take this process's memory. The
/// largest body of an exporter in common use (kube-state-metrics of a big cluster) is about this size.
pub const BODY_BYTES_MAX: u64 = 64 << 20;

/// Targets that relabelling dropped and that are still shown, for each job, where the file says nothing.
pub const DROPPED_SHOWN_MAX: usize = 1000;

/// A `prometheus.yml`.
#[derive(Debug)]
pub struct Config {
    /// `global`.
    pub global: Global,
    /// `rule_files`: patterns of paths, those that were relative now beginning with the folder of the file.
    pub rule_files: Vec<PathBuf>,
    /// `scrape_configs`.
    pub jobs: Vec<Job>,
    /// `alerting.alertmanagers`.
    pub alertmanagers: Vec<Alertmanager>,
    /// `alerting.alert_relabel_configs`.
    pub alert_relabel: Vec<Rule>,
}

/// The chapter `global`, and what the jobs take from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// How often a target is asked.
    pub scrape_interval_ms: i64,
    /// How long an answer may take.
    pub scrape_timeout_ms: i64,
    /// How often rules are evaluated.
    pub evaluation_interval_ms: i64,
    /// How far back rules are evaluated.
    pub rule_query_offset_ms: i64,
    /// Labels for whatever leaves: alerts, federation, remote storage.
    pub external_labels: Labels,
    /// Limits of the jobs that set none.
    pub limits: Limits,
    /// Formats that are asked for, where a job does not say.
    pub protocols: Vec<Protocol>,
}

/// What a scrape may bring. A scrape that brings more fails as a whole, as in Prometheus; 0 of the file is `None` here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a body, uncompressed.
    pub body_bytes: u64,
    /// Samples after relabelling.
    pub samples: Option<usize>,
    /// Targets of the job after relabelling.
    pub targets: Option<usize>,
    /// Labels of a series.
    pub labels: Option<usize>,
    /// Bytes of a label's name.
    pub label_name_bytes: Option<usize>,
    /// Bytes of a label's value.
    pub label_value_bytes: Option<usize>,
    /// Dropped targets that are shown; more are counted.
    pub dropped_shown: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: BODY_BYTES_MAX,
            samples: None,
            targets: None,
            labels: None,
            label_name_bytes: None,
            label_value_bytes: None,
            dropped_shown: DROPPED_SHOWN_MAX,
        }
    }
}

/// Targets that are asked in the same way: an item of `scrape_configs`, or one made of the model.
#[derive(Debug)]
pub struct Job {
    /// Its name, unique, and the label `job` of its targets where they do not say otherwise.
    pub name: String,
    /// How they are asked.
    pub settings: Settings,
    /// `static_configs`.
    pub groups: Vec<Group>,
    /// `file_sd_configs`: patterns of paths.
    pub files: Vec<PathBuf>,
    /// What is gathered within this process.
    pub built_in: Vec<BuiltIn>,
    /// Ways of finding targets that the file names and nobody here knows: `kubernetes_sd_configs`.
    pub undone: Vec<&'static str>,
}

/// How the targets of a job are asked, and what is done with their answers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often.
    pub interval_ms: i64,
    /// How long an answer may take.
    pub timeout_ms: i64,
    /// Whether a label of the exporter stands where the target has one of this name.
    pub honor_labels: bool,
    /// Whether samples keep the time that the exporter gave them.
    pub honor_timestamps: bool,
    /// The path.
    pub metrics_path: String,
    /// `http` or `https`.
    pub scheme: String,
    /// The query.
    pub params: BTreeMap<String, Vec<String>>,
    /// Formats that are asked for, the best first.
    pub protocols: Vec<Protocol>,
    /// Whether gzip is asked for.
    pub compression: bool,
    /// Who we say we are, and whom we trust.
    pub http: Http,
    /// What an answer may bring.
    pub limits: Limits,
    /// `relabel_configs`.
    pub relabel: Vec<Rule>,
    /// `metric_relabel_configs`.
    pub metric_relabel: Vec<Rule>,
}

impl Settings {
    /// Returns how a job is scraped that says nothing but its name.
    #[must_use]
    pub fn of(global: &Global) -> Self {
        Self {
            interval_ms: global.scrape_interval_ms,
            timeout_ms: global.scrape_timeout_ms,
            honor_labels: false,
            honor_timestamps: true,
            metrics_path: "/metrics".to_owned(),
            scheme: "http".to_owned(),
            params: BTreeMap::new(),
            protocols: global.protocols.clone(),
            compression: true,
            http: Http::default(),
            limits: global.limits,
            relabel: Vec::new(),
            metric_relabel: Vec::new(),
        }
    }

    /// Whether series get the same labels by both, so that what is known of a target's lines still holds.
    pub(crate) fn keeps_series_of(&self, other: &Self) -> bool {
        let texts = |rules: &[Rule]| rules.iter().map(|rule| rule.text().clone()).collect::<Vec<_>>();
        self.honor_labels == other.honor_labels
            && self.limits.labels == other.limits.labels
            && self.limits.label_name_bytes == other.limits.label_name_bytes
            && self.limits.label_value_bytes == other.limits.label_value_bytes
            && texts(&self.metric_relabel) == texts(&other.metric_relabel)
    }

    /// The value of the header `Accept`.
    pub(crate) fn accept(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        for (at, protocol) in self.protocols.iter().enumerate() {
            // 0.9, 0.8, …: each a little less welcome than the one before.
            let weight = 9_usize.saturating_sub(at).max(2);
            parts.push(format!("{};q=0.{weight}", protocol.media()));
        }
        parts.push("*/*;q=0.1".to_owned());
        parts.join(",")
    }
}

impl Default for Global {
    fn default() -> Self {
        Self {
            scrape_interval_ms: 60_000,
            scrape_timeout_ms: 10_000,
            evaluation_interval_ms: 60_000,
            rule_query_offset_ms: 0,
            external_labels: Labels::EMPTY,
            limits: Limits::default(),
            protocols: vec![Protocol::OpenMetrics1, Protocol::OpenMetrics0, Protocol::Text],
        }
    }
}

/// A format that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OpenMetrics 1.0.0.
    OpenMetrics1,
    /// OpenMetrics 0.0.1.
    OpenMetrics0,
    /// Prometheus' text with names in quotes.
    Text1,
    /// Prometheus' text.
    Text,
}

impl Protocol {
    fn media(self) -> &'static str {
        match self {
            Self::OpenMetrics1 => "application/openmetrics-text;version=1.0.0",
            Self::OpenMetrics0 => "application/openmetrics-text;version=0.0.1",
            Self::Text1 => "text/plain;version=1.0.0",
            Self::Text => "text/plain;version=0.0.4",
        }
    }
}

/// Targets with labels of their own, as `static_configs` and files say them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Addresses: `host:port`.
    pub targets: Vec<String>,
    /// Labels of all of them.
    pub labels: BTreeMap<String, String>,
}

/// How HTTP is spoken to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Who we say we are.
    pub authorization: Option<Authorization>,
    /// Whom we trust, and how we prove ourselves. Its `owner` holds for all files that the job names: passwords, tokens, targets.
    pub tls: TlsSettings,
    /// Whether a redirect is followed.
    pub follow_redirects: bool,
    /// Headers of the user's own.
    pub headers: Vec<(String, Given)>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            authorization: None,
            tls: TlsSettings::default(),
            follow_redirects: true,
            headers: Vec::new(),
        }
    }
}

/// What stands in the header `Authorization`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// A name and a password.
    Basic {
        /// The name.
        username: Given,
        /// The password.
        password: Given,
    },
    /// A word and what proves it: `Bearer`.
    Credentials {
        /// The word.
        scheme: String,
        /// The proof.
        credentials: Given,
    },
}

/// A value that stands in the file, or in another that is read each time it is needed: it may be replaced at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// The value.
    Value(Secret),
    /// Where it is; blanks around it do not count.
    File(PathBuf),
}

/// Alertmanagers that alerts are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alertmanager {
    /// Their addresses, as URLs without the path of the API.
    pub urls: Vec<String>,
    /// How long an answer may take.
    pub timeout_ms: i64,
    /// Who we say we are, and whom we trust.
    pub http: Http,
}
