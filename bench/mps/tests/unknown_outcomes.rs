//! What the driver does where it cannot know what became of a payment, and what it makes of a server that lies.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bench_mps::{Config, Report, run};

use crate::scripted_server::{Pay, Server};

/// Makes one payment against a server that goes through `script`.
fn one_payment(script: &[Pay], resend_for: Duration) -> (Report, Vec<String>) {
    let server = Server::start(script);
    let config = Config {
        rate: 10,
        duration: Duration::from_millis(100),
        cards: 1,
        timeout: Duration::from_millis(200),
        resend_for,
        ..Config::new(vec![server.address.parse().expect("an address")])
    };
    let report = run(&config).expect("the run is judged");
    assert_eq!(report.sent, 1, "{report}");
    (report, server.keys())
}

#[test]
fn an_unknown_outcome_is_sent_again_with_its_key_until_it_is_known() {
    let script = [Pay::EnterAndHangUp, Pay::Fail, Pay::EnterAndKeepSilent, Pay::Enter];
    let (report, keys) = one_payment(&script, Duration::from_secs(30));
    assert_eq!(keys.len(), 4);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert_eq!(
        (report.acknowledged, report.resent, report.failed.total()),
        (1, 3, 3),
        "{report}"
    );
    assert_eq!(
        (report.failed.connection_lost, report.failed.timed_out),
        (1, 1),
        "{report}"
    );
    assert_eq!(report.failed.server_error.get(&503), Some(&1), "{report}");
    assert!(report.books.are_right(), "{report}");
}

#[test]
fn an_outcome_that_stays_unknown_may_be_in_the_ledger_or_not() {
    let (report, _) = one_payment(&[Pay::EnterAndHangUp, Pay::Fail, Pay::Fail, Pay::Fail], Duration::ZERO);
    assert_eq!(
        (report.acknowledged, report.unknown, report.books.unknown_found),
        (0, 1, 1),
        "{report}"
    );
    assert!(report.books.are_right(), "{report}");
    let (report, _) = one_payment(&[Pay::Fail], Duration::ZERO);
    assert_eq!(
        (report.unknown, report.books.unknown_found, report.books.are_right()),
        (1, 0, true),
        "{report}"
    );
}

#[test]
fn a_server_that_acknowledges_what_it_does_not_enter_is_found_out() {
    let (report, _) = one_payment(&[Pay::Lie], Duration::from_secs(30));
    assert_eq!(
        (report.acknowledged, report.books.missing, report.books.are_right()),
        (1, 1, false),
        "{report}"
    );
    assert!(report.to_string().contains("WRONG"), "{report}");
}

#[test]
fn a_refused_connection_counts_apart_and_the_next_address_is_tried() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let nobody = closed.local_addr().expect("it is bound").to_string();
    drop(closed);
    let server = Server::start(&[]);
    let addresses = [nobody, server.address]
        .iter()
        .map(|address| address.parse().expect("an address"))
        .collect();
    let config = Config {
        rate: 10,
        duration: Duration::from_millis(100),
        cards: 1,
        ..Config::new(addresses)
    };
    let report = run(&config).expect("the run is judged");
    assert_eq!(
        (
            report.acknowledged,
            report.failed.connection_refused,
            report.failed.total()
        ),
        (1, 1, 1),
        "{report}"
    );
}

#[test]
fn a_run_may_be_ended_before_its_time() {
    let server = Server::start(&[]);
    let config = Config {
        rate: 50,
        duration: Duration::from_secs(3600),
        cards: 1,
        run_id: "named".to_owned(),
        ..Config::new(vec![server.address.parse().expect("an address")])
    };
    assert_eq!(config.merchant_ids()[0], "named-1");
    let (stop, progress) = (Arc::clone(&config.stop), Arc::clone(&config.progress));
    let stopping = std::thread::spawn(move || {
        let begin = Instant::now();
        while progress.acknowledged() < 3 && begin.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let report = run(&config).expect("the run is judged");
    stopping.join().expect("it does not panic");
    assert!(report.acknowledged >= 3 && report.books.are_right(), "{report}");
    assert!((report.acknowledged..180_000).contains(&report.due), "{report}");
    assert!(server.keys().iter().all(|key| key.starts_with("named-")));
}
