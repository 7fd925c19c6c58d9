//! What a route says of times: how long an answer may pause, how long a stream of events may, and how long the whole of a request takes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use bytes::Bytes;
use tend_core::model::{Money, Protocol, Timeouts};
use tend_edge::EdgeConfig;
use tend_routing::Pause;

use crate::fixture::{Client, Edge, Folder, Keep, PATIENCE, Plan, Upstream, api_on, config, eventually, respond};
use crate::h2_peers::{H2Upstream, Secure, push, read, request, run};

const SHORT: Duration = Duration::from_millis(200);

/// Deadlines are looked over as often as the shortest wait of the edge.
fn quick(config: &mut EdgeConfig) {
    config.patience.drain_idle = SHORT;
}

/// An edge with a route of these times before the upstream.
fn edge_with(times: Timeouts, upstream: SocketAddr) -> (Edge, SocketAddr, Plan) {
    let folder = Arc::new(Folder::new());
    let mut config = config(&folder, "edge", Duration::ZERO);
    quick(&mut config);
    let (mut edge, listen, mut plan) = api_on(Edge::start_with(folder, config), &[upstream]);
    plan.snapshot.routes[0].policy.timeouts = times;
    edge.serve(&plan.next());
    (edge, listen, plan)
}

/// The same for clients of HTTP/2.
fn secure_with(times: Timeouts, upstream: SocketAddr, protocol: Protocol) -> Secure {
    let mut secure = Secure::configured(&[upstream], protocol, quick);
    secure.plan.snapshot.routes[0].policy.timeouts = times;
    let snapshot = secure.plan.next();
    secure.edge.serve(&snapshot);
    secure
}

/// Writes a head and a piece of what it announces, and waits until it is hung up on.
fn begin(stream: &mut TcpStream, head: &str) -> Keep {
    let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}").as_bytes());
    let _ = stream.read(&mut [0]);
    Keep::Close
}

/// Writes a chunk now and then until it is hung up on.
fn drip(stream: &mut TcpStream, content_type: &str) -> Keep {
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ndata: \r\n");
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.set_read_timeout(Some(SHORT / 4));
    loop {
        match stream.read(&mut [0]) {
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            _ => return Keep::Close,
        }
        if stream.write_all(b"1\r\nx\r\n").is_err() {
            return Keep::Close;
        }
    }
}

fn whole(whole: Duration) -> Timeouts {
    Timeouts {
        whole: Some(whole),
        ..Timeouts::default()
    }
}

/// Returns what the access log says ended the only request.
fn error_of(edge: Edge) -> String {
    edge.log()[0]["error"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn an_answer_that_falls_silent_is_cut_and_one_that_goes_on_is_not() {
    let upstream = Upstream::start(|request, stream| match request.target() {
        "/silent" => begin(stream, "Content-Length: 10\r\n\r\nhello"),
        _ => {
            // Longer than a silence may last, in pieces that are each in time.
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n");
            for _ in 0..30 {
                std::thread::sleep(SHORT / 8);
                let _ = stream.write_all(b"x");
            }
            Keep::Open
        }
    });
    let times = Timeouts {
        read: Some(2 * SHORT),
        ..Timeouts::default()
    };
    let (mut edge, listen, _) = edge_with(times, upstream.address);
    assert_eq!(Client::connect(listen).get("/slow").text(), "x".repeat(30));
    let mut client = Client::connect(listen);
    client.write("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut all = String::new();
    client.0.read_to_string(&mut all).unwrap();
    assert!(all.ends_with("\r\n\r\nhello"), "{all}");
    eventually("the replica to be hung up on", || {
        (edge.stats().connections == 0).then_some(())
    });
    assert_eq!(edge.log()[1]["error"], "upstream_silent");
}

#[test]
fn events_have_a_time_of_their_own() {
    let upstream = Upstream::start(|request, stream| match request.target() {
        "/events" => begin(
            stream,
            "Content-Type: Text/Event-Stream; charset=utf-8\r\n\r\ndata: 1\n\n",
        ),
        _ => begin(stream, "Content-Type: text/plain\r\n\r\nhello"),
    });
    let times = Timeouts {
        events_idle: Some(SHORT),
        ..Timeouts::default()
    };
    let (mut edge, listen, _) = edge_with(times, upstream.address);
    let mut plain = Client::connect(listen);
    plain.write("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut events = Client::connect(listen);
    events.write("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut all = String::new();
    events.0.read_to_string(&mut all).unwrap();
    assert!(all.contains("data: 1\n\n"), "{all}");
    let mut events = Client::connect(listen);
    events.write("GET /events HTTP/1.0\r\nHost: a\r\n\r\n");
    let mut all = String::new();
    events.0.read_to_string(&mut all).unwrap();
    assert!(all.ends_with("\r\n\r\ndata: 1\n\n"), "{all}");
    // The other began before both and is still open.
    eventually("only that one to be open", || {
        (edge.stats().connections == 1).then_some(())
    });
    drop(plain);
    let log = edge.log();
    let events = log.iter().find(|line| line["path"] == "/events").unwrap();
    assert_eq!(
        (&events["error"], &events["status"]),
        (&"events_idle".into(), &200.into())
    );
}

#[test]
fn a_request_that_takes_too_long_is_told_so() {
    let upstream = Upstream::start(|_, stream| {
        let _ = stream.read(&mut [0]);
        Keep::Close
    });
    let (mut edge, listen, _) = edge_with(whole(SHORT), upstream.address);
    for _ in 0..3 {
        let answer = Client::connect(listen).get("/");
        assert_eq!(
            (answer.status, answer.header("x-tend-error")),
            (504, Some("request_overdue"))
        );
    }
    // It had all the time there was: that is held against it, and no other replica is asked.
    let stats = edge.stats();
    assert_eq!(stats.replicas[0].failures, [("head_timeout".to_owned(), 3)]);
    assert_eq!(upstream.count(), 3);
    // A client that sends slowly takes the time away, and nobody else is to blame.
    let mut client = Client::connect(listen);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    client.0.set_read_timeout(Some(SHORT / 8)).unwrap();
    let mut got = Vec::new();
    let deadline = std::time::Instant::now() + PATIENCE;
    while got.is_empty() {
        assert!(std::time::Instant::now() < deadline, "never answered");
        let _ = client.0.write_all(b"x");
        let mut buffer = [0; 4096];
        if let Ok(read) = client.0.read(&mut buffer) {
            assert!(read > 0, "closed without a word");
            got.extend_from_slice(&buffer[..read]);
        }
    }
    assert!(got.starts_with(b"HTTP/1.1 504 "), "{}", String::from_utf8_lossy(&got));
    assert_eq!(edge.stats().replicas[0].failures, [("head_timeout".to_owned(), 3)]);
}

#[test]
fn an_answer_that_takes_too_long_is_cut_but_not_one_of_events() {
    let upstream = Upstream::start(|request, stream| match request.target() {
        "/events" => drip(stream, "text/event-stream"),
        _ => drip(stream, "text/plain"),
    });
    let (mut edge, listen, _) = edge_with(whole(2 * SHORT), upstream.address);
    let mut events = Client::connect(listen);
    events.write("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut plain = Client::connect(listen);
    plain.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut all = String::new();
    plain.0.read_to_string(&mut all).unwrap();
    assert!(
        all.starts_with("HTTP/1.1 200 ") && !all.ends_with("\r\n0\r\n\r\n"),
        "{all}"
    );
    // The events came first and go on.
    let mut buffer = [0; 4096];
    while events.0.read(&mut buffer).unwrap() == buffer.len() {}
    assert!(events.0.read(&mut buffer).unwrap() > 0);
    eventually("only that one to be open", || {
        (edge.stats().connections == 1).then_some(())
    });
    drop(events);
    let log = edge.log();
    let plain = log.iter().find(|line| line["path"] == "/").unwrap();
    assert_eq!(plain["error"], "request_overdue");
}

/// Answers with its name, but nothing at `/mute`.
fn mute_at_times(name: &'static str) -> Upstream {
    Upstream::start(move |request, stream| {
        if request.target() == "/mute" {
            let _ = stream.read(&mut [0]);
            return Keep::Close;
        }
        respond(stream, 200, name)
    })
}

/// Waits until a request that began now has taken too long.
fn wait_for_the_whole(listen: SocketAddr) {
    assert_eq!(Client::connect(listen).get("/mute").status, 504);
}

#[test]
fn the_time_of_a_pause_does_not_count() {
    let upstream = mute_at_times("resumed");
    let (mut edge, listen, plan) = edge_with(whole(3 * SHORT), upstream.address);
    let mut plan = plan.route(None, "/mute", "api");
    plan.snapshot.routes[1].policy = plan.snapshot.routes[0].policy.clone();
    plan.snapshot.routes[0].pause = Some(Pause {
        requests_max: 10,
        wait_max_ms: 60_000,
    });
    edge.serve(&plan.next());
    let waiting = std::thread::spawn(move || Client::connect(listen).get("/"));
    eventually("it to wait", || (edge.stats().paused == 1).then_some(()));
    wait_for_the_whole(listen);
    plan.snapshot.routes[0].pause = None;
    edge.serve(&plan.next());
    assert_eq!(waiting.join().unwrap().text(), "resumed");
}

#[test]
fn a_payment_that_takes_too_long_is_in_doubt() {
    let (release, wait) = sync_channel::<()>(1);
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::start(move |_, stream| {
        let _ = wait.lock().unwrap().recv_timeout(PATIENCE);
        respond(stream, 200, "paid")
    });
    let (mut edge, listen, mut plan) = edge_with(whole(SHORT), upstream.address);
    plan.snapshot.routes[0].policy.money = Some(Money::default());
    edge.serve(&plan.next());
    let mut client = Client::connect(listen);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nContent-Length: 1\r\n\r\nx");
    let answer = client.read();
    assert_eq!((answer.status, answer.header("x-tend-outcome")), (504, Some("unknown")));
    release.send(()).unwrap();
}

#[test]
fn the_times_hold_for_http2_as_well() {
    let silent = H2Upstream::start(|request, mut respond| async move {
        if request.uri().path() == "/mute" {
            return std::future::pending().await;
        }
        let kind = if request.uri().path() == "/events" {
            "text/event-stream"
        } else {
            "text/plain"
        };
        let head = http::Response::builder().header("content-type", kind).body(()).unwrap();
        let mut stream = respond.send_response(head, false).unwrap();
        let _ = push(&mut stream, Bytes::from_static(b"some")).await;
        std::future::pending::<()>().await;
    });
    let plain = Upstream::start(|request, stream| match request.target() {
        "/mute" => {
            let _ = stream.read(&mut [0]);
            Keep::Close
        }
        "/events" => begin(stream, "Content-Type: text/event-stream\r\n\r\nsome"),
        _ => begin(stream, "Content-Type: text/plain\r\n\r\nsome"),
    });
    let read_only = Timeouts {
        read: Some(SHORT),
        ..Timeouts::default()
    };
    let events = Timeouts {
        events_idle: Some(SHORT),
        ..Timeouts::default()
    };
    for (upstream, protocol) in [(silent.address, Protocol::Http2), (plain.address, Protocol::Http1)] {
        for (times, path, error) in [
            (read_only, "/", "upstream_silent"),
            (events, "/events", "events_idle"),
            (whole(SHORT), "/", "request_overdue"),
        ] {
            let secure = secure_with(times, upstream, protocol);
            run(async {
                let client = secure.client().await;
                let mut sender = client.sender.clone().ready().await.unwrap();
                let (response, _) = sender.send_request(request("GET", path), true).unwrap();
                let response = response.await.unwrap();
                assert_eq!(response.status(), 200);
                assert!(read(response).await.is_err(), "{path} ended well");
            });
            assert_eq!(error_of(secure.edge), error, "{protocol:?}");
        }
        let secure = secure_with(whole(SHORT), upstream, protocol);
        run(async {
            let answer = secure.client().await.get("/mute").await;
            assert_eq!(
                (answer.status, answer.header("x-tend-error")),
                (504, Some("request_overdue"))
            );
        });
        let mut edge = secure.edge;
        assert_eq!(edge.stats().replicas[0].failures, [("head_timeout".to_owned(), 1)]);
    }
}

#[test]
fn a_websocket_outlives_the_time_of_a_request() {
    let upstream = Upstream::start(move |request, stream| {
        if request.target() == "/mute" {
            let _ = stream.read(&mut [0]);
            return Keep::Close;
        }
        let _ = stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
        let mut byte = [0];
        while matches!(stream.read(&mut byte), Ok(1)) {
            let _ = stream.write_all(&byte);
        }
        Keep::Close
    });
    let (_edge, listen, _) = edge_with(whole(SHORT), upstream.address);
    let mut client = Client::connect(listen);
    client.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.read().status, 101);
    wait_for_the_whole(listen);
    client.write("x");
    let mut byte = [0];
    client.0.read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"x");
}
