//! Acknowledged payments are in the books whatever is killed.

use std::sync::Arc;
use std::time::Duration;

use bench_mps::{Config, Progress};

use crate::fixture::{Folder, Replica, wait_for};

/// Kills of each of the three replicas in turn.
const KILLS: u64 = 6;

#[test]
fn acknowledged_payments_survive_kill_9() {
    let folder = Folder::new();
    let mut replicas: Vec<Replica> = (0..3)
        .map(|_| Replica::start(&folder.0, 0, &[("LOG_LEVEL", "error")]))
        .collect();
    let progress = Arc::new(Progress::default());
    let run = Config {
        rate: 200,
        duration: Duration::from_secs(6),
        cards: 200,
        concurrency: 16,
        progress: Arc::clone(&progress),
        ..Config::new(
            replicas
                .iter()
                .map(|replica| replica.address().parse().expect("an address"))
                .collect(),
        )
    };
    let driver = std::thread::spawn(move || bench_mps::run(&run));
    for kill in 0..KILLS {
        // A hundred payments apart, so that each kill falls into the load.
        wait_for("payments to go on", || {
            (progress.acknowledged() > (kill + 1) * 100).then_some(())
        });
        let replica = &mut replicas[kill as usize % 3];
        replica.kill();
        *replica = Replica::start(&folder.0, replica.port, &[("LOG_LEVEL", "error")]);
    }
    let report = driver.join().expect("no panic").expect("the run is judged");
    assert!(report.books.are_right(), "{report}");
    assert!(report.failed.total() > 0, "the kills fell into the load\n{report}");
    assert_eq!(report.acknowledged, report.sent, "{report}");
}
