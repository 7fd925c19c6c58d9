//! Upgraded connections while replicas are drained and replaced, and how they end.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tend_edge::{FromEdge, Patience};
use tend_routing::ReplicaState;

use crate::fixture::{Client, Edge, Folder, Keep, PATIENCE, Plan, Upstream, api_on, config, eventually, respond};

/// A close frame of a server (RFC 6455, 5.5.1): status 1001, going away.
const CLOSE: [u8; 4] = [0x88, 0x02, 0x03, 0xe9];

/// A client's answer to it, masked with zeros.
const CLOSE_BACK: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

/// Answers requests with its name, and echoes on connections that were upgraded.
fn echo(name: &'static str) -> Upstream {
    Upstream::start(move |request, stream| {
        if request.header("upgrade").is_none() {
            return respond(stream, 200, name);
        }
        let mut buffer = [0; 4096];
        let mut piece = Ok(0);
        if stream.write_all(SWITCH).is_ok() {
            piece = stream.read(&mut buffer);
        }
        while let Ok(read) = piece {
            if read == 0 || stream.write_all(&buffer[..read]).is_err() {
                break;
            }
            piece = stream.read(&mut buffer);
        }
        Keep::Close
    })
}

/// Opens a WebSocket.
fn open(listen: SocketAddr) -> Client {
    let mut client = Client::connect(listen);
    client.write("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(client.read().status, 101);
    client
}

/// Says something and waits for the echo.
fn say(client: &mut Client, text: &str) {
    client.write(text);
    let mut back = vec![0; text.len()];
    client.0.read_exact(&mut back).unwrap();
    assert_eq!(back, text.as_bytes());
}

/// Waits until the edge has said that so much is in flight on a slot.
fn in_flight(edge: &mut Edge, slot: u32, wanted: u32) {
    edge.event(|event| matches!(event, FromEdge::InFlight { replica, n, .. } if replica.slot == slot && *n == wanted));
}

/// Starts an edge with another patience.
fn with(change: impl FnOnce(&mut Patience)) -> Edge {
    let folder = Arc::new(Folder::new());
    let mut settings = config(&folder, "edge", Duration::ZERO);
    change(&mut settings.patience);
    Edge::start_with(folder, settings)
}

/// Serves `mps/api/1`; its successor in slot 2 is at hand.
fn pair(old: &Upstream, new: &Upstream) -> (Edge, SocketAddr, Plan) {
    pair_on(Edge::start(), old, new)
}

fn pair_on(edge: Edge, old: &Upstream, new: &Upstream) -> (Edge, SocketAddr, Plan) {
    let (edge, listen, mut plan) = api_on(edge, &[old.address]);
    let mut fresh = plan.snapshot.services[0].replicas[0].clone();
    fresh.id = "mps/api/2".parse().unwrap();
    fresh.address = new.address;
    plan.snapshot.services[0].replicas.push(fresh);
    (edge, listen, plan)
}

#[test]
fn a_websocket_stays_open_while_its_replica_drains_and_is_waited_for() {
    let (old, new) = (echo("old"), echo("new"));
    let (mut edge, listen, mut plan) = pair(&old, &new);
    let (mut first, mut second) = (open(listen), open(listen));
    say(&mut first, "before");
    plan.snapshot.services[0].replicas[0].state = ReplicaState::Draining;
    edge.serve(&plan.next());
    in_flight(&mut edge, 1, 2);
    say(&mut first, "while draining");
    say(&mut second, "as well");
    drop(first);
    eventually("one less", || {
        let stats = edge.stats();
        (stats.replicas[0].in_flight == 1).then_some(())
    });
    // Said again whenever the daemon publishes, so that one that came back knows.
    edge.serve(&plan.next());
    in_flight(&mut edge, 1, 1);
    say(&mut second, "still");
    drop(second);
    in_flight(&mut edge, 1, 0);
}

#[test]
fn what_a_draining_replica_has_in_flight_is_said_again_and_again() {
    let (old, new) = (echo("old"), echo("new"));
    let (mut edge, listen, mut plan) = pair(&old, &new);
    let client = open(listen);
    plan.snapshot.services[0].replicas[0].state = ReplicaState::Draining;
    edge.serve(&plan.next());
    // A daemon may begin to wait long after the replica began to drain, and even after it is empty.
    for _ in 0..3 {
        in_flight(&mut edge, 1, 1);
    }
    drop(client);
    for _ in 0..3 {
        in_flight(&mut edge, 1, 0);
    }
}

#[test]
fn a_websocket_outlives_its_replicas_place_in_the_snapshot() {
    let (old, new) = (echo("old"), echo("new"));
    let (mut edge, listen, mut plan) = pair(&old, &new);
    let mut client = open(listen);
    plan.snapshot.services[0].replicas[0].state = ReplicaState::Draining;
    edge.serve(&plan.next());
    plan.snapshot.services[0].replicas.remove(0);
    for round in 0..5 {
        edge.serve(&plan.next());
        say(&mut client, &format!("round {round}"));
        assert_eq!(Client::connect(listen).get("/").text(), "new");
    }
    // Even its service may go, and what is open is still counted.
    plan.snapshot.services.clear();
    plan.snapshot.routes.clear();
    edge.serve(&plan.next());
    say(&mut client, "on its own");
    let stats = edge.stats();
    let leaving = stats.replicas.iter().find(|replica| replica.replica.slot == 1);
    assert_eq!(leaving.map(|replica| replica.in_flight), Some(1));
    drop(client);
    in_flight(&mut edge, 1, 0);
}

#[test]
fn a_kept_connection_moves_to_another_replica_with_its_next_request() {
    let (mut old, new) = (echo("old"), echo("new"));
    let (mut edge, listen, mut plan) = pair(&old, &new);
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(listen)).collect();
    for client in &mut clients {
        assert_eq!(client.post("/", "x").text(), "old");
    }
    plan.snapshot.services[0].replicas[0].state = ReplicaState::Draining;
    edge.serve(&plan.next());
    in_flight(&mut edge, 1, 0);
    // Nothing is in flight, and no connection is kept that would make the replica wait before it ends.
    eventually("the end of the idle connections", || old.all_closed().then_some(()));
    let before = old.count();
    for client in &mut clients {
        assert_eq!(client.post("/", "x").text(), "new");
    }
    old.kill();
    plan.snapshot.services[0].replicas.remove(0);
    edge.serve(&plan.next());
    for client in &mut clients {
        assert_eq!(client.post("/", "x").text(), "new");
        assert_eq!(client.get("/").text(), "new");
    }
    assert_eq!(old.count(), before);
    assert_eq!(edge.stats().errors, []);
}

#[test]
fn a_connection_used_while_its_replica_drained_is_not_kept() {
    let (release, wait) = std::sync::mpsc::sync_channel::<()>(0);
    let wait = std::sync::Mutex::new(wait);
    let old = Upstream::start(move |_, stream| {
        let _ = wait.lock().unwrap().recv();
        respond(stream, 200, "old")
    });
    let new = echo("new");
    // Idle connections are kept for longer than the test takes.
    let (mut edge, listen, mut plan) = pair_on(with(|patience| patience.upstream_idle = 10 * PATIENCE), &old, &new);
    let mut client = Client::connect(listen);
    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the request", || (old.count() == 1).then_some(()));
    plan.snapshot.services[0].replicas[0].state = ReplicaState::Draining;
    edge.serve(&plan.next());
    release.send(()).unwrap();
    assert_eq!(client.read().text(), "old");
    // Or the replica would be kept waiting for it while it ends.
    eventually("the end of the connection", || old.all_closed().then_some(()));
    assert_eq!(client.get("/").text(), "new");
}

/// A replica that takes one connection, switches, and goes on with `then`.
fn replica(then: impl FnOnce(TcpStream) + Send + 'static) -> (SocketAddr, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        stream.write_all(SWITCH).unwrap();
        then(stream);
    });
    (address, thread)
}

/// Reads what is left; fails when the connection is reset instead of closed.
fn rest(client: &mut Client) -> Vec<u8> {
    let mut rest = Vec::new();
    client.0.read_to_end(&mut rest).unwrap();
    rest
}

#[test]
fn a_client_sees_the_close_frame_and_a_clean_end_when_the_replica_closes() {
    let (address, thread) = replica(|mut stream| {
        stream.write_all(&CLOSE).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        assert_eq!(back, CLOSE_BACK);
    });
    let edge = with(|patience| patience.linger = PATIENCE);
    let (mut edge, listen, mut plan) = api_on(edge, &[address]);
    let mut client = open(listen);
    plan.snapshot.services[0].replicas[0].state = ReplicaState::Draining;
    edge.serve(&plan.next());
    assert_eq!(rest(&mut client), CLOSE);
    // The replica is told what the client says to it.
    client.0.write_all(&CLOSE_BACK).unwrap();
    client.0.shutdown(Shutdown::Write).unwrap();
    thread.join().unwrap();
    in_flight(&mut edge, 1, 0);
    let log = edge.log();
    assert_eq!(
        (&log[0]["status"], &log[0]["error"]),
        (&101.into(), &serde_json::Value::Null)
    );
    assert_eq!((&log[0]["bytes_out"], &log[0]["bytes_in"]), (&4.into(), &8.into()));
}

#[test]
fn a_client_that_talks_on_is_not_reset_when_the_replica_closes() {
    // It says its last word and is gone, with bytes of the client unread: its end of the connection is reset.
    let (address, thread) = replica(|mut stream| {
        let mut some = [0; 16];
        stream.read_exact(&mut some).unwrap();
        stream.write_all(&CLOSE).unwrap();
    });
    let edge = with(|patience| patience.linger = PATIENCE);
    let (mut edge, listen, _) = api_on(edge, &[address]);
    let mut client = open(listen);
    client.0.write_all(&[b'x'; 4096]).unwrap();
    thread.join().unwrap();
    // More than one write into a connection whose other end is gone, and then some time later still.
    for _ in 0..20 {
        client.0.write_all(&[b'y'; 4096]).unwrap();
    }
    eventually("what the replica said", || {
        let mut said = [0; 4];
        (client.0.peek(&mut said).unwrap() == 4).then_some(())
    });
    for _ in 0..20 {
        client.0.write_all(&[b'z'; 4096]).unwrap();
    }
    assert_eq!(rest(&mut client), CLOSE);
    client.0.write_all(&CLOSE_BACK).unwrap();
    assert!(client.0.take_error().unwrap().is_none());
    drop(client);
    eventually("the end", || (edge.stats().replicas[0].in_flight == 0).then_some(()));
}

#[test]
fn a_client_that_does_not_close_is_not_waited_for_for_ever() {
    let (address, thread) = replica(|mut stream| stream.write_all(&CLOSE).unwrap());
    let edge = with(|patience| patience.linger = Duration::from_millis(100));
    let (mut edge, listen, _) = api_on(edge, &[address]);
    let mut client = open(listen);
    assert_eq!(rest(&mut client), CLOSE);
    thread.join().unwrap();
    eventually("the end", || (edge.stats().replicas[0].in_flight == 0).then_some(()));
}

#[test]
fn a_client_that_has_said_all_still_gets_its_answer() {
    // Half-closed, as protocols other than WebSocket do: the answer comes after the end of the question.
    let (address, thread) = replica(|mut stream| {
        let mut question = Vec::new();
        stream.read_to_end(&mut question).unwrap();
        stream.write_all(&question).unwrap();
    });
    let edge = with(|patience| patience.linger = Duration::ZERO);
    let (_edge, listen, _) = api_on(edge, &[address]);
    let mut client = open(listen);
    client.write("question");
    client.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client), b"question");
    thread.join().unwrap();
}

#[test]
fn a_connection_on_which_nothing_passes_is_ended_when_the_route_says_so() {
    let upstream = echo("a");
    let (mut edge, listen, mut plan) = api_on(Edge::start(), &[upstream.address]);
    let idle = Duration::from_millis(400);
    plan.snapshot.routes[0].policy.timeouts.upgraded_idle = Some(idle);
    edge.serve(&plan.next());
    let mut client = open(listen);
    let began = std::time::Instant::now();
    // What passes in either direction begins the wait anew, so this one outlives it.
    while began.elapsed() < 2 * idle {
        say(&mut client, "still here");
    }
    assert!(client.is_closed());
    eventually("nothing in flight", || {
        (edge.stats().replicas[0].in_flight == 0).then_some(())
    });
    let line = edge.log().pop().unwrap();
    assert_eq!((&line["status"], &line["error"]), (&101.into(), &"tunnel_idle".into()));
}
