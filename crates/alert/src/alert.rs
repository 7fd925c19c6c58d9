//! An alert: what came in, what is known of it, and when it counts as resolved.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tend_base::Fnv64;
use tend_promql::{Timestamp, is_label_name};

use crate::error::AlertError;

/// The number that stands for a set of labels, the same that Prometheus and Alertmanager give it. Names have to be sorted.
#[must_use]
pub fn fingerprint<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
    let mut hash = Fnv64::default();
    for (name, value) in labels {
        hash.bytes(name.as_bytes());
        hash.number(255);
        hash.bytes(value.as_bytes());
        hash.number(255);
    }
    hash.value()
}

/// An alert as somebody sends it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// Its labels; empty ones do not count.
    pub labels: BTreeMap<String, String>,
    /// Its texts; empty ones do not count.
    pub annotations: BTreeMap<String, String>,
    /// Since when; nothing for now.
    pub starts_at: Option<Timestamp>,
    /// Until when; nothing for "for as long as `resolve_timeout` says".
    pub ends_at: Option<Timestamp>,
    /// Where it comes from.
    pub generator_url: String,
}

/// An alert as it is known. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its texts.
    pub annotations: BTreeMap<String, String>,
    /// Since when it fires.
    pub starts_at: Timestamp,
    /// From when on it counts as resolved, unless more is heard of it.
    pub ends_at: Timestamp,
    /// When it was last heard of.
    pub updated_at: Timestamp,
    /// Whether `ends_at` is only how long silence is taken for firing.
    pub timed: bool,
    /// Where it comes from.
    pub generator_url: String,
}

impl Alert {
    /// Takes in what was sent.
    ///
    /// # Errors
    /// Where it has no labels, a label that is none, or ends before it starts.
    pub fn new(posted: Posted, now: Timestamp, resolve_timeout: i64) -> Result<Self, AlertError> {
        let mut labels = posted.labels;
        labels.retain(|_, value| !value.is_empty());
        let mut annotations = posted.annotations;
        annotations.retain(|_, value| !value.is_empty());
        let refuse = |what: String| AlertError::Alert {
            labels: shown(&labels),
            what,
        };
        if labels.is_empty() {
            return Err(refuse("it has no labels".to_owned()));
        }
        if let Some(name) = labels.keys().find(|name| !is_label_name(name)) {
            return Err(refuse(format!("`{name}` is not a name of a label")));
        }
        let starts_at = posted.starts_at.or(posted.ends_at).unwrap_or(now);
        let ends_at = posted.ends_at.unwrap_or(now.saturating_add(resolve_timeout));
        if ends_at < starts_at && posted.ends_at.is_some() {
            return Err(refuse("it ends before it starts".to_owned()));
        }
        Ok(Self {
            labels,
            annotations,
            starts_at,
            ends_at,
            updated_at: now,
            timed: posted.ends_at.is_none(),
            generator_url: posted.generator_url,
        })
    }

    /// Returns its fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        fingerprint(self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// Returns whether it counts as resolved.
    #[must_use]
    pub fn resolved(&self, now: Timestamp) -> bool {
        self.ends_at <= now
    }

    /// Has it be over by a moment.
    pub(crate) fn end_by(&mut self, at: Timestamp) {
        self.ends_at = self.ends_at.min(at);
        self.starts_at = self.starts_at.min(self.ends_at);
    }

    /// The value of a label; empty when there is none.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    /// Its name, as `alertname` says it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.label("alertname")
    }

    /// Puts what was known and what came in together, where the two overlap; else what came in stands alone.
    #[must_use]
    pub fn merged(self, known: &Self, now: Timestamp) -> Self {
        let overlaps = (self.ends_at > known.starts_at && self.ends_at < known.ends_at)
            || (self.starts_at > known.starts_at && self.starts_at < known.ends_at);
        if !overlaps {
            return self;
        }
        let mut merged = self;
        merged.starts_at = merged.starts_at.min(known.starts_at);
        if merged.resolved(now) {
            // The later of two explicit ends counts.
            if known.resolved(now) && known.ends_at > merged.ends_at {
                merged.ends_at = known.ends_at;
            }
        } else if known.ends_at > merged.ends_at && !known.timed {
            merged.ends_at = known.ends_at;
        }
        merged
    }
}

/// Labels as `{a="b", c="d"}`.
pub(crate) fn shown(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}={}", tend_promql::quoted(value)))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}
