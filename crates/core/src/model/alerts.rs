//! What a stack wants said when something is wrong: the rules that raise alerts, who is told, and how it is known that telling works.
//!
//! Holds the names of files and an Alertmanager configuration as a text; reads neither.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{SecretText, Stack};

/// What a stack wants of its alerts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alerts {
    /// Patterns of files of rules: absolute, with `*` and `?` in their last part only.
    pub rules: Vec<PathBuf>,
    /// Who is told.
    pub routing: Routing,
    /// In which language texts of our own are.
    #[serde(default)]
    pub language: Language,
    /// The address under which people reach what shows alerts; the base of links in messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_url: Option<String>,
    /// The sign of life to somebody outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Heartbeat>,
    /// From the begin of a deployment, alerts that begin in it are held back for so long at most; never critical ones, and none that names a service
    /// that it does not change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_deploys: Option<Duration>,
    /// A rule whose series are gone raises an alert that says so.
    pub absent: bool,
}

/// Who is told of alerts.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Routing {
    /// Nobody: alerts are there to be looked at.
    Nobody,
    /// As this `alertmanager.yml` says.
    File(PathBuf),
    /// As a text says that was made of the short form.
    Text {
        /// An `alertmanager.yml`. Where one would name a file with a secret, [`SECRET_FILE`] and a name stand for one of tend's store. It
        /// may hold what the stack file holds, so it is never printed.
        text: String,
        /// The secrets of tend's store that it names.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        secrets: BTreeSet<String>,
    },
}

/// Shows no text: it may hold addresses that are secrets.
impl fmt::Debug for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("Nobody"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text { secrets, .. } => f.debug_struct("Text").field("secrets", secrets).finish_non_exhaustive(),
        }
    }
}

/// In which language texts of our own are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Language {
    /// English.
    #[default]
    #[serde(rename = "en")]
    English,
    /// 中文
    #[serde(rename = "zh")]
    Chinese,
}

/// A sign of life to somebody outside, who calls when it stays out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Who is asked, by GET.
    pub url: SecretText,
    /// How often.
    pub every: Duration,
    /// Only while the way from a scrape to a receipt was proven so recently.
    pub proven_within: Duration,
    /// The receivers whose receipts prove it: they are told of a watchdog, several times in that time.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub watchdog: BTreeSet<String>,
}

/// The word before a name that stands for a secret of tend's store, in the place of a file.
pub const SECRET_FILE: &str = "secret:";

impl Stack {
    /// Returns the names of the secrets that measuring and alerting need, beside those that services are given.
    ///
    /// Those that an `alertmanager.yml` or a `prometheus.yml` of the user's names are not among them: these files are read elsewhere.
    #[must_use]
    pub fn monitor_secrets(&self) -> BTreeSet<&str> {
        let mut texts: Vec<&SecretText> = Vec::new();
        if let Some(metrics) = &self.metrics {
            texts.extend(&metrics.prometheus);
            for target in &metrics.remote_write {
                texts.push(&target.url);
                texts.extend(&target.bearer);
            }
            let collect = &metrics.collect;
            let servers = [&collect.postgres, &collect.mysql, &collect.redis];
            texts.extend(servers.into_iter().flatten().map(|server| &server.url));
        }
        let mut names: BTreeSet<&str> = BTreeSet::new();
        if let Some(alerts) = &self.alerts {
            texts.extend(alerts.heartbeat.as_ref().map(|heartbeat| &heartbeat.url));
            if let Routing::Text { secrets, .. } = &alerts.routing {
                names.extend(secrets.iter().map(String::as_str));
            }
        }
        names.extend(texts.into_iter().filter_map(SecretText::secret));
        names
    }
}
