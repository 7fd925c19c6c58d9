//! A real Prometheus between two of us: it scrapes one at `/federate` and writes what it got to the other by remote write.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tend_doors::{WrittenSeries, encode_write};
use tend_promql::{Labels, Sample};
use tend_testkit::wait_until;

use crate::peer::Peer;
use crate::server::Server;
use crate::world::{Clock, World, wall};

/// Many times what a scrape and a batch take.
const ARRIVES_WITHIN: Duration = Duration::from_secs(120);

#[test]
fn what_one_of_us_federates_a_prometheus_writes_to_another() {
    let (source, sink) = (Arc::new(World::new(Clock::Goes)), Arc::new(World::new(Clock::Goes)));
    let (from, to) = (Server::new(Arc::clone(&source)), Server::new(Arc::clone(&sink)));
    let values = [("a:1", 1.5), ("", -7e22), ("b \"quoted\" \\ \nü", f64::INFINITY)];
    // Again and again, as they would else be too old before the machine comes to it.
    let refresh = || {
        let series: Vec<WrittenSeries> = values
            .iter()
            .map(|(instance, value)| WrittenSeries {
                labels: Labels::from_pairs([("__name__", "temperature"), ("room", "küche"), ("instance", instance)]),
                samples: vec![Sample {
                    time: wall(),
                    value: *value,
                }],
            })
            .collect();
        let response = source.ask("POST", "/api/v1/write", "", &[], &encode_write(&series, &[]));
        assert_eq!(response.status, 204, "{}", String::from_utf8_lossy(&response.body));
    };
    refresh();
    let _prometheus = Peer::between(from.address, "{'match[]': ['{__name__=~\"temp.*\"}']}", to.address);
    wait_until(ARRIVES_WITHIN, "all series arrive", || {
        refresh();
        let found = sink.get("/api/v1/query?query=last_over_time(temperature%5B5m%5D)");
        let found: Value = serde_json::from_slice(&found.body).expect("JSON");
        let found = found["data"]["result"].as_array().map_or(&[][..], Vec::as_slice);
        values.iter().all(|(instance, value)| {
            found.iter().any(|one| {
                one["metric"]["instance"].as_str().unwrap_or_default() == *instance
                    && one["metric"]["room"] == "küche"
                    && one["value"][1].as_str().and_then(|text| text.parse().ok()) == Some(*value)
            })
        })
    });
}
