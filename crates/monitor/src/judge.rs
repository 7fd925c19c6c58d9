//! Rules judged over what is measured: whether what they read is there. Finds what there is; what is wrong with a rule `tend-rules` says.
//!
//! Of the metrics that rules name, labels and values are looked at; of all others their names alone, which the index gives: a look at everything would
//! cost as much memory as the rules themselves.

use std::collections::BTreeSet;

use tend_exposition::MetricType;
use tend_promql::{METRIC_NAME, Matcher, StoreError};
use tend_rules::{Catalogue, Finding, Ground, MetricKind, Severity, Source, check};

use crate::stack::Watched;

/// How far back is looked, in milliseconds: what was not there within an hour is not there.
const BACK_MS: i64 = 60 * 60 * 1000;

/// What is built in, by what brings it: a rule that names it waits for a setting and not for an exporter.
const BUILT_IN: [(&str, &str); 5] = [
    ("node_", "`metrics: collect: node`"),
    ("pg_", "`metrics: collect: postgres`"),
    ("mysql_", "`metrics: collect: mysql`"),
    ("redis_", "`metrics: collect: redis`"),
    ("tend_edge_", "`metrics: collect: edge`"),
];

/// Judges the rules of a stack over what it sees now; nothing where nothing is measured yet.
///
/// # Errors
/// When the store, or the server in its place, cannot answer.
pub(crate) fn findings(stack: &Watched, now: i64) -> Result<Vec<Finding>, StoreError> {
    let sources: Vec<Source> = stack.rules().sources.clone();
    let range = (now - BACK_MS, now);
    let mut catalogue = Catalogue::default();
    for name in stack.view.label_values(METRIC_NAME, &[], range)? {
        catalogue.know(&name);
    }
    let rules = || (sources.iter()).flat_map(|source| source.groups.iter().flat_map(|group| &group.rules));
    let named: BTreeSet<String> = rules()
        .flat_map(|rule| rule.tree.metric_names().unwrap_or_default())
        .map(str::to_owned)
        .collect();
    for name in named {
        let matchers = [Matcher::equal(METRIC_NAME, &name)];
        stack
            .view
            .series(&matchers, range, &mut |labels| catalogue.observe(labels))?;
    }
    for job in stack.scraper.metadata().values() {
        for (name, about) in job {
            catalogue.set_kind(name, kind(about.metric_type));
        }
    }
    let (interval, scrape_interval) = {
        let state = stack.state();
        (state.part.pace.interval_ms, Some(state.part.pace.interval_ms))
    };
    let ground = Ground {
        catalogue: Some(&catalogue),
        interval,
        scrape_interval,
    };
    let mut findings = check(&sources, ground);
    for finding in &mut findings {
        brought(finding);
    }
    Ok(findings)
}

/// Says what brings a metric that is built in.
fn brought(finding: &mut Finding) {
    if finding.about != tend_rules::About::Metric || finding.severity != Severity::Warning {
        return;
    }
    let by = BUILT_IN
        .iter()
        .find(|(prefix, _)| finding.what.contains(&format!("called `{prefix}")));
    if let Some((_, by)) = by {
        finding.meant = Some(format!("{by} brings it, where the server has it"));
    }
}

fn kind(metric_type: MetricType) -> MetricKind {
    match metric_type {
        MetricType::Counter => MetricKind::Counter,
        MetricType::Gauge => MetricKind::Gauge,
        MetricType::Histogram => MetricKind::Histogram,
        MetricType::Summary => MetricKind::Summary,
        _ => MetricKind::Unknown,
    }
}
