//! Series that are given to both: gauges, counters that begin anew, histograms, series that end, and values that are hard to write.

use tend_doors::WrittenSeries;
use tend_promql::{Labels, STALE, Sample, Timestamp};

/// From one sample to the next, in milliseconds.
const STEP: i64 = 15_000;
/// So that no sample is at the edge of a window: there 2.x and 3.x differ.
const PHASE: i64 = 7_123;
/// Samples of a series.
const COUNT: i64 = 160;

/// Series that begin at `base`, for forty minutes.
pub(crate) fn series(base: Timestamp) -> Vec<WrittenSeries> {
    let mut out = Vec::new();
    let mut add = |pairs: &[(&str, &str)], value: &dyn Fn(i64) -> Option<f64>| {
        let sample = |at: i64| {
            value(at).map(|value| Sample {
                time: base + PHASE + at * STEP,
                value,
            })
        };
        out.push(WrittenSeries {
            labels: Labels::from_pairs(pairs.iter().copied()),
            samples: (0..COUNT).filter_map(sample).collect(),
        });
    };
    for (number, instance) in ["a:1", "b:1", "c:1"].into_iter().enumerate() {
        let number = number as i64;
        let name = |name| [("__name__", name), ("job", "api"), ("instance", instance)];
        add(&name("up"), &|at| match (number, at) {
            // One goes away, and says so; another is down for a while.
            (2, 80) => Some(STALE),
            (2, 81..120) => None,
            (1, 40..60) => Some(0.0),
            _ => Some(1.0),
        });
        for (status, slope) in [("200", 12.5), ("404", 1.0), ("500", 0.25)] {
            let mut labels = name("http_requests_total").to_vec();
            labels.extend([
                ("status", status),
                ("method", if status == "404" { "POST" } else { "GET" }),
            ]);
            // Begins anew once.
            add(&labels, &|at| {
                Some((at % (90 + number * 7)) as f64 * slope + number as f64)
            });
        }
        for (at_le, le) in ["0.1", "0.5", "1", "+Inf"].into_iter().enumerate() {
            let mut labels = name("http_request_duration_seconds_bucket").to_vec();
            labels.push(("le", le));
            add(&labels, &|at| Some((at * (at_le as i64 + 1 + number)) as f64));
        }
        add(&name("http_request_duration_seconds_sum"), &|at| Some(at as f64 * 0.37));
        add(&name("http_request_duration_seconds_count"), &|at| {
            Some((at * (4 + number)) as f64)
        });
        add(&name("process_start_time_seconds"), &|_| {
            Some(1_699_990_000.25 + number as f64)
        });
    }
    for (room, factor) in [("küche", 0.1), ("a \"b\"\\\nc", -3.0), ("", 1e-9), ("big", 1e22)] {
        add(&[("__name__", "temperature"), ("room", room)], &|at| {
            Some((at as f64 / 10.0).sin() * factor)
        });
    }
    for (kind, value) in [
        ("nan", f64::NAN),
        ("inf", f64::INFINITY),
        ("-inf", f64::NEG_INFINITY),
        ("-0", -0.0),
    ] {
        add(&[("__name__", "odd"), ("kind", kind)], &|_| Some(value));
    }
    add(&[("__name__", "sparse"), ("job", "batch")], &|at| {
        (at % 37 == 0).then_some(at as f64)
    });
    add(
        &[
            ("__name__", "build_info"),
            ("job", "api"),
            ("instance", "a:1"),
            ("version", "1.2.3"),
        ],
        &|_| Some(1.0),
    );
    out
}
