//! What HTTP/1.1 asks of an intermediary: bodies, upgrades, pipelining, and what is not let through.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::fixture::{Client, Keep, Upstream, api, eventually, respond};

/// Returns bytes in which a lost or doubled piece shows.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

/// Answers with what it was sent, in the same framing.
fn echo() -> Upstream {
    Upstream::start(|request, stream| {
        let chunked = request.header("transfer-encoding").is_some();
        let mut out = Vec::new();
        if chunked {
            out.extend_from_slice(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for chunk in request.body.chunks(7777) {
                write!(out, "{:x}\r\n", chunk.len()).unwrap();
                out.extend_from_slice(chunk);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"0\r\n\r\n");
        } else {
            write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len()).unwrap();
            out.extend_from_slice(&request.body);
        }
        match stream.write_all(&out) {
            Ok(()) => Keep::Open,
            Err(_) => Keep::Close,
        }
    })
}

#[test]
fn large_bodies_pass_both_ways_whole_in_either_framing() {
    let upstream = echo();
    let (edge, listen, _) = api(&[upstream.address]);
    let body = pattern(5_000_000);
    for chunked in [false, true] {
        let mut client = Client::connect(listen);
        let mut writer = client.0.try_clone().unwrap();
        let sent = body.clone();
        let sender = std::thread::spawn(move || {
            if chunked {
                writer
                    .write_all(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                    .unwrap();
                for chunk in sent.chunks(70_001) {
                    write!(writer, "{:x}\r\n", chunk.len()).unwrap();
                    writer.write_all(chunk).unwrap();
                    writer.write_all(b"\r\n").unwrap();
                }
                writer.write_all(b"0\r\n\r\n").unwrap();
            } else {
                write!(
                    writer,
                    "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
                    sent.len()
                )
                .unwrap();
                writer.write_all(&sent).unwrap();
            }
        });
        let response = client.read();
        sender.join().unwrap();
        assert_eq!(response.status, 200);
        assert!(response.body == body, "chunked: {chunked}");
        assert_eq!(response.header("content-length").is_none(), chunked);
    }
    for line in edge.log() {
        assert_eq!(
            (&line["bytes_in"], &line["bytes_out"]),
            (&5_000_000.into(), &5_000_000.into())
        );
    }
}

#[test]
fn a_response_that_is_not_read_is_not_collected() {
    let sent = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let total: u64 = 200 << 20;
    let upstream = Upstream::start({
        let sent = sent.clone();
        move |_, stream| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            let piece = vec![b'x'; 64 << 10];
            for _ in 0..total / piece.len() as u64 {
                if stream.write_all(&piece).is_err() {
                    return Keep::Close;
                }
                sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
            Keep::Open
        }
    });
    let (edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    // The kernel's buffers fill and then everything stands still, well before the whole has been taken.
    let mut before = 0;
    eventually("a standstill", || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let now = sent.load(Ordering::Relaxed);
        (std::mem::replace(&mut before, now) == now && now > 0).then_some(())
    });
    assert!(before < total / 2, "{before} bytes were taken from the upstream");
    drop(client);
    drop(edge);
}

#[test]
fn head_has_the_length_and_no_body_and_the_connection_goes_on() {
    let upstream = Upstream::start(|request, stream| {
        if request.method() == "HEAD" {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")
                .unwrap();
            return Keep::Open;
        }
        respond(stream, 200, "after")
    });
    let (_edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    client.write("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = client.try_read(true).unwrap();
    assert_eq!(
        (response.status, response.header("content-length")),
        (200, Some("1234"))
    );
    assert_eq!(client.get("/").text(), "after");
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn answers_without_a_body_keep_both_connections() {
    let upstream = Upstream::start(|request, stream| {
        let text: &[u8] = match request.target() {
            "/204" => b"HTTP/1.1 204 No Content\r\n\r\n",
            "/304" => b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 99\r\n\r\n",
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        };
        stream.write_all(text).unwrap();
        Keep::Open
    });
    let (mut edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    for (path, status) in [("/204", 204), ("/304", 304), ("/", 200), ("/204", 204)] {
        assert_eq!(client.get(path).status, status);
    }
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1);
    assert_eq!(edge.stats().replicas[0].in_flight, 0);
}

#[test]
fn expect_100_continue_is_answered_by_the_edge_and_not_forwarded() {
    let upstream = echo();
    let (_edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.try_read(false).unwrap().status, 100);
    client.write("hello");
    assert_eq!(client.read().text(), "hello");
    assert_eq!(upstream.last().header("expect"), None);
}

#[test]
fn a_refused_request_is_not_told_to_continue() {
    let upstream = echo();
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    plan.snapshot.routes.clear();
    edge.serve(&plan.next());
    let mut client = Client::connect(listen);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.read().status, 404);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::start(|request, stream| respond(stream, 200, request.target()));
    let (_edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    let all: String = (0..20)
        .map(|number| format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"))
        .collect();
    client.write(&all);
    for number in 0..20 {
        assert_eq!(client.read().text(), format!("/{number}"));
    }
}

#[test]
fn an_old_client_gets_what_it_understands() {
    let upstream = Upstream::start(|_, stream| {
        let text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        stream.write_all(text).unwrap();
        Keep::Open
    });
    let (_edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    client.write("GET / HTTP/1.0\r\n\r\n");
    let response = client.read();
    assert_eq!((response.text(), response.header("transfer-encoding")), ("hello", None));
}

#[test]
fn a_client_that_leaves_takes_its_request_with_it() {
    let ended = Arc::new(AtomicBool::new(false));
    let upstream = Upstream::start({
        let ended = ended.clone();
        move |_, stream| {
            // Never answers; sees the edge close.
            let _ = stream.read(&mut [0]);
            ended.store(true, Ordering::SeqCst);
            Keep::Close
        }
    });
    let (mut edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    client.write("GET /long HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the request", || (upstream.count() == 1).then_some(()));
    drop(client);
    eventually("the cancellation", || ended.load(Ordering::SeqCst).then_some(()));
    eventually("nothing in flight", || {
        (edge.stats().replicas[0].in_flight == 0).then_some(())
    });
    // It says nothing against the replica.
    assert_eq!(edge.stats().replicas[0].failures, []);
    let log = edge.log();
    assert_eq!(
        (&log[0]["status"], &log[0]["error"]),
        (&499.into(), &"client_closed".into())
    );
}

#[test]
fn a_response_that_is_cut_is_not_made_to_look_complete() {
    let upstream = Upstream::start(|_, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            .unwrap();
        Keep::Close
    });
    let (edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.try_read(false).is_none());
    assert_eq!(edge.log()[0]["error"], "upstream_cut");
}

#[test]
fn an_upgraded_connection_carries_bytes_both_ways_and_counts_as_in_flight() {
    let upstream = Upstream::start(|request, stream| {
        assert_eq!(request.header("upgrade"), Some("websocket"));
        assert_eq!(request.header("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
        stream
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nwelcome",
            )
            .unwrap();
        let mut buffer = [0; 4096];
        while let Ok(read) = stream.read(&mut buffer) {
            if read == 0 || stream.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        Keep::Close
    });
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    client.write(
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let response = client.read();
    assert_eq!(response.status, 101);
    assert_eq!(response.header("upgrade"), Some("websocket"));
    assert_eq!(
        response.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    let mut welcome = [0; 7];
    client.0.read_exact(&mut welcome).unwrap();
    assert_eq!(&welcome, b"welcome");
    let say = |client: &mut Client, text: &str| {
        client.write(text);
        let mut back = vec![0; text.len()];
        client.0.read_exact(&mut back).unwrap();
        assert_eq!(back, text.as_bytes());
    };
    say(&mut client, "one");
    assert_eq!(edge.stats().replicas[0].in_flight, 1);
    // A new snapshot, even one without the replica, leaves it alone.
    plan.snapshot.services[0].replicas.clear();
    edge.serve(&plan.next());
    say(&mut client, &"two".repeat(50_000 / 3));
    drop(client);
    eventually("the end of the tunnel", || {
        edge.stats()
            .replicas
            .iter()
            .all(|replica| replica.in_flight == 0)
            .then_some(())
    });
    let log = edge.log();
    assert_eq!(log[0]["status"], 101);
    assert_eq!(log[0]["bytes_in"], 3 + 49_998);
}

#[test]
fn an_upgrade_that_the_replica_declines_is_an_ordinary_response() {
    let upstream = Upstream::named("no");
    let (_edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    client.write("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(client.read().text(), "no");
    assert_eq!(client.get("/").text(), "no");
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let upstream = Upstream::start(|_, stream| respond(stream, 200, "reached"));
    let (_edge, listen, _) = api(&[upstream.address]);
    for (what, request) in [
        ("no host", "GET / HTTP/1.1\r\n\r\n"),
        ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("a host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        ("a host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
        (
            "differing lengths",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        ),
        (
            "a list of lengths",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\nxx",
        ),
        (
            "a signed length",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx",
        ),
        (
            "a negative length",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nx",
        ),
        (
            "a hexadecimal length",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\nx",
        ),
        (
            "an unknown coding",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "two codings",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "chunked twice",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "chunked before another",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        ),
        (
            "a coding in 1.0",
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("a folded line", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n"),
        (
            "a space before the colon",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello",
        ),
        ("a control in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\u{1}: b\r\n\r\n"),
        (
            "a lone CR in a value",
            "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\rTransfer-Encoding: chunked\r\n\r\n",
        ),
        ("a NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n"),
        (
            "credentials in the target",
            "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        ("no such version", "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
        ("a tunnel", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ] {
        let mut client = Client::connect(listen);
        client.write(request);
        let response = client.try_read(false);
        let status = response.as_ref().map_or(400, |response| response.status);
        assert!((400..500).contains(&status), "{what}: {response:?}");
        assert_eq!(
            upstream.count(),
            0,
            "{what} reached the upstream: {:?}",
            upstream.last()
        );
    }
}

#[test]
fn a_length_beside_a_coding_never_smuggles_a_second_request() {
    let upstream = Upstream::start(|_, stream| respond(stream, 200, "reached"));
    let (_edge, listen, _) = api(&[upstream.address]);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for head in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked", 5 + smuggled.len()),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}", 5 + smuggled.len()),
        "Content-Length: 3\r\nTransfer-Encoding: chunked".to_owned(),
    ] {
        let mut client = Client::connect(listen);
        client.write(&format!(
            "POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n0\r\n\r\n{smuggled}"
        ));
        assert_eq!(client.read().status, 400, "{head}");
        assert!(client.try_read(false).is_none(), "{head}: a second answer");
        // Pipelined behind another request it is read by its coding alone, and the connection ends.
        let mut client = Client::connect(listen);
        client.write(&format!(
            "GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n0\r\n\r\n{smuggled}"
        ));
        assert_eq!(client.read().status, 200);
        let _ = client.try_read(false);
        assert!(client.try_read(false).is_none(), "{head}: a third answer");
    }
    for request in upstream.requests.lock().unwrap().iter() {
        assert_eq!(request.target(), "/");
        let both = request.header("content-length").is_some() && request.header("transfer-encoding").is_some();
        assert!(!both, "{request:?}");
    }
}

#[test]
fn odd_chunks_are_written_anew_or_refused() {
    let upstream = echo();
    let (_edge, listen, _) = api(&[upstream.address]);
    for (body, echoed) in [
        ("5;ext=\"a\"\r\nhello\r\n0\r\n\r\n", Some("hello")),
        ("05\r\nhello\r\n0\r\n\r\n", Some("hello")),
        ("5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n", Some("hello")),
        ("-5\r\nhello\r\n0\r\n\r\n", None),
        ("0x5\r\nhello\r\n0\r\n\r\n", None),
        ("5\r\nhelloworld\r\n0\r\n\r\n", None),
        ("ffffffffffffffffff\r\nhello\r\n0\r\n\r\n", None),
    ] {
        let mut client = Client::connect(listen);
        client.write(&format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        ));
        let response = client.try_read(false).filter(|response| response.status == 200);
        assert_eq!(response.as_ref().map(|response| response.text()), echoed, "{body:?}");
    }
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let upstream = Upstream::named("reached");
    let (_edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    let bomb = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(70_000));
    // The edge may answer and close before all of it is written.
    let _ = client.0.write_all(bomb.as_bytes());
    let status = client.try_read(false).map_or(431, |response| response.status);
    assert_eq!(status, 431);
    let mut client = Client::connect(listen);
    let many: String = (0..200).map(|number| format!("X-{number}: y\r\n")).collect();
    client.write(&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"));
    assert_eq!(client.read().status, 431);
    assert_eq!(upstream.count(), 0);
}

#[test]
fn an_upstream_that_does_not_speak_http_is_a_502() {
    let seen = Arc::new(Mutex::new(0));
    let upstream = Upstream::start({
        let seen = seen.clone();
        move |_, stream| {
            *seen.lock().unwrap() += 1;
            stream.write_all(b"220 mail.test ESMTP\r\n").unwrap();
            Keep::Close
        }
    });
    let (_edge, listen, _) = api(&[upstream.address]);
    let response = Client::connect(listen).post("/", "x");
    assert_eq!(
        (response.status, response.header("x-tend-error")),
        (502, Some("upstream_failed"))
    );
    assert_eq!(*seen.lock().unwrap(), 1);
}

#[test]
fn the_log_says_what_happened() {
    let upstream = Upstream::named("hello");
    let (edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    client.write("POST /pay?card=1 HTTP/1.1\r\nHost: shop.test\r\nX-Request-Id: abc-1\r\nContent-Length: 3\r\n\r\nxyz");
    assert_eq!(client.read().header("x-request-id"), Some("abc-1"));
    client.get("/health");
    drop(client);
    let log = edge.log();
    assert_eq!(log.len(), 1, "the health path is left out: {log:?}");
    let line = log[0].as_object().unwrap();
    for (field, value) in [
        ("v", serde_json::json!(1)),
        ("request_id", "abc-1".into()),
        ("listener", listen.to_string().into()),
        ("method", "POST".into()),
        ("host", "shop.test".into()),
        ("path", "/pay?card=1".into()),
        ("status", 200.into()),
        ("bytes_in", 3.into()),
        ("bytes_out", 5.into()),
        ("stack", "mps".into()),
        ("service", "mps/api".into()),
        ("replica", "mps/api/1".into()),
        ("tries", 1.into()),
    ] {
        assert_eq!(line[field], value, "{field}");
    }
    assert!(line["client"].as_str().unwrap().starts_with("127.0.0.1:"));
    let millis = |field: &str| line[field].as_f64().unwrap();
    assert!(millis("upstream_connect_ms") <= millis("upstream_head_ms"));
    assert!(millis("upstream_head_ms") <= millis("upstream_total_ms"));
    assert!(millis("upstream_total_ms") <= millis("request_ms"));
    assert!(!line.contains_key("error"));
}
