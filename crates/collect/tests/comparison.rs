//! Compares a collector with an exporter. Owns when a value is right; what may differ is told by each test, with the reason.
//!
//! Ours is read between two readings of theirs. What stands still is then the same three times; a counter of ours lies between theirs; what goes
//! up and down may do so between any two readings, so a single round proves little about it. Rounds are therefore repeated until every series was
//! right in one of them: what is measured right gets there in a few rounds however fast it moves, what has a wrong unit, sign or source never does.

use std::collections::BTreeSet;
use std::time::Instant;

use tend_collect::Collector;
use tend_exposition::MetricType;

use crate::exporter::{DEADLINE, Exporter, Exposition, Series};

/// What may differ, each with its reason. A name that ends in `*` is a beginning.
#[derive(Default)]
pub(crate) struct Differences {
    /// What the exporter gives and we do not.
    pub(crate) missing: &'static [(&'static str, &'static str)],
    /// Whose values are not compared.
    pub(crate) values: &'static [(&'static str, &'static str)],
    /// Whose values may lie so far outside of the exporter's two; the first that fits counts.
    pub(crate) tolerances: &'static [(&'static str, f64, &'static str)],
    /// Whose labels are others.
    pub(crate) labels: &'static [(&'static str, &'static str)],
    /// Whose help or type is another.
    pub(crate) metadata: &'static [(&'static str, &'static str)],
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => name == pattern,
    }
}

fn is_listed(list: &[(&str, &str)], name: &str) -> bool {
    list.iter().any(|(pattern, reason)| {
        assert!(!reason.is_empty(), "{pattern} differs without a reason");
        matches(pattern, name)
    })
}

/// Compares until everything was right once; returns how many series were. `used` are the names that the guides' rules use.
pub(crate) async fn compare(
    exporter: &Exporter,
    collector: &mut dyn Collector,
    used: &[&str],
    differences: &Differences,
) -> usize {
    let begun = Instant::now();
    let mut right = BTreeSet::new();
    loop {
        let before = exporter.scrape();
        let ours = Exposition::parse(&collector.collect().await.unwrap());
        let after = exporter.scrape();
        let problems = round(&before, &ours, &after, differences, &mut right);
        if problems.is_empty() {
            for name in used {
                assert!(
                    !is_listed(differences.missing, name),
                    "{name} is used by the guides' rules"
                );
                assert!(
                    ours.samples.keys().any(|(known, _)| known == name),
                    "{name} is not there"
                );
            }
            assert_documented(ours.types.keys());
            return right.len();
        }
        assert!(
            begun.elapsed() < DEADLINE,
            "{} of {} series were right; not so: {problems:#?}, trouble: {:?}",
            right.len(),
            before.samples.len(),
            collector.trouble()
        );
    }
}

/// Each name that we give has its line in the reference, or that of a beginning such as `pg_settings_*`.
pub(crate) fn assert_documented<'a>(names: impl Iterator<Item = &'a String>) {
    let reference = include_str!("../../../docs/reference/metrics-collectors.md");
    let rows = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let documented: Vec<&str> = rows.collect();
    for name in names {
        assert!(
            documented.iter().any(|pattern| matches(pattern, name)),
            "{name} is not in docs/reference/metrics-collectors.md"
        );
    }
}

/// Returns what is not as it should be, and adds what was right.
fn round(
    before: &Exposition,
    ours: &Exposition,
    after: &Exposition,
    differences: &Differences,
    right: &mut BTreeSet<Series>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for (series, first) in &before.samples {
        let name = series.0.as_str();
        // What comes or goes meanwhile is judged in another round.
        let Some(last) = after.samples.get(series) else {
            continue;
        };
        if is_listed(differences.missing, name) {
            continue;
        }
        let Some(value) = ours.samples.get(series) else {
            if !is_listed(differences.labels, name) {
                problems.push(format!("missing: {series:?}"));
            }
            continue;
        };
        let counts = before.types.get(name) == Some(&MetricType::Counter);
        let tolerance = differences
            .tolerances
            .iter()
            .find(|(pattern, ..)| matches(pattern, name));
        if is_listed(differences.values, name)
            || is_right(*first, *value, *last, counts, tolerance.map_or(0.0, |known| known.1))
        {
            right.insert(series.clone());
        } else if !right.contains(series) {
            problems.push(format!("value: {series:?} is {first}, ours {value}, then {last}"));
        }
    }
    for series in ours.samples.keys() {
        let known = before
            .samples
            .keys()
            .chain(after.samples.keys())
            .any(|(name, _)| *name == series.0);
        let same = before.samples.contains_key(series) || after.samples.contains_key(series);
        if known && !same && !is_listed(differences.labels, &series.0) {
            problems.push(format!("labels: {series:?}"));
        }
    }
    for (name, metric_type) in &before.types {
        let Some(our_type) = ours.types.get(name).filter(|_| !is_listed(differences.metadata, name)) else {
            continue;
        };
        if our_type != metric_type {
            problems.push(format!("type: {name} is {metric_type:?}, ours {our_type:?}"));
        }
        if ours.helps.get(name) != before.helps.get(name) {
            problems.push(format!(
                "help: {name} {:?} {:?}",
                before.helps.get(name),
                ours.helps.get(name)
            ));
        }
    }
    problems
}

fn is_right(first: f64, value: f64, last: f64, counts: bool, tolerance: f64) -> bool {
    if first.is_nan() || last.is_nan() {
        return value.is_nan() && first.is_nan() && last.is_nan();
    }
    // Written with as many digits as it has, but computed in another order.
    let slack = tolerance.max(first.abs().max(last.abs()) * 1e-12);
    let (low, high) = if counts {
        (first, last)
    } else {
        (first.min(last), first.max(last))
    };
    low - slack <= value && value <= high + slack
}
