//! How requests are divided by each method, and what leaves a server out or brings it back, through a real edge.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tend_core::model::{ActiveCheck, Balance, Breaker, HashKey, Method, Outlier};
use tend_edge::FromEdge;
use tend_routing::Failure;

use crate::fixture::{Client, Edge, Plan, Response, Upstream, api, eventually, free_address, respond};

fn balanced(replicas: &[SocketAddr], change: impl FnOnce(&mut Balance)) -> (Edge, SocketAddr, Plan) {
    let (mut edge, listen, mut plan) = api(replicas);
    change(&mut plan.snapshot.services[0].balance);
    edge.serve(&plan.next());
    (edge, listen, plan)
}

fn get(client: &mut Client, fields: &str) -> Response {
    client.write(&format!("GET / HTTP/1.1\r\nHost: any.test\r\n{fields}\r\n"));
    client.read()
}

/// An upstream that answers with a status that can be changed, and its name.
fn answering(status: u16, name: &'static str) -> (Upstream, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(status));
    let told = status.clone();
    let upstream = Upstream::start(move |_, stream| respond(stream, told.load(Ordering::SeqCst), name));
    (upstream, status)
}

#[test]
fn turns_follow_the_weights_smoothly_and_go_on_over_snapshots() {
    let all = [Upstream::named("a"), Upstream::named("b"), Upstream::named("c")];
    let addresses = all.each_ref().map(|upstream| upstream.address);
    let (mut edge, listen, mut plan) = balanced(&addresses, |balance| balance.method = Method::RoundRobin);
    plan.snapshot.services[0].replicas[0].weight = 5;
    edge.serve(&plan.next());
    let mut client = Client::connect(listen);
    let mut given = String::new();
    for _ in 0..14 {
        given.push_str(client.get("/").text());
        edge.serve(&plan.next());
    }
    assert_eq!(given, "aabacaaaabacaa");
}

#[test]
fn a_key_stays_with_its_server_and_only_those_of_one_that_goes_move() {
    let mut all = [Upstream::named("a"), Upstream::named("b"), Upstream::named("c")];
    let addresses = all.each_ref().map(|upstream| upstream.address);
    for (key, field) in [
        (HashKey::Header("x-account".to_owned()), "X-Account: "),
        (HashKey::Cookie("session".to_owned()), "Cookie: other=1; session="),
    ] {
        let (mut edge, listen, mut plan) = balanced(&addresses, |balance| balance.method = Method::Hash(key));
        let mut client = Client::connect(listen);
        let mut ask = |number: u32| get(&mut client, &format!("{field}{number}\r\n")).text().to_owned();
        let before: Vec<String> = (0..60).map(&mut ask).collect();
        assert_eq!((0..60).map(&mut ask).collect::<Vec<_>>(), before);
        assert!(["a", "b", "c"].iter().all(|name| before.iter().any(|one| one == name)));
        plan.snapshot.services[0].replicas.pop();
        edge.serve(&plan.next());
        for (number, before) in (0..60).zip(&before) {
            let after = ask(number);
            assert!(
                after == *before || before == "c",
                "key {number} went from {before} to {after}"
            );
            assert_ne!(after, "c");
        }
        // Without a key the least busy answers, in turn.
        let given: String = (0..4).map(|_| get(&mut client, "").text().to_owned()).collect();
        assert!(given == "abab" || given == "baba", "{given}");
    }
    // By address every request of this client goes to one server, and to another when that one is killed.
    let (_edge, listen, _) = balanced(&addresses, |balance| balance.method = Method::Hash(HashKey::Client));
    let mut client = Client::connect(listen);
    let first = client.get("/").text().to_owned();
    for _ in 0..20 {
        assert_eq!(Client::connect(listen).get("/").text(), first);
    }
    let index = ["a", "b", "c"].iter().position(|name| *name == first).unwrap();
    all[index].kill();
    let other = client.get("/");
    assert_eq!(other.status, 200);
    assert_ne!(other.text(), first);
}

#[test]
fn two_drawn_serve_everybody_and_use_all_servers() {
    let all = [Upstream::named("a"), Upstream::named("b"), Upstream::named("c")];
    let addresses = all.each_ref().map(|upstream| upstream.address);
    let (_edge, listen, _) = balanced(&addresses, |balance| balance.method = Method::PowerOfTwo);
    let mut client = Client::connect(listen);
    for _ in 0..100 {
        assert_eq!(client.get("/").status, 200);
    }
    let counts = all.each_ref().map(Upstream::count);
    assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
}

#[test]
fn a_server_that_comes_late_gets_its_share_slowly() {
    let (old, new) = (Upstream::named("old"), Upstream::named("new"));
    let (mut edge, listen, mut plan) = balanced(&[old.address, new.address], |balance| {
        balance.slow_start = Duration::from_secs(3600);
    });
    let mut client = Client::connect(listen);
    for _ in 0..60 {
        client.get("/");
    }
    // Both were there from the beginning, so that neither has to be spared.
    let (olds, news) = (old.count(), new.count());
    assert!(olds >= 10 && news >= 10, "{olds} and {news}");
    plan.snapshot.services[0].replicas[1].incarnation = 2;
    edge.serve(&plan.next());
    for _ in 0..130 {
        client.get("/");
    }
    // One in 65 at first, so two are to be expected.
    let share = new.count() - news;
    assert!(share <= 14, "{share}");
}

#[test]
fn a_status_that_counts_as_failure_sends_a_get_to_another_and_leaves_a_post_alone() {
    let (bad, _) = answering(503, "bad");
    let good = Upstream::named("good");
    let (mut edge, listen, mut plan) = balanced(&[bad.address, good.address], |balance| {
        balance.method = Method::RoundRobin;
        balance.max_fails = 0;
    });
    plan.snapshot.routes[0].policy.retry.statuses = vec![503];
    edge.serve(&plan.next());
    let mut client = Client::connect(listen);
    for _ in 0..6 {
        assert_eq!(client.get("/").text(), "good");
    }
    let asked = bad.count();
    assert!(asked >= 2);
    let posts: Vec<(u16, usize)> = (0..4).map(|_| (client.post("/", "x").status, bad.count())).collect();
    // In turn: what the bad one answers is passed on, and nobody else is asked.
    let statuses: Vec<u16> = posts.iter().map(|(status, _)| *status).collect();
    assert!(
        statuses == [200, 503, 200, 503] || statuses == [503, 200, 503, 200],
        "{statuses:?}"
    );
    assert_eq!(bad.count(), asked + 2);
    let failures = edge.stats().replicas[0].failures.clone();
    assert_eq!(failures, [("status".to_owned(), asked as u64 + 2)]);
    drop(client);
    let log = edge.log();
    assert!(
        log.iter()
            .any(|line| line["tries"] == 2 && line["status"] == 200 && line["error"].is_null())
    );
}

#[test]
fn statuses_that_count_as_failures_leave_a_server_out_and_the_last_answer_is_passed_on() {
    let (first, _) = answering(503, "first");
    let (second, status) = answering(200, "second");
    let (mut edge, listen, mut plan) = balanced(&[first.address, second.address], |balance| {
        balance.fail_timeout = Duration::from_secs(3600);
    });
    plan.snapshot.routes[0].policy.retry.statuses = vec![503];
    edge.serve(&plan.next());
    let mut client = Client::connect(listen);
    for _ in 0..10 {
        assert_eq!(client.get("/").text(), "second");
    }
    let event = edge.event(|event| matches!(event, FromEdge::Ejected { .. }));
    assert!(
        matches!(
            event,
            FromEdge::Ejected {
                why: Failure::Status,
                ..
            }
        ),
        "{event:?}"
    );
    assert_eq!(first.count(), 3);
    status.store(503, Ordering::SeqCst);
    let response = client.get("/");
    // The edge did not make it up: it is a server's own answer.
    assert_eq!((response.status, response.header("x-tend-error")), (503, None));
}

#[test]
fn a_server_has_only_so_many_requests_at_once() {
    let (release, wait) = sync_channel::<()>(0);
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::start(move |request, stream| {
        if request.target() == "/hold" {
            let _ = wait.lock().unwrap().recv();
        }
        respond(stream, 200, "done")
    });
    let (_edge, listen, _) = balanced(&[upstream.address], |balance| balance.connections_max = Some(1));
    let mut holder = Client::connect(listen);
    holder.write("GET /hold HTTP/1.1\r\nHost: any.test\r\n\r\n");
    eventually("the held request", || (upstream.count() > 0).then_some(()));
    let mut client = Client::connect(listen);
    let refused = client.get("/");
    assert_eq!(
        (refused.status, refused.header("x-tend-error")),
        (503, Some("replicas_busy"))
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(upstream.count(), 1);
    release.send(()).unwrap();
    assert_eq!(holder.read().text(), "done");
    eventually("a place", || (client.get("/").status == 200).then_some(()));
}

#[test]
fn so_many_idle_connections_are_kept_as_the_service_says() {
    for (keepalive, connections) in [(0, 10), (1, 1)] {
        let upstream = Upstream::named("api");
        let (_edge, listen, _) = balanced(&[upstream.address], |balance| balance.keepalive = keepalive);
        let mut client = Client::connect(listen);
        for _ in 0..10 {
            assert_eq!(client.get("/").status, 200);
        }
        assert_eq!(
            upstream.connections.load(Ordering::SeqCst),
            connections,
            "keepalive {keepalive}"
        );
    }
}

#[test]
fn a_service_that_fails_is_not_asked_for_a_while_and_comes_back_by_a_trial() {
    let (upstream, status) = answering(200, "api");
    let rules = |open| Breaker {
        requests_min: 4,
        window: Duration::from_secs(60),
        open,
        ..Breaker::default()
    };
    let (mut edge, listen, mut plan) = balanced(&[upstream.address], |balance| {
        balance.breaker = Some(rules(Duration::from_secs(3600)));
    });
    let mut client = Client::connect(listen);
    assert_eq!(client.get("/").status, 200);
    status.store(500, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(client.get("/").status, 500);
    }
    let asked = upstream.count();
    let refused = client.get("/");
    assert_eq!(
        (refused.status, refused.header("x-tend-error")),
        (503, Some("circuit_open"))
    );
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&seconds), "{seconds}");
    // The next snapshot knows it.
    edge.serve(&plan.next());
    assert_eq!(client.get("/").status, 503);
    assert_eq!(upstream.count(), asked);
    let circuits = edge.stats().circuits;
    assert_eq!(
        (circuits[0].open, circuits[0].opened, circuits[0].refused),
        (true, 1, 2)
    );
    // With other rules it begins anew.
    plan.snapshot.services[0].balance.breaker = Some(rules(Duration::from_millis(50)));
    edge.serve(&plan.next());
    for _ in 0..4 {
        assert_eq!(client.get("/").status, 500);
    }
    status.store(200, Ordering::SeqCst);
    eventually("the trial", || (client.get("/").status == 200).then_some(()));
    for _ in 0..20 {
        assert_eq!(client.get("/").status, 200);
    }
    assert!(!edge.stats().circuits[0].open);
}

#[test]
fn a_server_that_answers_much_worse_than_the_others_is_left_out() {
    let (bad, _) = answering(500, "bad");
    let (good, better) = (Upstream::named("good"), Upstream::named("better"));
    let (mut edge, listen, mut plan) = balanced(&[bad.address, good.address, better.address], |balance| {
        balance.outlier = Some(Outlier {
            interval: Duration::from_millis(100),
            requests_min: 3,
            ejection: Duration::from_secs(3600),
            ..Outlier::default()
        });
    });
    let mut client = Client::connect(listen);
    eventually("the ejection", || {
        // Snapshots do not begin the interval anew.
        edge.serve(&plan.next());
        for _ in 0..9 {
            client.get("/");
        }
        edge.stats().replicas[0].ejected.then_some(())
    });
    let event = edge.event(|event| matches!(event, FromEdge::Ejected { .. }));
    let FromEdge::Ejected { replica, why, .. } = &event else {
        panic!("{event:?}")
    };
    assert_eq!((replica.to_string().as_str(), *why), ("mps/api/1", Failure::Outlier));
    let asked = bad.count();
    for _ in 0..20 {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(bad.count(), asked);
}

#[test]
fn a_server_that_says_it_is_not_well_is_left_out_until_it_is() {
    let health = Arc::new(AtomicU16::new(200));
    let told = health.clone();
    let checked = Upstream::start(move |request, stream| match request.target() {
        "/live" => respond(stream, told.load(Ordering::SeqCst), "health"),
        _ => respond(stream, 200, "checked"),
    });
    let other = Upstream::start(|request, stream| match request.target() {
        "/live" => respond(stream, 204, ""),
        _ => respond(stream, 200, "other"),
    });
    // Nobody listens there; without a check every request might have to try it first.
    let dead = free_address();
    let (mut edge, listen, mut plan) = balanced(&[checked.address, other.address, dead], |balance| {
        balance.max_fails = 0;
        balance.check = Some(ActiveCheck {
            path: "/live".to_owned(),
            interval: Duration::from_millis(20),
            fails: 2,
            passes: 2,
            ..ActiveCheck::default()
        });
    });
    let ejected = |edge: &mut Edge| {
        edge.stats()
            .replicas
            .iter()
            .map(|replica| replica.ejected)
            .collect::<Vec<_>>()
    };
    eventually("the dead one", || {
        (ejected(&mut edge) == [false, false, true]).then_some(())
    });
    health.store(503, Ordering::SeqCst);
    eventually("the unwell one", || {
        // Snapshots do not begin the row anew.
        edge.serve(&plan.next());
        (ejected(&mut edge) == [true, false, true]).then_some(())
    });
    let event =
        edge.event(|event| matches!(event, FromEdge::Ejected { replica, .. } if replica.to_string() == "mps/api/1"));
    assert!(
        matches!(
            event,
            FromEdge::Ejected {
                why: Failure::Check,
                ..
            }
        ),
        "{event:?}"
    );
    let mut client = Client::connect(listen);
    for _ in 0..10 {
        assert_eq!(client.get("/").text(), "other");
    }
    health.store(302, Ordering::SeqCst);
    edge.event(|event| matches!(event, FromEdge::Readmitted { .. }));
    eventually("the one that is well again", || {
        (client.get("/").text() == "checked").then_some(())
    });
    // Without the check nothing is held against anybody.
    plan.snapshot.services[0].balance.check = None;
    edge.serve(&plan.next());
    assert_eq!(ejected(&mut edge), [false, false, false]);
}
