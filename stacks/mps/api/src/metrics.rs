//! Counts what the service does and writes it in Prometheus' text format.
//!
//! Names are those of the guide's alert rules and panels.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::ledger::Facts;

/// Upper bounds of the duration buckets, in seconds. Dense below 25 ms, where answers are; up to the rule's 2 s and beyond.
const BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0,
];

#[derive(Default)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    seconds: f64,
}

#[derive(Default)]
struct Counts {
    requests: BTreeMap<(&'static str, &'static str, u16), u64>,
    durations: BTreeMap<(&'static str, &'static str), Histogram>,
    payments_completed: u64,
    payments_failed: u64,
    qr_issued: u64,
    qr_used: u64,
    qr_expired: u64,
    replayed: u64,
    batches: u64,
    batched: u64,
}

/// What is not counted but read at the moment of writing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Now {
    /// Lines the log has dropped.
    pub log_lines_dropped: u64,
    /// Commands in flight.
    pub in_flight: u64,
    /// WebSockets open.
    pub websockets: usize,
}

/// The counters of one replica.
#[derive(Default)]
pub struct Metrics {
    counts: Mutex<Counts>,
}

impl Metrics {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Counters are whole after every statement below, so a panic elsewhere leaves nothing half done.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one answered request; `endpoint` is the route's pattern, not the path.
    pub fn request(&self, method: &'static str, endpoint: &'static str, status: u16, took: Duration) {
        let mut counts = self.counts();
        *counts.requests.entry((method, endpoint, status)).or_default() += 1;
        let histogram = counts.durations.entry((method, endpoint)).or_default();
        let seconds = took.as_secs_f64();
        if let Some(bucket) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            histogram.buckets[bucket] += 1;
        }
        histogram.count += 1;
        histogram.seconds += seconds;
    }

    /// Counts one command that was carried out or refused.
    pub fn command(&self, facts: &Facts, replayed: bool) {
        let mut counts = self.counts();
        if replayed {
            counts.replayed += 1;
            return;
        }
        match (facts.action, facts.error_code) {
            ("PAYMENT", None) => {
                counts.payments_completed += 1;
                counts.qr_used += 1;
            }
            ("PAYMENT", Some(_)) => counts.payments_failed += 1,
            ("QR_ROTATE", None) => counts.qr_issued += 1,
            _ => {}
        }
        counts.qr_expired += u64::from(facts.qr_expired);
    }

    /// Counts a payment that the database failed.
    pub fn payment_failed(&self) {
        self.counts().payments_failed += 1;
    }

    /// Counts one commit of `commands` commands.
    pub fn batch(&self, commands: usize) {
        let mut counts = self.counts();
        counts.batches += 1;
        counts.batched += commands as u64;
    }

    /// Writes everything in Prometheus' text format.
    pub fn render(&self, version: &str, now: Now) -> String {
        let counts = self.counts();
        let mut text = String::with_capacity(8192);
        let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, f64)]| {
            text += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
            for (series, value) in samples {
                text += &format!("{series} {value}\n");
            }
        };
        let requests: Vec<_> = counts
            .requests
            .iter()
            .map(|((method, endpoint, status), count)| {
                (
                    format!("http_requests_total{{method=\"{method}\",endpoint=\"{endpoint}\",status=\"{status}\"}}"),
                    *count as f64,
                )
            })
            .collect();
        family("http_requests_total", "counter", "Requests answered.", &requests);
        let durations: Vec<_> = counts
            .durations
            .iter()
            .flat_map(|(labels, histogram)| duration_samples(*labels, histogram))
            .collect();
        family(
            "http_request_duration_seconds",
            "histogram",
            "Time from request to answer.",
            &durations,
        );
        let by_status = |name: &str, values: &[(&str, u64)]| {
            values
                .iter()
                .map(|(status, value)| (format!("{name}{{status=\"{status}\"}}"), *value as f64))
                .collect::<Vec<_>>()
        };
        let payments = [
            ("completed", counts.payments_completed),
            ("failed", counts.payments_failed),
        ];
        let payments = by_status("payment_transactions_total", &payments);
        family(
            "payment_transactions_total",
            "counter",
            "Payments by outcome; replays are not counted again.",
            &payments,
        );
        let codes = [
            ("issued", counts.qr_issued),
            ("used", counts.qr_used),
            ("expired", counts.qr_expired),
        ];
        family(
            "qr_codes_total",
            "counter",
            "QR codes by what became of them.",
            &by_status("qr_codes_total", &codes),
        );
        let single = |name: &str, value: f64| [(name.to_owned(), value)];
        let name = "mps_idempotent_replays_total";
        family(
            name,
            "counter",
            "Requests answered from the stored outcome of their key.",
            &single(name, counts.replayed as f64),
        );
        let name = "mps_commits_total";
        family(
            name,
            "counter",
            "Transactions committed.",
            &single(name, counts.batches as f64),
        );
        let name = "mps_committed_commands_total";
        family(
            name,
            "counter",
            "Commands in the committed transactions.",
            &single(name, counts.batched as f64),
        );
        let name = "mps_log_lines_dropped_total";
        family(
            name,
            "counter",
            "Log lines dropped because the reader was behind.",
            &single(name, now.log_lines_dropped as f64),
        );
        let name = "mps_in_flight";
        family(
            name,
            "gauge",
            "Commands begun and not yet ended.",
            &single(name, now.in_flight as f64),
        );
        let name = "mps_websockets";
        family(name, "gauge", "WebSockets open.", &single(name, now.websockets as f64));
        let name = "process_resident_memory_bytes";
        family(
            name,
            "gauge",
            "Resident memory.",
            &single(name, resident_memory_bytes()),
        );
        let build = [(format!("mps_build_info{{version=\"{version}\"}}"), 1.0)];
        family("mps_build_info", "gauge", "The version that runs.", &build);
        text
    }
}

fn duration_samples((method, endpoint): (&str, &str), histogram: &Histogram) -> Vec<(String, f64)> {
    let name = "http_request_duration_seconds";
    let labels = format!("method=\"{method}\",endpoint=\"{endpoint}\"");
    let mut below = 0;
    let mut samples: Vec<_> = BUCKETS
        .iter()
        .zip(histogram.buckets)
        .map(|(bound, count)| {
            below += count;
            (format!("{name}_bucket{{{labels},le=\"{bound}\"}}"), below as f64)
        })
        .collect();
    samples.push((format!("{name}_bucket{{{labels},le=\"+Inf\"}}"), histogram.count as f64));
    samples.push((format!("{name}_sum{{{labels}}}"), histogram.seconds));
    samples.push((format!("{name}_count{{{labels}}}"), histogram.count as f64));
    samples
}

/// Reads resident memory from the kernel; 0 where it does not tell.
fn resident_memory_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = status.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?
            .trim()
            .strip_suffix(" kB")?
            .parse::<f64>()
            .ok()
    });
    kilobytes.unwrap_or(0.0) * 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_of_the_alert_rules_are_written() {
        let metrics = Metrics::default();
        metrics.request("POST", "/api/payment/pay", 500, Duration::from_millis(3));
        metrics.command(
            &Facts {
                action: "PAYMENT",
                ..Facts::default()
            },
            false,
        );
        metrics.command(
            &Facts {
                action: "PAYMENT",
                ..Facts::default()
            },
            true,
        );
        metrics.command(
            &Facts {
                action: "PAYMENT",
                error_code: Some("qr_expired"),
                qr_expired: true,
                ..Facts::default()
            },
            false,
        );
        let text = metrics.render("1.0.0", Now::default());
        for line in [
            "http_requests_total{method=\"POST\",endpoint=\"/api/payment/pay\",status=\"500\"} 1",
            "http_request_duration_seconds_bucket{method=\"POST\",endpoint=\"/api/payment/pay\",le=\"0.0025\"} 0",
            "http_request_duration_seconds_bucket{method=\"POST\",endpoint=\"/api/payment/pay\",le=\"0.005\"} 1",
            "http_request_duration_seconds_bucket{method=\"POST\",endpoint=\"/api/payment/pay\",le=\"+Inf\"} 1",
            "payment_transactions_total{status=\"completed\"} 1",
            "payment_transactions_total{status=\"failed\"} 1",
            "qr_codes_total{status=\"expired\"} 1",
            "mps_idempotent_replays_total 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(resident_memory_bytes() > 0.0);
    }
}
