//! What exporters say of their metrics: type, unit, help. Knows no target; one job's exporters are taken to mean the same by a name.

use std::collections::BTreeMap;

use tend_exposition::{Format, Line, Lines, MetricType};

/// Metrics of one job whose meaning is remembered.
const METRICS_MAX: usize = 20_000;

/// Bytes of a text of help that are kept.
const HELP_BYTES_MAX: usize = 1024;

/// What a metric is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// What kind it is.
    pub metric_type: MetricType,
    /// What it is measured in; may be empty.
    pub unit: String,
    /// What it says, for people; may be empty.
    pub help: String,
}

/// What the metrics of a job are, by name.
pub type JobMetadata = BTreeMap<String, Metadata>;

/// Takes up what a body says of its metrics.
pub(crate) fn learn(known: &mut JobMetadata, body: &[u8], format: Format) {
    let mut learn = |name: &str, set: &mut dyn FnMut(&mut Metadata)| {
        if known.len() < METRICS_MAX || known.contains_key(name) {
            set(known.entry(name.to_owned()).or_insert(Metadata {
                metric_type: MetricType::Unknown,
                unit: String::new(),
                help: String::new(),
            }));
        }
    };
    for line in Lines::new(body, format) {
        match line {
            Line::Type { name, metric_type } => learn(&name, &mut |one| one.metric_type = metric_type),
            Line::Unit { name, unit } => learn(&name, &mut |one| unit.clone_into(&mut one.unit)),
            Line::Help { name, text } => {
                let end = text.floor_char_boundary(HELP_BYTES_MAX.min(text.len()));
                learn(&name, &mut |one| text[..end].clone_into(&mut one.help));
            }
            _ => {}
        }
    }
}
