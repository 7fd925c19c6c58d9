//! What the engine does with bytes beyond the ordinary: both directions at once, answers that come early, bodies of every framing,
//! heads of every size, and the connection afterwards.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tend_routing::ReplicaState;

use crate::fixture::{Client, Keep, PATIENCE, Upstream, api, eventually, free_address, respond};

/// A replica that takes one connection, reads a head, and goes on with `then`.
fn replica(
    then: impl FnOnce(TcpStream, String) + Send + 'static,
) -> (std::net::SocketAddr, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let head = head(&mut stream);
        then(stream, head);
    });
    (address, thread)
}

/// Reads a head byte by byte, so that nothing behind it is taken.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn an_answer_that_comes_before_the_end_of_the_request_reaches_the_client() {
    // Reads nothing of the body, as a server does that refuses it.
    let (address, thread) = replica(|mut stream, _| {
        stream
            .write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\n\r\ntoo much")
            .unwrap();
        // Stays, so that the client is not helped by a connection that breaks.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let (edge, listen, _) = api(&[address]);
    let mut client = Client::connect(listen);
    client.write("PUT /big HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n");
    let mut writer = client.0.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let piece = [b'x'; 64 << 10];
        // Ends when the edge takes no more, or everything was sent.
        for _ in 0..9_000_000 / piece.len() {
            if writer.write_all(&piece).is_err() {
                break;
            }
        }
    });
    let response = client.read();
    assert_eq!((response.status, response.text()), (413, "too much"));
    assert_eq!(response.header("connection"), Some("close"));
    let _ = client.0.shutdown(Shutdown::Both);
    sender.join().unwrap();
    drop(client);
    thread.join().unwrap();
    assert_eq!(edge.log()[0]["status"], 413);
}

#[test]
fn both_directions_may_run_at_once() {
    // Echoes each piece as it comes, before the request has ended.
    let (address, thread) = replica(|mut stream, _| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .unwrap();
        let mut buffer = [0; 64];
        let mut all = Vec::new();
        while !all.ends_with(b"0\r\n\r\n") {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "the edge closed");
            stream.write_all(&buffer[..read]).unwrap();
            all.extend_from_slice(&buffer[..read]);
        }
    });
    let (_edge, listen, _) = api(&[address]);
    let mut client = Client::connect(listen);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let head = head(&mut client.0);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    for word in ["one", "two", "six"] {
        client.write(&format!("3\r\n{word}\r\n"));
        let mut echoed = [0; 8];
        client.0.read_exact(&mut echoed).unwrap();
        assert_eq!(echoed, format!("3\r\n{word}\r\n").as_bytes());
    }
    client.write("0\r\n\r\n");
    let mut last = [0; 5];
    client.0.read_exact(&mut last).unwrap();
    assert_eq!(&last, b"0\r\n\r\n");
    thread.join().unwrap();
}

#[test]
fn a_request_that_is_not_read_is_not_collected() {
    const TOTAL: u64 = 64_000_000;
    let taken = Arc::new(AtomicU64::new(0));
    let (release, wait) = std::sync::mpsc::sync_channel::<()>(0);
    let (address, thread) = replica({
        let taken = taken.clone();
        move |mut stream, _| {
            // Takes nothing until it is told to.
            wait.recv().unwrap();
            let mut buffer = vec![0; 1 << 20];
            while taken.load(Ordering::SeqCst) < TOTAL {
                let read = stream.read(&mut buffer).unwrap();
                assert!(read > 0, "the edge closed");
                taken.fetch_add(read as u64, Ordering::SeqCst);
            }
            respond(&mut stream, 200, "all");
        }
    });
    let (mut edge, listen, mut plan) = api(&[address]);
    plan.snapshot.routes[0].policy.body_bytes_max = Some(0);
    edge.serve(&plan.next());
    let mut client = Client::connect(listen);
    client.write(&format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {TOTAL}\r\n\r\n"));
    let written = Arc::new(AtomicU64::new(0));
    let mut writer = client.0.try_clone().unwrap();
    let sender = std::thread::spawn({
        let written = written.clone();
        move || {
            let piece = vec![b'x'; 64_000];
            for _ in 0..TOTAL / piece.len() as u64 {
                writer.write_all(&piece).unwrap();
                written.fetch_add(piece.len() as u64, Ordering::SeqCst);
            }
        }
    });
    let mut before = 0;
    eventually("a standstill", || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let now = written.load(Ordering::SeqCst);
        (std::mem::replace(&mut before, now) == now && now > 0).then_some(())
    });
    // The kernel's buffers of two connections hold some 20 MB at most.
    assert!(before < TOTAL / 2, "{before} bytes were taken");
    assert_eq!(edge.stats().replicas[0].in_flight, 1);
    release.send(()).unwrap();
    assert_eq!(client.read().text(), "all");
    sender.join().unwrap();
    thread.join().unwrap();
}

#[test]
fn interim_answers_are_passed_to_who_understands_them() {
    let upstream = Upstream::start(|_, stream| {
        let hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nX-Tend-Replica: forged\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
        stream.write_all(hint).unwrap();
        respond(stream, 200, "page")
    });
    let (_edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let hint = client.read();
    assert_eq!((hint.status, hint.header("link")), (103, Some("</a.css>")));
    assert_eq!(hint.header("x-tend-replica"), None);
    assert_eq!(client.read().text(), "page");
    let mut old = Client::connect(listen);
    old.write("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(old.read().text(), "page");
}

#[test]
fn an_upstream_that_never_comes_to_its_answer_is_a_502() {
    let upstream = Upstream::start(|_, stream| {
        let _ = stream.write_all("HTTP/1.1 102 Processing\r\n\r\n".repeat(100).as_bytes());
        Keep::Close
    });
    let (_edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let mut response = client.read();
    while response.status == 102 {
        response = client.read();
    }
    assert_eq!(response.status, 502);
}

#[test]
fn a_put_whose_replica_hangs_up_is_sent_whole_to_the_next() {
    let (bad, good) = (
        Upstream::start(|_, _| Keep::Close),
        Upstream::start(|request, stream| respond(stream, 200, &String::from_utf8_lossy(&request.body))),
    );
    let (_edge, listen, _) = api(&[bad.address, good.address]);
    let mut client = Client::connect(listen);
    for number in 0..6 {
        let body = format!("body {number}");
        client.write(&format!(
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let response = client.read();
        assert_eq!((response.status, response.text()), (200, &body[..]));
    }
    assert!(bad.count() > 0);
}

#[test]
fn pipelined_bodies_are_not_mixed_up() {
    let upstream = Upstream::start(|request, stream| respond(stream, 200, &String::from_utf8_lossy(&request.body)));
    let (_edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    let mut all = String::new();
    for number in 0..10 {
        all += &format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{number};");
        all += &format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{number}\r\n1\r\n!\r\n0\r\n\r\n"
        );
    }
    client.write(&all);
    for number in 0..10 {
        assert_eq!(client.read().text(), format!("{number};"));
        assert_eq!(client.read().text(), format!("{number}!"));
    }
}

#[test]
fn an_answer_until_the_end_of_the_connection_has_an_end_for_the_client() {
    let upstream = Upstream::start(|_, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nto the end")
            .unwrap();
        Keep::Close
    });
    let (_edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    for _ in 0..3 {
        let response = client.get("/");
        assert_eq!(response.header("transfer-encoding"), Some("chunked"));
        assert_eq!(response.text(), "to the end");
    }
    let mut old = Client::connect(listen);
    old.write("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let response = old.read();
    assert_eq!(
        (response.text(), response.header("connection")),
        ("to the end", Some("close"))
    );
}

#[test]
fn an_old_client_keeps_its_connection_where_it_asks_to() {
    let upstream = Upstream::named("api");
    let (_edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    for _ in 0..3 {
        client.write("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let response = client.read();
        assert_eq!(
            (response.text(), response.header("connection")),
            ("api", Some("keep-alive"))
        );
    }
    client.write("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.read().header("connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn trailer_fields_pass_both_ways() {
    let (address, thread) = replica(|mut stream, _| {
        let mut body = Vec::new();
        while !body.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            body.push(byte[0]);
        }
        let body = String::from_utf8(body).unwrap();
        assert!(body.ends_with("0\r\nx-sum: 7\r\n\r\n"), "{body}");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nGrpc-Status: 0\r\nSet-Cookie: a\r\n\r\n")
            .unwrap();
    });
    let (_edge, listen, _) = api(&[address]);
    let mut client = Client::connect(listen);
    client.write(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
         2\r\nhi\r\n0\r\nX-Sum: 7\r\nContent-Type: x\r\n\r\n",
    );
    let mut all = String::new();
    client.0.read_to_string(&mut all).unwrap();
    assert!(all.ends_with("2\r\nok\r\n0\r\ngrpc-status: 0\r\n\r\n"), "{all}");
    thread.join().unwrap();
}

#[test]
fn heads_may_be_large_up_to_their_limits() {
    let upstream = Upstream::start(|request, stream| {
        let size: usize = request.target()[1..].parse().unwrap_or(0);
        let text = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Large: {}\r\n\r\n{}",
            2,
            "y".repeat(size),
            "ok"
        );
        match stream.write_all(text.as_bytes()) {
            Ok(()) => Keep::Open,
            Err(_) => Keep::Close,
        }
    });
    let (_edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    for size in [0, 20_000, 40_000, 60_000] {
        let asked = "x".repeat(size / 2);
        client.write(&format!("GET /{size} HTTP/1.1\r\nHost: a\r\nX-Large: {asked}\r\n\r\n"));
        let response = client.read();
        assert_eq!(
            response.header("x-large").map(str::len),
            Some(size).filter(|size| *size > 0).or(Some(0))
        );
        assert_eq!(upstream.last().header("x-large").map(str::len), Some(size / 2));
    }
    let response = client.get("/70000");
    assert_eq!(
        (response.status, response.header("x-tend-error")),
        (502, Some("upstream_failed"))
    );
}

#[test]
fn what_is_refused_says_why_and_ends_the_connection() {
    let upstream = Upstream::named("reached");
    let (edge, listen, _) = api(&[upstream.address]);
    for (request, status, error) in [
        (
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(20_000)),
            414,
            "target_too_long",
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(40_000)),
            431,
            "head_too_large",
        ),
        (
            format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "X".repeat(40)),
            501,
            "method_unknown",
        ),
        (
            "GET / HTTP/3.0\r\nHost: a\r\n\r\n".to_owned(),
            505,
            "version_unsupported",
        ),
        (
            "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            405,
            "method_not_allowed",
        ),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400, "bad_request"),
        ("\u{16}\u{3}\u{1}\u{2}".to_owned(), 400, "bad_request"),
    ] {
        let mut client = Client::connect(listen);
        client.write(&request);
        let response = client.read();
        assert_eq!(
            (response.status, response.header("x-tend-error")),
            (status, Some(error))
        );
        assert_eq!(response.header("connection"), Some("close"));
        assert!(response.header("date").is_some() && response.header("x-request-id").is_some());
        assert!(client.is_closed());
    }
    assert_eq!(upstream.count(), 0);
    assert_eq!(edge.log().len(), 7);
}

#[test]
fn a_refused_body_is_out_of_the_way_of_the_next_request() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    plan.snapshot.services[0].replicas[0].state = ReplicaState::Draining;
    edge.serve(&plan.next());
    let mut client = Client::connect(listen);
    // In one piece with the head, in a piece of its own, in chunks: nobody wants it.
    assert_eq!(client.post("/", &"x".repeat(3000)).status, 503);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n");
    assert_eq!(client.read().status, 503);
    client.write(&"y".repeat(20_000));
    client.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(client.read().status, 503);
    plan.snapshot.services[0].replicas[0].state = ReplicaState::Ready;
    edge.serve(&plan.next());
    assert_eq!(client.get("/").text(), "api");
    // One that is long is not waited for.
    plan.snapshot.services[0].replicas[0].state = ReplicaState::Draining;
    edge.serve(&plan.next());
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n");
    let response = client.read();
    assert_eq!((response.status, response.header("connection")), (503, Some("close")));
}

#[test]
fn bytes_that_nobody_asked_for_do_not_become_the_next_answer() {
    // A 204 with a body, and an answer with more than its length.
    let upstream = Upstream::start(|request, stream| {
        let text: &[u8] = match request.target() {
            "/coded" => b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "/longer" => {
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
            }
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood",
        };
        match stream.write_all(text) {
            Ok(()) => Keep::Open,
            Err(_) => Keep::Close,
        }
    });
    let (_edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    for path in ["/coded", "/longer"] {
        client.get(path);
        assert_eq!(client.get("/").text(), "good", "after {path}");
        assert_eq!(client.post("/", "x").text(), "good", "after {path}");
    }
}

#[test]
fn a_dead_replica_is_told_from_one_that_refuses_the_body() {
    // Nobody is there at all: nothing of the body may be lost on the way to the next.
    let good = Upstream::start(|request, stream| respond(stream, 200, &request.body.len().to_string()));
    let (_edge, listen, _) = api(&[free_address(), free_address(), good.address]);
    for size in [10, 100_000] {
        let mut client = Client::connect(listen);
        let response = client.post("/", &"x".repeat(size));
        assert_eq!((response.status, response.text()), (200, &size.to_string()[..]));
    }
}
