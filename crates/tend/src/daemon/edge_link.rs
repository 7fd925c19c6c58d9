//! The daemon's connection to the edge: starting one, adopting one, handing sockets and snapshots over, hearing what it observed.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::process::{Command as Program, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::answer::{bans, money};
use super::hub::Hub;
use super::readiness::Readiness;
use super::shared::Shared;
use super::snapshot;
use super::steps::Performer;
use serde_json::json;
use tend_base::with_causes;
use tend_core::controller::Input;
use tend_core::journal::{Entry, Kind, Principal, Subject};
use tend_core::model::ServiceId;
use tend_core::observed::Endpoints;
use tend_core::world::World;
use tend_edge::{ControlClient, EdgeError, FromEdge, HandedSocket, Stats, ToEdge};

/// The edge's control socket, in the run folder.
pub(crate) const SOCKET: &str = "edge.sock";

/// How long an edge that was just started may take until its control socket answers.
const START_MAX: Duration = Duration::from_secs(5);

/// How long one answer of the edge may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Sockets in one message; the kernel allows 253 descriptors.
const SOCKETS_AT_ONCE: usize = 100;

/// A connection to the edge.
pub(crate) struct EdgeLink {
    client: ControlClient,
    child: std::sync::Mutex<Option<std::process::Child>>,
}

/// Connects to an edge that runs already, if one does, and takes over duplicates of its sockets.
pub(crate) async fn adopt(performer: &Arc<Performer>) {
    let Ok(client) = ControlClient::connect(&performer.shared.paths.run.join(SOCKET)) else {
        return;
    };
    // An edge that does not answer is replaced by the next step.
    if let Ok(serving) = take_sockets(&performer.shared, &client) {
        connected(performer, client, None, serving).await;
    }
}

/// Takes in the hello and the sockets of an edge; returns the generation it serves.
fn take_sockets(shared: &Shared, client: &ControlClient) -> Result<u64, EdgeError> {
    let mut generation = 0;
    client.send(&ToEdge::GiveListeners, &[])?;
    while let Some((message, descriptors)) = client.receive(ANSWER_MAX)? {
        match message {
            FromEdge::Hello {
                pid,
                generation: serving,
                ..
            } => {
                shared.set_edge_pid(pid);
                generation = serving;
            }
            FromEdge::Listeners { sockets, last } => {
                for (HandedSocket { address, thread }, socket) in sockets.into_iter().zip(descriptors) {
                    shared.listeners.adopt(address, thread, socket);
                }
                if last {
                    break;
                }
            }
            _ => {}
        }
    }
    Ok(generation)
}

/// Binds the address at which each service is reached from inside, and has those moved that somebody else holds.
///
/// For a daemon that came back, before it starts anything: a replica must not be given an address at which a stranger answers.
pub(crate) async fn claim_inner(performer: &Performer) {
    let services = performer.hub.ask(|controller, _| {
        let services = controller.world().services.iter();
        let with_port = services.filter_map(|(id, facts)| Some((id.clone(), facts.loopback_port?)));
        with_port.collect::<Vec<_>>()
    });
    let mut left = services.await;
    // Somebody may be quicker where it was moved to.
    while let Some((service, port)) = left.pop() {
        if performer.shared.listeners.bind_inner(inner(port)) {
            continue;
        }
        let id = service.clone();
        move_on(performer, service, port).await;
        let moved = performer.hub.ask(move |controller, _| {
            let facts = controller.world().services.get(&id)?;
            let moved = facts.loopback_port.filter(|moved| *moved != port)?;
            Some((id, moved))
        });
        left.extend(moved.await);
    }
}

/// Has a service moved whose port somebody else holds, to one that nobody does.
async fn move_on(performer: &Performer, service: ServiceId, port: u16) {
    avoid_taken_ports(&performer.shared, &performer.hub, 1).await;
    performer.hub.input(Input::InnerPortTaken { service, port }).await;
}

/// Finds out which of the ports that would be given next are held by somebody else, so that `count` services are given others.
pub(crate) async fn avoid_taken_ports(shared: &Shared, hub: &Hub, count: usize) {
    loop {
        let next = hub.ask(move |controller, _| {
            let world = controller.world();
            let untried = world.free_ports().filter(|port| !world.ports_avoided.contains(port));
            untried.take(count).collect::<Vec<_>>()
        });
        let ports = shared.listeners.taken(&next.await);
        if ports.is_empty() {
            return;
        }
        hub.input(Input::PortsTaken { ports }).await;
    }
}

fn inner(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Starts an edge and connects to it.
pub(crate) async fn start(performer: &Arc<Performer>) -> Result<(), String> {
    let shared = &performer.shared;
    let path = shared.paths.run.join(SOCKET);
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(shared.paths.state.join("edge/edge.log"));
    let log = log.map_err(|error| format!("the edge's log could not be opened: {error}"))?;
    let mut program = Program::new(&shared.program);
    program
        .arg("edge")
        .env("TEND_STATE", &shared.paths.state)
        .env("TEND_RUN", &shared.paths.run)
        .env("TEND_EDGE_HANDOVER", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::from(log));
    let mut child = shared
        .replicas
        .start_child(&mut program)
        .map_err(|error| format!("it could not be run: {error}"))?;
    let pid = child.id();
    let begun = super::now().mono;
    let client = loop {
        match ControlClient::connect(&path) {
            // The socket file may be that of an edge that was killed; only the new one's hello counts.
            Ok(client) if hello(&client) == Some(pid) => break client,
            _ => {}
        }
        if let Ok(Some(status)) = child.try_wait() {
            shared.replicas.end_child(&child);
            return Err(format!(
                "it ended at once with {status}; see {}/edge/edge.log",
                shared.paths.state.display()
            ));
        }
        if super::now().mono.since(begun) > START_MAX {
            let _ = child.kill();
            let _ = child.wait();
            shared.replicas.end_child(&child);
            return Err("its control socket did not answer in time".to_owned());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    shared.set_edge_pid(pid);
    connected(performer, client, Some(child), 0).await;
    Ok(())
}

fn hello(client: &ControlClient) -> Option<u32> {
    match client.receive(ANSWER_MAX) {
        Ok(Some((FromEdge::Hello { pid, .. }, _))) => Some(pid),
        _ => None,
    }
}

async fn connected(
    performer: &Arc<Performer>,
    client: ControlClient,
    child: Option<std::process::Child>,
    serving: u64,
) {
    let link = Arc::new(EdgeLink {
        client,
        child: std::sync::Mutex::new(child),
    });
    *performer.edge.lock().await = Some(Arc::clone(&link));
    performer.hub.input(Input::EdgeConnected { serving }).await;
    // Both ways here have read its hello.
    let pid = performer.shared.edge_pid().unwrap_or_default();
    tokio::spawn(listen(Arc::clone(performer), link, pid));
    // What an edge said while no daemon heard it.
    money::record_doubts(&performer.shared).await;
}

/// Lets the edge end when no stack is left that could need it: a daemon asked to end should then leave nothing behind.
pub(crate) async fn dismiss_idle(performer: &Arc<Performer>) {
    let needed = performer
        .hub
        .ask(|controller, _| !controller.world().stacks.is_empty())
        .await;
    if let Some(link) = performer.edge.lock().await.as_ref().filter(|_| !needed) {
        let deadline_ms = u64::try_from(ANSWER_MAX.as_millis()).unwrap_or(u64::MAX);
        // An edge that is gone already needs no telling.
        let _ = link.client.send(&ToEdge::DrainAndExit { deadline_ms }, &[]);
    }
}

/// Returns whether the edge said that it serves all that is to be served now.
pub(crate) fn serves_all(world: &World) -> bool {
    let edge = &world.edge;
    edge.connected && edge.published_revision == world.revisions() && edge.serving >= edge.generation
}

/// Asks the edge for its counters.
///
/// # Errors
/// When no edge answers.
pub(crate) async fn stats(shared: &Arc<Shared>) -> Result<Stats, String> {
    ask(shared, ToEdge::Stats, |said| match said {
        FromEdge::Stats(stats) => Some(stats),
        _ => None,
    })
    .await
}

/// Asks the edge what it counts, as Prometheus reads it.
///
/// # Errors
/// When no edge answers.
pub(crate) async fn metrics(shared: &Arc<Shared>) -> Result<String, String> {
    ask(shared, ToEdge::Metrics, |said| match said {
        FromEdge::Metrics { text } => Some(text),
        _ => None,
    })
    .await
}

/// Asks the edge something, by a connection of its own: what else it says meanwhile is said to the daemon's too.
async fn ask<T: Send + 'static>(
    shared: &Arc<Shared>,
    question: ToEdge,
    answer: impl Fn(FromEdge) -> Option<T> + Send + 'static,
) -> Result<T, String> {
    let socket = shared.paths.run.join(SOCKET);
    let asked = tokio::task::spawn_blocking(move || -> Result<T, String> {
        let client = ControlClient::connect(&socket).map_err(|error| with_causes(&error))?;
        client.send(&question, &[]).map_err(|error| with_causes(&error))?;
        let begun = super::now().mono;
        while super::now().mono.since(begun) < ANSWER_MAX {
            let said = client.receive(ANSWER_MAX).map_err(|error| with_causes(&error))?;
            if let Some(answer) = said.and_then(|(said, _)| answer(said)) {
                return Ok(answer);
            }
        }
        Err("it did not answer in time".to_owned())
    });
    asked.await.unwrap_or_else(|error| Err(error.to_string()))
}

/// Hands the edge what it is to serve; it says by itself when it does.
pub(crate) async fn publish(performer: &Arc<Performer>, generation: u64, endpoints: Endpoints) -> Result<(), String> {
    let link = performer.edge.lock().await.clone().ok_or("the edge is not connected")?;
    let shared = Arc::clone(&performer.shared);
    let (mut snapshot, banned, hops) = performer
        .hub
        .ask(move |controller, _| {
            let world = controller.world();
            let mut snapshot = snapshot::compose(world, generation, &endpoints, &shared.candidate_token);
            shared.certificates.fill(world, &mut snapshot);
            let hops = world.bans.hops_let_in(bans::trusted(world).into_iter());
            (snapshot, Arc::clone(&world.bans), hops)
        })
        .await;
    let ban_files = &performer.shared.ban_files;
    snapshot.bans = ban_files
        .file_of(&banned, hops, generation)
        .map_err(|error| format!("the bans could not be written where the edge reads them: {error}"))?;
    let listeners = &performer.shared.listeners;
    // A service's inner address that someone else holds is left out: clients are served all the same. It is then given another.
    for service in &mut snapshot.services {
        if let Some(address) = service.internal
            && !listeners.bind_inner(address)
        {
            service.internal = None;
            move_on(performer, service.id.clone(), address.port()).await;
        }
    }
    let clients: Vec<SocketAddr> = snapshot.listeners.iter().map(|listener| listener.address).collect();
    listeners.bind_all(&clients).map_err(|error| error.to_string())?;
    let wanted: Vec<SocketAddr> = snapshot.addresses().collect();
    let mut descriptors = Vec::new();
    let mut sockets = Vec::new();
    listeners
        .each(|address, thread, socket| -> Result<(), std::io::Error> {
            if wanted.contains(&address) {
                sockets.push(HandedSocket { address, thread });
                descriptors.push(socket.try_clone()?);
            }
            Ok(())
        })
        .map_err(|error| format!("a listening socket could not be duplicated: {error}"))?;
    let sent = (|| -> Result<(), EdgeError> {
        for (some, descriptors) in sockets.chunks(SOCKETS_AT_ONCE).zip(descriptors.chunks(SOCKETS_AT_ONCE)) {
            let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
            link.client
                .send(&ToEdge::Listeners { sockets: some.to_vec() }, &borrowed)?;
        }
        let snapshot = serde_json::to_value(&snapshot).expect("invariant: a snapshot has a JSON form");
        link.client.send(&ToEdge::Snapshot { snapshot }, &[])
    })();
    listeners.retain(|address| wanted.contains(address));
    match sent {
        Ok(()) => Ok(()),
        Err(error) => {
            // Said before the outcome, or the step would be tried again at once.
            lost(performer, &link).await;
            Err(error.to_string())
        }
    }
}

/// Hands on what the edge of this process says until it is gone.
async fn listen(performer: Arc<Performer>, link: Arc<EdgeLink>, pid: u32) {
    let Ok(readable) = Readiness::of(link.client.as_fd()) else {
        return lost(&performer, &link).await;
    };
    loop {
        let message = readable
            .read(|| match link.client.receive(Duration::ZERO) {
                Ok(Some((message, _))) => Ok(Some(message)),
                Ok(None) => Err(std::io::ErrorKind::WouldBlock.into()),
                Err(_) => Ok(None),
            })
            .await;
        let Ok(Some(message)) = message else {
            return lost(&performer, &link).await;
        };
        match message {
            FromEdge::Serving {
                generation,
                unbound,
                unreadable,
            } => {
                for unbound in unbound {
                    let what = format!("{} is not listened on: {}", unbound.address, unbound.why);
                    refused(&performer.shared, &what);
                }
                for certificate in unreadable {
                    let meanwhile = if certificate.last_good {
                        "the one before stays in use"
                    } else {
                        "nothing stands in for it"
                    };
                    let names = certificate.names.join(", ");
                    refused(&performer.shared, &format!("{names}: {}; {meanwhile}", certificate.why));
                }
                performer.shared.ban_files.served(generation);
                performer.hub.input(Input::EdgeServing { generation }).await;
            }
            FromEdge::Refused { what, why, .. } => {
                refused(&performer.shared, &format!("{what}: {why}"));
                // It goes on with what it had. Publishing anew, under a higher number, is what can mend that.
                let (generation, result) = (performer.generation().await, Err(format!("the edge refused it: {why}")));
                performer.hub.input(Input::Published { generation, result }).await;
            }
            FromEdge::InFlight {
                replica,
                incarnation,
                n,
            } => {
                // Of an earlier life a connection may still be closing: that is no news of the one that is drained now.
                let asked = replica.clone();
                let current = performer
                    .hub
                    .ask(move |controller, _| Some(controller.world().replicas.get(&asked)?.incarnation))
                    .await;
                if current != Some(incarnation) {
                    continue;
                }
                performer
                    .hub
                    .input(Input::InFlight {
                        replica,
                        count: u64::from(n),
                    })
                    .await;
            }
            FromEdge::Answered {
                replica,
                incarnation,
                requests,
                failed,
                ..
            } => {
                let shared = &performer.shared;
                shared.note_edge_counts(pid, &replica, incarnation, (requests, failed));
            }
            FromEdge::Ejected {
                replica,
                incarnation,
                why,
                detail,
                lasts_ms,
            } => {
                let mut data = json!({ "reason": why.as_str(), "lasts_ms": lasts_ms });
                if let Some(detail) = detail {
                    data["detail"] = json!(detail);
                }
                if let Some((requests, failed)) = performer.shared.edge_counts(&replica, incarnation) {
                    data["counted"] = json!({ "requests": requests, "failed": failed });
                }
                record(&performer.shared, Kind::EdgeEjected, replica, incarnation, data);
            }
            FromEdge::MoneyInDoubt => money::record_doubts(&performer.shared).await,
            FromEdge::MoneyUnavailable { why, hint } => {
                let daemon = Principal::Daemon {
                    pid: std::process::id(),
                    build: performer.shared.build.clone(),
                };
                let data = json!({ "why": why, "hint": hint });
                let entry = Entry::new(daemon, Kind::MoneyUnavailable).with(data);
                performer.shared.store.record(vec![entry]);
            }
            FromEdge::Readmitted { replica, incarnation } => {
                record(&performer.shared, Kind::EdgeReadmitted, replica, incarnation, json!({}));
            }
            _ => {}
        }
    }
}

/// Writes down what the edge did not do.
fn refused(shared: &Shared, what: &str) {
    let daemon = Principal::Daemon {
        pid: std::process::id(),
        build: shared.build.clone(),
    };
    let data = json!({ "refused": what });
    shared
        .store
        .record(vec![Entry::new(daemon, Kind::EdgeServing).with(data)]);
}

fn record(
    shared: &Shared,
    kind: Kind,
    replica: tend_core::model::ReplicaId,
    incarnation: u64,
    data: serde_json::Value,
) {
    let daemon = Principal::Daemon {
        pid: std::process::id(),
        build: shared.build.clone(),
    };
    let entry = Entry::new(daemon, kind)
        .on(Subject::from(replica).incarnation(incarnation))
        .with(data);
    shared.store.record(vec![entry]);
}

async fn lost(performer: &Arc<Performer>, link: &Arc<EdgeLink>) {
    let mut current = performer.edge.lock().await;
    if !current.as_ref().is_some_and(|current| Arc::ptr_eq(current, link)) {
        return;
    }
    *current = None;
    drop(current);
    let child = link
        .child
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .take();
    if let Some(mut child) = child {
        // The connection is closed by its end; it is a zombie at the latest in a moment.
        let _ = child.wait();
        performer.shared.replicas.end_child(&child);
    }
    performer.hub.input(Input::EdgeLost).await;
}
