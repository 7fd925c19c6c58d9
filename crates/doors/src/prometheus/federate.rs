//! `/federate`: the latest samples of series, as an exposition that another Prometheus scrapes.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use tend_exposition::{Format, MetricType, Writer};
use tend_promql::{Labels, METRIC_NAME, Sample, Selection, is_stale, parse_matchers};

use crate::backend::Backend;
use crate::params::Params;
use crate::request::{Request, Response};

/// Answers `/federate`.
pub(crate) fn federate(request: &Request<'_>, backend: &dyn Backend) -> Response {
    let params = Params::of(request);
    let now = backend.now();
    let from = now.saturating_sub(backend.eval_options().lookback);
    // By name, then by labels.
    let mut found: BTreeMap<(String, Labels), Sample> = BTreeMap::new();
    for text in params.all("match[]") {
        let matchers = match parse_matchers(text) {
            Ok(matchers) => matchers,
            Err(error) => return Response::text(400, &error.to_string()),
        };
        let read = backend
            .store()
            .select(&Selection::new(&matchers, from, now), &mut |labels, samples| {
                let latest = samples.iter().rev().find(|sample| sample.time <= now);
                if let Some(sample) = latest.filter(|sample| sample.time >= from && !is_stale(sample.value)) {
                    found.insert((labels.metric_name().to_owned(), labels.clone()), sample);
                }
                ControlFlow::Continue(())
            });
        if let Err(error) = read {
            return Response::text(500, &error.to_string());
        }
    }
    let external = backend.external_labels();
    let mut out = String::new();
    let mut writer = Writer::new(&mut out, Format::Text);
    let mut before = "";
    for ((name, labels), sample) in &found {
        if name.is_empty() {
            continue;
        }
        if before != name {
            writer.metric_type(name, MetricType::Unknown);
            before = name;
        }
        let own = labels.iter().filter(|(label, _)| *label != METRIC_NAME);
        // An `instance` that is empty keeps who scrapes this from writing its own.
        let instance = (!external.has("instance")).then_some(("instance", ""));
        let added = external.iter().chain(instance);
        let mut added: Vec<_> = added.filter(|(label, _)| !labels.has(label)).collect();
        added.sort_unstable();
        writer.sample(name, own.chain(added), sample.value, Some(sample.time));
    }
    writer.end();
    Response::new(200, Format::Text.content_type(), out)
}
