//! Snapshots, listeners, draining, and one edge after another.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tend_edge::{FromEdge, HandedSocket, ToEdge};
use tend_routing::ReplicaState;

use crate::fixture::{Client, Edge, Folder, PATIENCE, Plan, Upstream, api, eventually, free_address, respond};

/// Clients that ask without pause until stopped: half keep their connections, half make one for each request.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let stop: Arc<AtomicBool> = Arc::default();
        let answered: Arc<AtomicU64> = Arc::default();
        let threads = (0..4)
            .map(|number| {
                let (stop, answered) = (stop.clone(), answered.clone());
                std::thread::spawn(move || {
                    let mut client = Client::connect(address);
                    while !stop.load(Ordering::Relaxed) {
                        let response = client.get("/");
                        assert_eq!(response.status, 200, "{response:?}");
                        answered.fetch_add(1, Ordering::Relaxed);
                        if number % 2 == 1 || response.header("connection") == Some("close") {
                            client = Client::connect(address);
                        }
                    }
                })
            })
            .collect();
        Self {
            stop,
            answered,
            threads,
        }
    }

    /// Waits until so many more requests were answered.
    pub(crate) fn more(&self, requests: u64) {
        let wanted = self.answered.load(Ordering::Relaxed) + requests;
        eventually("answers", || {
            let failed = self.threads.iter().any(|thread| thread.is_finished());
            assert!(!failed, "a request failed");
            (self.answered.load(Ordering::Relaxed) >= wanted).then_some(())
        });
    }

    /// Ends; fails when a request did.
    pub(crate) fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

#[test]
fn a_snapshot_swap_under_load_fails_no_request() {
    let (first, second) = (Upstream::named("first"), Upstream::named("second"));
    let (mut edge, listen, mut plan) = api(&[first.address, second.address]);
    let load = Load::start(listen);
    for round in 0..60 {
        // Drained, replaced by another incarnation, and ready again in turn.
        let replicas = &mut plan.snapshot.services[0].replicas;
        replicas[round % 2].state = ReplicaState::Draining;
        replicas[(round + 1) % 2].state = ReplicaState::Ready;
        if round % 3 == 0 {
            replicas[round % 2].incarnation += 1;
        }
        edge.serve(&plan.next());
        load.more(20);
    }
    load.end();
    assert_eq!(edge.stats().generation, 61);
}

#[test]
fn a_draining_replica_finishes_what_it_has_and_gets_nothing_new() {
    let (release, wait) = sync_channel::<()>(0);
    let wait = std::sync::Mutex::new(wait);
    let old = Upstream::start(move |_, stream| {
        let _ = wait.lock().unwrap().recv();
        respond(stream, 200, "old")
    });
    let new = Upstream::named("new");
    let (mut edge, listen, mut plan) = api(&[old.address]);
    let mut slow = Client::connect(listen);
    slow.write("GET /slow HTTP/1.1\r\nHost: any.test\r\n\r\n");
    eventually("the slow request", || (old.count() == 1).then_some(()));
    let mut replicas = plan.clone().service("api", &[new.address]).snapshot.services;
    let mut fresh = replicas.remove(1).replicas.remove(0);
    fresh.id = "mps/api/2".parse().unwrap();
    plan.snapshot.services[0].replicas.push(fresh);
    plan.snapshot.services[0].replicas[0].state = ReplicaState::Draining;
    edge.serve(&plan.next());
    let in_flight = |wanted: u32| {
        move |event: &FromEdge| {
            matches!(event, FromEdge::InFlight { replica, n, .. }
                if replica.to_string() == "mps/api/1" && *n == wanted)
        }
    };
    edge.event(in_flight(1));
    let mut client = Client::connect(listen);
    for _ in 0..20 {
        assert_eq!(client.get("/").text(), "new");
    }
    release.send(()).unwrap();
    assert_eq!(slow.read().text(), "old");
    edge.event(in_flight(0));
    assert_eq!(old.count(), 1);
}

#[test]
fn a_snapshot_that_cannot_be_served_is_refused_and_the_old_one_stays() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    plan.next();
    plan.next();
    let good = plan.snapshot.clone();
    edge.serve(&good);
    let refused = |edge: &mut Edge, snapshot: serde_json::Value| {
        edge.control.send(&ToEdge::Snapshot { snapshot }, &[]).unwrap();
        match edge.answer(|message| matches!(message, FromEdge::Refused { .. })).0 {
            FromEdge::Refused { why, generation, .. } => {
                assert_eq!(generation, good.generation);
                why
            }
            other => panic!("{other:?}"),
        }
    };
    let value = |plan: &Plan| serde_json::to_value(&plan.snapshot).unwrap();
    let mut older = value(&plan);
    older["generation"] = 1.into();
    assert!(refused(&mut edge, older).contains("older"));
    let mut newer_format = value(&plan);
    newer_format["format"] = 99.into();
    assert!(refused(&mut edge, newer_format).contains("format 99"));
    assert!(refused(&mut edge, serde_json::json!({"format": 1})).contains("generation"));
    let mut twice = plan.clone().route(None, "/", "api");
    let twice = serde_json::to_value(twice.next()).unwrap();
    assert!(refused(&mut edge, twice).contains("two routes"));
    assert_eq!(Client::connect(listen).get("/").text(), "api");
}

#[test]
fn a_snapshot_of_thousands_of_replicas_passes_the_control_socket() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, plan) = api(&[upstream.address]);
    let addresses: Vec<SocketAddr> = (0..3000).map(|_| upstream.address).collect();
    let mut plan = plan.service("many", &addresses).route(None, "/many", "many");
    plan.snapshot.generation = 1;
    edge.serve(&plan.next());
    assert_eq!(Client::connect(listen).get("/many").text(), "api");
    assert_eq!(edge.stats().replicas.len(), 3001);
}

#[test]
fn an_edge_serves_from_disk_with_no_daemon_alive() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, _) = api(&[upstream.address]);
    edge.drain();
    let folder = edge.ended();
    // Nobody speaks to this one before it is asked.
    let edge = Edge::start_in(folder, "second", Duration::ZERO);
    assert_eq!(Client::connect(listen).get("/").text(), "api");
    drop(edge);
}

#[test]
fn a_removed_listener_refuses_while_its_connections_live_on() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    assert_eq!(client.get("/").status, 200);
    plan.snapshot.listeners[0].address = free_address();
    edge.serve(&plan.next());
    eventually("refusal", || {
        std::net::TcpStream::connect(listen).is_err().then_some(())
    });
    // Its routes went with the listener, the connection did not.
    assert_eq!(client.get("/").status, 404);
}

/// Binds sockets as the daemon does, one for each thread of the edge.
fn bind(address: SocketAddr) -> Vec<(HandedSocket, TcpListener)> {
    (0..1)
        .map(|thread| (HandedSocket { address, thread }, TcpListener::bind(address).unwrap()))
        .collect()
}

fn hand_over(edge: &mut Edge, sockets: &[(HandedSocket, TcpListener)]) -> usize {
    let descriptors: Vec<_> = sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
    let message = ToEdge::Listeners {
        sockets: sockets.iter().map(|(handed, _)| *handed).collect(),
    };
    edge.control.send(&message, &descriptors).unwrap();
    match edge
        .answer(|message| matches!(message, FromEdge::ListenersTaken { .. }))
        .0
    {
        FromEdge::ListenersTaken { new } => new,
        other => panic!("{other:?}"),
    }
}

#[test]
fn edges_follow_one_another_on_the_same_sockets_and_no_request_fails() {
    let upstream = Upstream::named("api");
    let listen = free_address();
    let sockets = bind(listen);
    let folder = Arc::new(Folder::new());
    let mut edge = Edge::start_in(folder.clone(), "edge-0", PATIENCE);
    assert_eq!(hand_over(&mut edge, &sockets), 1);
    assert_eq!(hand_over(&mut edge, &sockets), 0, "the same sockets again");
    let mut plan = Plan::new(listen)
        .service("api", &[upstream.address])
        .route(None, "/", "api");
    edge.serve(&plan.next());
    let load = Load::start(listen);
    for round in 1..=5 {
        load.more(200);
        let mut next = Edge::start_in(folder.clone(), &format!("edge-{round}"), PATIENCE);
        hand_over(&mut next, &sockets);
        next.serve(&plan.next());
        edge.drain();
        edge.ended();
        edge = next;
    }
    load.more(200);
    load.end();
}

#[test]
fn sockets_for_an_address_to_come_are_kept_until_the_snapshot_that_names_it() {
    let upstream = Upstream::named("api");
    let (first, second) = (free_address(), free_address());
    let mut edge = Edge::start_in(Arc::new(Folder::new()), "edge", PATIENCE);
    hand_over(&mut edge, &bind(first));
    let mut plan = Plan::new(first)
        .service("api", &[upstream.address])
        .route(None, "/", "api");
    edge.serve(&plan.next());
    // In two messages, and held by the daemon as well: were they dropped, the address could not be bound again.
    let (one, other) = (bind(second), bind(free_address()));
    assert_eq!(hand_over(&mut edge, &one), 1);
    assert_eq!(hand_over(&mut edge, &other), 1);
    for sockets in [&one, &other] {
        plan.snapshot
            .listeners
            .push(tend_core::model::Listener::plain(sockets[0].0.address));
    }
    edge.serve(&plan.next());
    for sockets in [&one, &other] {
        assert_eq!(Client::connect(sockets[0].0.address).get("/").text(), "api");
    }
}

#[test]
fn a_daemon_that_came_back_gets_the_sockets_it_once_handed_over() {
    let upstream = Upstream::named("api");
    let listen = free_address();
    let sockets = bind(listen);
    let mut edge = Edge::start_in(Arc::new(Folder::new()), "edge", PATIENCE);
    hand_over(&mut edge, &sockets);
    let mut plan = Plan::new(listen)
        .service("api", &[upstream.address])
        .route(None, "/", "api");
    edge.serve(&plan.next());
    // The daemon dies, its descriptors with it; the edge serves on.
    drop(sockets);
    assert_eq!(Client::connect(listen).get("/").status, 200);
    edge.control.send(&ToEdge::GiveListeners, &[]).unwrap();
    let (message, descriptors) = edge.answer(|message| matches!(message, FromEdge::Listeners { .. }));
    let given = FromEdge::Listeners {
        sockets: vec![HandedSocket {
            address: listen,
            thread: 0,
        }],
        last: true,
    };
    assert_eq!(message, given);
    let socket = TcpListener::from(descriptors.into_iter().next().unwrap());
    assert_eq!(socket.local_addr().unwrap(), listen);
    // With the edge gone, connections wait in the backlog of what was given instead of being refused.
    edge.drain();
    edge.ended();
    let waiting = Client::connect(listen);
    drop(waiting);
}

#[test]
fn a_draining_edge_finishes_its_requests_and_says_that_connections_close() {
    let (release, wait) = sync_channel::<()>(0);
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::start(move |request, stream| {
        if request.target() == "/slow" {
            let _ = wait.lock().unwrap().recv();
        }
        respond(stream, 200, "done")
    });
    let (mut edge, listen, _) = api(&[upstream.address]);
    let mut slow = Client::connect(listen);
    let mut idle = Client::connect(listen);
    idle.get("/");
    slow.write("GET /slow HTTP/1.1\r\nHost: any.test\r\n\r\n");
    eventually("the slow request", || {
        (upstream.last().target() == "/slow").then_some(())
    });
    edge.drain();
    edge.event(|event| matches!(event, FromEdge::Draining { .. }));
    eventually("refusal", || {
        std::net::TcpStream::connect(listen).is_err().then_some(())
    });
    // A request that crosses the drain on a connection kept open is still answered.
    let crossing = idle.get("/");
    assert_eq!((crossing.status, crossing.header("connection")), (200, Some("close")));
    assert!(idle.is_closed());
    release.send(()).unwrap();
    let response = slow.read();
    assert_eq!(
        (response.text(), response.header("connection")),
        ("done", Some("close"))
    );
    edge.ended();
}
