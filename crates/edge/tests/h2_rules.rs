//! What the edge does to requests and answers holds for clients of HTTP/2 as it does for those of HTTP/1: keys, compression, paths,
//! hops, deadlines, early answers, and connections that are kept.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use tend_core::model::{Compress, Listener, Money, Protocol, Rewrite};
use tend_edge::FromEdge;

use crate::content::decoded;
use crate::fixture::{Client, Keep, Upstream, eventually, free_address, respond};
use crate::h2_peers::{H2Upstream, Secure, push, read, request, run};

const SHORT: Duration = Duration::from_millis(200);

/// Returns a request with some fields.
fn asked(method: &str, path: &str, fields: &[(&'static str, &'static str)]) -> http::Request<()> {
    let mut asked = request(method, path);
    for (name, value) in fields {
        asked.headers_mut().append(*name, HeaderValue::from_static(value));
    }
    asked
}

#[test]
fn a_key_makes_one_payment_whichever_protocol_asks_again() {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    let upstream = Upstream::start(move |request, stream| {
        let number = seen.fetch_add(1, Ordering::SeqCst) + 1;
        assert_eq!(request.body, b"amount=5");
        respond(stream, 201, &format!("payment {number}"))
    });
    let mut secure = Secure::before(&[upstream.address], Protocol::Http1);
    let plain = free_address();
    secure.plan.snapshot.listeners.push(Listener::plain(plain));
    secure.plan.snapshot.routes[0].policy.money = Some(Money {
        key_required: true,
        ..Money::default()
    });
    secure.edge.serve(&secure.plan.next());
    run(async {
        let client = secure.client().await;
        let keyed = || {
            asked(
                "POST",
                "/pay",
                &[("idempotency-key", "k-1"), ("cookie", "a=1"), ("cookie", "b=2")],
            )
        };
        let first = client.ask(keyed(), b"amount=5").await.unwrap();
        assert_eq!((first.status, first.text()), (201, "payment 1"));
        assert_eq!(first.header("idempotent-replayed"), None);
        let again = client.ask(keyed(), b"amount=5").await.unwrap();
        assert_eq!((again.status, again.text()), (201, "payment 1"));
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        let other = client.ask(keyed(), b"amount=6").await.unwrap();
        assert_eq!((other.status, other.header("x-tend-error")), (422, Some("key_reused")));
        let without = client.ask(request("POST", "/pay"), b"amount=5").await.unwrap();
        assert_eq!(
            (without.status, without.header("x-tend-error")),
            (400, Some("key_missing"))
        );
    });
    let mut client = Client::connect(plain);
    client.write(
        "POST /pay HTTP/1.1\r\nHost: any.test\r\nIdempotency-Key: k-1\r\nCookie: a=1; b=2\r\nContent-Length: 8\r\n\r\namount=5",
    );
    assert_eq!(client.read().text(), "payment 1");
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert_eq!(upstream.last().header("cookie"), Some("a=1; b=2"));
}

#[test]
fn answers_are_compressed_as_clients_like_and_decode_to_what_they_were() {
    let body: String = "{\"sum\": 1234567890}, ".repeat(3000);
    let sent = body.clone();
    let upstream = Upstream::start(move |request, stream| {
        let mut out = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n".to_vec();
        if request.target() == "/chunked" {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for piece in sent.as_bytes().chunks(1000) {
                write!(out, "{:x}\r\n", piece.len()).unwrap();
                out.extend_from_slice(piece);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"0\r\nX-Sum: 7\r\n\r\n");
        } else {
            write!(out, "Content-Length: {}\r\n\r\n{sent}", sent.len()).unwrap();
        }
        stream.write_all(&out).map_or(Keep::Close, |()| Keep::Open)
    });
    let mut secure = Secure::before(&[upstream.address], Protocol::Http1);
    secure.plan.snapshot.routes[0].policy.compress = Compress {
        enabled: true,
        ..Compress::default()
    };
    secure.edge.serve(&secure.plan.next());
    run(async {
        let client = secure.client().await;
        for coding in ["gzip", "br", "zstd"] {
            for path in ["/", "/chunked"] {
                let accepted = asked("GET", path, &[("accept-encoding", coding)]);
                let answer = client.ask(accepted, b"").await.unwrap();
                assert_eq!(answer.header("content-encoding"), Some(coding), "{path}");
                assert_eq!(answer.header("content-length"), None);
                assert!(answer.body.len() < body.len() / 4);
                assert!(decoded(coding, &answer.body) == body.as_bytes(), "{coding} {path}");
                let sum = answer.trailers.as_ref().and_then(|trailers| trailers.get("x-sum"));
                assert_eq!(sum.is_some(), path == "/chunked");
            }
        }
        let whole = client.get("/").await;
        assert_eq!((whole.header("content-encoding"), whole.body.len()), (None, body.len()));
        assert_eq!(whole.header("content-length"), Some(body.len().to_string().as_str()));
    });
}

#[test]
fn a_path_is_put_into_the_services_own_whatever_the_replica_speaks() {
    let (plain, linked) = (Upstream::named("api"), H2Upstream::named("api"));
    for (address, protocol) in [(plain.address, Protocol::Http1), (linked.address, Protocol::Http2)] {
        let mut secure = Secure::before(&[address], protocol);
        let route = &mut secure.plan.snapshot.routes[0];
        route.path_prefix = "/api".to_owned();
        route.policy.rewrite = Some(Rewrite::StripPrefix);
        secure.edge.serve(&secure.plan.next());
        run(async { assert_eq!(secure.client().await.get("/api/pay?a=/api").await.text(), "api") });
    }
    assert_eq!(plain.last().target(), "/pay?a=/api");
    assert_eq!(
        linked.requests.lock().unwrap()[0].uri.path_and_query().unwrap(),
        "/pay?a=/api"
    );
}

#[test]
fn a_trusted_hop_is_believed_whatever_the_replica_speaks() {
    let (plain, linked) = (Upstream::named("api"), H2Upstream::named("api"));
    for (address, protocol) in [(plain.address, Protocol::Http1), (linked.address, Protocol::Http2)] {
        let mut secure = Secure::before(&[address], protocol);
        secure.plan.snapshot.listeners[0].trusted = vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        secure.edge.serve(&secure.plan.next());
        let hops = [
            ("x-forwarded-for", "1.1.1.1, 198.51.100.1, 10.0.0.2"),
            ("x-forwarded-proto", "http"),
        ];
        run(async {
            assert_eq!(
                secure
                    .client()
                    .await
                    .ask(asked("GET", "/", &hops), b"")
                    .await
                    .unwrap()
                    .status,
                200
            )
        });
        assert_eq!(secure.edge.log()[0]["client"], "198.51.100.1");
    }
    let told = plain.last();
    let heard = linked.requests.lock().unwrap();
    for (name, value) in [
        ("x-forwarded-for", "198.51.100.1, 10.0.0.2, 127.0.0.1"),
        ("x-real-ip", "198.51.100.1"),
        ("x-forwarded-proto", "http"),
    ] {
        assert_eq!(told.header(name), Some(value));
        assert_eq!(heard[0].headers[name], value);
    }
}

#[test]
fn heads_that_could_be_read_in_two_ways_are_not_passed_on() {
    let upstream = Upstream::named("api");
    let secure = Secure::before(&[upstream.address], Protocol::Http1);
    run(async {
        let client = secure.client().await;
        for fields in [
            [("content_length", "5")],
            [("transfer_encoding", "chunked")],
            [("content-length", "5")],
        ] {
            let refused = client.ask(asked("GET", "/", &fields), b"").await;
            assert!(refused.map_or(true, |answer| answer.status == 400), "{fields:?}");
        }
        let announced = client
            .ask(asked("POST", "/", &[("content-length", "3")]), b"more than that")
            .await;
        assert!(announced.map_or(true, |answer| answer.status != 200));
        assert_eq!(client.get("/").await.text(), "api");
    });
    // Of the one that announced less than it sent, the head may have been on its way.
    let requests = upstream.requests.lock().unwrap();
    assert!(requests.iter().all(|request| request.body.len() <= 3));
}

#[test]
fn what_frames_a_request_is_said_once_and_as_it_is() {
    let upstream = Upstream::named("api");
    let secure = Secure::before(&[upstream.address], Protocol::Http1);
    run(async {
        let client = secure.client().await;
        type Framed = (Option<&'static str>, Option<&'static str>);
        let cases: [(http::Request<()>, &[u8], Framed); 5] = [
            (request("GET", "/"), b"", (None, None)),
            (request("POST", "/"), b"", (Some("0"), None)),
            (asked("DELETE", "/", &[("content-length", "0")]), b"", (Some("0"), None)),
            (
                asked("PUT", "/", &[("content-length", "5")]),
                b"hello",
                (Some("5"), None),
            ),
            (request("PATCH", "/"), b"hello", (None, Some("chunked"))),
        ];
        for (asked, body, framed) in cases {
            let what = format!("{asked:?}");
            assert_eq!(client.ask(asked, body).await.unwrap().status, 200, "{what}");
            let got = upstream.last();
            let framing = (got.header("content-length"), got.header("transfer-encoding"));
            assert_eq!(framing, framed, "{what}");
            assert_eq!(got.body, body);
        }
    });
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1, "all on one connection");
}

#[test]
fn what_is_no_answer_yet_is_passed_on_and_100_is_not() {
    let upstream = Upstream::start(|_, stream| {
        let heads = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        stream.write_all(heads.as_bytes()).map_or(Keep::Close, |()| Keep::Open)
    });
    let secure = Secure::before(&[upstream.address], Protocol::Http1);
    run(async {
        let client = secure.client().await;
        let mut sender = client.sender.clone().ready().await.unwrap();
        let (mut response, _) = sender.send_request(request("GET", "/"), true).unwrap();
        let hint = std::future::poll_fn(|cx| response.poll_informational(cx))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (hint.status(), &hint.headers()["link"]),
            (http::StatusCode::EARLY_HINTS, &"</a.css>".parse().unwrap())
        );
        assert_eq!(read(response.await.unwrap()).await.unwrap().text(), "ok");
    });
}

#[test]
fn a_small_body_goes_to_the_next_replica_when_the_first_closes() {
    let closing = Upstream::start(|_, _| Keep::Close);
    let good = Upstream::start(|request, stream| respond(stream, 200, std::str::from_utf8(&request.body).unwrap()));
    let secure = Secure::before(&[closing.address, good.address], Protocol::Http1);
    run(async {
        let client = secure.client().await;
        for _ in 0..2 {
            assert_eq!(client.ask(request("PUT", "/"), b"once").await.unwrap().text(), "once");
            // What cannot be repeated is not.
            let _ = client.ask(request("POST", "/"), b"once").await.unwrap();
        }
    });
    let posts = |upstream: &Upstream| {
        let requests = upstream.requests.lock().unwrap();
        requests.iter().filter(|request| request.method() == "POST").count()
    };
    assert_eq!(posts(&closing) + posts(&good), 2);
    assert!(closing.count() > 0);
}

#[test]
fn a_kept_connection_that_was_closed_is_not_used_for_what_cannot_be_repeated() {
    let upstream = Upstream::start(|_, stream| {
        let _ = respond(stream, 200, "api");
        Keep::Close
    });
    let secure = Secure::before(&[upstream.address], Protocol::Http1);
    run(async {
        let client = secure.client().await;
        for turn in 1..=20 {
            let answer = client.ask(request("POST", "/"), b"pay").await.unwrap();
            assert_eq!((answer.status, answer.text()), (200, "api"), "{turn}");
            while !upstream.all_closed() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    assert_eq!(upstream.count(), 20);
}

#[test]
fn both_kinds_of_clients_share_the_connections_to_replicas() {
    let upstream = Upstream::named("api");
    let mut secure = Secure::configured(&[upstream.address], Protocol::Http1, |config| config.threads = 1);
    let plain = free_address();
    secure.plan.snapshot.listeners.push(Listener::plain(plain));
    secure.edge.serve(&secure.plan.next());
    run(async {
        let client = secure.client().await;
        for _ in 0..5 {
            assert_eq!(client.get("/").await.text(), "api");
            assert_eq!(Client::connect(plain).get("/").text(), "api");
        }
    });
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn who_keeps_a_request_waiting_is_told_or_blamed() {
    let silent = Upstream::start(|_, stream| {
        let _ = stream.read(&mut [0]);
        Keep::Close
    });
    let mut secure = Secure::configured(&[silent.address], Protocol::Http1, |config| {
        config.patience.answer = SHORT;
        config.patience.body = SHORT;
    });
    run(async {
        let client = secure.client().await;
        let late = client.ask(request("POST", "/"), b"x").await.unwrap();
        assert_eq!(
            (late.status, late.header("x-tend-error")),
            (504, Some("upstream_timeout"))
        );
        let mut sender = client.sender.clone().ready().await.unwrap();
        let (response, mut stream) = sender
            .send_request(asked("POST", "/", &[("content-length", "10")]), false)
            .unwrap();
        push(&mut stream, Bytes::from_static(b"hello")).await.unwrap();
        let slow = read(response.await.unwrap()).await.unwrap();
        assert_eq!(
            (slow.status, slow.header("x-tend-error")),
            (408, Some("request_timeout"))
        );
    });
    // The client that did not send its body is not held against the replica.
    let failures = &secure.edge.stats().replicas[0].failures;
    assert_eq!(*failures, [("head_timeout".to_owned(), 1)]);
}

/// Serves one connection: reads a head, and does with the rest as it is told.
fn one_connection(serve: impl FnOnce(TcpStream) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        serve(stream);
    });
    (address, server)
}

#[test]
fn an_answer_that_comes_before_the_end_of_its_request_is_passed_on() {
    let (address, server) = one_connection(|mut stream| {
        stream
            .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            .unwrap();
        // Until the edge closes.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let secure = Secure::before(&[address], Protocol::Http1);
    run(async {
        let client = secure.client().await;
        let mut sender = client.sender.clone().ready().await.unwrap();
        let (response, mut stream) = sender.send_request(request("POST", "/"), false).unwrap();
        push(&mut stream, Bytes::from_static(b"part")).await.unwrap();
        let answer = read(response.await.unwrap()).await.unwrap();
        assert_eq!((answer.status, answer.text()), (403, "no"));
    });
    server.join().unwrap();
}

#[test]
fn a_request_goes_on_while_nobody_reads_its_answer() {
    // Sends back what it gets, as it gets it.
    let (address, server) = one_connection(|mut stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .unwrap();
        // The chunks of the request are chunks of the answer.
        let mut writer = stream.try_clone().unwrap();
        let _ = std::io::copy(&mut stream, &mut writer);
    });
    let secure = Secure::before(&[address], Protocol::Http1);
    let body = vec![7u8; 150_000];
    run(async {
        let client = secure.client().await;
        let mut sender = client.sender.clone().ready().await.unwrap();
        let (response, mut stream) = sender.send_request(request("PUT", "/"), false).unwrap();
        push(&mut stream, Bytes::from_static(b"first")).await.unwrap();
        let response = response.await.unwrap();
        // More than a client's window for the answer, less than that and what sockets hold; nothing of it is read meanwhile.
        push(&mut stream, Bytes::from(body.clone())).await.unwrap();
        stream.send_data(Bytes::new(), true).unwrap();
        let whole = read(response).await.unwrap();
        assert_eq!(whole.body.len(), body.len() + 5);
    });
    drop(secure);
    server.join().unwrap();
}

#[test]
fn a_client_that_resets_while_a_replica_of_http1_is_asked_ends_it() {
    let upstream = Upstream::start(|_, stream| {
        let _ = stream.read(&mut [0]);
        Keep::Close
    });
    let mut secure = Secure::before(&[upstream.address], Protocol::Http1);
    run(async {
        let client = secure.client().await;
        let mut sender = client.sender.clone().ready().await.unwrap();
        let (response, stream) = sender.send_request(request("GET", "/"), true).unwrap();
        while upstream.count() == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        drop((response, stream));
        // The replica sees its connection end.
        while !upstream.all_closed() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    eventually("nothing in flight", || {
        (secure.edge.stats().replicas[0].in_flight == 0).then_some(())
    });
    assert_eq!(secure.edge.log()[0]["status"], 499);
}

#[test]
fn an_answer_that_a_replica_cuts_is_cut_for_the_client_too() {
    let upstream = Upstream::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        Keep::Close
    });
    let mut secure = Secure::before(&[upstream.address], Protocol::Http1);
    run(async {
        let client = secure.client().await;
        let cut = client.ask(request("GET", "/"), b"").await.unwrap_err();
        assert_eq!(cut.reason(), Some(h2::Reason::INTERNAL_ERROR));
    });
    assert!(matches!(
        secure.edge.event(|event| matches!(event, FromEdge::Answered { .. })),
        FromEdge::Answered { .. }
    ));
    assert_eq!(secure.edge.log()[0]["error"], "upstream_cut");
}

#[test]
fn trailers_of_replicas_of_http2_reach_clients_of_http1() {
    let upstream = H2Upstream::start(|_, mut respond| async move {
        let mut stream = respond.send_response(http::Response::new(()), false).unwrap();
        stream.send_data(Bytes::from_static(b"body"), false).unwrap();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("4"));
        trailers.insert("x-tend-replica", HeaderValue::from_static("forged"));
        stream.send_trailers(trailers).unwrap();
    });
    let mut secure = Secure::before(&[upstream.address], Protocol::Http2);
    let plain = free_address();
    secure.plan.snapshot.listeners.push(Listener::plain(plain));
    secure.edge.serve(&secure.plan.next());
    let mut stream = TcpStream::connect(plain).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: any.test\r\nConnection: close\r\n\r\n")
        .unwrap();
    stream.set_read_timeout(Some(crate::fixture::PATIENCE)).unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    assert!(all.ends_with("4\r\nbody\r\n0\r\nx-sum: 4\r\n\r\n"), "{all}");
}
