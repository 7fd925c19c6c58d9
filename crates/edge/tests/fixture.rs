//! An edge on a thread of the test, upstream servers that do as they are told, and a client that shows every byte.
//!
//! Everything is blocking and hand-written, so that a test's expectation does not pass through the code under test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tend_core::model::{Balance, Listener, RoutePolicy};
use tend_edge::{ControlClient, EdgeConfig, FromEdge, LogRotation, Patience, Stats, ToEdge, Unreadable, edge_main};
use tend_routing::{Replica, ReplicaState, Route, Service, Snapshot};

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` gives something; `what` is for the message when it never does.
pub(crate) fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A folder of its own for a test, removed at its end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tend-edge-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Returns an address nobody listens on. Another process could take it, but nothing else on the machine asks for this range in tests.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A running edge.
pub(crate) struct Edge {
    pub(crate) control: ControlClient,
    pub(crate) folder: Arc<Folder>,
    thread: Option<JoinHandle<()>>,
    /// What came beside the answers, in order.
    pub(crate) events: Vec<FromEdge>,
}

pub(crate) fn config(folder: &Folder, name: &str, handover_wait: Duration) -> EdgeConfig {
    EdgeConfig {
        control_socket: folder.0.join(format!("{name}.sock")),
        state_folder: folder.0.join("edge"),
        threads: 2,
        handover_wait,
        drain_wait: PATIENCE,
        patience: Patience::default(),
        log_rotation: LogRotation::default(),
        build: "test".to_owned(),
    }
}

impl Edge {
    /// Starts an edge that binds what its snapshots name.
    pub(crate) fn start() -> Self {
        Self::start_in(Arc::new(Folder::new()), "edge", Duration::ZERO)
    }

    pub(crate) fn start_in(folder: Arc<Folder>, name: &str, handover_wait: Duration) -> Self {
        let config = config(&folder, name, handover_wait);
        Self::start_with(folder, config)
    }

    pub(crate) fn start_with(folder: Arc<Folder>, config: EdgeConfig) -> Self {
        let path = config.control_socket.clone();
        let thread = std::thread::spawn(move || edge_main(&config).unwrap());
        let control = eventually("control socket", || ControlClient::connect(&path).ok());
        let mut edge = Self {
            control,
            folder,
            thread: Some(thread),
            events: Vec::new(),
        };
        edge.answer(|message| matches!(message, FromEdge::Hello { .. }));
        edge
    }

    /// Waits for the message that `wanted` accepts; the others are kept as events.
    pub(crate) fn answer(&mut self, wanted: impl Fn(&FromEdge) -> bool) -> (FromEdge, Vec<OwnedFd>) {
        loop {
            let (message, descriptors) = self
                .control
                .receive(PATIENCE)
                .unwrap()
                .expect("the edge did not answer");
            if wanted(&message) {
                return (message, descriptors);
            }
            self.events.push(message);
        }
    }

    /// Waits for an event, among those that came already or that come.
    pub(crate) fn event(&mut self, wanted: impl Fn(&FromEdge) -> bool) -> FromEdge {
        if let Some(position) = self.events.iter().position(&wanted) {
            return self.events.remove(position);
        }
        self.answer(wanted).0
    }

    pub(crate) fn serve(&mut self, snapshot: &Snapshot) {
        assert_eq!(self.serve_but(snapshot), []);
    }

    /// Has a snapshot served, and returns the files that could not be read for it.
    pub(crate) fn serve_but(&mut self, snapshot: &Snapshot) -> Vec<Unreadable> {
        self.control
            .send(
                &ToEdge::Snapshot {
                    snapshot: serde_json::to_value(snapshot).unwrap(),
                },
                &[],
            )
            .unwrap();
        let (answer, _) = self.answer(|message| matches!(message, FromEdge::Serving { .. } | FromEdge::Refused { .. }));
        match answer {
            FromEdge::Serving {
                generation,
                unbound,
                unreadable,
            } => {
                assert_eq!((generation, unbound), (snapshot.generation, Vec::new()));
                unreadable
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn stats(&mut self) -> Stats {
        self.control.send(&ToEdge::Stats, &[]).unwrap();
        match self.answer(|message| matches!(message, FromEdge::Stats(_))).0 {
            FromEdge::Stats(stats) => stats,
            other => panic!("{other:?}"),
        }
    }

    /// Asks the edge to drain; returns at once.
    pub(crate) fn drain(&mut self) {
        let deadline_ms = u64::try_from(PATIENCE.as_millis()).unwrap();
        self.control.send(&ToEdge::DrainAndExit { deadline_ms }, &[]).unwrap();
    }

    /// Waits until the edge has ended, and its log is complete.
    pub(crate) fn ended(mut self) -> Arc<Folder> {
        self.thread.take().unwrap().join().unwrap();
        self.folder.clone()
    }

    /// Drains the edge and returns its access log.
    pub(crate) fn log(mut self) -> Vec<serde_json::Value> {
        self.drain();
        let folder = self.ended();
        std::fs::read_to_string(folder.0.join("edge/access.log"))
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = self.control.send(&ToEdge::DrainAndExit { deadline_ms: 0 }, &[]);
            let _ = thread.join();
        }
    }
}

/// What an upstream does with a request it has read, head and body.
pub(crate) type Behaviour = dyn Fn(&Request, &mut TcpStream) -> Keep + Send + Sync;

/// Whether the upstream goes on with the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Open,
    Close,
}

/// A request as an upstream got it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// The lines of the head as they came.
    pub(crate) lines: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn method(&self) -> &str {
        self.lines[0].split(' ').next().unwrap()
    }

    pub(crate) fn target(&self) -> &str {
        self.lines[0].split(' ').nth(1).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.lines, name)
    }
}

fn header<'a>(lines: &'a [String], name: &str) -> Option<&'a str> {
    lines[1..].iter().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A server with a thread for each connection, which remembers every request.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Arc<Mutex<Vec<Request>>>,
    pub(crate) connections: Arc<AtomicU64>,
    ended: Arc<AtomicU64>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    pub(crate) fn start(behaviour: impl Fn(&Request, &mut TcpStream) -> Keep + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let stopped: Arc<AtomicBool> = Arc::default();
        let connections: Arc<AtomicU64> = Arc::default();
        let ended: Arc<AtomicU64> = Arc::default();
        let behaviour: Arc<Behaviour> = Arc::new(behaviour);
        let thread = std::thread::spawn({
            let (requests, open, stopped) = (requests.clone(), open.clone(), stopped.clone());
            let (connections, ended) = (connections.clone(), ended.clone());
            move || {
                let mut threads = Vec::new();
                for stream in listener.incoming() {
                    if stopped.load(Ordering::SeqCst) {
                        break;
                    }
                    let mut stream = stream.unwrap();
                    stream.set_nodelay(true).unwrap();
                    connections.fetch_add(1, Ordering::SeqCst);
                    open.lock().unwrap().push(stream.try_clone().unwrap());
                    let (requests, behaviour) = (requests.clone(), behaviour.clone());
                    let ended = ended.clone();
                    threads.push(std::thread::spawn(move || {
                        while let Some(request) = read_request(&mut stream) {
                            requests.lock().unwrap().push(request.clone());
                            if behaviour(&request, &mut stream) == Keep::Close {
                                break;
                            }
                        }
                        let _ = stream.shutdown(std::net::Shutdown::Both);
                        ended.fetch_add(1, Ordering::SeqCst);
                    }));
                }
                drop(listener);
                for stream in open.lock().unwrap().drain(..) {
                    let _ = stream.shutdown(std::net::Shutdown::Both);
                }
                for thread in threads {
                    let _ = thread.join();
                }
            }
        });
        Self {
            address,
            requests,
            connections,
            ended,
            open,
            stopped,
            thread: Some(thread),
        }
    }

    /// Answers everything with 200 and its name.
    pub(crate) fn named(name: &'static str) -> Self {
        Self::start(move |_, stream| respond(stream, 200, name))
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    pub(crate) fn last(&self) -> Request {
        self.requests.lock().unwrap().last().unwrap().clone()
    }

    /// Says whether no connection is open any more.
    pub(crate) fn all_closed(&self) -> bool {
        self.ended.load(Ordering::SeqCst) == self.connections.load(Ordering::SeqCst)
    }

    /// Ends it as kill -9 would: the port refuses, open connections are closed.
    pub(crate) fn kill(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        self.stopped.store(true, Ordering::SeqCst);
        for stream in self.open.lock().unwrap().iter() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
        thread.join().unwrap();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Writes a response with a length.
pub(crate) fn respond(stream: &mut TcpStream, status: u16, body: &str) -> Keep {
    let text = format!(
        "HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    match stream.write_all(text.as_bytes()) {
        Ok(()) => Keep::Open,
        Err(_) => Keep::Close,
    }
}

fn read_line(stream: &mut impl Read) -> Option<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        match byte[0] {
            b'\n' => break,
            other => line.push(other),
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Some(String::from_utf8_lossy(&line).into_owned())
}

fn read_head(stream: &mut impl Read) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            return (!lines.is_empty()).then_some(lines);
        }
        lines.push(line);
    }
}

fn read_body(stream: &mut impl Read, lines: &[String], until_end: bool) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    if header(lines, "transfer-encoding").is_some() {
        loop {
            let line = read_line(stream)?;
            let size = usize::from_str_radix(line.split(';').next()?, 16).ok()?;
            if size == 0 {
                while !read_line(stream)?.is_empty() {}
                return Some(body);
            }
            let begin = body.len();
            body.resize(begin + size, 0);
            stream.read_exact(&mut body[begin..]).ok()?;
            read_line(stream)?;
        }
    }
    if let Some(length) = header(lines, "content-length") {
        body.resize(length.parse().ok()?, 0);
        stream.read_exact(&mut body).ok()?;
    } else if until_end {
        stream.read_to_end(&mut body).ok()?;
    }
    Some(body)
}

fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let lines = read_head(stream)?;
    let body = read_body(stream, &lines, false)?;
    Some(Request { lines, body })
}

/// A response as a client got it.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) lines: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.lines, name)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Reads a response; none when the connection ended before its head. `head_only` is for answers to HEAD.
pub(crate) fn read_response(stream: &mut impl Read, head_only: bool) -> Option<Response> {
    let lines = read_head(stream)?;
    let status: u16 = lines[0].split(' ').nth(1)?.parse().ok()?;
    let bodiless = head_only || status < 200 || status == 204 || status == 304;
    let body = if bodiless {
        Vec::new()
    } else {
        read_body(stream, &lines, true)?
    };
    Some(Response { status, lines, body })
}

/// One connection to the edge.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// Reads a response; none when the connection ended before its head. `head_only` is for answers to HEAD.
    pub(crate) fn try_read(&mut self, head_only: bool) -> Option<Response> {
        read_response(&mut self.0, head_only)
    }

    pub(crate) fn read(&mut self) -> Response {
        self.try_read(false).expect("no response")
    }

    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.write(&format!("GET {path} HTTP/1.1\r\nHost: any.test\r\n\r\n"));
        self.read()
    }

    pub(crate) fn post(&mut self, path: &str, body: &str) -> Response {
        self.write(&format!(
            "POST {path} HTTP/1.1\r\nHost: any.test\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        self.read()
    }

    /// Says whether the edge has closed the connection, once it has.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0) | Err(_))
    }
}

/// Builds snapshots with one service, `mps/api`, behind `/` at one address.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) snapshot: Snapshot,
}

impl Plan {
    pub(crate) fn new(listen: SocketAddr) -> Self {
        Self {
            snapshot: Snapshot {
                listeners: vec![Listener::plain(listen)],
                ..Snapshot::empty()
            },
        }
    }

    /// Adds a service with ready replicas.
    pub(crate) fn service(mut self, name: &str, replicas: &[SocketAddr]) -> Self {
        self.snapshot.services.push(Service {
            id: format!("mps/{name}/1")
                .parse::<tend_core::model::ReplicaId>()
                .unwrap()
                .service_id(),
            internal: None,
            balance: Balance::default(),
            split: None,
            replicas: replicas
                .iter()
                .enumerate()
                .map(|(index, address)| Replica {
                    id: format!("mps/{name}/{}", index + 1).parse().unwrap(),
                    incarnation: 1,
                    address: *address,
                    weight: 1,
                    state: ReplicaState::Ready,
                    candidate: false,
                    release: None,
                })
                .collect(),
        });
        self
    }

    /// Adds a route.
    pub(crate) fn route(mut self, host: Option<&str>, path_prefix: &str, service: &str) -> Self {
        self.snapshot.routes.push(Route {
            listeners: Vec::new(),
            host: host.map(str::to_owned),
            path_prefix: path_prefix.to_owned(),
            service: Some(
                format!("mps/{service}/1")
                    .parse::<tend_core::model::ReplicaId>()
                    .unwrap()
                    .service_id(),
            ),
            quiet_paths: vec!["/health".to_owned()],
            policy: RoutePolicy::default(),
            maintenance: None,
            pause: None,
        });
        self
    }

    /// Returns the snapshot under the next generation.
    pub(crate) fn next(&mut self) -> Snapshot {
        self.snapshot.generation += 1;
        self.snapshot.clone()
    }
}

/// Starts an edge with `mps/api` on these replicas behind `/`; returns where it listens.
pub(crate) fn api(replicas: &[SocketAddr]) -> (Edge, SocketAddr, Plan) {
    api_on(Edge::start(), replicas)
}

/// Like [`api`], on an edge that was started otherwise.
pub(crate) fn api_on(mut edge: Edge, replicas: &[SocketAddr]) -> (Edge, SocketAddr, Plan) {
    let listen = free_address();
    let mut plan = Plan::new(listen).service("api", replicas).route(None, "/", "api");
    edge.serve(&plan.next());
    (edge, listen, plan)
}
