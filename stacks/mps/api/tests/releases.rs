//! The service as a release of it is deployed: what it says it is, how it is quiesced, how it is broken from its start.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::fixture::{Folder, Replica, wait_for};

#[test]
fn a_replica_says_what_it_is() {
    let folder = Folder::new();
    let replica = Replica::start(&folder.0, 0, &[("APP_VERSION", "1.2.3")]);
    let version = replica.get("/api/version").json();
    assert_eq!(version["release"], serde_json::Value::Null);
    assert_eq!(version["version"], "1.2.3");
    let pid = version["pid"].as_u64().expect("a number");
    assert!(std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("mps-api")));
    let replica = Replica::start(&folder.0, 0, &[("TEND_RELEASE", "7")]);
    assert_eq!(replica.get("/api/version").json()["release"], "7");
}

#[test]
fn a_quiesced_replica_finishes_what_has_begun_and_takes_nothing_new() {
    let folder = Folder::new();
    let replica = Replica::start(&folder.0, 0, &[]);
    let recharge = |key: &str| {
        let body = r#"{"card_id":"test-card-id","amount":5}"#;
        replica.request("POST", "/api/payment/recharge", &[("idempotency-key", key)], body)
    };
    let in_flight = || replica.get("/admin/in-flight").body;
    assert_eq!(recharge("a").status, 200);
    // A client may have its answer a moment before the replica is done with it.
    wait_for("nothing to be in flight", || (in_flight() == "0").then_some(()));

    // Begun: its head is there, its body is not.
    let body = r#"{"card_id":"test-card-id","amount":7}"#;
    let mut begun = TcpStream::connect(("127.0.0.1", replica.port)).expect("it listens");
    begun
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("above zero");
    let head = format!(
        "POST /api/payment/recharge HTTP/1.1\r\nhost: mps\r\nconnection: close\r\nidempotency-key: b\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    begun.write_all(head.as_bytes()).expect("it reads");
    wait_for("the request to be in flight", || (in_flight() == "1").then_some(()));

    assert_eq!(replica.post("/admin/quiesce", "").status, 200);
    let ready = replica.get("/ready");
    assert_eq!(
        (ready.status, ready.json()["error"]["code"].as_str()),
        (503, Some("quiesced"))
    );
    let refused = recharge("c");
    assert_eq!(
        (refused.status, refused.json()["error"]["code"].as_str()),
        (503, Some("quiesced"))
    );
    assert_eq!(replica.get("/api/levels").status, 200, "questions are no new work");
    assert_eq!(in_flight(), "1");

    begun.write_all(body.as_bytes()).expect("it reads");
    let mut answer = String::new();
    begun.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    wait_for("nothing to be in flight", || (in_flight() == "0").then_some(()));
}

#[test]
fn what_a_proxy_forwards_cannot_quiesce() {
    let folder = Folder::new();
    let replica = Replica::start(&folder.0, 0, &[]);
    let forwarded = [("x-forwarded-for", "203.0.113.7")];
    for (method, path) in [("POST", "/admin/quiesce"), ("GET", "/admin/in-flight")] {
        assert_eq!(replica.request(method, path, &forwarded, "").status, 403, "{path}");
    }
    assert_eq!(replica.get("/ready").status, 200);
}

#[test]
fn a_release_may_fail_what_clients_ask_and_still_be_ready() {
    let folder = Folder::new();
    let replica = Replica::start(&folder.0, 0, &[("MPS_BREAK", "error")]);
    assert_eq!(replica.get("/ready").status, 200);
    for path in [
        "/api/levels",
        "/api/version",
        "/api/ledger/check",
        "/ws?merchant=merchant-01",
    ] {
        assert_eq!(replica.get(path).status, 500, "{path}");
    }
}

#[test]
fn a_release_may_crash_after_it_was_ready() {
    let folder = Folder::new();
    let mut replica = Replica::start(&folder.0, 0, &[("MPS_BREAK", "crash:2")]);
    assert_eq!(replica.get("/ready").status, 200);
    assert!(!replica.wait().success());
}
