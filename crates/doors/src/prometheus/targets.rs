//! Who is scraped, and what they say of their metrics.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tend_promql::{Matcher, parse_matchers};

use super::Answered;
use crate::backend::Backend;
use crate::error::DoorError;
use crate::facts::MetricMetadata;
use crate::json::{Pairs, success};
use crate::params::Params;

/// `targets`: those that are scraped and those that were dropped.
pub(super) fn targets(params: &Params<'_>, backend: &dyn Backend) -> Answered {
    let mut all = backend.targets();
    let pool = params.first("scrapePool");
    all.active
        .retain(|target| pool.is_empty() || target.scrape_pool == pool);
    all.dropped
        .retain(|target| pool.is_empty() || target.scrape_pool == pool);
    let state = params.first("state").to_ascii_lowercase();
    let mut counts = Some(&all.dropped_counts);
    match state.as_str() {
        "" | "any" => {}
        "active" => {
            all.dropped.clear();
            counts = None;
        }
        "dropped" => all.active.clear(),
        _ => {
            all.active.clear();
            all.dropped.clear();
            counts = None;
        }
    }
    Ok(success(&json!({
        "activeTargets": all.active,
        "droppedTargets": all.dropped,
        "droppedTargetCounts": counts,
    })))
}

/// `scrape_pools`: the names of jobs.
pub(super) fn pools(backend: &dyn Backend) -> Answered {
    let targets = backend.targets();
    let active = targets.active.into_iter().map(|target| target.scrape_pool);
    let dropped = targets.dropped.into_iter().map(|target| target.scrape_pool);
    let names: std::collections::BTreeSet<String> = active.chain(dropped).collect();
    Ok(success(&json!({ "scrapePools": names })))
}

/// `alertmanagers`: alerts go nowhere else.
pub(super) fn alertmanagers() -> Answered {
    Ok(success(
        &json!({ "activeAlertmanagers": [], "droppedAlertmanagers": [] }),
    ))
}

/// A number of things; less than nothing for any.
fn count(params: &Params<'_>, name: &str) -> Result<Option<usize>, DoorError> {
    match params.first(name) {
        "" => Ok(None),
        text => match text.parse::<i64>() {
            Ok(count) => Ok(usize::try_from(count).ok()),
            Err(_) => Err(DoorError::BadData(format!("{name} must be a number"))),
        },
    }
}

/// `metadata`: what is said of each metric, the same once.
pub(super) fn metadata(params: &Params<'_>, backend: &dyn Backend) -> Answered {
    let limit = count(params, "limit")?;
    let each = count(params, "limit_per_metric")?.filter(|limit| *limit > 0);
    let wanted = params.first("metric");
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for said in backend.metadata() {
        if !wanted.is_empty() && said.metric != wanted {
            continue;
        }
        let one = json!({ "type": said.kind, "help": said.help, "unit": said.unit });
        let of_metric = found.entry(said.metric).or_default();
        if !of_metric.contains(&one) && each.is_none_or(|each| of_metric.len() < each) {
            of_metric.push(one);
        }
    }
    let found: Map<String, Value> = found
        .into_iter()
        .take(limit.unwrap_or(usize::MAX))
        .map(|(metric, said)| (metric, Value::Array(said)))
        .collect();
    Ok(success(&found))
}

/// `targets/metadata`: what each target says.
pub(super) fn of_targets(params: &Params<'_>, backend: &dyn Backend) -> Answered {
    let limit = count(params, "limit")?;
    let matchers: Vec<Matcher> = match params.first("match_target") {
        "" => Vec::new(),
        text => parse_matchers(text).map_err(|source| DoorError::Query {
            name: "match_target",
            source,
        })?,
    };
    let wanted = params.first("metric");
    let all: Vec<MetricMetadata> = backend.metadata();
    let said = all
        .iter()
        .filter(|said| (wanted.is_empty() || said.metric == wanted) && said.target.matches(&matchers));
    let said: Vec<Value> = said
        .take(limit.unwrap_or(usize::MAX))
        .map(|said| {
            let mut one =
                json!({ "target": Pairs(&said.target), "type": said.kind, "help": said.help, "unit": said.unit });
            if wanted.is_empty() {
                one["metric"] = json!(said.metric);
            }
            one
        })
        .collect();
    Ok(success(&said))
}
