//! Routes that are closed or paused, and callbacks that are kept meanwhile.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tend_base::Wall;
use tend_core::model::{Money, Rewrite, Spool};
use tend_edge::FromEdge;
use tend_money::Books;
use tend_routing::{Maintenance, Pause, ReplicaState};

use crate::fixture::{Client, Edge, Keep, Plan, Response, Upstream, api, eventually, free_address, respond};

fn closed() -> Maintenance {
    Maintenance {
        until: Some(Wall(4_102_444_800_000)),
        message: Some("We move to new disks.".to_owned()),
        allow: Vec::new(),
    }
}

fn get(address: SocketAddr, path: &str, accept: &str) -> Response {
    let mut client = Client::connect(address);
    client.write(&format!(
        "GET {path} HTTP/1.1\r\nHost: any.test\r\nAccept: {accept}\r\n\r\n"
    ));
    client.read()
}

#[test]
fn a_closed_route_shows_its_page_but_serves_health_and_who_is_let_in() {
    let upstream = Upstream::named("served");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    plan.snapshot.routes[0].maintenance = Some(closed());
    edge.serve(&plan.next());
    for (accept, content_type, part) in [
        ("text/html", "text/html; charset=utf-8", "<h1>Maintenance</h1>"),
        (
            "application/json",
            "application/json",
            "\"until\":\"2100-01-01T00:00:00.000Z\"",
        ),
        (
            "*/*",
            "text/plain; charset=utf-8",
            "We move to new disks.\nExpected to end at 2100",
        ),
    ] {
        let answer = get(listen, "/", accept);
        assert_eq!(
            (answer.status, answer.header("x-tend-error")),
            (503, Some("maintenance"))
        );
        assert_eq!(answer.header("content-type"), Some(content_type));
        assert!(answer.text().contains(part), "{}", answer.text());
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!(seconds > 3600, "{seconds}");
    }
    assert_eq!(get(listen, "/health", "*/*").text(), "served");
    let mut open = closed();
    open.allow = vec!["127.0.0.0/8".parse().unwrap()];
    plan.snapshot.routes[0].maintenance = Some(open);
    edge.serve(&plan.next());
    assert_eq!(get(listen, "/", "*/*").text(), "served");
    plan.snapshot.routes[0].maintenance = None;
    edge.serve(&plan.next());
    assert_eq!(get(listen, "/", "text/html").text(), "served");
}

fn paused(requests_max: u32) -> Pause {
    Pause {
        wait_max_ms: 60_000,
        requests_max,
    }
}

#[test]
fn paused_requests_wait_over_snapshots_and_go_on_with_what_is_served_then() {
    let (old, new) = (Upstream::named("old"), Upstream::named("new"));
    let (mut edge, listen, mut plan) = api(&[old.address]);
    plan.snapshot.routes[0].pause = Some(paused(100));
    edge.serve(&plan.next());
    let clients: Vec<_> = (0..20)
        .map(|number| std::thread::spawn(move || Client::connect(listen).post("/", &format!("body {number}"))))
        .collect();
    eventually("all to wait", || (edge.stats().paused == 20).then_some(()));
    // Health is asked for all the same, and another snapshot changes nothing for who waits.
    assert_eq!(Client::connect(listen).get("/health").text(), "old");
    edge.serve(&plan.next());
    assert_eq!(edge.stats().paused, 20);
    // One whose client hangs up is gone.
    let mut impatient = Client::connect(listen);
    impatient.write("GET / HTTP/1.1\r\nHost: any.test\r\n\r\n");
    eventually("it to wait too", || (edge.stats().paused == 21).then_some(()));
    drop(impatient);
    eventually("it to be gone", || (edge.stats().paused == 20).then_some(()));
    // Meanwhile the service was replaced.
    let mut resumed = Plan::new(listen).service("api", &[new.address]).route(None, "/", "api");
    resumed.snapshot.generation = plan.snapshot.generation;
    edge.serve(&resumed.next());
    for client in clients {
        let answer = client.join().unwrap();
        assert_eq!((answer.status, answer.text()), (200, "new"));
    }
    let bodies: BTreeSet<Vec<u8>> = new
        .requests
        .lock()
        .unwrap()
        .iter()
        .map(|request| request.body.clone())
        .collect();
    assert_eq!(bodies.len(), 20);
    assert_eq!((old.count(), edge.stats().paused), (1, 0));
}

#[test]
fn a_pause_holds_so_many_for_so_long() {
    let upstream = Upstream::named("served");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    plan.snapshot.routes[0].pause = Some(paused(1));
    edge.serve(&plan.next());
    let mut first = Client::connect(listen);
    first.write("GET / HTTP/1.1\r\nHost: any.test\r\n\r\n");
    eventually("the first to wait", || (edge.stats().paused == 1).then_some(()));
    let second = Client::connect(listen).get("/");
    assert_eq!(
        (second.status, second.header("x-tend-error")),
        (503, Some("paused_full"))
    );
    assert_eq!(second.header("retry-after"), Some("1"));
    // A pause that became closed says so to who waited.
    plan.snapshot.routes[0].pause = None;
    plan.snapshot.routes[0].maintenance = Some(closed());
    edge.serve(&plan.next());
    assert_eq!(first.read().header("x-tend-error"), Some("maintenance"));
    plan.snapshot.routes[0].maintenance = None;
    plan.snapshot.routes[0].pause = Some(Pause {
        wait_max_ms: 1,
        requests_max: 1,
    });
    edge.serve(&plan.next());
    let late = Client::connect(listen).get("/");
    assert_eq!(
        (late.status, late.header("x-tend-error")),
        (503, Some("paused_too_long"))
    );
    assert_eq!(upstream.count(), 0);
}

fn spool() -> Spool {
    Spool {
        status: 202,
        body: "{\"received\":true}".to_owned(),
        content_type: "application/json".to_owned(),
        signature_header: Some("x-signature".to_owned()),
        retry_first: Duration::from_millis(5),
        retry_max: Duration::from_millis(50),
        ..Spool::default()
    }
}

fn call_back(address: SocketAddr, body: &str) -> Response {
    let mut client = Client::connect(address);
    client.write(&format!(
        "POST /callbacks?from=bank HTTP/1.1\r\nHost: any.test\r\nX-Signature: s-{body}\r\nX-Tend-Delivery-Id: mine\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    client.read()
}

/// A plan with a spool before one service.
fn spooling(listen: SocketAddr, replica: SocketAddr, spool: Spool) -> Plan {
    let mut plan = Plan::new(listen)
        .service("api", &[replica])
        .route(None, "/callbacks", "api");
    plan.snapshot.routes[0].policy.money = Some(Money {
        spool: Some(spool),
        ..Money::default()
    });
    plan
}

/// A service that is told what to answer, and remembers what it took.
fn ledger(answer: impl Fn(&str, usize) -> u16 + Send + Sync + 'static) -> (Upstream, Arc<Mutex<Vec<String>>>) {
    let taken: Arc<Mutex<Vec<String>>> = Arc::default();
    let (mine, asked) = (taken.clone(), Mutex::new(0));
    let upstream = Upstream::start(move |request, stream| {
        let body = String::from_utf8(request.body.clone()).unwrap();
        let status = {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            answer(&body, *asked)
        };
        if status == 0 {
            return Keep::Close;
        }
        if status < 400 {
            mine.lock().unwrap().push(body);
        }
        respond(stream, status, "ok")
    });
    (upstream, taken)
}

#[test]
fn callbacks_in_maintenance_are_kept_and_delivered_in_order_afterwards() {
    // It fails now and then, and hangs up once: the order stays.
    let (upstream, taken) = ledger(|_, asked| match asked {
        3 => 503,
        5 => 0,
        _ => 200,
    });
    let (mut edge, listen) = (Edge::start(), free_address());
    let mut plan = spooling(listen, upstream.address, spool());
    plan.snapshot.routes[0].maintenance = Some(closed());
    edge.serve(&plan.next());
    for number in 0..10 {
        let answer = call_back(listen, &number.to_string());
        assert_eq!((answer.status, answer.text()), (202, "{\"received\":true}"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    // What is no callback, for want of a signature, is answered as any request.
    assert_eq!(Client::connect(listen).post("/callbacks", "x").status, 503);
    let books = Books::open(&edge.folder.0.join("edge/money")).unwrap().unwrap();
    let line = books.spool().unwrap().remove(0);
    assert_eq!((line.route.as_str(), line.waiting), ("mps/api */callbacks", 10));
    assert_eq!(upstream.count(), 0);
    plan.snapshot.routes[0].maintenance = None;
    edge.serve(&plan.next());
    eventually("all to be delivered", || {
        (taken.lock().unwrap().len() >= 10).then_some(())
    });
    let wanted: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    assert_eq!(*taken.lock().unwrap(), wanted);
    eventually("nothing to wait", || books.spool().unwrap().is_empty().then_some(()));
    let requests = upstream.requests.lock().unwrap().clone();
    assert_eq!(requests.len(), 12);
    for request in &requests {
        assert_eq!(request.lines[0], "POST /callbacks?from=bank HTTP/1.1");
        let body = String::from_utf8(request.body.clone()).unwrap();
        assert_eq!(request.header("x-signature"), Some(format!("s-{body}").as_str()));
        assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    }
    // The same id on every delivery, and never the client's.
    let ids: BTreeSet<&str> = requests
        .iter()
        .map(|request| request.header("x-tend-delivery-id").unwrap())
        .collect();
    assert_eq!((ids.len(), ids.contains("mine")), (10, false));
    // From here on they go straight through, with what the service says.
    assert_eq!(call_back(listen, "direct").status, 200);
}

#[test]
fn callbacks_are_kept_without_a_ready_replica_and_when_it_hangs_up_and_refused_when_too_many() {
    let (upstream, taken) = ledger(|body, asked| match (body, asked) {
        ("bad", _) => 400,
        (_, 1) => 0,
        _ => 200,
    });
    let (mut edge, listen) = (Edge::start(), free_address());
    let mut plan = spooling(
        listen,
        upstream.address,
        Spool {
            entries_max: 3,
            ..spool()
        },
    );
    edge.serve(&plan.next());
    // It may have arrived, and is kept: at least once.
    assert_eq!(call_back(listen, "cut").status, 202);
    eventually("it to be delivered", || {
        (taken.lock().unwrap().len() == 1).then_some(())
    });
    plan.snapshot.services[0].replicas[0].state = ReplicaState::Draining;
    edge.serve(&plan.next());
    assert_eq!(call_back(listen, "one").status, 202);
    assert_eq!(call_back(listen, "bad").status, 202);
    assert_eq!(call_back(listen, "two").status, 202);
    let full = call_back(listen, "three");
    assert_eq!((full.status, full.header("x-tend-error")), (503, Some("spool_full")));
    plan.snapshot.services[0].replicas[0].state = ReplicaState::Ready;
    plan.snapshot.services[0].replicas[0].incarnation += 1;
    edge.serve(&plan.next());
    eventually("all to be delivered", || {
        (taken.lock().unwrap().len() == 3).then_some(())
    });
    assert_eq!(*taken.lock().unwrap(), ["cut", "one", "two"]);
    // What the service does not want is set aside and shown.
    let books = Books::open(&edge.folder.0.join("edge/money")).unwrap().unwrap();
    eventually("one to be set aside", || {
        let lines = books.spool().unwrap();
        lines
            .first()
            .is_some_and(|line| (line.waiting, line.refused) == (0, 1))
            .then_some(())
    });
    assert!(
        !edge
            .events
            .iter()
            .any(|event| matches!(event, FromEdge::MoneyUnavailable { .. }))
    );
}

#[test]
fn callbacks_that_an_edge_took_in_are_delivered_by_the_next() {
    let (upstream, taken) = ledger(|_, _| 200);
    let listen = free_address();
    let mut plan = spooling(listen, upstream.address, spool());
    plan.snapshot.routes[0].pause = Some(paused(10));
    let folder = {
        let mut edge = Edge::start();
        edge.serve(&plan.next());
        for number in 0..3 {
            assert_eq!(call_back(listen, &number.to_string()).status, 202);
        }
        edge.drain();
        edge.ended()
    };
    let mut next = Edge::start_in(folder, "next", Duration::ZERO);
    plan.snapshot.routes[0].pause = None;
    next.serve(&plan.next());
    eventually("all to be delivered", || {
        (taken.lock().unwrap().len() == 3).then_some(())
    });
    assert_eq!(*taken.lock().unwrap(), ["0", "1", "2"]);
}

#[test]
fn kept_callbacks_are_rewritten_as_the_route_says_when_they_are_delivered() {
    let (upstream, taken) = ledger(|_, _| 200);
    let (mut edge, listen) = (Edge::start(), free_address());
    let mut plan = spooling(listen, upstream.address, spool());
    plan.snapshot.routes[0].policy.rewrite = Some(Rewrite::StripPrefix);
    edge.serve(&plan.next());
    assert_eq!(call_back(listen, "direct").status, 200);
    assert_eq!(upstream.last().target(), "/?from=bank");
    plan.snapshot.routes[0].maintenance = Some(closed());
    edge.serve(&plan.next());
    assert_eq!(call_back(listen, "kept").status, 202);
    plan.snapshot.routes[0].maintenance = None;
    plan.snapshot.routes[0].policy.rewrite = Some(Rewrite::ReplacePrefix("/hooks".to_owned()));
    edge.serve(&plan.next());
    eventually("it to be delivered", || {
        (taken.lock().unwrap().len() == 2).then_some(())
    });
    assert_eq!(upstream.last().target(), "/hooks?from=bank");
}

#[test]
fn what_waits_in_an_edge_that_is_replaced_goes_on_when_the_pause_ends() {
    let (old, new) = (Upstream::named("old"), Upstream::named("new"));
    let (mut edge, listen, mut plan) = api(&[old.address]);
    plan.snapshot.routes[0].pause = Some(paused(10));
    edge.serve(&plan.next());
    let waiting: Vec<_> = (0..3)
        .map(|_| std::thread::spawn(move || Client::connect(listen).get("/")))
        .collect();
    eventually("all to wait", || (edge.stats().paused == 3).then_some(()));
    edge.drain();
    edge.event(|event| matches!(event, FromEdge::Draining { .. }));
    let mut next = Edge::start_in(edge.folder.clone(), "next", Duration::ZERO);
    // Still paused: nothing goes on.
    next.serve(&plan.next());
    assert_eq!(edge.stats().paused, 3);
    plan.snapshot.routes[0].pause = None;
    plan.snapshot.services[0].replicas[0].address = new.address;
    plan.snapshot.services[0].replicas[0].incarnation += 1;
    next.serve(&plan.next());
    for client in waiting {
        assert_eq!(client.join().unwrap().text(), "new");
    }
    assert_eq!((old.count(), new.count()), (0, 3));
    edge.ended();
}
