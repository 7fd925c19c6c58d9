//! The service as its clients meet it: probes, errors, metrics, being broken, draining.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::fixture::{Folder, PostgresServer, Replica, wait_for};

#[test]
fn a_card_is_rotated_and_pays_and_the_books_balance() {
    let folder = Folder::new();
    let replica = Replica::start(&folder.0, 0, &[]);
    assert_eq!(replica.get("/health").status, 200);
    assert_eq!(replica.get("/ready").status, 200);
    // The guide's own probe.
    let rotated = replica.post("/api/qr/rotate", r#"{"card_id":"test-card-id","ttl_seconds":300}"#);
    assert_eq!(
        (rotated.status, rotated.headers["x-mps-replica"].as_str()),
        (200, "mps/api/7")
    );
    let body =
        json!({ "merchant_id": "merchant-01", "qr_plain": rotated.json()["qr_plain"], "amount": 1234 }).to_string();
    let paid = replica.request("POST", "/api/payment/pay", &[("idempotency-key", "k1")], &body);
    let again = replica.request("POST", "/api/payment/pay", &[("idempotency-key", "k1")], &body);
    assert_eq!((paid.status, &paid.body), (200, &again.body));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let check = replica.get("/api/ledger/check").json();
    assert_eq!(
        (check["balanced"].as_bool(), check["payments"].as_i64()),
        (Some(true), Some(1)),
        "{check}"
    );
    let metrics = replica.get("/metrics").body;
    for line in [
        r#"payment_transactions_total{status="completed"} 1"#,
        r#"payment_transactions_total{status="failed"} 0"#,
        r#"qr_codes_total{status="issued"} 1"#,
        r#"qr_codes_total{status="used"} 1"#,
        r#"http_requests_total{method="POST",endpoint="/api/payment/pay",status="200"} 2"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in\n{metrics}");
    }
}

/// Each line of `refusals.txt` is `METHOD PATH KEY BODY -> STATUS CODE`; `-` stands for nothing. `UPDATE=1` rewrites it.
#[test]
fn refusals_are_as_written_down() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/refusals.txt");
    let written = fs::read_to_string(path).expect("the cases can be read");
    let folder = Folder::new();
    let replica = Replica::start(&folder.0, 0, &[]);
    let mut found = String::new();
    for line in written.lines() {
        if line.is_empty() || line.starts_with('#') {
            found += line;
            found.push('\n');
            continue;
        }
        let request = line.split(" -> ").next().expect("a line has a request").trim_end();
        let mut words = request.splitn(4, ' ');
        let mut word = || words.next().filter(|word| *word != "-").unwrap_or_default();
        let (method, path, key, body) = (word(), word(), word(), word());
        let key = [("idempotency-key", key)];
        let response = replica.request(method, path, if key[0].1.is_empty() { &[] } else { &key }, body);
        let json = response.json();
        let code = json["error"]["code"].as_str().unwrap_or("-");
        assert!(
            json["error"]["message"]
                .as_str()
                .is_some_and(|message| message.len() > 10),
            "{line}: {json}"
        );
        writeln!(found, "{request} -> {} {code}", response.status).expect("writing to a String does not fail");
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, found).expect("the cases can be written");
    } else {
        assert_eq!(found, written, "run with UPDATE=1 and review the difference");
    }
}

#[test]
fn the_switch_is_off_unless_allowed() {
    let folder = Folder::new();
    let replica = Replica::start(&folder.0, 0, &[]);
    assert_eq!(replica.post("/api/break", r#"{"mode":"crash"}"#).status, 403);
    assert_eq!(replica.get("/health").status, 200);
}

#[test]
fn a_replica_breaks_as_told_and_can_be_mended() {
    let folder = Folder::new();
    let mut replica = Replica::start(&folder.0, 0, &[("MPS_BREAKABLE", "1"), ("MPS_BREAK", "unready")]);
    assert_eq!(
        (replica.get("/ready").status, replica.get("/health").status),
        (503, 200)
    );
    assert_eq!(
        replica.post("/api/break", r#"{"mode":"error","percent":25}"#).status,
        200
    );
    assert_eq!(replica.get("/ready").status, 200);
    let failed = (0..100).filter(|_| replica.get("/api/levels").status == 500).count();
    assert_eq!(failed, 25);
    let payments = (0..100).map(|_| replica.post("/api/payment/pay", "{}").status);
    assert_eq!(payments.filter(|status| *status == 500).count(), 25);
    let metrics = replica.get("/metrics").body;
    let counted = metrics.lines().find(|line| line.contains("status=\"failed\""));
    assert_eq!(counted, Some("payment_transactions_total{status=\"failed\"} 25"));
    let memory = |replica: &Replica| {
        let metrics = replica.get("/metrics").body;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("process_resident_memory_bytes "))
            .map(str::to_owned);
        line.and_then(|bytes| bytes.parse::<f64>().ok())
            .expect("memory is told")
    };
    let before = memory(&replica);
    assert_eq!(
        replica.post("/api/break", r#"{"mode":"leak","mb_a_second":64}"#).status,
        200
    );
    wait_for("memory to grow", || (memory(&replica) > before + 60e6).then_some(()));
    assert_eq!(replica.post("/api/break", r#"{"mode":"none"}"#).status, 200);
    assert_eq!(replica.get("/api/levels").status, 200);
    assert_eq!(replica.post("/api/break", r#"{"mode":"sideways"}"#).status, 400);
    assert_eq!(replica.post("/api/break", r#"{"mode":"crash"}"#).status, 200);
    assert!(!replica.wait().success());
}

#[test]
fn a_replica_whose_database_server_is_gone_is_alive_but_not_ready() {
    let mut server = PostgresServer::start();
    let folder = Folder::new();
    let url = server.new_database();
    let replica = Replica::start(&folder.0, 0, &[("DATABASE_URL", &url), ("DATABASE_POOL_SIZE", "4")]);
    let recharge = |key: &str| {
        let body = r#"{"card_id":"test-card-id","amount":5}"#;
        replica
            .request("POST", "/api/payment/recharge", &[("idempotency-key", key)], body)
            .status
    };
    assert_eq!((replica.get("/ready").status, recharge("a")), (200, 200));
    server.stop();
    wait_for("readiness to go", || {
        (replica.get("/ready").status == 503).then_some(())
    });
    assert_eq!((replica.get("/health").status, recharge("b")), (200, 503));
    server.start_again();
    wait_for("readiness to come back", || {
        (replica.get("/ready").status == 200).then_some(())
    });
    // Every connection of the pool finds out by itself that it was lost.
    wait_for("the recharge to go through", || (recharge("b") == 200).then_some(()));
    let check = replica.get("/api/ledger/check").json();
    assert_eq!(
        (check["balanced"].as_bool(), check["recharges"].as_i64()),
        (Some(true), Some(1003)),
        "{check}"
    );
}

#[test]
fn a_replica_told_to_end_serves_on_unready_and_exits_clean() {
    let folder = Folder::new();
    let mut replica = Replica::start(&folder.0, 0, &[("DRAIN_SECONDS", "2")]);
    // A connection that is kept alive and idle must not hold the replica up.
    let mut kept = BufReader::new(TcpStream::connect(("127.0.0.1", replica.port)).expect("it listens"));
    kept.get_mut()
        .write_all(b"GET /health HTTP/1.1\r\nhost: mps\r\n\r\n")
        .expect("it reads");
    let mut line = String::new();
    kept.read_line(&mut line).expect("it answers");
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    replica.terminate();
    let ready = wait_for("the replica to drain", || {
        Some(replica.get("/ready")).filter(|ready| ready.status == 503)
    });
    assert_eq!(ready.json()["error"]["code"], "draining");
    let served = replica.get("/api/levels");
    assert_eq!((served.status, served.headers["connection"].as_str()), (200, "close"));
    assert_eq!(replica.wait().code(), Some(0));
}
