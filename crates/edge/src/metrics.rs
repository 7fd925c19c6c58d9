//! What is counted of routes and replicas, and how it is told in Prometheus's text form (0.0.4).
//!
//! Counting is a few relaxed additions to atomics that the threads share; nothing locks. The names stand in
//! `docs/reference/edge-metrics.md`.
//!
//! Invariant: there are never more series than the snapshot has routes and replicas for (test
//! `there_are_no_more_series_than_routes`): no label holds what a client wrote.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tend_core::model::ServiceId;

use crate::answer::ErrorCode;
use tend_routing::Failure;

use crate::live::Replica;

/// Upper bounds in microseconds: the guides' thresholds (0.2, 0.3, 0.5, 1, 2 s) are among them, so that a question about one is
/// answered exactly.
const BOUNDS_US: [u64; 16] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 200_000, 300_000, 500_000, 1_000_000, 2_000_000, 5_000_000,
    10_000_000, 30_000_000, 60_000_000,
];

/// Methods that are told apart; the others are `other`, since a client may invent any.
const METHODS: [&str; 8] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "other"];

/// Statuses that are told apart; the others are told as their class, such as `4xx`.
const STATUSES: [u16; 37] = [
    101, 200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 411,
    412, 413, 414, 415, 416, 422, 429, 431, 499, 500, 501, 502, 503, 504,
];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Routes that are told apart; more are counted together as `other`.
const ROUTES_MAX: usize = 500;

/// How long things took.
#[derive(Debug)]
pub(crate) struct Histogram {
    /// The last one has no upper bound.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BOUNDS_US.len() + 1],
            sum_us: AtomicU64::new(0),
        }
    }

    pub(crate) fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(micros, Ordering::Relaxed);
    }
}

/// What is counted of one route.
#[derive(Debug)]
pub(crate) struct RouteCounters {
    labels: String,
    /// By method, and by [`STATUSES`] and [`CLASSES`].
    requests: [[AtomicU64; STATUSES.len() + CLASSES.len()]; METHODS.len()],
    duration: Histogram,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    pub(crate) upgraded: AtomicU32,
}

/// What is counted of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted<'a> {
    pub(crate) method: &'a str,
    pub(crate) status: u16,
    /// None for a connection that changed its protocol: how long that lasts says nothing of how fast the service is.
    pub(crate) took: Option<Duration>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl RouteCounters {
    /// Returns counters of a route, by its host and path, that leads to a service.
    pub(crate) fn new(route: &str, service: Option<&ServiceId>) -> Self {
        let mut labels = String::new();
        if let Some(service) = service {
            label(&mut labels, "stack", service.stack.as_str());
            label(&mut labels, "service", service.service.as_str());
        }
        label(&mut labels, "route", route);
        Self {
            labels,
            requests: [const { [const { AtomicU64::new(0) }; STATUSES.len() + CLASSES.len()] }; METHODS.len()],
            duration: Histogram::new(),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            upgraded: AtomicU32::new(0),
        }
    }

    pub(crate) fn add(&self, counted: Counted<'_>) {
        let known = METHODS.iter().position(|method| *method == counted.method);
        let method = known.unwrap_or(METHODS.len() - 1);
        self.requests[method][slot_of(counted.status)].fetch_add(1, Ordering::Relaxed);
        if let Some(took) = counted.took {
            self.duration.add(took);
        }
        for (counter, bytes) in [(&self.bytes_in, counted.bytes_in), (&self.bytes_out, counted.bytes_out)] {
            if bytes > 0 {
                counter.fetch_add(bytes, Ordering::Relaxed);
            }
        }
    }
}

fn slot_of(status: u16) -> usize {
    STATUSES
        .binary_search(&status)
        .unwrap_or_else(|_| STATUSES.len() + class_of(status))
}

/// Returns the index into [`CLASSES`]; what is no status at all counts as a failure.
fn class_of(status: u16) -> usize {
    match status {
        100..=199 => 0,
        200..=299 => 1,
        300..=399 => 2,
        400..=499 => 3,
        _ => 4,
    }
}

/// What is counted of one life of one replica.
#[derive(Debug)]
pub(crate) struct ReplicaCounters {
    /// Heads of responses, by [`CLASSES`].
    classes: [AtomicU64; CLASSES.len()],
    duration: Histogram,
}

impl ReplicaCounters {
    pub(crate) fn new() -> Self {
        Self {
            classes: [const { AtomicU64::new(0) }; CLASSES.len()],
            duration: Histogram::new(),
        }
    }

    pub(crate) fn add(&self, status: u16, took: Duration) {
        self.classes[class_of(status)].fetch_add(1, Ordering::Relaxed);
        self.duration.add(took);
    }
}

/// Gives each route of a snapshot its counters: those it had, those of another that is told alike, or new ones.
#[derive(Debug, Default)]
pub(crate) struct Counters(HashMap<(String, Option<ServiceId>), Arc<RouteCounters>>);

impl Counters {
    /// Returns the counters for the next snapshot; `before` are those of the last.
    pub(crate) fn of(&mut self, before: &Self, route: &str, service: Option<&ServiceId>) -> Arc<RouteCounters> {
        let mut key = (route.to_owned(), service.cloned());
        if self.0.len() >= ROUTES_MAX && !self.0.contains_key(&key) {
            key = ("other".to_owned(), None);
        }
        let fresh = || {
            let known = before.0.get(&key).cloned();
            known.unwrap_or_else(|| Arc::new(RouteCounters::new(&key.0, key.1.as_ref())))
        };
        self.0.entry(key.clone()).or_insert_with(fresh).clone()
    }

    fn each(&self) -> Vec<&RouteCounters> {
        let mut each: Vec<&RouteCounters> = self.0.values().map(|counters| &**counters).collect();
        each.sort_by(|one, other| one.labels.cmp(&other.labels));
        each
    }
}

/// Figures of the whole edge, and where the others are found.
pub(crate) struct Scrape<'a> {
    pub(crate) routes: &'a Counters,
    /// Of requests that no route matched.
    pub(crate) unrouted: &'a RouteCounters,
    pub(crate) replicas: Vec<(&'a Replica, Standing)>,
    pub(crate) errors: Vec<(ErrorCode, u64)>,
    pub(crate) generation: u64,
    pub(crate) connections: u64,
    pub(crate) accepted: u64,
    pub(crate) requests: u64,
    pub(crate) log_lines_dropped: u64,
}

/// How a replica stands now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) in_flight: u32,
    pub(crate) ejected: bool,
}

impl Scrape<'_> {
    /// Returns all of it as text.
    pub(crate) fn text(&self) -> String {
        let mut out = String::with_capacity(16 << 10);
        let mut routes = self.routes.each();
        routes.push(self.unrouted);
        head(
            &mut out,
            "http_requests_total",
            "counter",
            "Requests answered, by what the client got.",
        );
        for route in &routes {
            for (method, statuses) in METHODS.iter().zip(&route.requests) {
                for (slot, count) in statuses.iter().enumerate() {
                    let count = count.load(Ordering::Relaxed);
                    if count == 0 {
                        continue;
                    }
                    let mut labels = route.labels.clone();
                    label(&mut labels, "method", method);
                    match STATUSES.get(slot) {
                        Some(status) => label(&mut labels, "status", &status.to_string()),
                        None => label(&mut labels, "status", CLASSES[slot - STATUSES.len()]),
                    }
                    line(&mut out, "http_requests_total", &labels, count);
                }
            }
        }
        let name = "http_request_duration_seconds";
        head(
            &mut out,
            name,
            "histogram",
            "From the head of the request to the last byte of the answer.",
        );
        for route in &routes {
            histogram(&mut out, name, &route.labels, &route.duration);
        }
        type OfRoute = fn(&RouteCounters) -> u64;
        let of_routes: [(&str, &str, &str, OfRoute); 3] = [
            (
                "tend_edge_request_bytes_total",
                "counter",
                "Bytes of bodies of requests.",
                |route| route.bytes_in.load(Ordering::Relaxed),
            ),
            (
                "tend_edge_response_bytes_total",
                "counter",
                "Bytes of bodies of answers, compressed where they were.",
                |route| route.bytes_out.load(Ordering::Relaxed),
            ),
            (
                "tend_edge_upgraded_connections",
                "gauge",
                "Connections that changed their protocol, such as WebSockets, now open.",
                |route| route.upgraded.load(Ordering::Relaxed).into(),
            ),
        ];
        for (name, kind, help, value) in of_routes {
            head(&mut out, name, kind, help);
            for route in &routes {
                line(&mut out, name, &route.labels, value(route));
            }
        }
        self.replicas(&mut out);
        self.whole(&mut out);
        out
    }

    fn replicas(&self, out: &mut String) {
        let each: Vec<(&Replica, &Standing, String)> = self
            .replicas
            .iter()
            .map(|(replica, standing)| {
                let mut labels = String::new();
                let service = replica.id.service_id();
                label(&mut labels, "stack", service.stack.as_str());
                label(&mut labels, "service", service.service.as_str());
                label(&mut labels, "replica", &replica.name);
                // Two lives of one replica may be there at once, and a sum of them would seem to shrink when one goes.
                label(&mut labels, "incarnation", &replica.incarnation.to_string());
                (*replica, standing, labels)
            })
            .collect();
        let name = "tend_edge_replica_requests_total";
        head(
            out,
            name,
            "counter",
            "Heads of answers received from the replica, by class of their status.",
        );
        for (replica, _, labels) in &each {
            for (class, count) in CLASSES.iter().zip(&replica.counters.classes) {
                let mut labels = labels.clone();
                label(&mut labels, "status", class);
                line(out, name, &labels, count.load(Ordering::Relaxed));
            }
        }
        let name = "tend_edge_replica_failures_total";
        head(out, name, "counter", "Tries without an answer.");
        for (replica, _, labels) in &each {
            for (reason, count) in Failure::ALL.iter().zip(&replica.failures) {
                let mut labels = labels.clone();
                label(&mut labels, "reason", reason.as_str());
                line(out, name, &labels, count.load(Ordering::Relaxed));
            }
        }
        let name = "tend_edge_replica_answer_seconds";
        head(
            out,
            name,
            "histogram",
            "From sending the request to the head of the answer.",
        );
        for (replica, _, labels) in &each {
            histogram(out, name, labels, &replica.counters.duration);
        }
        let name = "tend_edge_replica_in_flight";
        head(
            out,
            name,
            "gauge",
            "Requests and upgraded connections now on the replica.",
        );
        for (_, standing, labels) in &each {
            line(out, name, labels, standing.in_flight.into());
        }
        let name = "tend_edge_replica_ejected";
        head(out, name, "gauge", "1 while the replica is left out for its failures.");
        for (_, standing, labels) in &each {
            line(out, name, labels, standing.ejected.into());
        }
    }

    fn whole(&self, out: &mut String) {
        let name = "tend_edge_refusals_total";
        head(
            out,
            name,
            "counter",
            "Answers the edge gave in place of a replica, by the code in X-Tend-Error.",
        );
        for (code, count) in &self.errors {
            let mut labels = String::new();
            label(&mut labels, "code", code.as_str());
            line(out, name, &labels, *count);
        }
        for (name, kind, help, value) in [
            (
                "tend_edge_requests_total",
                "counter",
                "All requests, health paths included.",
                self.requests,
            ),
            (
                "tend_edge_connections",
                "gauge",
                "Connections of clients now open.",
                self.connections,
            ),
            (
                "tend_edge_connections_accepted_total",
                "counter",
                "Connections of clients accepted.",
                self.accepted,
            ),
            (
                "tend_edge_access_log_dropped_total",
                "counter",
                "Lines of the access log that were dropped because the disk was behind.",
                self.log_lines_dropped,
            ),
            (
                "tend_edge_snapshot_generation",
                "gauge",
                "The generation of the snapshot served.",
                self.generation,
            ),
        ] {
            head(out, name, kind, help);
            line(out, name, "", value);
        }
    }
}

// Writing into a text cannot fail.
fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn line(out: &mut String, name: &str, labels: &str, value: u64) {
    let _ = if labels.is_empty() {
        writeln!(out, "{name} {value}")
    } else {
        writeln!(out, "{name}{{{labels}}} {value}")
    };
}

fn histogram(out: &mut String, name: &str, labels: &str, histogram: &Histogram) {
    let mut count = 0;
    for (bucket, counted) in histogram.buckets.iter().enumerate() {
        count += counted.load(Ordering::Relaxed);
        let _ = match BOUNDS_US.get(bucket) {
            Some(bound) => writeln!(out, "{name}_bucket{{{labels},le=\"{}\"}} {count}", seconds(*bound)),
            None => writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}"),
        };
    }
    let sum = seconds(histogram.sum_us.load(Ordering::Relaxed));
    let _ = write!(out, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {count}\n");
}

/// Writes microseconds as seconds, without zeros at the end.
fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn label(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    let _ = write!(out, "{name}=\"");
    for letter in value.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_falls_into_the_bucket_that_bounds_it() {
        for (micros, bucket) in [
            (0, 0),
            (1_000, 0),
            (1_001, 1),
            (200_000, 7),
            (200_001, 8),
            (60_000_000, 15),
            (u64::MAX, 16),
        ] {
            let histogram = Histogram::new();
            histogram.add(Duration::from_micros(micros));
            assert_eq!(histogram.buckets[bucket].load(Ordering::Relaxed), 1, "{micros}");
        }
        assert!(BOUNDS_US.is_sorted() && STATUSES.is_sorted());
    }

    #[test]
    fn a_histogram_is_written_as_prometheus_reads_it() {
        let (mut out, durations) = (String::new(), Histogram::new());
        for millis in [1, 3, 3, 250, 90_000] {
            durations.add(Duration::from_millis(millis));
        }
        histogram(&mut out, "x", "route=\"/\"", &durations);
        for wanted in [
            "x_bucket{route=\"/\",le=\"0.001\"} 1\n",
            "x_bucket{route=\"/\",le=\"0.0025\"} 1\n",
            "x_bucket{route=\"/\",le=\"0.005\"} 3\n",
            "x_bucket{route=\"/\",le=\"0.2\"} 3\n",
            "x_bucket{route=\"/\",le=\"0.3\"} 4\n",
            "x_bucket{route=\"/\",le=\"60\"} 4\n",
            "x_bucket{route=\"/\",le=\"+Inf\"} 5\n",
            "x_sum{route=\"/\"} 90.257\n",
            "x_count{route=\"/\"} 5\n",
        ] {
            assert!(out.contains(wanted), "{wanted} in {out}");
        }
    }

    #[test]
    fn statuses_that_are_not_told_apart_are_told_as_their_class() {
        for (status, wanted) in [
            (200, None),
            (499, None),
            (226, Some("2xx")),
            (418, Some("4xx")),
            (599, Some("5xx")),
            (999, Some("5xx")),
        ] {
            let slot = slot_of(status);
            assert_eq!(
                slot.checked_sub(STATUSES.len()).map(|class| CLASSES[class]),
                wanted,
                "{status}"
            );
        }
    }

    #[test]
    fn there_are_no_more_series_than_routes() {
        let (mut now, before) = (Counters::default(), Counters::default());
        let first = now.of(&before, "*/0", None);
        for number in 0..3 * ROUTES_MAX {
            now.of(&before, &format!("*/{number}"), None);
        }
        assert_eq!(now.0.len(), ROUTES_MAX + 1);
        assert!(Arc::ptr_eq(&first, &now.of(&before, "*/0", None)));
        let mut next = Counters::default();
        assert!(Arc::ptr_eq(&first, &next.of(&now, "*/0", None)));
    }

    #[test]
    fn a_label_is_escaped() {
        let mut out = "a=\"1\"".to_owned();
        label(&mut out, "b", "x\"y\\z\n");
        assert_eq!(out, "a=\"1\",b=\"x\\\"y\\\\z\\n\"");
    }
}
