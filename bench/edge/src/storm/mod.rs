//! A storm: a hundred snapshots a second, then edges replaced one after the other, under requests and open WebSockets.
//!
//! Plays the daemon: it holds the listening sockets and hands them to each edge. Judged by what clients saw alone: a request that failed or a
//! WebSocket that was dropped is a broken promise, and the exit status says so. Map: `clients` who notices, `server` what stands behind.

mod clients;
mod server;

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value as Json, json};
use tend_edge::{ControlClient, FromEdge, HandedSocket, ToEdge};

use self::clients::Clients;
use crate::error::{Error, Result};
use crate::front::connect;
use crate::process::{Folder, LOOK, Running};

/// Threads of each edge; so many sockets are bound for each address.
const THREADS: usize = 2;

/// How long an edge may take to answer, and its last WebSockets to be gone once their clients have closed them.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an edge that is replaced is told: by then it ends with whatever it has left.
const DRAIN_MS: u64 = 3_600_000;

/// How big the storm is.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Size {
    /// Snapshots a second.
    pub(crate) snapshots: u32,
    /// Seconds of them.
    pub(crate) seconds: u64,
    /// Edges after the first.
    pub(crate) replacements: u32,
    /// Requests a second.
    pub(crate) rate: u32,
    /// Open WebSockets.
    pub(crate) sockets: usize,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) size: Size,
    pub(crate) snapshots: u64,
    pub(crate) snapshot_seconds: f64,
    pub(crate) replacements: u32,
    /// Of the edges that were replaced: how many ended by themselves once their WebSockets were closed.
    pub(crate) ended: usize,
    pub(crate) seen: clients::Seen,
}

impl Outcome {
    /// Whether every promise was kept.
    pub(crate) fn is_kept(&self) -> bool {
        let seen = &self.seen;
        seen.failures.is_empty()
            && seen.dropped.is_empty()
            && seen.requests > 0
            && seen.echoes > 0
            && self.ended == self.replacements as usize
    }
}

/// An edge of the storm.
struct OneEdge {
    control: ControlClient,
    running: Running,
}

/// Starts the storm and sits it out.
pub(crate) fn run(program: &Path, size: Size) -> Result<Outcome> {
    let folder = Folder::new()?;
    let servers = server::start()?;
    let sockets = listen()?;
    let address = sockets[0].local_addr().map_err(upstream("tell its address"))?;
    let mut generation = 1;
    let mut edges = vec![start(
        program,
        &folder,
        0,
        &sockets,
        address,
        &snapshot(address, &servers, generation),
    )?];
    let clients = Clients::start(address, size)?;
    clients.await_all_open(4 * PATIENCE)?;

    let (mut snapshots, begun) = (0, Instant::now());
    while begun.elapsed() < Duration::from_secs(size.seconds) {
        generation += 1;
        serve(&edges[0].control, &snapshot(address, &servers, generation))?;
        snapshots += 1;
        let due = begun + Duration::from_secs(1) * snapshots / size.snapshots.max(1);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let snapshot_seconds = begun.elapsed().as_secs_f64();

    for number in 1..=size.replacements {
        generation += 1;
        let next = start(
            program,
            &folder,
            number,
            &sockets,
            address,
            &snapshot(address, &servers, generation),
        )?;
        let old = edges.last().expect("invariant: the first edge is there");
        let drain = ToEdge::DrainAndExit { deadline_ms: DRAIN_MS };
        old.control.send(&drain, &[]).map_err(|error| edge(&error))?;
        edges.push(next);
        // Some WebSockets of each edge outlive it.
        clients.move_on(size.sockets / (size.replacements as usize + 1));
        std::thread::sleep(Duration::from_secs(1));
    }

    let seen = clients.end();
    let last = edges.pop();
    let ended = await_end(&mut edges);
    drop(last);
    Ok(Outcome {
        size,
        snapshots: u64::from(snapshots),
        snapshot_seconds,
        replacements: size.replacements,
        ended,
        seen,
    })
}

/// Returns how many of the edges have ended, at the latest when nobody is patient any more.
fn await_end(edges: &mut [OneEdge]) -> usize {
    let begun = Instant::now();
    loop {
        let ended = edges
            .iter_mut()
            .filter_map(|edge| edge.running.has_ended().then_some(()))
            .count();
        if ended == edges.len() || begun.elapsed() > PATIENCE {
            return ended;
        }
        std::thread::sleep(LOOK);
    }
}

fn upstream(what: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Upstream { what, source }
}

fn edge(error: &dyn fmt::Display) -> Error {
    Error::Edge {
        what: error.to_string(),
    }
}

/// Binds the sockets that all edges accept on, as the daemon does: one for each thread.
fn listen() -> Result<Vec<TcpListener>> {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};
    let mut address: SocketAddr = ([127, 0, 0, 1], 0).into();
    let mut sockets = Vec::new();
    let failed = |source: rustix::io::Errno| upstream("listen for the edges")(source.into());
    for _ in 0..THREADS {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).map_err(failed)?;
        sockopt::set_socket_reuseport(&socket, true).map_err(failed)?;
        bind(&socket, &address).map_err(failed)?;
        listen(&socket, 4096).map_err(failed)?;
        let socket = TcpListener::from(socket);
        address = socket.local_addr().map_err(upstream("listen for the edges"))?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Starts an edge, hands it the sockets, and has it serve.
fn start(
    program: &Path,
    folder: &Folder,
    number: u32,
    sockets: &[TcpListener],
    address: SocketAddr,
    snapshot: &Json,
) -> Result<OneEdge> {
    let socket = folder.join(&format!("edge-{number}.sock"));
    let arguments = [
        socket.display().to_string(),
        // One folder for all, as with a daemon: the next edge reads what the last one wrote.
        folder.join("edge").display().to_string(),
        THREADS.to_string(),
        PATIENCE.as_millis().to_string(),
    ];
    let mut running = Running::anywhere(program, &arguments, folder.join(&format!("edge-{number}.log")))?;
    let control = connect(&socket, &mut running)?;
    let handed = (0..sockets.len())
        .map(|thread| HandedSocket { address, thread })
        .collect();
    let descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
    let listeners = ToEdge::Listeners { sockets: handed };
    control.send(&listeners, &descriptors).map_err(|error| edge(&error))?;
    await_message(&control, |message| matches!(message, FromEdge::ListenersTaken { .. }))?;
    serve(&control, snapshot)?;
    Ok(OneEdge { control, running })
}

fn serve(control: &ControlClient, snapshot: &Json) -> Result<()> {
    let snapshot = snapshot.clone();
    control
        .send(&ToEdge::Snapshot { snapshot }, &[])
        .map_err(|error| edge(&error))?;
    await_message(control, |message| matches!(message, FromEdge::Serving { .. }))
}

fn await_message(control: &ControlClient, wanted: impl Fn(&FromEdge) -> bool) -> Result<()> {
    loop {
        match control.receive(PATIENCE).map_err(|error| edge(&error))? {
            Some((FromEdge::Refused { why, hint, .. }, _)) => return Err(edge(&format!("{why}; {hint}"))),
            Some((message, _)) if wanted(&message) => return Ok(()),
            Some(_) => {}
            None => return Err(edge(&"it does not answer")),
        }
    }
}

/// Each generation changes weights, puts another of the three replicas on its way out, and gives each a new life now and then.
fn snapshot(address: SocketAddr, servers: &server::Ports, generation: u64) -> Json {
    let replicas: Vec<Json> = (0..)
        .zip(&servers.plain)
        .map(|(index, port): (u64, _)| {
            let leaving = generation % 4 == index;
            json!({
                "id": format!("storm/api/{}", index + 1),
                "incarnation": 1 + generation / 8,
                "address": format!("127.0.0.1:{port}"),
                "weight": 1 + generation % 3,
                "state": if leaving { "draining" } else { "ready" },
            })
        })
        .collect();
    let api = json!({ "stack": "storm", "service": "api" });
    let live = json!({ "stack": "storm", "service": "live" });
    json!({
        "format": tend_routing::FORMAT_VERSION,
        "generation": generation,
        "listeners": [{ "address": address }],
        "routes": [
            { "path_prefix": "/", "service": api, "quiet_paths": ["/"] },
            { "path_prefix": "/ws", "service": live },
        ],
        "services": [
            { "id": api, "replicas": replicas },
            {
                "id": live,
                "replicas": [{
                    "id": "storm/live/1",
                    "incarnation": 1,
                    "address": format!("127.0.0.1:{}", servers.echo),
                    "weight": 1 + generation % 3,
                    "state": "ready",
                }],
            },
        ],
    })
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = &self.seen;
        writeln!(f, "| | |\n| --- | ---: |")?;
        let per_second = self.snapshots as f64 / self.snapshot_seconds.max(f64::MIN_POSITIVE);
        writeln!(f, "| snapshots served | {}, {per_second:.0} a second |", self.snapshots)?;
        writeln!(f, "| edges replaced | {} |", self.replacements)?;
        writeln!(f, "| of these ended by themselves | {} |", self.ended)?;
        writeln!(
            f,
            "| requests | {}, {:.0} a second of {} |",
            seen.requests,
            seen.requests as f64 / seen.seconds.max(f64::MIN_POSITIVE),
            self.size.rate
        )?;
        writeln!(f, "| requests that failed | {} |", seen.failures.len())?;
        writeln!(
            f,
            "| latency, p50, p99, max | {:.1}, {:.1}, {:.1} ms |",
            seen.p50_ms, seen.p99_ms, seen.max_ms
        )?;
        writeln!(f, "| WebSockets opened, echoes | {}, {} |", seen.opened, seen.echoes)?;
        writeln!(f, "| WebSockets dropped | {} |", seen.dropped.len())?;
        for what in seen.failures.iter().chain(&seen.dropped).take(20) {
            writeln!(f, "\n{what}")?;
        }
        Ok(())
    }
}
