//! HTTP/2 on both sides: bodies, trailers and streams, flow control, limits, leaving, and clients that are not of ours.

use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use tend_core::model::{Listener, Protocol};
use tokio::sync::Notify;

use crate::fixture::{Client, Keep, Upstream, eventually, free_address};
use crate::h2_peers::{H2Upstream, Secure, push, read, request, run};

/// Returns bytes in which a lost or doubled piece shows.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

/// Answers with what it was sent, in chunks, with trailers.
fn echo() -> Upstream {
    Upstream::start(|request, stream| {
        let mut out =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum, x-tend-replica\r\n\r\n".to_vec();
        for chunk in request.body.chunks(7777) {
            write!(out, "{:x}\r\n", chunk.len()).unwrap();
            out.extend_from_slice(chunk);
            out.extend_from_slice(b"\r\n");
        }
        write!(
            out,
            "0\r\nx-sum: {}\r\nx-tend-replica: forged\r\n\r\n",
            request.body.len()
        )
        .unwrap();
        match stream.write_all(&out) {
            Ok(()) => Keep::Open,
            Err(_) => Keep::Close,
        }
    })
}

/// As [`echo`], in HTTP/2, piece by piece as it comes.
fn echo_h2() -> H2Upstream {
    H2Upstream::start(|request, mut respond| async move {
        let mut body = request.into_body();
        let Ok(mut stream) = respond.send_response(Response::new(()), false) else {
            return;
        };
        let mut sum = 0;
        while let Some(Ok(data)) = body.data().await {
            sum += data.len();
            body.flow_control().release_capacity(data.len()).unwrap();
            if push(&mut stream, data).await.is_err() {
                return;
            }
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from(sum));
        trailers.insert("x-tend-replica", HeaderValue::from_static("forged"));
        if let Ok(Some(theirs)) = body.trailers().await {
            trailers.extend(theirs.into_iter().filter_map(|(name, value)| Some((name?, value))));
        }
        let _ = stream.send_trailers(trailers);
    })
}

#[test]
fn bodies_and_trailers_pass_both_ways_whole_whatever_the_replica_speaks() {
    let (plain, linked) = (echo(), echo_h2());
    let body = pattern(5_000_000);
    for (address, protocol) in [(plain.address, Protocol::Http1), (linked.address, Protocol::Http2)] {
        let secure = Secure::before(&[address], protocol);
        run(async {
            let client = secure.client().await;
            let answer = client.ask(request("PUT", "/"), &body).await.unwrap();
            assert_eq!(answer.status, 200);
            assert!(answer.body == body, "{protocol:?}");
            let trailers = answer.trailers.unwrap();
            assert_eq!(trailers["x-sum"], "5000000");
            assert_eq!(trailers.get("x-tend-replica"), None, "{protocol:?}");
        });
        let log = secure.edge.log();
        assert_eq!(
            (&log[0]["bytes_in"], &log[0]["bytes_out"]),
            (&5_000_000.into(), &5_000_000.into())
        );
        assert_eq!(log[0]["status"], 200);
    }
}

#[test]
fn messages_of_grpc_go_back_and_forth_in_one_stream() {
    let upstream = echo_h2();
    let secure = Secure::before(&[upstream.address], Protocol::Http2);
    run(async {
        let client = secure.client().await;
        let mut call = request("POST", "/greeter/Talk");
        call.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        call.headers_mut()
            .insert("content-type", HeaderValue::from_static("application/grpc"));
        let mut sender = client.sender.clone().ready().await.unwrap();
        let (response, mut stream) = sender.send_request(call, false).unwrap();
        let mut answer = None;
        let mut response = Some(response);
        for turn in 0..5u8 {
            let message = Bytes::from(vec![turn; 100]);
            push(&mut stream, message.clone()).await.unwrap();
            if let Some(response) = response.take() {
                answer = Some(response.await.unwrap());
            }
            // The answer to this message comes before the next is sent.
            let body = answer.as_mut().unwrap().body_mut();
            let mut got = Vec::new();
            while got.len() < message.len() {
                let data = body.data().await.unwrap().unwrap();
                body.flow_control().release_capacity(data.len()).unwrap();
                got.extend_from_slice(&data);
            }
            assert_eq!(got, message);
        }
        let mut last = HeaderMap::new();
        last.insert("x-client-said", HeaderValue::from_static("bye"));
        last.insert("x-real-ip", HeaderValue::from_static("6.6.6.6"));
        stream.send_trailers(last).unwrap();
        let whole = read(answer.unwrap()).await.unwrap();
        let trailers = whole.trailers.unwrap();
        assert_eq!(
            (&trailers["x-sum"], &trailers["x-client-said"]),
            (&HeaderValue::from(500), &HeaderValue::from_static("bye"))
        );
        assert_eq!(trailers.get("x-real-ip"), None);
    });
    let requests = upstream.requests.lock().unwrap();
    let head = &requests[0];
    assert_eq!(
        (head.headers["te"].as_bytes(), head.uri.to_string().as_str()),
        (&b"trailers"[..], "http://any.test/greeter/Talk")
    );
    assert_eq!(head.headers["x-forwarded-proto"], "https");
}

#[test]
fn an_answer_may_be_trailers_alone() {
    let upstream = H2Upstream::start(|_, mut respond| async move {
        let head = Response::builder().header("grpc-status", "12").body(()).unwrap();
        respond.send_response(head, true).unwrap();
    });
    let secure = Secure::before(&[upstream.address], Protocol::Http2);
    let answer = run(async { secure.client().await.get("/").await });
    assert_eq!((answer.header("grpc-status"), answer.body.len()), (Some("12"), 0));
    assert_eq!(answer.header("x-tend-replica"), Some("mps/api/1"));
}

#[test]
fn many_requests_share_a_connection_on_both_sides() {
    let upstream = H2Upstream::named("api");
    let secure = Secure::before(&[upstream.address], Protocol::Http2);
    run(async {
        let client = secure.client().await;
        for _ in 0..5 {
            let asked = (0..20).map(|_| client.get("/"));
            for answer in futures_join(asked).await {
                assert_eq!(answer.text(), "api");
            }
        }
    });
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1);
    assert_eq!(upstream.requests.lock().unwrap().len(), 100);
}

/// Runs all at once.
async fn futures_join<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|cx| {
        for (one, done) in &mut all {
            if done.is_none()
                && let std::task::Poll::Ready(outcome) = one.as_mut().poll(cx)
            {
                *done = Some(outcome);
            }
        }
        if all.iter().all(|(_, done)| done.is_some()) {
            return std::task::Poll::Ready(());
        }
        std::task::Poll::Pending
    })
    .await;
    all.into_iter().map(|(_, done)| done.unwrap()).collect()
}

#[test]
fn heads_are_cleaned_and_replicas_are_told_who_asks() {
    let upstream = Upstream::named("api");
    let secure = Secure::before(&[upstream.address], Protocol::Http1);
    run(async {
        let client = secure.client().await;
        let mut asked = request("GET", "/a?b=c");
        for (name, value) in [
            ("cookie", "one=1"),
            ("cookie", "two=2"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x_real_ip", "6.6.6.6"),
            ("te", "trailers"),
            ("x-request-id", "id-1"),
        ] {
            asked.headers_mut().append(name, HeaderValue::from_static(value));
        }
        let answer = client.ask(asked, b"").await.unwrap();
        assert_eq!((answer.status, answer.text()), (200, "api"));
        assert_eq!(answer.header("x-tend-replica"), Some("mps/api/1"));
        assert_eq!(answer.header("x-request-id"), Some("id-1"));
        assert!(answer.header("date").is_some());
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let head = client.ask(request("HEAD", "/"), b"").await.unwrap();
        assert_eq!((head.header("content-length"), head.body.len()), (Some("3"), 0));
    });
    let requests = upstream.requests.lock().unwrap();
    let got = &requests[0];
    assert_eq!(got.lines[0], "GET /a?b=c HTTP/1.1");
    assert_eq!(
        (got.header("host"), got.header("cookie")),
        (Some("any.test"), Some("one=1; two=2"))
    );
    assert_eq!(
        (got.header("x-forwarded-for"), got.header("x-real-ip")),
        (Some("127.0.0.1"), Some("127.0.0.1"))
    );
    assert_eq!((got.header("te"), got.header("x_real_ip")), (None, None));
}

#[test]
fn what_is_not_forwarded_is_answered_by_the_edge() {
    let upstream = Upstream::named("api");
    let mut secure = Secure::before(&[upstream.address], Protocol::Http1);
    secure.plan.snapshot.routes[0].path_prefix = "/api".to_owned();
    secure.plan.snapshot.routes[0].policy.body_bytes_max = Some(1000);
    secure.edge.serve(&secure.plan.next());
    run(async {
        let client = secure.client().await;
        let missing = client.get("/other").await;
        assert_eq!(
            (missing.status, missing.header("x-tend-error")),
            (404, Some("no_route"))
        );
        assert!(missing.text().contains("no route"));
        let mut two_hosts = request("GET", "/api");
        two_hosts
            .headers_mut()
            .insert("host", HeaderValue::from_static("other.test"));
        assert_eq!(client.ask(two_hosts, b"").await.unwrap().status, 400);
        let mut announced = request("POST", "/api");
        announced
            .headers_mut()
            .insert("content-length", HeaderValue::from_static("1001"));
        assert_eq!(client.ask(announced, &pattern(1001)).await.unwrap().status, 413);
        let counted = client.ask(request("POST", "/api"), &pattern(5000)).await.unwrap();
        assert_eq!(
            (counted.status, counted.header("x-tend-error")),
            (413, Some("body_too_large"))
        );
        assert_eq!(
            client
                .ask(request("POST", "/api"), &pattern(1000))
                .await
                .unwrap()
                .status,
            200
        );
        let mut huge = request("GET", "/api");
        huge.headers_mut()
            .insert("x-huge", HeaderValue::from_str(&"x".repeat(40_000)).unwrap());
        assert_eq!(client.ask(huge, b"").await.unwrap().status, 431);
        assert_eq!(client.get("/api").await.text(), "api", "the connection goes on");
        // Over HTTP/2 nothing is upgraded and nothing tunnelled.
        let connect = Request::builder()
            .method("CONNECT")
            .uri("any.test:443")
            .body(())
            .unwrap();
        let refused = client.ask(connect, b"").await;
        assert!(refused.is_err() || refused.unwrap().status == 405);
    });
    // Of the one that was counted, the part before the limit may have been on its way.
    assert!(
        upstream
            .requests
            .lock()
            .unwrap()
            .iter()
            .all(|request| request.body.len() <= 1000)
    );
}

#[test]
fn a_response_that_is_not_read_is_not_collected() {
    let written = Arc::new(AtomicU64::new(0));
    let count = written.clone();
    let plain = Upstream::start(move |_, stream| {
        let _ = stream.set_write_timeout(Some(Duration::from_millis(500)));
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            .unwrap();
        let piece = vec![7; 10_000];
        while stream.write_all(&piece).is_ok() {
            count.fetch_add(10_000, Ordering::SeqCst);
        }
        Keep::Close
    });
    let linked = H2Upstream::start({
        let written = written.clone();
        move |_, mut respond| {
            let written = written.clone();
            async move {
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                for _ in 0..10_000 {
                    let pushed = tokio::time::timeout(
                        Duration::from_millis(500),
                        push(&mut stream, Bytes::from(vec![7; 10_000])),
                    );
                    if !matches!(pushed.await, Ok(Ok(()))) {
                        return;
                    }
                    written.fetch_add(10_000, Ordering::SeqCst);
                }
            }
        }
    });
    for (address, protocol) in [(plain.address, Protocol::Http1), (linked.address, Protocol::Http2)] {
        written.store(0, Ordering::SeqCst);
        let secure = Secure::before(&[address], protocol);
        run(async {
            let client = secure.client().await;
            let mut sender = client.sender.clone().ready().await.unwrap();
            let (response, _) = sender.send_request(request("GET", "/"), true).unwrap();
            let response = response.await.unwrap();
            // The replica is stopped, and another request on the same connection is not.
            let mut before = u64::MAX;
            while before != written.load(Ordering::SeqCst) {
                before = written.load(Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            // What the kernel takes on two sockets, and our windows.
            assert!((1..20_000_000).contains(&before), "{before} {protocol:?}");
            drop(response);
        });
    }
}

#[test]
fn a_client_that_resets_is_not_answered_any_more() {
    let asked = Arc::new(AtomicBool::new(false));
    let cancelled = Arc::new(Notify::new());
    let upstream = H2Upstream::start({
        let (asked, cancelled) = (asked.clone(), cancelled.clone());
        move |_, mut respond| {
            let (asked, cancelled) = (asked.clone(), cancelled.clone());
            async move {
                asked.store(true, Ordering::SeqCst);
                let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
                cancelled.notify_one();
            }
        }
    });
    let mut secure = Secure::before(&[upstream.address], Protocol::Http2);
    run(async {
        let client = secure.client().await;
        let mut sender = client.sender.clone().ready().await.unwrap();
        let (response, _stream) = sender.send_request(request("GET", "/"), true).unwrap();
        let waiting = tokio::spawn(response);
        while !asked.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        waiting.abort();
        drop(_stream);
        // The replica hears of it, too.
        cancelled.notified().await;
    });
    eventually("nothing in flight", || {
        (secure.edge.stats().replicas[0].in_flight == 0).then_some(())
    });
    assert_eq!(secure.edge.log()[0]["status"], 499);
}

#[test]
fn a_replica_that_leaves_gets_the_request_again_on_a_new_connection() {
    let upstream = H2Upstream::named("api");
    let secure = Secure::before(&[upstream.address], Protocol::Http2);
    run(async {
        let client = secure.client().await;
        for turn in 1..=5 {
            assert_eq!(client.ask(request("POST", "/"), b"pay").await.unwrap().status, 200);
            upstream.leave.notify_waiters();
            assert_eq!(
                client.ask(request("POST", "/"), b"pay").await.unwrap().status,
                200,
                "{turn}"
            );
        }
    });
    // None was sent twice.
    assert_eq!(upstream.requests.lock().unwrap().len(), 10);
}

#[test]
fn a_refused_stream_goes_to_the_next_replica_and_one_that_may_have_arrived_does_not() {
    for (reason, wanted) in [(h2::Reason::REFUSED_STREAM, 200), (h2::Reason::INTERNAL_ERROR, 502)] {
        let refusing = H2Upstream::start(move |_, mut respond| async move { respond.send_reset(reason) });
        let good = H2Upstream::named("good");
        let secure = Secure::before(&[refusing.address, good.address], Protocol::Http2);
        run(async {
            let client = secure.client().await;
            let mut statuses = Vec::new();
            for _ in 0..2 {
                statuses.push(client.ask(request("POST", "/"), b"pay").await.unwrap().status);
            }
            // One of the two began with the replica that refuses.
            assert!(statuses.contains(&200));
            assert!(
                wanted == 200 && statuses == [200, 200] || statuses.contains(&wanted),
                "{statuses:?}"
            );
        });
    }
}

#[test]
fn clients_of_http1_reach_replicas_of_http2() {
    let upstream = echo_h2();
    let mut secure = Secure::before(&[upstream.address], Protocol::Http2);
    let plain = free_address();
    secure.plan.snapshot.listeners.push(Listener::plain(plain));
    secure.edge.serve(&secure.plan.next());
    let mut client = Client::connect(plain);
    for _ in 0..3 {
        let answer = client.post("/x?y=1", "hello");
        assert_eq!((answer.status, answer.text()), (200, "hello"));
        assert_eq!(answer.header("x-tend-replica"), Some("mps/api/1"));
    }
    let body = String::from_utf8(pattern(2_000_000).iter().map(|byte| byte & 0x3f | 0x40).collect()).unwrap();
    let answer = client.post("/", &body);
    assert!(answer.text() == body);
    let requests = upstream.requests.lock().unwrap();
    assert_eq!(requests[0].uri.to_string(), "http://any.test/x?y=1");
    assert_eq!(requests[0].headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1);
    drop(requests);
    drop(upstream);
    // An answer that began before the end of its request ends the connection; whether that one did is a matter of time.
    let gone = Client::connect(plain).get("/");
    assert_eq!(
        (gone.status, gone.header("x-tend-error")),
        (502, Some("connect_failed"))
    );
}

#[test]
fn a_draining_edge_says_so_and_finishes_what_is_open() {
    let held = Arc::new(Notify::new());
    let upstream = H2Upstream::start({
        let held = held.clone();
        move |_, mut respond| {
            let held = held.clone();
            async move {
                held.notified().await;
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                stream.send_data(Bytes::from_static(b"late"), true).unwrap();
            }
        }
    });
    let mut secure = Secure::before(&[upstream.address], Protocol::Http2);
    run(async {
        let client = secure.client().await;
        let idle = secure.client().await;
        let asking = tokio::spawn({
            let sender = client.sender.clone();
            async move {
                let mut sender = sender.ready().await.unwrap();
                let (response, _) = sender.send_request(request("GET", "/"), true).unwrap();
                read(response.await.unwrap()).await.unwrap()
            }
        });
        while upstream.requests.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        secure.edge.drain();
        // Told to leave, a client with nothing open leaves.
        idle.ended.notified().await;
        held.notify_one();
        assert_eq!(asking.await.unwrap().text(), "late");
        client.ended.notified().await;
    });
    secure.edge.ended();
}

#[test]
fn a_client_that_idles_is_told_to_leave() {
    let upstream = Upstream::named("api");
    let secure = Secure::configured(&[upstream.address], Protocol::Http1, |config| {
        config.patience.idle = Duration::from_millis(100);
        config.patience.drain_idle = Duration::from_millis(100);
    });
    run(async {
        let client = secure.client().await;
        assert_eq!(client.get("/").await.status, 200);
        client.ended.notified().await;
    });
}

#[test]
fn curl_and_nghttp_are_content() {
    let upstream = echo();
    let secure = Secure::before(&[upstream.address], Protocol::Http1);
    let folder = &secure.edge.folder.0;
    let body = pattern(1_000_000);
    std::fs::write(folder.join("body"), &body).unwrap();
    let url = format!("https://any.test:{}/upload", secure.listen.port());
    let resolve = format!("any.test:{}:127.0.0.1", secure.listen.port());
    let output = Command::new("curl")
        .args(["-sS", "--http2", "--cacert", "authority.pem", "--resolve", &resolve])
        .args([
            "-T",
            "body",
            "-o",
            "got",
            "-w",
            "%{http_version} %{response_code}",
            &url,
        ])
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "2 200", "{}", String::from_utf8_lossy(&output.stderr));
    assert!(std::fs::read(folder.join("got")).unwrap() == body);
    let url = format!("https://127.0.0.1:{}/", secure.listen.port());
    let output = Command::new("nghttp")
        .args(["-v", "-n", "-m", "50", "-H", ":authority: any.test", &url])
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.matches(":status: 200").count(), 50, "{said}");
}
