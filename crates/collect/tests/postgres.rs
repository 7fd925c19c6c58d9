//! PostgreSQL beside `prometheus-postgres-exporter`.

use std::path::Path;

use tend_base::Secret;
use tend_collect::{Collector, Postgres};
use tend_database::Address;

use crate::comparison::{Differences, compare};
use crate::exporter::{DEADLINE, Exporter, Exposition, Series};

const USED: [&str; 5] = [
    "pg_stat_activity_count",
    "pg_stat_database_numbackends",
    "pg_settings_max_connections",
    "pg_stat_database_tup_returned",
    "pg_stat_database_tup_fetched",
];

const DIFFERENCES: Differences = Differences {
    missing: &[
        ("go_*", "the exporter's own runtime"),
        ("process_*", "the exporter's own process; ours are of replicas"),
        ("promhttp_*", "the exporter's own server"),
        ("postgres_exporter_build_info", "it is not the exporter that answers"),
        (
            "pg_exporter_last_scrape_duration_seconds",
            "the scrape has its own: scrape_duration_seconds",
        ),
        ("pg_exporter_scrapes_total", "counts the exporter's scrapes"),
        ("pg_scrape_collector_*", "how the exporter is cut into parts"),
    ],
    values: &[(
        "pg_settings_extra_float_digits",
        "of the session that asks: each driver sets its own",
    )],
    labels: &[],
    tolerances: &[
        (
            "pg_stat_activity_count",
            2.0,
            "the exporter has two connections, one of which comes and goes",
        ),
        (
            "pg_stat_database_numbackends",
            2.0,
            "the exporter has two connections, one of which comes and goes",
        ),
    ],
    metadata: &[],
};

pub(crate) fn collector(url: String) -> Postgres {
    Postgres::new(Address::parse(&Secret::new(url), Path::new("/")).unwrap())
}

#[tokio::test]
async fn postgres_is_told_as_the_exporter_tells_it() {
    let server = tend_testkit::Postgres::start(
        "boss",
        Some("hunter2"),
        &[
            "shared_preload_libraries=pg_stat_statements",
            "track_io_timing=on",
            "max_connections=37",
        ],
    );
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql(
        "shop",
        "CREATE TABLE orders (id int PRIMARY KEY, note text); INSERT INTO orders SELECT g, 'x' FROM generate_series(1, 1000) g; \
         SELECT count(*) FROM orders WHERE id < 10; SELECT pg_create_physical_replication_slot('standby', true)",
    );
    let source = format!(
        "user=boss password=hunter2 host={} dbname=shop sslmode=disable",
        server.folder().display()
    );
    let exporter = Exporter::start(
        "postgres",
        "--web.listen-address",
        &["--log.level=error"],
        &[("DATA_SOURCE_NAME", &source)],
    );
    let mut ours = collector(server.url("shop"));
    let compared = compare(&exporter, &mut ours, &USED, &DIFFERENCES).await;
    assert!(compared > 400, "{compared}");
    assert_eq!(ours.trouble(), None);
}

#[tokio::test]
async fn tables_and_slow_statements_are_told_too() {
    let server = tend_testkit::Postgres::start("boss", None, &["shared_preload_libraries=pg_stat_statements"]);
    server.sql(
        "postgres",
        "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders SELECT generate_series(1, 50)",
    );
    let mut ours = collector(server.url("postgres"));
    let read = |text: &str| Exposition::parse(text);
    let told = read(&ours.collect().await.unwrap());
    assert_eq!(ours.trouble(), None);
    let names = |told: &Exposition, name: &str| told.samples.keys().filter(|(known, _)| known == name).count();
    assert_eq!(names(&told, "pg_stat_user_tables_n_live_tup"), 1);
    assert_eq!(names(&told, "pg_replication_is_replica"), 1);
    assert_eq!(names(&told, "pg_wal_size_bytes"), 1);
    assert_eq!(names(&told, "pg_stat_statements_seconds_total"), 0);

    server.sql(
        "postgres",
        "CREATE SCHEMA \"odd name\"; CREATE EXTENSION pg_stat_statements SCHEMA \"odd name\"",
    );
    server.sql("postgres", "SELECT count(*) FROM orders");
    server.sql("postgres", "ALTER USER boss PASSWORD 'hunter2'");
    let text = ours.collect().await.unwrap();
    assert_eq!(ours.trouble(), None);
    assert!(names(&read(&text), "pg_stat_statements_seconds_total") > 2, "{text}");
    assert!(!text.contains("hunter2"), "{text}");

    // A session that works and holds a lock is counted, exactly: it and ours are active.
    let hold = "BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE; SELECT pg_sleep(100000)";
    let mut holder = server.psql("postgres", hold).spawn().unwrap();
    let count = |told: &Exposition, name: &str, label: &str, value: &str| {
        let of = |(known, labels): &&Series| {
            known == name
                && labels.get("datname").is_some_and(|datname| datname == "postgres")
                && labels.get(label).is_some_and(|known| known == value)
        };
        told.samples.keys().find(of).map(|series| told.samples[series])
    };
    let begun = std::time::Instant::now();
    loop {
        let told = read(&ours.collect().await.unwrap());
        let holds = count(&told, "pg_locks_count", "mode", "exclusivelock");
        let works = count(&told, "pg_stat_activity_count", "state", "active");
        if (holds, works) == (Some(1.0), Some(2.0)) {
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "{holds:?} {works:?}");
    }
    // Its session ends with the server.
    holder.kill().unwrap();
    holder.wait().unwrap();

    // What a user may not see is said, and the rest is there.
    server.sql("postgres", "CREATE USER reader");
    let mut ours = collector(server.url("postgres").replace("boss", "reader"));
    let told = read(&ours.collect().await.unwrap());
    assert_eq!(
        (told.value("pg_up"), told.value("pg_exporter_last_scrape_error")),
        (Some(1.0), Some(1.0))
    );
    assert!(
        ours.trouble().unwrap().contains("could not read the log's size"),
        "{:?}",
        ours.trouble()
    );
    assert_eq!(names(&told, "pg_settings_max_connections"), 1);
}
