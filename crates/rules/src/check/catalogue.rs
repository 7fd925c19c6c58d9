//! What there is in a store: names, labels, values, types.
//!
//! Owns what is remembered of them and how much. Does not know rules.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use tend_promql::{Labels, METRIC_NAME, Selection, Store, StoreError, Timestamp};

/// Values of one label of one metric that are remembered; of one with more it is only known that there are more.
const VALUES_MAX: usize = 2000;

/// What an exporter says a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Buckets, a sum and a count.
    Histogram,
    /// Quantiles, a sum and a count.
    Summary,
    /// Nothing is said.
    Unknown,
}

/// What there is of one label of one metric.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    /// How many series have it.
    pub(crate) series: u64,
    pub(crate) values: BTreeSet<String>,
    /// Whether there are values that are not remembered.
    pub(crate) more: bool,
}

/// What there is of one metric.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metric {
    pub(crate) series: u64,
    pub(crate) labels: BTreeMap<String, Column>,
}

/// What there is in a store.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    pub(crate) metrics: BTreeMap<String, Metric>,
    kinds: BTreeMap<String, MetricKind>,
}

impl Catalogue {
    /// Everything that has samples in a time, both ends included.
    ///
    /// # Errors
    /// What the store says.
    pub fn of(store: &dyn Store, from: Timestamp, to: Timestamp) -> Result<Self, StoreError> {
        let mut catalogue = Self::default();
        store.select(&Selection::new(&[], from, to), &mut |labels, samples| {
            if samples.times().iter().any(|time| (from..=to).contains(time)) {
                catalogue.observe(labels);
            }
            ControlFlow::Continue(())
        })?;
        Ok(catalogue)
    }

    /// Takes in a series; each is to be given once.
    pub fn observe(&mut self, labels: &Labels) {
        let metric = self.metrics.entry(labels.metric_name().to_owned()).or_default();
        metric.series += 1;
        for (name, value) in labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
            let column = match metric.labels.get_mut(name) {
                Some(column) => column,
                None => metric.labels.entry(name.to_owned()).or_default(),
            };
            column.series += 1;
            if column.values.len() < VALUES_MAX {
                if !column.values.contains(value) {
                    column.values.insert(value.to_owned());
                }
            } else if !column.values.contains(value) {
                column.more = true;
            }
        }
    }

    /// Takes in a name of which nothing more is known.
    pub fn know(&mut self, name: &str) {
        self.metrics.entry(name.to_owned()).or_default();
    }

    /// Takes in what an exporter says of a name: the one in its line `# TYPE`.
    pub fn set_kind(&mut self, name: &str, kind: MetricKind) {
        self.kinds.insert(name.to_owned(), kind);
    }

    /// Whether nothing is known at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.metrics.is_empty()
    }

    /// What a series of this name is: of a histogram's `_count` it is known from the histogram.
    pub(crate) fn kind(&self, name: &str) -> Option<MetricKind> {
        if let Some(kind) = self.kinds.get(name) {
            return (*kind != MetricKind::Unknown).then_some(*kind);
        }
        let of_family = ["_bucket", "_count", "_sum"].iter().find_map(|ending| {
            let family = name.strip_suffix(ending)?;
            self.kinds
                .get(family)
                .filter(|kind| matches!(kind, MetricKind::Histogram | MetricKind::Summary))
        });
        of_family.map(|_| MetricKind::Counter)
    }

    /// Whether a name ends as those of a histogram or summary do, and its siblings are there.
    pub(crate) fn has_family(&self, name: &str) -> bool {
        let family = name.strip_suffix("_count").or_else(|| name.strip_suffix("_sum"));
        family.is_some_and(|family| {
            self.metrics.contains_key(&format!("{family}_bucket"))
                || (self.metrics.contains_key(&format!("{family}_sum"))
                    && self.metrics.contains_key(&format!("{family}_count")))
        })
    }
}
