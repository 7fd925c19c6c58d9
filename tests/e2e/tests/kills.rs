//! Any of our processes may be killed at any instant; money stays right, and services go on.

use std::sync::Arc;
use std::time::Duration;

use bench_mps::{Address, Config, Progress};

use crate::rig::{Machine, READY, free_port, get, is_alive, kill, routed_web, wait_until};

/// Waits until so many more payments were acknowledged than before: the system serves again.
fn wait_for_payments(progress: &Progress, more: u64) {
    let wanted = progress.acknowledged() + more;
    wait_until(&format!("{more} more payments are acknowledged"), || {
        progress.acknowledged() >= wanted
    });
}

#[test]
fn payments_stay_exactly_once_while_everything_is_killed() {
    let machine = Machine::new("kills");
    let port = free_port();
    let folder = machine.mps(port);
    machine.tend(&["up", &folder]).ok();
    let address: Address = format!("http://127.0.0.1:{port}").parse().unwrap();
    let progress = Arc::new(Progress::default());
    let mut config = Config::new(vec![address]);
    config.rate = 60;
    config.cards = 200;
    config.duration = Duration::from_secs(25);
    config.progress = Arc::clone(&progress);
    let load = std::thread::spawn(move || bench_mps::run(&config));
    wait_for_payments(&progress, 50);

    for round in 0..2 {
        let replica = machine.pids("mps", "api")[round];
        kill(replica);
        wait_until("the replica was replaced", || {
            let pids = machine.pids("mps", "api");
            pids.len() == 3 && !pids.contains(&replica)
        });
        machine.wait_ready("mps", "api", 3);
        wait_for_payments(&progress, 20);

        // With the daemon dead, no request fails.
        let before = machine.pids("mps", "api");
        let failed = progress.failed_requests();
        kill(machine.daemon());
        wait_for_payments(&progress, 60);
        assert_eq!(
            progress.failed_requests(),
            failed,
            "requests failed because the daemon was dead"
        );
        machine.start_daemon();
        machine.wait_ready("mps", "api", 3);
        assert_eq!(
            machine.pids("mps", "api"),
            before,
            "a daemon that comes back restarts nothing"
        );
        wait_for_payments(&progress, 20);
        assert_eq!(
            progress.failed_requests(),
            failed,
            "requests failed because the daemon came back"
        );

        // With a shim killed, its replica serves on.
        let shim = machine.roles("shim")[0];
        kill(shim);
        wait_until("the shim was replaced", || {
            let shims = machine.roles("shim");
            shims.len() == 3 && !shims.contains(&shim)
        });
        wait_for_payments(&progress, 20);
        assert_eq!(
            progress.failed_requests(),
            failed,
            "requests failed because a shim was killed"
        );
        assert_eq!(machine.pids("mps", "api"), before);

        let edge = machine.edge();
        kill(edge);
        wait_until("the edge was replaced", || {
            machine.roles("edge").first().is_some_and(|pid| *pid != edge)
        });
        wait_for_payments(&progress, 20);
    }

    let report = load.join().unwrap().unwrap();
    assert!(report.books.are_right(), "{:?}", report.books.findings);
    assert_eq!(report.failed.connection_refused, 0, "a connection was refused");
    assert_eq!(
        report.acknowledged + report.unknown,
        report.sent,
        "every payment came to an end"
    );
    assert!(machine.events("replica.exited").len() >= 2, "each crash has its card");
    machine.tend(&["events", "verify"]).ok();
}

#[test]
fn output_is_complete_although_the_shim_was_killed_in_between() {
    let machine = Machine::new("shim-output");
    let port = free_port();
    let folder = machine.stack("shop", &routed_web(port, "/", &[READY]));
    machine.tend(&["up", &folder]).ok();
    let pid = machine.pids("shop", "web")[0];
    let lines = 20_000;
    let printing = std::thread::spawn(move || get(port, &format!("/print?{lines}")).unwrap());
    for _ in 0..3 {
        let shims = machine.roles("shim");
        shims.iter().for_each(|shim| kill(*shim));
        wait_until("another shim took over", || {
            machine.roles("shim").iter().any(|pid| !shims.contains(pid))
        });
    }
    assert_eq!(printing.join().unwrap().status, 200);
    wait_until("all lines are in the log", || {
        let log = machine.tend(&["logs", "shop/web", "-n", "100000"]).ok();
        let seen: std::collections::BTreeSet<&str> =
            log.lines().filter_map(|line| line.split("line ").nth(1)).collect();
        seen.len() == lines
    });
    assert!(
        is_alive(pid) && machine.pids("shop", "web") == [pid],
        "the replica served on"
    );
}
