//! Redis beside `prometheus-redis-exporter`.

use tend_base::Secret;
use tend_collect::{Collector, Redis, RedisAddress};

use crate::comparison::{Differences, compare};
use crate::exporter::Exporter;

const USED: [&str; 3] = ["redis_up", "redis_memory_used_bytes", "redis_memory_max_bytes"];

const CONNECTIONS: &str = "the exporter connects anew for each scrape, we stay connected";

const DIFFERENCES: Differences = Differences {
    missing: &[
        ("go_*", "the exporter's own runtime"),
        ("process_*", "the exporter's own process; ours are of replicas"),
        ("promhttp_*", "the exporter's own server"),
        ("redis_exporter_build_info", "it is not the exporter that answers"),
        ("redis_exporter_last_scrape_connect_time_seconds", "we stay connected"),
        (
            "redis_exporter_last_scrape_duration_seconds",
            "the scrape has its own: scrape_duration_seconds",
        ),
        (
            "redis_exporter_scrape_duration_seconds*",
            "the scrape has its own: scrape_duration_seconds",
        ),
        ("redis_exporter_scrapes_total", "counts the exporter's scrapes"),
        (
            "redis_last_key_groups_scrape_duration_milliseconds",
            "a part of the exporter that is off by default",
        ),
        (
            "redis_target_scrape_request_errors_total",
            "counts the exporter's other door",
        ),
    ],
    values: &[],
    labels: &[],
    tolerances: &[
        ("redis_connected_clients", 2.0, CONNECTIONS),
        (
            "redis_start_time_seconds",
            2.0,
            "from two clocks that are rounded to seconds",
        ),
        // What the buffers of a connection take, beside a server of a megabyte: a wrong unit would still show.
        ("redis_mem_clients_normal", 2e5, CONNECTIONS),
        ("redis_mem_fragmentation_bytes", 1e6, CONNECTIONS),
        ("redis_mem_fragmentation_ratio", 4.0, CONNECTIONS),
        ("redis_memory_used_*", 2e5, CONNECTIONS),
        ("redis_allocator_frag_ratio", 0.3, CONNECTIONS),
        ("redis_allocator_rss_ratio", 0.5, CONNECTIONS),
        ("redis_allocator_*", 5e5, CONNECTIONS),
    ],
    metadata: &[],
};

pub(crate) fn collector(url: String) -> Redis {
    Redis::new(RedisAddress::parse(&Secret::new(url)).unwrap())
}

#[tokio::test]
async fn redis_is_told_as_the_exporter_tells_it() {
    let server = tend_testkit::Redis::start(Some("hunter2"));
    for words in [
        &["SET", "a", "1"][..],
        &["SET", "b", "2", "EX", "10000"],
        &["GET", "a"],
        &["GET", "nothing"],
        &["INCR"],
        &["CONFIG", "SET", "maxmemory", "64mb"],
        &["CONFIG", "SET", "slowlog-log-slower-than", "10000000"],
        &["CONFIG", "SET", "latency-monitor-threshold", "1"],
        &["DEBUG", "SLEEP", "0.01"],
    ] {
        server.command(words);
    }
    let address = format!("unix://{}", server.socket().display());
    let exporter = Exporter::start(
        "redis",
        "--web.listen-address",
        &["--redis.addr", &address, "--redis.password=hunter2"],
        &[],
    );
    let mut ours = collector(format!("unix://:hunter2@{}", server.socket().display()));
    let compared = compare(&exporter, &mut ours, &USED, &DIFFERENCES).await;
    assert!(compared > 150, "{compared}");
    assert_eq!(ours.trouble(), None);
}
