//! HTTP/2 without TLS: from clients that know that it is spoken, and from nobody else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tend_core::model::Protocol;
use tend_edge::Patience;
use tokio::io::AsyncWriteExt;

use crate::fixture::{Client, Edge, Folder, PATIENCE, Upstream, api, api_on, config};
use crate::h2_peers::{H2Client, H2Upstream, Secure, request, run};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Settings, acknowledged settings, and `GET http://any.test/` on stream 1 by HPACK's static table.
const FRAMES: &[u8] =
    b"\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0\0\0\x0d\x01\x05\0\0\0\x01\x82\x86\x84\x01\x08any.test";

#[test]
fn a_client_that_knows_speaks_http2_without_tls() {
    let upstream = Upstream::named("api");
    let (edge, listen, _) = api(&[upstream.address]);
    run(async {
        let client = H2Client::plain(listen).await;
        let (one, two) = tokio::join!(client.get("/one"), client.get("/two"));
        assert_eq!((one.text(), two.text()), ("api", "api"));
        let posted = client.ask(request("POST", "/pay"), &[b'x'; 100_000]).await.unwrap();
        assert_eq!(posted.status, 200);
    });
    let last = upstream.last();
    assert_eq!((last.method(), last.body.len()), ("POST", 100_000));
    assert_eq!(last.header("x-forwarded-proto"), Some("http"));
    // Others speak HTTP/1.1 at the same address.
    assert_eq!(Client::connect(listen).get("/").text(), "api");
    let curl = Command::new("curl")
        .args(["--silent", "--max-time", "20", "--http2-prior-knowledge"])
        .args(["--write-out", " %{http_version} %{http_code}"])
        .arg(format!("http://{listen}/curl"))
        .output()
        .expect("curl is in PATH");
    assert_eq!(String::from_utf8_lossy(&curl.stdout), "api 2 200");
    let log = edge.log();
    assert_eq!(log.len(), 5);
    assert!(log.iter().all(|line| line["scheme"] == "http"), "{log:?}");
}

#[test]
fn a_replica_of_http2_is_reached_too() {
    let upstream = H2Upstream::named("api");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    plan.snapshot.services[0].balance.protocol = Protocol::Http2;
    edge.serve(&plan.next());
    run(async {
        assert_eq!(H2Client::plain(listen).await.get("/").await.text(), "api");
    });
}

#[test]
fn the_preface_may_come_in_pieces_and_with_the_first_request() {
    let upstream = Upstream::named("api");
    let (_edge, listen, _) = api(&[upstream.address]);
    let whole = [PREFACE, FRAMES].concat();
    for piece in [1, 3, 23, 25, whole.len()] {
        let mut client = Client::connect(listen);
        for piece in whole.chunks(piece) {
            client.0.write_all(piece).unwrap();
        }
        assert!(is_answered(&mut client.0), "in pieces of {piece}");
    }
}

/// Reads until stream 1 has got its answer; false when the connection ends before.
fn is_answered(stream: &mut impl Read) -> bool {
    let mut head = [0; 9];
    while stream.read_exact(&mut head).is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        if stream.read_exact(&mut payload).is_err() {
            return false;
        }
        // The first of HPACK's static table that has a status is 200.
        if head[3] == 1 && head[8] == 1 {
            return payload[0] == 0x88;
        }
    }
    false
}

#[test]
fn nothing_else_becomes_http2() {
    let upstream = Upstream::named("api");
    let (_edge, listen, _) = api(&[upstream.address]);
    // Not what only begins like it, nor what comes behind a request: whoever stands before us may have looked at that one alone.
    let mut client = Client::connect(listen);
    client.write("PRI * HTTP/2.0\r\nHost: any.test\r\n\r\n");
    assert_eq!(client.read().status, 505);
    let mut client = Client::connect(listen);
    let behind = [b"GET / HTTP/1.1\r\nHost: any.test\r\n\r\n", PREFACE, FRAMES].concat();
    client.0.write_all(&behind).unwrap();
    assert_eq!(client.read().text(), "api");
    assert_eq!(client.read().status, 505);
    let mut client = Client::connect(listen);
    assert_eq!(client.get("/").text(), "api");
    client.0.write_all(PREFACE).unwrap();
    assert_eq!(client.read().status, 505);
    // What is upgraded is passed by whoever looks at requests only.
    let mut client = Client::connect(listen);
    client.write(
        "GET / HTTP/1.1\r\nHost: any.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    );
    assert_eq!(client.read().status, 200);
    assert_eq!(upstream.last().header("upgrade"), None);
    assert_eq!(upstream.count(), 3);
}

#[test]
fn over_tls_it_has_to_be_agreed_on() {
    let upstream = Upstream::named("api");
    let secure = Secure::before(&[upstream.address], Protocol::Http1);
    for manner in [
        secure.manner.clone().speaking(&[]),
        secure.manner.clone().speaking(&["http/1.1"]),
    ] {
        let mut client = manner.connect(secure.listen, "any.test").unwrap();
        client.0.write_all(&[PREFACE, FRAMES].concat()).unwrap();
        client.0.flush().unwrap();
        let mut answer = Vec::new();
        let _ = client.0.read_to_end(&mut answer);
        assert!(answer.starts_with(b"HTTP/1.1 505 "), "{}", answer.escape_ascii());
    }
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_listener_that_sends_everybody_to_tls_sends_it_there_too() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    plan.snapshot.listeners[0].redirect_to_https = Some(443);
    edge.serve(&plan.next());
    run(async {
        let moved = H2Client::plain(listen).await.get("/pay").await;
        assert_eq!(
            (moved.status, moved.header("location")),
            (308, Some("https://any.test/pay"))
        );
    });
    assert_eq!(upstream.count(), 0);
}

#[test]
fn who_connected_to_the_proxy_before_is_known() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    plan.snapshot.listeners[0].proxy_protocol = true;
    plan.snapshot.listeners[0].trusted = vec!["127.0.0.1".parse().unwrap()];
    edge.serve(&plan.next());
    run(async {
        let mut stream = tokio::net::TcpStream::connect(listen).await.unwrap();
        stream
            .write_all(b"PROXY TCP4 198.51.100.1 192.0.2.2 4660 80\r\n")
            .await
            .unwrap();
        assert_eq!(H2Client::speak(stream).await.get("/").await.text(), "api");
    });
    assert_eq!(upstream.last().header("x-forwarded-for"), Some("198.51.100.1"));
}

#[test]
fn a_preface_that_never_ends_is_not_waited_for() {
    let upstream = Upstream::named("api");
    let folder = Arc::new(Folder::new());
    let mut config = config(&folder, "edge", Duration::ZERO);
    config.patience = Patience {
        head: Duration::from_millis(100),
        ..Patience::default()
    };
    let (_edge, listen, _) = api_on(Edge::start_with(folder, config), &[upstream.address]);
    for said in [1, 20, PREFACE.len() - 1] {
        let mut stream = TcpStream::connect(listen).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&PREFACE[..said]).unwrap();
        let mut all = Vec::new();
        // Ended, or reset: either way within the time, and not by the test's own.
        if let Err(error) = stream.read_to_end(&mut all) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        }
    }
}
