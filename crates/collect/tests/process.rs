//! Processes beside what an exporter says of its own.

use tend_collect::{Collector, Processes, ReplicaProcess};
use tend_linux::ProcStat;

use crate::comparison::{Differences, compare};
use crate::exporter::Exporter;

const DIFFERENCES: Differences = Differences {
    missing: &[
        ("go_*", "the exporter's own runtime"),
        ("promhttp_*", "the exporter's own server"),
        ("redis_*", "what it is there for"),
    ],
    values: &[],
    labels: &[],
    tolerances: &[
        (
            "process_resident_memory_bytes",
            4e6,
            "of 15 MB; the kernel counts pages in batches, and answering takes some",
        ),
        (
            "process_open_fds",
            8.0,
            "the connection that each scrape is, and the folder that is read to count",
        ),
        ("process_cpu_seconds_total", 0.02, "ticks of a hundredth of a second"),
    ],
    metadata: &[],
};

#[tokio::test]
async fn a_process_is_told_as_it_tells_itself() {
    // Its Redis is away, which is its own trouble.
    let exporter = Exporter::start("redis", "--web.listen-address", &["--redis.addr=unix:///nowhere"], &[]);
    let process = ReplicaProcess {
        pid: exporter.pid(),
        start_time: ProcStat::read(exporter.pid()).unwrap().start_time,
        shim_pid: None,
        cgroup: None,
        labels: Vec::new(),
    };
    let mut ours = Processes::new(vec![process.clone()]);
    let compared = compare(&exporter, &mut ours, &[], &DIFFERENCES).await;
    assert!(compared >= 6, "{compared}");

    // The same number, started at another time: somebody else's.
    let mut other = process;
    other.start_time += 1;
    ours.set(vec![other]);
    assert_eq!(ours.collect().await.unwrap(), "");
    assert_eq!(ours.trouble().as_deref(), Some("1 of 1 processes have ended"));
}
