//! What happens to those who make the edge wait.

use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use tend_edge::{EdgeConfig, FromEdge, Patience};

use crate::fixture::{Client, Edge, Folder, Keep, Upstream, api_on, config, respond};

/// An edge whose patience `change` shortened.
fn impatient(change: impl FnOnce(&mut Patience)) -> Edge {
    let folder = Arc::new(Folder::new());
    let mut config: EdgeConfig = config(&folder, "edge", Duration::ZERO);
    change(&mut config.patience);
    Edge::start_with(folder, config)
}

const SHORT: Duration = Duration::from_millis(200);

#[test]
fn a_replica_that_does_not_answer_is_a_504_and_counts_as_failed() {
    let upstream = Upstream::start(|_, stream| {
        let _ = stream.read(&mut [0]);
        Keep::Close
    });
    let edge = impatient(|patience| patience.answer = SHORT);
    let (mut edge, listen, _) = api_on(edge, &[upstream.address]);
    let mut client = Client::connect(listen);
    for _ in 0..3 {
        let response = client.post("/", "x");
        assert_eq!(response.status, 504);
        assert_eq!(response.header("x-tend-error"), Some("upstream_timeout"));
    }
    edge.event(|event| matches!(event, FromEdge::Ejected { .. }));
    assert_eq!(upstream.count(), 3);
    assert_eq!(edge.stats().errors, [("upstream_timeout".to_owned(), 3)]);
}

#[test]
fn a_get_that_one_replica_is_too_slow_for_is_answered_by_another() {
    let slow = Upstream::start(|_, stream| {
        let _ = stream.read(&mut [0]);
        Keep::Close
    });
    let good = Upstream::named("good");
    let edge = impatient(|patience| patience.answer = SHORT);
    let (_edge, listen, _) = api_on(edge, &[slow.address, good.address]);
    let mut client = Client::connect(listen);
    for _ in 0..2 {
        assert_eq!(client.get("/").text(), "good");
    }
    assert!(slow.count() > 0);
}

#[test]
fn a_replica_whose_accept_queue_is_full_is_a_connect_timeout() {
    // Listens, never accepts, and its queue of one is full.
    let listener = {
        use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap()).unwrap();
        listen(&socket, 0).unwrap();
        TcpListener::from(socket)
    };
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, SHORT) {
        queue.push(stream);
    }
    let good = Upstream::named("good");
    let edge = impatient(|patience| patience.connect = SHORT);
    let (mut edge, listen, _) = api_on(edge, &[address, good.address]);
    let mut client = Client::connect(listen);
    for _ in 0..4 {
        assert_eq!(client.post("/", "x").text(), "good");
    }
    let failures = &edge.stats().replicas[0].failures;
    assert_eq!(failures[0].0, "connect_timeout");
}

#[test]
fn a_client_that_does_not_finish_its_head_is_disconnected() {
    let upstream = Upstream::named("api");
    let edge = impatient(|patience| patience.head = SHORT);
    let (_edge, listen, _) = api_on(edge, &[upstream.address]);
    let mut silent = Client::connect(listen);
    let mut slow = Client::connect(listen);
    slow.get("/");
    slow.write("GET / HTTP/1.1\r\nHost: a\r\nX: ");
    assert!(silent.is_closed());
    assert!(slow.is_closed());
    assert_eq!(upstream.count(), 1);
}

#[test]
fn a_client_that_does_not_finish_its_body_gets_408_and_the_replica_no_blame() {
    let upstream = Upstream::named("api");
    let edge = impatient(|patience| patience.body = SHORT);
    let (mut edge, listen, _) = api_on(edge, &[upstream.address]);
    for _ in 0..5 {
        let mut client = Client::connect(listen);
        client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
        let response = client.read();
        assert_eq!(response.status, 408);
        assert!(client.is_closed());
    }
    let replica = &edge.stats().replicas[0];
    assert_eq!((replica.failures.len(), replica.ejected), (0, false));
}

#[test]
fn clients_that_send_broken_bodies_cannot_eject_a_replica() {
    let upstream = Upstream::named("api");
    let edge = impatient(|_| {});
    let (mut edge, listen, _) = api_on(edge, &[upstream.address]);
    for _ in 0..5 {
        let mut client = Client::connect(listen);
        client.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n");
        let response = client.try_read(false);
        assert!(response.is_none_or(|response| response.status == 400));
    }
    let replica = &edge.stats().replicas[0];
    assert_eq!((replica.failures.len(), replica.ejected), (0, false));
    assert_eq!(upstream.count(), 0);
}

#[test]
fn an_idle_connection_is_closed_after_its_time_and_not_before_its_answer() {
    let upstream = Upstream::start(|_, stream| {
        // Longer than a connection may be idle: while it waits for its answer it is not idle.
        std::thread::sleep(3 * SHORT);
        respond(stream, 200, "late")
    });
    let edge = impatient(|patience| {
        patience.idle = SHORT;
        patience.head = SHORT;
    });
    let (_edge, listen, _) = api_on(edge, &[upstream.address]);
    let mut client = Client::connect(listen);
    assert_eq!(client.get("/").text(), "late");
    assert!(client.is_closed());
}

#[test]
fn a_client_that_stops_reading_is_disconnected() {
    use std::io::Write;
    let upstream = Upstream::start(|_, stream| {
        let total = 1u64 << 30;
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n");
        let piece = vec![b'x'; 1 << 20];
        while stream.write_all(&piece).is_ok() {}
        Keep::Close
    });
    let edge = impatient(|patience| patience.stall = SHORT);
    let (mut edge, listen, _) = api_on(edge, &[upstream.address]);
    let mut client = Client::connect(listen);
    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    crate::fixture::eventually("the stalled connection's end", || {
        let stats = edge.stats();
        (upstream.count() == 1 && stats.connections == 0).then_some(())
    });
    drop(client);
}
