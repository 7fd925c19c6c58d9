//! The WebSockets of merchants, with a client that is not ours.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message, WebSocket, client};

use crate::fixture::{Folder, Replica};

fn connect(replica: &Replica, merchant: &str) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", replica.port)).expect("it listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("above zero");
    let url = format!("ws://127.0.0.1:{}/ws?merchant={merchant}", replica.port);
    client(url, stream).expect("a handshake").0
}

fn next_json(socket: &mut WebSocket<TcpStream>) -> Json {
    loop {
        if let Message::Text(text) = socket.read().expect("a message in time") {
            return serde_json::from_str(&text).expect("messages are JSON");
        }
    }
}

fn pay(replica: &Replica, merchant: &str, amount: i64) -> Json {
    let rotated = replica.post("/api/qr/rotate", r#"{"card_id":"test-card-id"}"#).json();
    let body = json!({ "merchant_id": merchant, "qr_plain": rotated["qr_plain"], "amount": amount }).to_string();
    let key = format!("pay-{merchant}-{amount}");
    replica
        .request("POST", "/api/payment/pay", &[("idempotency-key", &key)], &body)
        .json()
}

#[test]
fn a_merchant_sees_each_payment_of_theirs_whichever_replica_made_it() {
    let folder = Folder::new();
    let (listened, other) = (Replica::start(&folder.0, 0, &[]), Replica::start(&folder.0, 0, &[]));
    let mut socket = connect(&listened, "merchant-01");
    let hello = next_json(&mut socket);
    assert_eq!(hello["connected"]["merchant_id"], "merchant-01");
    assert_eq!(hello["connected"]["pid"], listened.get("/api/version").json()["pid"]);
    let mut wanted = Vec::new();
    for (replica, amount) in [(&other, 100), (&listened, 200), (&other, 300)] {
        pay(replica, "merchant-02", amount);
        wanted.push((pay(replica, "merchant-01", amount)["transaction_id"].clone(), amount));
    }
    for (id, amount) in wanted {
        let pushed = next_json(&mut socket);
        assert_eq!(
            (&pushed["payment"]["transaction_id"], &pushed["payment"]["amount"]),
            (&id, &json!(amount))
        );
    }
    socket
        .send(Message::Ping(Bytes::from_static(b"there?")))
        .expect("it reads");
    let answer = socket.read().expect("a pong in time");
    assert_eq!(answer, Message::Pong(Bytes::from_static(b"there?")));
    let metrics = listened.get("/metrics").body;
    assert!(metrics.lines().any(|line| line == "mps_websockets 1"), "{metrics}");
}

#[test]
fn a_replica_told_to_end_closes_its_sockets_and_ends() {
    let folder = Folder::new();
    let mut replica = Replica::start(&folder.0, 0, &[]);
    let mut socket = connect(&replica, "merchant-01");
    next_json(&mut socket);
    replica.terminate();
    let code = loop {
        if let Message::Close(frame) = socket.read().expect("a close in time") {
            break frame.map(|frame| frame.code);
        }
    };
    assert_eq!(code, Some(CloseCode::Away));
    // Reading on is what answers the close.
    assert!(socket.read().is_err());
    assert_eq!(replica.wait().code(), Some(0));
}

#[test]
fn what_is_no_handshake_is_refused() {
    let folder = Folder::new();
    let replica = Replica::start(&folder.0, 0, &[]);
    for (path, status, code) in [
        ("/ws?merchant=merchant-01", 400, "not_a_websocket"),
        ("/ws?merchant=nobody", 404, "merchant_not_found"),
        ("/ws", 400, "invalid_request"),
    ] {
        let answer = replica.get(path);
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_str()),
            (status, Some(code)),
            "{path}"
        );
    }
}
