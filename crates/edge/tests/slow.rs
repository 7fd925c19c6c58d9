//! Clients that send slowly, or go on sending when they were answered: how fast a body has to come, and how much is read of what nobody
//! wants any more.

use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tend_core::model::{Money, Protocol, UploadRate};
use tend_edge::{EdgeConfig, LimitKind};

use crate::fixture::{Client, Edge, Folder, PATIENCE, Plan, Response, Upstream, api_on, config, read_response};
use crate::h2_peers::{H2Upstream, Secure, push, read, request, run};

/// A byte now and then is far less.
const RATE: UploadRate = UploadRate {
    rate: NonZeroU64::new(100_000).unwrap(),
    after: Duration::from_millis(200),
    shadow: false,
};

/// Deadlines are looked over as often as the shortest wait of the edge; what limits a body by itself is out of the way.
fn quick(config: &mut EdgeConfig) {
    config.patience.drain_idle = Duration::from_millis(100);
    config.patience.body = 2 * PATIENCE;
}

fn edge_with(rate: UploadRate, upstream: SocketAddr) -> (Edge, SocketAddr, Plan) {
    let folder = Arc::new(Folder::new());
    let mut config = config(&folder, "edge", Duration::ZERO);
    quick(&mut config);
    let (mut edge, listen, mut plan) = api_on(Edge::start_with(folder, config), &[upstream]);
    plan.snapshot.routes[0].policy.min_upload_rate = Some(rate);
    edge.serve(&plan.next());
    (edge, listen, plan)
}

/// Sends a head and then a byte now and then, until it is answered.
fn drip(listen: SocketAddr, head: &str) -> Response {
    let mut client = Client::connect(listen);
    client.write(head);
    client.0.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "never answered");
        let _ = client.0.write_all(b"x");
        let mut first = [0];
        if let Ok(read) = client.0.peek(&mut first) {
            assert!(read > 0, "closed without a word");
            client.0.set_read_timeout(Some(PATIENCE)).unwrap();
            return read_response(&mut client.0, false).expect("no answer");
        }
    }
}

/// Returns what the route's rule refused, and what it would have.
fn counted(edge: &mut Edge) -> (u64, u64) {
    let limits = edge.stats().limits;
    let mut rates = limits.iter().filter(|limit| limit.kind == LimitKind::UploadRate);
    let rate = rates.next().unwrap();
    assert_eq!((rate.name.as_str(), rate.key.as_str()), ("/", "route"));
    (rate.refused, rate.shadowed)
}

const LONG: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";

#[test]
fn a_body_that_comes_too_slowly_is_a_408_and_the_replica_not_to_blame() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, mut plan) = edge_with(RATE, upstream.address);
    let answer = drip(listen, LONG);
    assert_eq!(
        (answer.status, answer.header("x-tend-error")),
        (408, Some("request_timeout"))
    );
    assert_eq!(counted(&mut edge), (1, 0));
    // What is held whole is held to it too.
    plan.snapshot.routes[0].policy.money = Some(Money::default());
    edge.serve(&plan.next());
    let keyed = LONG.replace("Host: a", "Host: a\r\nIdempotency-Key: k");
    assert_eq!(drip(listen, &keyed).status, 408);
    assert_eq!(counted(&mut edge), (2, 0));
    // Whoever sends fast is served, as is who has nothing to send.
    let mut client = Client::connect(listen);
    assert_eq!(client.post("/", &"x".repeat(100_000)).status, 200);
    assert_eq!(client.get("/").status, 200);
    assert!(edge.stats().replicas[0].failures.is_empty());
    assert_eq!(counted(&mut edge), (2, 0));
}

#[test]
fn a_least_rate_that_is_tried_out_only_counts() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, _) = edge_with(UploadRate { shadow: true, ..RATE }, upstream.address);
    let answer = drip(listen, &LONG.replace("1000000", "40"));
    assert_eq!((answer.status, answer.text()), (200, "api"));
    assert_eq!(counted(&mut edge), (0, 1));
}

#[test]
fn a_body_of_http2_that_comes_too_slowly_is_a_408() {
    let plain = Upstream::named("api");
    let linked = H2Upstream::start(|request, mut respond| async move {
        let mut body = request.into_body();
        while let Some(Ok(data)) = body.data().await {
            let _ = body.flow_control().release_capacity(data.len());
        }
        let _ = respond.send_response(http::Response::new(()), true);
    });
    let cases = [
        (plain.address, Protocol::Http1, false),
        (linked.address, Protocol::Http2, false),
        (plain.address, Protocol::Http1, true),
    ];
    for (upstream, protocol, keyed) in cases {
        let mut secure = Secure::configured(&[upstream], protocol, quick);
        let policy = &mut secure.plan.snapshot.routes[0].policy;
        policy.min_upload_rate = Some(RATE);
        policy.money = keyed.then(Money::default);
        let snapshot = secure.plan.next();
        secure.edge.serve(&snapshot);
        run(async {
            let client = secure.client().await;
            let mut head = request("POST", "/");
            if keyed {
                head.headers_mut()
                    .insert("idempotency-key", http::HeaderValue::from_static("k"));
            }
            let mut sender = client.sender.clone().ready().await.unwrap();
            let (response, mut stream) = sender.send_request(head, false).unwrap();
            let mut answering = std::pin::pin!(async { read(response.await.unwrap()).await.unwrap() });
            let answer = loop {
                // Once it is answered nobody takes it any more.
                let _ = push(&mut stream, Bytes::from_static(b"x")).await;
                if let Ok(answer) = tokio::time::timeout(Duration::from_millis(20), answering.as_mut()).await {
                    break answer;
                }
            };
            assert_eq!(
                (answer.status, answer.header("x-tend-error")),
                (408, Some("request_timeout"))
            );
        });
        assert_eq!(counted(&mut secure.edge), (1, 0), "{protocol:?} {keyed}");
        assert!(secure.edge.stats().replicas[0].failures.is_empty());
    }
}

#[test]
fn what_a_client_sends_after_its_answer_is_read_away_within_bounds() {
    let upstream = Upstream::named("api");
    let folder = Arc::new(Folder::new());
    let mut config = config(&folder, "edge", Duration::ZERO);
    // Not by time.
    config.patience.linger = 4 * PATIENCE;
    let (edge, listen, _) = api_on(Edge::start_with(folder, config), &[upstream.address]);
    let mut client = Client::connect(listen);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000\r\n\r\n");
    client.0.set_write_timeout(Some(PATIENCE)).unwrap();
    let piece = vec![b'x'; 1 << 20];
    let mut sent = 0;
    let error = loop {
        match client.0.write(&piece) {
            Ok(written) => sent += written,
            Err(error) => break error,
        }
        assert!(sent < 128 << 20, "it is read for ever");
    };
    assert!(
        matches!(
            error.kind(),
            std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe
        ),
        "{error}"
    );
    assert!(sent >= 16 << 20, "{sent}");
    drop(client);
    assert_eq!(edge.log()[0]["error"], "body_too_large");
}
