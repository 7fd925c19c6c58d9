//! Exporters that are made up: counters, gauges and histograms under the names that the guides' rules use. Knows no store.
//!
//! 30 % of the routes are idle, gauges move six times out of ten, sums have six digits after the point: the mix of the bench that measured
//! Prometheus and VictoriaMetrics (docs/design/0410-metrics-store.md).

use std::fmt::Write as _;

use tend_base::Random;

const BOUNDS: [&str; 12] = [
    "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf",
];
const MIDDLES: [f64; 12] = [0.003, 0.008, 0.018, 0.04, 0.08, 0.17, 0.4, 0.7, 1.6, 3.5, 7.0, 12.0];
const STATUSES: [&str; 6] = ["200", "201", "304", "404", "500", "503"];
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
/// Series of a route: statuses, buckets, sum and count.
const ROUTE_SERIES: usize = 20;
/// Counters of processor seconds, and gauges of bytes.
const CPU_SERIES: usize = 32;
const BYTES_SERIES: usize = 16;

struct Route {
    /// Requests in a tick, about; 0 for an idle one.
    rate: f64,
    statuses: [u64; 6],
    buckets: [u64; 12],
    sum: f64,
}

/// One exporter.
pub(crate) struct Exporter {
    random: Random,
    /// Stands in every line, where label texts are not to be shared.
    own: String,
    cpu: Vec<f64>,
    bytes: Vec<u64>,
    routes: Vec<Route>,
    gauges: Vec<i64>,
}

impl Exporter {
    /// Makes an exporter with exactly so many series.
    pub(crate) fn new(number: usize, series: usize, unique: bool) -> Self {
        let mut random = Random::new(0x5eed + number as u64 * 1009);
        let cpu = (0..CPU_SERIES).map(|_| (random.part() * 1e7).round() / 100.0).collect();
        let bytes = (0..BYTES_SERIES).map(|_| random.below(1 << 22) * 4096).collect();
        let left = series - CPU_SERIES - BYTES_SERIES;
        let routes = (0..left / ROUTE_SERIES)
            .map(|_| Route {
                rate: if random.part() < 0.7 {
                    5.0 + random.part() * 195.0
                } else {
                    0.0
                },
                statuses: [0; 6],
                buckets: [0; 12],
                sum: 0.0,
            })
            .collect();
        let gauges = (0..left % ROUTE_SERIES).map(|_| random.below(1000) as i64).collect();
        let own = if unique {
            format!(",target=\"{number}\"")
        } else {
            String::new()
        };
        Self {
            random,
            own,
            cpu,
            bytes,
            routes,
            gauges,
        }
    }

    /// Lets a tick of time pass.
    pub(crate) fn tick(&mut self) {
        let random = &mut self.random;
        for value in &mut self.cpu {
            *value = ((*value + random.part() * 1.25) * 100.0).round() / 100.0;
        }
        for value in &mut self.bytes {
            if random.part() < 0.6 {
                *value = value.saturating_add_signed((random.below(64) as i64 - 32) * 4096);
            }
        }
        for value in &mut self.gauges {
            if random.part() < 0.6 {
                *value = (*value + random.below(6) as i64 - 3).max(0);
            }
        }
        for route in self.routes.iter_mut().filter(|route| route.rate > 0.0) {
            let mut sum = 0.0;
            let mut count = 0;
            for (at, weight) in [8.0, 10.0, 12.0, 10.0, 8.0, 5.0, 3.0, 2.0, 0.6, 0.2, 0.05, 0.02]
                .iter()
                .enumerate()
            {
                let here = (route.rate * weight / 58.87 * 2.0 * random.part()) as u64;
                count += here;
                sum += here as f64 * MIDDLES[at];
                route.buckets[at] += count;
            }
            route.sum = ((route.sum + sum) * 1e6).round() / 1e6;
            let tenth = count / 10;
            for (status, more) in route
                .statuses
                .iter_mut()
                .zip([count - tenth * 2, tenth, tenth / 2, tenth / 2, 0, 0])
            {
                *status += more;
            }
        }
    }

    /// Writes what a scrape sees.
    pub(crate) fn body(&self, out: &mut String) {
        out.clear();
        let own = &self.own;
        let modes = ["idle", "user", "system", "iowait", "irq", "nice", "softirq", "steal"];
        out.push_str("# HELP node_cpu_seconds_total synthetic\n# TYPE node_cpu_seconds_total counter\n");
        for (at, value) in self.cpu.iter().enumerate() {
            let _ = writeln!(
                out,
                "node_cpu_seconds_total{{cpu=\"{}\",mode=\"{}\"{own}}} {value}",
                at / 8,
                modes[at % 8]
            );
        }
        out.push_str("# TYPE node_filesystem_avail_bytes gauge\n");
        for (at, value) in self.bytes.iter().enumerate() {
            let _ = writeln!(
                out,
                "node_filesystem_avail_bytes{{device=\"/dev/sd{at}\",fstype=\"ext4\"{own}}} {value}"
            );
        }
        out.push_str("# TYPE http_requests_total counter\n");
        for (at, route) in self.routes.iter().enumerate() {
            for (status, value) in STATUSES.iter().zip(route.statuses) {
                let _ = writeln!(
                    out,
                    "http_requests_total{{{},status=\"{status}\"{own}}} {value}",
                    Path(at)
                );
            }
        }
        out.push_str("# TYPE http_request_duration_seconds histogram\n");
        for (at, route) in self.routes.iter().enumerate() {
            for (bound, value) in BOUNDS.iter().zip(route.buckets) {
                let _ = writeln!(
                    out,
                    "http_request_duration_seconds_bucket{{{},le=\"{bound}\"{own}}} {value}",
                    Path(at)
                );
            }
            let _ = writeln!(
                out,
                "http_request_duration_seconds_sum{{{}{own}}} {}",
                Path(at),
                route.sum
            );
            let _ = writeln!(
                out,
                "http_request_duration_seconds_count{{{}{own}}} {}",
                Path(at),
                route.buckets[11]
            );
        }
        out.push_str("# TYPE app_gauge gauge\n");
        for (at, value) in self.gauges.iter().enumerate() {
            let _ = writeln!(out, "app_gauge{{idx=\"{at}\"{own}}} {value}");
        }
    }
}

/// The labels of a route.
struct Path(usize);

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "method=\"{}\",path=\"/api/v1/resource{}\"",
            METHODS[self.0 % 4],
            self.0 / 4
        )
    }
}
