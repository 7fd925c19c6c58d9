//! What changes while a replica runs: told over the endpoint as tend serves it, taken without a restart.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tend_watch::{Endpoint, EndpointSettings, Notice, Outcome, Publisher, Revision};
use tokio::sync::mpsc::Receiver;

use crate::fixture::{Folder, Replica, wait_for};

const NAME: &str = "mps/api/7";

fn publish(publisher: &Publisher, number: u64, values: &Json) {
    let values = values
        .as_object()
        .expect("values are an object")
        .clone()
        .into_iter()
        .collect();
    publisher
        .publish(NAME, &Arc::new(Revision { number, values }))
        .expect("newer than before");
}

fn outcome_of(notices: &mut Receiver<Notice>, number: u64) -> Outcome {
    wait_for("an acknowledgement", || match notices.try_recv().ok()? {
        Notice::Ack(ack) if ack.revision == number => Some(ack.outcome),
        _ => None,
    })
}

fn ttl(replica: &Replica) -> i64 {
    let rotated = replica.post("/api/qr/rotate", r#"{"card_id":"test-card-id"}"#);
    rotated.json()["ttl_seconds"].as_i64().expect("a number")
}

fn pay(replica: &Replica, key: &str, qr: &Json, amount: i64) -> u16 {
    let body = json!({ "merchant_id": "merchant-01", "qr_plain": qr, "amount": amount }).to_string();
    replica
        .request("POST", "/api/payment/pay", &[("idempotency-key", key)], &body)
        .status
}

/// Asks for a WebSocket and returns the status of the answer.
fn socket_asked(replica: &Replica) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", replica.port)).expect("the replica listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a deadline above zero");
    let request = "GET /ws?merchant=merchant-01 HTTP/1.1\r\nhost: mps\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("the replica reads");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("an answer");
    line.split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status")
}

#[test]
fn values_change_without_a_restart() {
    let folder = Folder::new();
    let socket = folder.0.join("config.sock");
    let (endpoint, mut notices) = Endpoint::start(EndpointSettings::default()).expect("a thread");
    let publisher = endpoint.publisher();
    publisher.open(NAME, &socket, None).expect("a socket of our own");
    publish(
        &publisher,
        1,
        &json!({ "features.qr_rotation.default_ttl": 600, "app.log_level": "info" }),
    );
    let socket = socket.to_str().expect("a path of ASCII");
    let replica = Replica::start(&folder.0, 0, &[("TEND_CONFIG_SOCKET", socket)]);
    assert_eq!(outcome_of(&mut notices, 1), Outcome::Taken);
    assert_eq!(ttl(&replica), 600, "from the first request on");
    assert_eq!(socket_asked(&replica), 101);

    publish(
        &publisher,
        2,
        &json!({ "features.qr_rotation.default_ttl": 60, "limits.payment_amount_max": 500, "limits.websockets_max": 0 }),
    );
    assert_eq!(outcome_of(&mut notices, 2), Outcome::Taken);
    let code = replica.post("/api/qr/rotate", r#"{"card_id":"test-card-id"}"#).json();
    assert_eq!(code["ttl_seconds"], 60);
    assert_eq!(pay(&replica, "large", &code["qr_plain"], 501), 422);
    assert_eq!(pay(&replica, "small", &code["qr_plain"], 500), 200);
    assert_eq!(socket_asked(&replica), 503);

    // A limit that sinks does not undo what was done: the same request is answered as it was.
    publish(
        &publisher,
        3,
        &json!({ "limits.payment_amount_max": 100, "app.log_level": "warn" }),
    );
    assert_eq!(outcome_of(&mut notices, 3), Outcome::Taken);
    assert_eq!(pay(&replica, "small", &code["qr_plain"], 500), 200);
    assert_eq!(
        ttl(&replica),
        900,
        "a key that is gone means what it means without tend"
    );

    // One bad value: nothing of the set is taken, and tend is told why.
    publish(
        &publisher,
        4,
        &json!({ "features.qr_rotation.default_ttl": 30, "limits.payment_amount_max": "much" }),
    );
    let Outcome::Refused(why) = outcome_of(&mut notices, 4) else {
        panic!("taken");
    };
    assert!(why.contains("limits.payment_amount_max"), "{why}");
    assert_eq!(ttl(&replica), 900);

    // Without tend it goes on with what it has.
    drop(endpoint);
    assert_eq!(ttl(&replica), 900);
    let code = replica.post("/api/qr/rotate", r#"{"card_id":"card-0001"}"#).json();
    assert_eq!(pay(&replica, "later", &code["qr_plain"], 101), 422);
}
