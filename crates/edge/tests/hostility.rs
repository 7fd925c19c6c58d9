//! Clients that want the edge to fail for the others: slow, endless, many, and gone. The others are served meanwhile, all of them.
//!
//! Every attack is bounded in count, bytes and time. What is measured is never a duration: a hostile connection ends before a deadline
//! that only a hanging edge misses, and no honest request fails.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tend_edge::Patience;

use crate::conformance::known;
use crate::fixture::{
    Client, Edge, Folder, Keep, PATIENCE, Plan, Upstream, api_on, config, eventually, free_address, respond,
};
use crate::lifecycle::Load;
use crate::process;

/// The patience of an edge under attack.
const SHORT: Duration = Duration::from_millis(500);

/// More than any limit of a head and the buffers of both kernels together: who takes so much of one head takes everything.
const ENDLESS_BYTES: usize = 32 << 20;

/// An edge with one upstream and honest clients at work.
struct Scene {
    edge: Edge,
    upstream: Upstream,
    listen: SocketAddr,
    honest: Load,
}

impl Scene {
    fn begin(upstream: Upstream, change: impl FnOnce(&mut Patience)) -> Self {
        let folder = Arc::new(Folder::new());
        let mut settings = config(&folder, "edge", Duration::ZERO);
        change(&mut settings.patience);
        let (edge, listen, _) = api_on(Edge::start_with(folder, settings), &[upstream.address]);
        let honest = Load::start(listen);
        honest.more(10);
        Self {
            edge,
            upstream,
            listen,
            honest,
        }
    }

    fn attackers(&self, count: usize, first: &str) -> Vec<TcpStream> {
        let open = |_| {
            let mut stream = TcpStream::connect(self.listen).unwrap();
            stream.write_all(first.as_bytes()).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        };
        (0..count).map(open).collect()
    }

    /// The attack is over: everybody honest was served all the time, and is still, and the edge has nothing left of the attack.
    fn end(mut self) {
        self.honest.more(50);
        self.honest.end();
        let edge = &mut self.edge;
        eventually("the end of all connections", || {
            let stats = edge.stats();
            (stats.connections == 0 && stats.replicas[0].in_flight == 0).then_some(())
        });
        let mut client = Client::connect(self.listen);
        assert_eq!(client.get("/").status, 200);
        let replica = &self.edge.stats().replicas[0];
        assert!(!replica.ejected, "clients had a replica left out: {replica:?}");
    }
}

/// Says whether the edge has ended a connection; reads on what it was answered.
fn is_over(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// Says a byte more on each connection, again and again, until the edge has ended them all.
fn drip_until_cut(scene: &Scene, mut attackers: Vec<TcpStream>, byte: u8) {
    let deadline = Instant::now() + PATIENCE;
    while !attackers.is_empty() {
        assert!(
            Instant::now() < deadline,
            "{} slow clients are still there",
            attackers.len()
        );
        attackers.retain_mut(|stream| stream.write(&[byte]).is_ok() && !is_over(stream));
        scene.honest.more(4);
    }
}

#[test]
fn clients_that_send_their_heads_byte_by_byte_are_cut_off_and_keep_nobody_waiting() {
    let scene = Scene::begin(Upstream::named("api"), |patience| patience.head = SHORT);
    let mut attackers = scene.attackers(150, "GET /slow HTTP/1.1\r\nHost: any.test\r\nX: ");
    attackers.extend(scene.attackers(150, "G"));
    drip_until_cut(&scene, attackers, b'A');
    let slow = scene
        .upstream
        .requests
        .lock()
        .unwrap()
        .iter()
        .filter(|request| request.target() == "/slow")
        .count();
    assert_eq!(slow, 0);
    scene.end();
}

#[test]
fn clients_that_stop_in_the_middle_of_their_bodies_are_cut_off_and_keep_nobody_waiting() {
    let scene = Scene::begin(Upstream::named("api"), |patience| patience.body = SHORT);
    let mut attackers = scene.attackers(
        60,
        "POST /slow HTTP/1.1\r\nHost: any.test\r\nContent-Length: 1000000\r\n\r\nab",
    );
    attackers.extend(scene.attackers(
        60,
        "POST /slow HTTP/1.1\r\nHost: any.test\r\nTransfer-Encoding: chunked\r\n\r\n100\r\nab",
    ));
    let deadline = Instant::now() + PATIENCE;
    while !attackers.is_empty() {
        assert!(
            Instant::now() < deadline,
            "{} bodies are still awaited",
            attackers.len()
        );
        attackers.retain_mut(|stream| !is_over(stream));
        scene.honest.more(4);
    }
    scene.end();
}

#[test]
fn clients_that_send_their_bodies_byte_by_byte_keep_nobody_waiting() {
    let scene = Scene::begin(Upstream::named("api"), |_| {});
    let mut attackers = scene.attackers(
        100,
        "POST /slow HTTP/1.1\r\nHost: any.test\r\nContent-Length: 1000000\r\n\r\n",
    );
    for _ in 0..20 {
        for stream in &mut attackers {
            // Who drips is not cut off by the deadline of a piece: it is others who must not notice.
            let _ = stream.write(b"a");
        }
        scene.honest.more(10);
    }
    drop(attackers);
    scene.end();
}

#[test]
fn clients_that_do_not_read_are_cut_off_and_keep_nobody_waiting() {
    let upstream = Upstream::start(|request, stream| {
        if request.target() != "/large" {
            return respond(stream, 200, "small");
        }
        let piece = vec![b'x'; 1 << 20];
        if stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n")
            .is_ok()
        {
            // Ends with an error once the edge has given up on its client.
            let _ = (0..64).try_for_each(|_| stream.write_all(&piece));
        }
        Keep::Close
    });
    let mut scene = Scene::begin(upstream, |patience| patience.stall = SHORT);
    let attackers = scene.attackers(60, "GET /large HTTP/1.1\r\nHost: any.test\r\n\r\n");
    eventually("their requests", || {
        let requests = scene.upstream.requests.lock().unwrap();
        let large = requests.iter().filter(|request| request.target() == "/large").count();
        (large == attackers.len()).then_some(())
    });
    let edge = &mut scene.edge;
    let honest = &scene.honest;
    eventually("the end of those who do not read", || {
        honest.more(4);
        (edge.stats().replicas[0].in_flight <= 4).then_some(())
    });
    drop(attackers);
    scene.end();
}

#[test]
fn clients_that_ask_without_reading_the_answers_are_cut_off_and_keep_nobody_waiting() {
    let large = "x".repeat(256 << 10);
    let upstream = Upstream::start(move |request, stream| match request.target() {
        "/many" => respond(stream, 200, &large),
        _ => respond(stream, 200, "small"),
    });
    let scene = Scene::begin(upstream, |patience| {
        patience.stall = SHORT;
        patience.head = SHORT;
    });
    let mut attackers = scene.attackers(16, "");
    let asked = "GET /many HTTP/1.1\r\nHost: any.test\r\n\r\n".repeat(200);
    let deadline = Instant::now() + PATIENCE;
    let mut taken = 0;
    while !attackers.is_empty() {
        assert!(
            Instant::now() < deadline,
            "{} are still being read from",
            attackers.len()
        );
        attackers.retain_mut(|stream| match stream.write(asked.as_bytes()) {
            Ok(bytes) => {
                taken += bytes;
                true
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        });
        scene.honest.more(4);
    }
    assert!(
        taken < 16 * ENDLESS_BYTES,
        "{taken} bytes of requests were taken without an answer being read"
    );
    scene.end();
}

/// Begins, and what then comes without end.
const ENDLESS: [(&str, &str, &str); 14] = [
    (
        "a field's value",
        "GET / HTTP/1.1\r\nHost: any.test\r\nX: ",
        "aaaaaaaaaaaaaaaa",
    ),
    (
        "a field's name",
        "GET / HTTP/1.1\r\nHost: any.test\r\n",
        "Aaaaaaaaaaaaaaaa",
    ),
    ("fields", "GET / HTTP/1.1\r\nHost: any.test\r\n", "X: y\r\n"),
    (
        "fields without values",
        "GET / HTTP/1.1\r\nHost: any.test\r\n",
        "a:\r\n",
    ),
    ("folded lines", "GET / HTTP/1.1\r\nHost: any.test\r\nX: y\r\n", " z\r\n"),
    ("a target", "GET /", "aaaaaaaaaaaaaaaa"),
    ("a method", "", "AAAAAAAAAAAAAAAA"),
    ("a version", "GET / HTTP/1.1", "1111111111111111"),
    ("spaces", "GET / ", "                "),
    (
        "the zeros of a length",
        "POST / HTTP/1.1\r\nHost: any.test\r\nContent-Length: ",
        "0000000000000000",
    ),
    ("the zeros of a chunk's size", CHUNKED, "0000000000000000"),
    ("a chunk's extension", CHUNKED_EXTENDED, "aaaaaaaaaaaaaaaa"),
    ("trailer fields", CHUNKED_LAST, "X: y\r\n"),
    ("a trailer field", CHUNKED_LAST, "xxxxxxxxxxxxxxxx"),
];

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: any.test\r\nTransfer-Encoding: chunked\r\n\r\n";
const CHUNKED_EXTENDED: &str = "POST / HTTP/1.1\r\nHost: any.test\r\nTransfer-Encoding: chunked\r\n\r\n5;";
const CHUNKED_LAST: &str = "POST / HTTP/1.1\r\nHost: any.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n";

#[test]
fn what_has_no_end_is_cut_off_and_keeps_nobody_waiting() {
    // Deadlines are not what ends these: they send as fast as they are read.
    let scene = Scene::begin(Upstream::named("api"), |_| {});
    let listen = scene.listen;
    let threads: Vec<_> = ENDLESS
        .iter()
        .flat_map(|endless| [endless; 2])
        .map(|endless| (endless.0, std::thread::spawn(move || taken(listen, endless))))
        .collect();
    let mut wrong = BTreeMap::new();
    for (what, thread) in threads {
        let taken = thread.join().unwrap();
        if taken >= ENDLESS_BYTES {
            wrong.insert(format!("endless {what}"), vec![format!("{taken} bytes were taken")]);
        }
        scene.honest.more(4);
    }
    known::compare("endless", &wrong);
    scene.end();
}

/// Sends what has no end; returns how many bytes of it were taken until the edge said that it is over, or enough is enough.
///
/// What the edge takes after that it throws away, for a moment: a client that is still writing would otherwise be reset and never read why.
fn taken(listen: SocketAddr, (_, begin, more): &(&str, &str, &str)) -> usize {
    let mut stream = TcpStream::connect(listen).unwrap();
    stream.write_all(begin.as_bytes()).unwrap();
    stream.set_nonblocking(true).unwrap();
    let piece = more.repeat(1024);
    let deadline = Instant::now() + PATIENCE;
    let (mut sent, mut at) = (0, 0);
    while sent < ENDLESS_BYTES && !is_over(&mut stream) {
        assert!(Instant::now() < deadline, "the edge neither reads on nor ends it");
        // A repetition is not broken by where a piece was cut.
        match stream.write(&piece.as_bytes()[at..]) {
            Ok(bytes) => (sent, at) = (sent + bytes, (at + bytes) % piece.len()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(_) => break,
        }
    }
    sent
}

#[test]
fn clients_that_come_and_go_leave_nothing_behind() {
    let scene = Scene::begin(Upstream::named("api"), |_| {});
    let pieces = [
        "",
        "GET ",
        "GET / HTTP/1.1\r\nHost: any.test\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: any.test\r\nContent-Length: 10\r\n\r\nhello",
        "GET / HTTP/1.1\r\nHost: any.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "oops\r\n\r\n",
    ];
    for number in 0..1200 {
        let mut stream = TcpStream::connect(scene.listen).unwrap();
        let piece = pieces[number % pieces.len()];
        if number % 2 == 0 {
            // Closes with a reset and not with an end.
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        }
        // The edge may have refused it already.
        let _ = stream.write_all(piece.as_bytes());
        if number % 100 == 0 {
            scene.honest.more(4);
        }
    }
    scene.end();
}

/// So many connections, and room for the files of the test program itself.
const IDLE: u64 = 10_000;
const FILES: u64 = IDLE + 1000;

#[test]
fn ten_thousand_idle_connections_keep_nobody_waiting() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < FILES) {
        let most = limit.maximum.unwrap_or(u64::MAX);
        assert!(
            most >= FILES,
            "{FILES} open files are needed and {most} allowed: raise the hard limit (`ulimit -Hn`)"
        );
        limit.current = Some(FILES);
        setrlimit(Resource::Nofile, limit).unwrap();
    }
    let upstream = Upstream::named("api");
    let listen = free_address();
    let folder = Folder::new();
    // A process of its own: both ends of so many connections do not fit into one.
    let edge = process::start(&folder.0, 0);
    let control = process::connect(&folder.0, &edge);
    let mut plan = Plan::new(listen)
        .service("api", &[upstream.address])
        .route(None, "/", "api");
    process::serve(&control, &mut plan);
    let honest = Load::start(listen);
    let opened = AtomicU64::new(0);
    let mut idle: Vec<Client> = std::thread::scope(|scope| {
        let openers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut clients = Vec::new();
                    while opened.fetch_add(1, Ordering::Relaxed) < IDLE {
                        let mut client = Client::connect(listen);
                        assert_eq!(client.get("/idle").status, 200);
                        clients.push(client);
                    }
                    clients
                })
            })
            .collect();
        openers.into_iter().flat_map(|opener| opener.join().unwrap()).collect()
    });
    assert_eq!(idle.len() as u64, IDLE);
    honest.more(500);
    honest.end();
    // They were idle and not forgotten.
    for client in idle.iter_mut().step_by(97) {
        assert_eq!(client.get("/again").status, 200);
    }
}
