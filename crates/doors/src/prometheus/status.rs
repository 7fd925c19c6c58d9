//! What the program is and how it does, under `status/`.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use tend_promql::METRIC_NAME;

use super::Answered;
use crate::backend::Backend;
use crate::error::DoorError;
use crate::json::success;
use crate::moment::rfc3339;
use crate::params::Params;
use crate::request::Response;

/// What [`plain`] answers.
pub(super) const NAMES: [&str; 5] = [
    "status/config",
    "status/flags",
    "status/runtimeinfo",
    "status/buildinfo",
    "status/walreplay",
];

/// The most lines of one list of `status/tsdb`, as in Prometheus.
const LIST_MAX: i64 = 10_000;

/// Answers what has no parameters.
pub(super) fn plain(path: &str, backend: &dyn Backend) -> Option<Response> {
    Some(match path {
        "status/config" => success(&json!({ "yaml": backend.config() })),
        "status/flags" => success(&backend.about().flags),
        "status/buildinfo" => success(&backend.about().build),
        "status/runtimeinfo" => runtime(backend),
        // The log is read before requests are taken.
        "status/walreplay" => success(&json!({ "min": 0, "max": 0, "current": 0 })),
        _ => return None,
    })
}

fn runtime(backend: &dyn Backend) -> Response {
    let runtime = backend.about().runtime;
    success(&json!({
        "startTime": rfc3339(runtime.start_time),
        "CWD": runtime.folder,
        "hostname": runtime.hostname,
        "serverTime": rfc3339(backend.now()),
        "reloadConfigSuccess": runtime.reload_success,
        "lastConfigTime": rfc3339(runtime.last_config_time),
        "corruptionCount": 0,
        // What is Go's has nothing here that would be it.
        "goroutineCount": 0,
        "GOMAXPROCS": 0,
        "GOMEMLIMIT": 0,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": runtime.retention,
    }))
}

/// `status/tsdb`: what takes the most room.
pub(super) fn tsdb(params: &Params<'_>, backend: &dyn Backend) -> Answered {
    let limit = match params.first("limit") {
        "" => 10,
        text => text
            .parse::<i64>()
            .ok()
            .filter(|limit| *limit >= 1)
            .ok_or_else(|| DoorError::BadData("limit must be a positive number".to_owned()))?,
    };
    if limit > LIST_MAX {
        return Err(DoorError::BadData(format!("limit must not exceed {LIST_MAX}")));
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let head = backend.head();
    let mut series: u64 = 0;
    let mut pairs: HashMap<String, HashMap<String, u64>> = HashMap::new();
    backend.series(&[], (head.min_time, head.max_time), &mut |labels| {
        series += 1;
        for (name, value) in labels.iter() {
            if !pairs.contains_key(name) {
                pairs.insert(name.to_owned(), HashMap::new());
            }
            if let Some(values) = pairs.get_mut(name) {
                match values.get_mut(value) {
                    Some(count) => *count += 1,
                    None => _ = values.insert(value.to_owned(), 1),
                }
            }
        }
    })?;
    let by_name = pairs.get(METRIC_NAME).cloned().unwrap_or_default();
    let (mut values, mut bytes, mut of_pairs) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (name, counts) in &pairs {
        values.insert(name.clone(), counts.len() as u64);
        let taken: u64 = counts.iter().map(|(value, count)| value.len() as u64 * count).sum();
        bytes.insert(name.clone(), taken);
        for (value, count) in counts {
            of_pairs.insert(format!("{name}={value}"), *count);
        }
    }
    Ok(success(&json!({
        "headStats": {
            "numSeries": series,
            "numLabelPairs": of_pairs.len(),
            "chunkCount": head.chunks,
            "minTime": head.min_time,
            "maxTime": head.max_time,
        },
        "seriesCountByMetricName": most(by_name, limit),
        "labelValueCountByLabelName": most(values, limit),
        "memoryInBytesByLabelName": most(bytes, limit),
        "seriesCountByLabelValuePair": most(of_pairs, limit),
    })))
}

/// The largest, those of the same size by name.
fn most(counts: impl IntoIterator<Item = (String, u64)>, limit: usize) -> Vec<Value> {
    let mut sorted: Vec<(String, u64)> = counts.into_iter().collect();
    sorted.sort_by(|one, two| two.1.cmp(&one.1).then_with(|| one.0.cmp(&two.0)));
    let first = sorted.into_iter().take(limit);
    first
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect()
}
