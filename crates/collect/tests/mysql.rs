//! MariaDB beside `prometheus-mysqld-exporter`.

use std::path::Path;

use tend_base::Secret;
use tend_collect::{Collector, Mysql};
use tend_database::Address;
use tend_testkit::Mariadb;

use crate::comparison::{Differences, compare};
use crate::exporter::Exporter;

const USED: [&str; 2] = ["mysql_up", "mysql_global_status_slow_queries"];

const DIFFERENCES: Differences = Differences {
    missing: &[
        ("go_*", "the exporter's own runtime"),
        ("process_*", "the exporter's own process; ours are of replicas"),
        ("promhttp_*", "the exporter's own server"),
        ("mysqld_exporter_build_info", "it is not the exporter that answers"),
        (
            "mysql_exporter_collector_duration_seconds",
            "how the exporter is cut into parts",
        ),
        ("mysql_exporter_scrapes_total", "counts the exporter's scrapes"),
    ],
    values: &[],
    labels: &[],
    tolerances: &[
        // Of 300 MB: a wrong unit would still show.
        (
            "mysql_global_status_memory_used",
            2e6,
            "a connection takes 100 kB; the exporter connects anew for each scrape, we stay connected",
        ),
        (
            "mysql_global_status_threads_*",
            4.0,
            "the exporter connects anew for each scrape, we stay connected",
        ),
    ],
    metadata: &[],
};

pub(crate) fn collector(url: String) -> Mysql {
    Mysql::new(Address::parse(&Secret::new(url), Path::new("/")).unwrap())
}

#[tokio::test]
async fn mariadb_is_told_as_the_exporter_tells_it() {
    let server = Mariadb::start("hunter2");
    server.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.orders (id int PRIMARY KEY) ENGINE=InnoDB; INSERT INTO shop.orders VALUES (1), (2); \
         SET SESSION long_query_time = 0; SELECT count(*) FROM shop.orders; \
         CHANGE MASTER 'away' TO MASTER_HOST='192.0.2.1', MASTER_USER='nobody'",
    );
    let source = format!("boss:hunter2@unix({})/", server.socket().display());
    let exporter = Exporter::start(
        "mysqld",
        "--web.listen-address",
        &["--log.level=error"],
        &[("DATA_SOURCE_NAME", &source)],
    );
    let mut ours = collector(server.url("boss", "hunter2"));
    let compared = compare(&exporter, &mut ours, &USED, &DIFFERENCES).await;
    assert!(compared > 700, "{compared}");
    assert_eq!(ours.trouble(), None);
}
