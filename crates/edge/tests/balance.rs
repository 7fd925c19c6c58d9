//! Which replica is chosen, who is left out, and what is repeated.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;

use tend_edge::FromEdge;
use tend_routing::{Failure, ReplicaState};

use crate::fixture::{Client, Keep, Upstream, api, eventually, free_address, respond};

#[test]
fn a_busy_replica_gets_no_request_while_another_is_idle() {
    let (release, wait) = sync_channel::<()>(0);
    let wait = std::sync::Mutex::new(wait);
    let busy = Upstream::start(move |request, stream| {
        if request.target() == "/hold" {
            let _ = wait.lock().unwrap().recv();
        }
        respond(stream, 200, "first")
    });
    let idle = Upstream::named("second");
    let (_edge, listen, _) = api(&[busy.address, idle.address]);
    let mut client = Client::connect(listen);
    // The turn goes round while both are idle; one of the first two requests reaches the first.
    let mut holder = Client::connect(listen);
    while client.get("/").text() != "second" {}
    holder.write("GET /hold HTTP/1.1\r\nHost: any.test\r\n\r\n");
    eventually("the held request", || {
        let held = |upstream: &Upstream| upstream.count() > 0 && upstream.last().target() == "/hold";
        if held(&idle) {
            holder = Client::connect(listen);
            holder.write("GET /hold HTTP/1.1\r\nHost: any.test\r\n\r\n");
        }
        held(&busy).then_some(())
    });
    for _ in 0..50 {
        assert_eq!(client.get("/").text(), "second");
    }
    release.send(()).unwrap();
    assert_eq!(holder.read().text(), "first");
}

#[test]
fn idle_replicas_take_turns_by_weight() {
    let (light, heavy) = (Upstream::named("light"), Upstream::named("heavy"));
    let (mut edge, listen, mut plan) = api(&[light.address, heavy.address]);
    plan.snapshot.services[0].replicas[1].weight = 3;
    edge.serve(&plan.next());
    let mut client = Client::connect(listen);
    for _ in 0..40 {
        client.get("/");
    }
    assert_eq!((light.count(), heavy.count()), (10, 30));
}

#[test]
fn no_request_fails_when_a_replica_is_killed_between_requests() {
    let mut first = Upstream::named("first");
    let second = Upstream::named("second");
    let (mut edge, listen, _) = api(&[first.address, second.address]);
    let mut client = Client::connect(listen);
    for _ in 0..10 {
        assert_eq!(client.get("/").status, 200);
        assert_eq!(client.post("/", "x").status, 200);
    }
    first.kill();
    for _ in 0..100 {
        assert_eq!(client.get("/").status, 200);
        assert_eq!(client.post("/", "x").status, 200);
    }
    let event = edge.event(|event| matches!(event, FromEdge::Ejected { .. }));
    let FromEdge::Ejected { replica, why, .. } = event else {
        panic!("{event:?}")
    };
    assert_eq!(
        (replica.to_string().as_str(), why),
        ("mps/api/1", Failure::ConnectRefused)
    );
    let stats = edge.stats();
    assert!(
        stats.replicas[0]
            .failures
            .iter()
            .any(|(kind, _)| kind == "connect_refused")
    );
    assert_eq!(stats.errors, []);
}

#[test]
fn a_replica_that_came_back_is_readmitted_by_a_trial() {
    let mut first = Upstream::named("first");
    let address = first.address;
    let second = Upstream::named("second");
    let (mut edge, listen, _) = api(&[address, second.address]);
    first.kill();
    let mut client = Client::connect(listen);
    eventually("ejection", || {
        client.get("/");
        edge.stats().replicas[0].ejected.then_some(())
    });
    let listener = std::net::TcpListener::bind(address).unwrap();
    let back = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // Its one connection answers whatever comes until the edge closes it.
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
            respond(&mut stream, 200, "back");
        }
    });
    eventually("the one that came back", || {
        (client.get("/").text() == "back").then_some(())
    });
    edge.event(|event| matches!(event, FromEdge::Readmitted { .. }));
    assert!(!edge.stats().replicas[0].ejected);
    drop(edge);
    back.join().unwrap();
}

/// An upstream that reads a request and closes without an answer.
fn hangs_up() -> Upstream {
    Upstream::start(|_, _| Keep::Close)
}

#[test]
fn a_get_that_was_cut_is_repeated_on_another_replica() {
    let (bad, good) = (hangs_up(), Upstream::named("good"));
    let (_edge, listen, _) = api(&[bad.address, good.address]);
    let mut client = Client::connect(listen);
    for _ in 0..4 {
        let response = client.get("/");
        assert_eq!((response.status, response.text()), (200, "good"));
    }
    assert!(bad.count() > 0);
}

#[test]
fn a_post_that_may_have_arrived_is_never_sent_twice() {
    let (bad, worse) = (hangs_up(), hangs_up());
    let (edge, listen, _) = api(&[bad.address, worse.address]);
    let mut client = Client::connect(listen);
    for sent in 1..=6 {
        let response = client.post("/pay", "amount=1");
        assert_eq!(response.status, 502);
        assert_eq!(response.header("x-tend-error"), Some("upstream_failed"));
        assert_eq!(bad.count() + worse.count(), sent);
    }
    drop(client);
    for line in edge.log() {
        assert_eq!((&line["tries"], &line["status"]), (&1.into(), &502.into()));
    }
}

#[test]
fn a_post_that_was_refused_goes_to_the_next_replica() {
    let good = Upstream::named("good");
    let (_edge, listen, _) = api(&[free_address(), free_address(), good.address]);
    let mut client = Client::connect(listen);
    for sent in 1..=20 {
        assert_eq!(client.post("/pay", "amount=1").status, 200);
        assert_eq!(good.count(), sent);
        assert_eq!(good.last().body, b"amount=1");
    }
}

#[test]
fn tries_are_bounded_and_the_last_resort_is_still_tried() {
    let dead: Vec<_> = (0..5).map(|_| free_address()).collect();
    let (edge, listen, _) = api(&dead);
    let mut client = Client::connect(listen);
    for _ in 0..5 {
        let response = client.get("/");
        assert_eq!(response.status, 502);
        assert_eq!(response.header("x-tend-error"), Some("connect_failed"));
    }
    drop(client);
    let log = edge.log();
    assert_eq!(log.len(), 5);
    for line in log {
        assert_eq!(line["tries"], 3, "{line}");
    }
}

#[test]
fn a_kept_connection_that_was_closed_meanwhile_costs_no_post() {
    // Answers once on each connection, says nothing of closing, and closes.
    let upstream = Upstream::start(|_, stream| {
        respond(stream, 200, "once");
        Keep::Close
    });
    let (mut edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    let posts = Arc::new(AtomicUsize::new(0));
    for _ in 0..50 {
        assert_eq!(client.post("/", "x").status, 200);
        posts.fetch_add(1, Ordering::Relaxed);
        // The end of the connection reaches the edge only after the answer: wait until the upstream is seen to have closed.
        eventually("the close", || upstream.all_closed().then_some(()));
    }
    assert_eq!(upstream.count(), posts.load(Ordering::Relaxed));
    assert!(!edge.stats().replicas[0].ejected);
}

#[test]
fn without_a_ready_replica_the_answer_is_503_and_says_when_to_come_back() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    plan.snapshot.services[0].replicas[0].state = ReplicaState::Draining;
    edge.serve(&plan.next());
    let response = Client::connect(listen).get("/");
    assert_eq!(response.status, 503);
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(response.header("x-tend-error"), Some("no_ready_replica"));
    assert_eq!(edge.stats().errors, [("no_ready_replica".to_owned(), 1)]);
}

#[test]
fn an_internal_address_leads_to_its_service_whatever_the_host() {
    let upstream = Upstream::named("api");
    let (mut edge, _, mut plan) = api(&[upstream.address]);
    let internal = free_address();
    plan.snapshot.services[0].internal = Some(internal);
    plan.snapshot.routes.clear();
    edge.serve(&plan.next());
    assert_eq!(Client::connect(internal).get("/x").text(), "api");
}

#[test]
fn the_first_answer_of_a_replica_is_attested() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    client.get("/");
    client.get("/");
    let event = edge.event(|event| matches!(event, FromEdge::Answered { .. }));
    let FromEdge::Answered {
        service,
        replica,
        incarnation,
        status,
        requests,
        failed,
    } = event
    else {
        panic!("{event:?}")
    };
    assert_eq!(
        (service.to_string().as_str(), replica.slot, incarnation, status),
        ("mps/api", 1, 1, 200)
    );
    assert_eq!((requests, failed), (1, 0));
    let stats = edge.stats();
    assert_eq!(stats.replicas[0].answered, 2);
    assert!(edge.events.is_empty(), "{:?}", edge.events);
    assert!(stats.replicas[0].p50_us > 0);
    assert_eq!(stats.replicas[0].last_status, 200);
}
