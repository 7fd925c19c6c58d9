//! Routes that move money: one effect for a key, whatever is asked twice, at once, or cut in the middle.

use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tend_core::model::{Money, Protocol, Rewrite, Spool};
use tend_edge::FromEdge;
use tend_money::{Answer, Books, Resolution};

use crate::fixture::{
    Client, Edge, Folder, Keep, PATIENCE, Plan, Response, Upstream, eventually, free_address, respond,
};
use crate::h2_peers::{Secure, request as h2_request, run};

/// Posts with a key, on a connection of its own.
fn pay(address: std::net::SocketAddr, key: &str, body: &str) -> Response {
    send(address, &[("Idempotency-Key", key)], body)
}

fn send(address: std::net::SocketAddr, fields: &[(&str, &str)], body: &str) -> Response {
    let mut client = Client::connect(address);
    client.write(&request(fields, body));
    client.read()
}

fn request(fields: &[(&str, &str)], body: &str) -> String {
    let fields: String = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!(
        "POST /pay HTTP/1.1\r\nHost: any.test\r\n{fields}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn plan(listen: std::net::SocketAddr, replicas: &[std::net::SocketAddr], money: Money) -> Plan {
    let mut plan = Plan::new(listen).service("api", replicas).route(None, "/", "api");
    plan.snapshot.routes[0].policy.money = Some(money);
    plan
}

fn money_edge(replicas: &[std::net::SocketAddr], money: Money) -> (Edge, std::net::SocketAddr) {
    let (mut edge, listen) = (Edge::start(), free_address());
    edge.serve(&plan(listen, replicas, money).next());
    (edge, listen)
}

/// Answers each request with the number it has among all.
fn counting() -> (Upstream, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    let upstream = Upstream::start(move |_, stream| {
        let number = seen.fetch_add(1, Ordering::SeqCst) + 1;
        let body = format!("payment {number}");
        let head = format!(
            "HTTP/1.1 201 Created\r\nX-Ledger: {number}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        std::io::Write::write_all(stream, head.as_bytes()).map_or(Keep::Close, |()| Keep::Open)
    });
    (upstream, count)
}

#[test]
fn the_first_answer_is_given_again_and_only_one_payment_is_made() {
    let (upstream, count) = counting();
    let (_edge, listen) = money_edge(&[upstream.address], Money::default());
    let first = pay(listen, "k-1", "amount=5");
    assert_eq!((first.status, first.text()), (201, "payment 1"));
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(first.header("x-tend-replica"), Some("mps/api/1"));
    let again = pay(listen, "\"k-1\"", "amount=5");
    assert_eq!((again.status, again.text()), (201, "payment 1"));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.header("x-ledger"), Some("1"));
    let other = pay(listen, "k-2", "amount=5");
    assert_eq!(other.text(), "payment 2");
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[test]
fn a_key_with_another_body_is_refused_and_without_one_or_with_a_broken_one_too() {
    let (upstream, count) = counting();
    let money = Money {
        key_required: true,
        ..Money::default()
    };
    let (_edge, listen) = money_edge(&[upstream.address], money);
    assert_eq!(pay(listen, "k", "amount=5").status, 201);
    type Field = (&'static str, &'static str);
    let cases: [(&[Field], &str, u16, &str); 4] = [
        (&[("Idempotency-Key", "k")], "amount=6", 422, "key_reused"),
        (&[], "amount=5", 400, "key_missing"),
        (&[("Idempotency-Key", "two words")], "amount=5", 400, "key_malformed"),
        (
            &[("Idempotency-Key", "a"), ("Idempotency-Key", "b")],
            "amount=5",
            400,
            "key_malformed",
        ),
    ];
    for (fields, body, status, code) in cases {
        let refused = send(listen, fields, body);
        assert_eq!((refused.status, refused.header("x-tend-error")), (status, Some(code)));
    }
    // What is idempotent by its method needs none.
    assert_eq!(Client::connect(listen).get("/pay").status, 201);
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[test]
fn accounts_have_their_own_keys() {
    let (upstream, _) = counting();
    let money = Money {
        account_header: Some("authorization".to_owned()),
        ..Money::default()
    };
    let (edge, listen) = money_edge(&[upstream.address], money);
    let by = |who| send(listen, &[("Idempotency-Key", "k"), ("Authorization", who)], "amount=5");
    assert_eq!(by("Bearer anna").text(), "payment 1");
    assert_eq!(by("Bearer bert").text(), "payment 2");
    assert_eq!(by("Bearer anna").text(), "payment 1");
    let books = Books::open(&edge.folder.0.join("edge/money")).unwrap().unwrap();
    // What tells accounts apart may be a secret: it is not kept.
    assert!(
        books
            .latest()
            .unwrap()
            .iter()
            .all(|line| !line.account.contains("anna") && line.account.len() == 16)
    );
}

#[test]
fn concurrent_duplicates_wait_for_the_first_and_get_its_answer() {
    let (release, wait) = sync_channel::<()>(1);
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::start(move |_, stream| {
        let _ = wait.lock().unwrap().recv_timeout(PATIENCE);
        respond(stream, 200, "paid")
    });
    let (_edge, listen) = money_edge(&[upstream.address], Money::default());
    let clients: Vec<_> = (0..8)
        .map(|_| std::thread::spawn(move || pay(listen, "k", "amount=5")))
        .collect();
    eventually("the first at the replica", || (upstream.count() == 1).then_some(()));
    release.send(()).unwrap();
    let answers: Vec<Response> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 200 && answer.text() == "paid")
    );
    let replayed = answers
        .iter()
        .filter(|answer| answer.header("idempotent-replayed").is_some());
    assert_eq!((replayed.count(), upstream.count()), (7, 1));
}

#[test]
fn a_duplicate_that_waited_long_enough_is_told_to_come_back() {
    let (release, wait) = sync_channel::<()>(1);
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::start(move |_, stream| {
        let _ = wait.lock().unwrap().recv_timeout(PATIENCE);
        respond(stream, 200, "paid")
    });
    let money = Money {
        wait: Duration::from_millis(20),
        ..Money::default()
    };
    let (_edge, listen) = money_edge(&[upstream.address], money);
    let first = std::thread::spawn(move || pay(listen, "k", "amount=5"));
    eventually("the first at the replica", || (upstream.count() == 1).then_some(()));
    let second = pay(listen, "k", "amount=5");
    assert_eq!(
        (second.status, second.header("x-tend-error")),
        (409, Some("key_under_way"))
    );
    assert_eq!(second.header("retry-after"), Some("1"));
    release.send(()).unwrap();
    assert_eq!(first.join().unwrap().text(), "paid");
    assert_eq!(upstream.count(), 1);
}

#[test]
fn what_a_client_that_hung_up_had_begun_is_answered_to_who_asks_again() {
    let (release, wait) = sync_channel::<()>(1);
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::start(move |_, stream| {
        let _ = wait.lock().unwrap().recv_timeout(PATIENCE);
        respond(stream, 200, "paid")
    });
    let (_edge, listen) = money_edge(&[upstream.address], Money::default());
    let mut client = Client::connect(listen);
    client.write(&request(&[("Idempotency-Key", "k")], "amount=5"));
    eventually("the request at the replica", || (upstream.count() == 1).then_some(()));
    drop(client);
    release.send(()).unwrap();
    let again = pay(listen, "k", "amount=5");
    assert_eq!((again.status, again.text()), (200, "paid"));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(upstream.count(), 1);
}

#[test]
fn what_was_refused_a_connection_may_be_sent_again_and_what_was_cut_is_in_doubt() {
    let cut = Upstream::start(|_, _| Keep::Close);
    let nobody = free_address();
    let (mut edge, listen) = (Edge::start(), free_address());
    let mut away = plan(listen, &[nobody], Money::default());
    edge.serve(&away.next());
    let refused = pay(listen, "k", "amount=5");
    assert_eq!(
        (refused.status, refused.header("x-tend-outcome")),
        (502, Some("not-sent"))
    );
    let mut cutting = plan(listen, &[cut.address], Money::default());
    cutting.snapshot.generation = 1;
    edge.serve(&cutting.next());
    let lost = pay(listen, "k", "amount=5");
    assert_eq!((lost.status, lost.header("x-tend-outcome")), (502, Some("unknown")));
    assert_eq!(lost.header("x-tend-error"), Some("upstream_failed"));
    edge.event(|event| matches!(event, FromEdge::MoneyInDoubt));
    for _ in 0..2 {
        let doubt = pay(listen, "k", "amount=5");
        assert_eq!(
            (doubt.status, doubt.header("x-tend-error")),
            (409, Some("key_in_doubt"))
        );
        assert_eq!(doubt.header("x-tend-outcome"), Some("unknown"));
    }
    assert_eq!(cut.count(), 1);

    // A person says that it did happen; another, of another one, that it did not.
    assert_eq!(pay(listen, "k-2", "amount=7").status, 502);
    let mut books = Books::open(&edge.folder.0.join("edge/money")).unwrap().unwrap();
    assert_eq!(books.doubts().unwrap(), 2);
    let answer = Answer {
        status: 201,
        fields: vec![("content-type".to_owned(), b"text/plain".to_vec())],
        body: Some(b"by hand".to_vec()),
        replica: None,
    };
    let now = tend_base::Clock::now(&tend_base::SystemClock).wall;
    let window = Duration::from_secs(3600);
    books.resolve("k", &Resolution::Happened(answer), now, window).unwrap();
    books.resolve("k-2", &Resolution::DidNotHappen, now, window).unwrap();
    let (paid, _) = counting();
    let mut serving = plan(listen, &[paid.address], Money::default());
    serving.snapshot.generation = 2;
    edge.serve(&serving.next());
    assert_eq!(pay(listen, "k", "amount=5").text(), "by hand");
    assert_eq!(pay(listen, "k-2", "amount=7").text(), "payment 1");
}

#[test]
fn where_the_service_honours_keys_a_doubt_is_sent_again() {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    let upstream = Upstream::start(move |_, stream| {
        if seen.fetch_add(1, Ordering::SeqCst) == 0 {
            return Keep::Close;
        }
        respond(stream, 200, "paid")
    });
    let money = Money {
        upstream_idempotent: true,
        ..Money::default()
    };
    let (_edge, listen) = money_edge(&[upstream.address], money);
    assert_eq!(pay(listen, "k", "amount=5").status, 502);
    assert_eq!(pay(listen, "k", "amount=5").text(), "paid");
    assert_eq!(pay(listen, "k", "amount=5").header("idempotent-replayed"), Some("true"));
    assert_eq!(count.load(Ordering::SeqCst), 2);
    assert_eq!(upstream.last().header("idempotency-key"), Some("k"));
}

#[test]
fn a_doubt_that_is_sent_again_and_not_taken_stays_one() {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    let upstream = Upstream::start(move |_, stream| match seen.fetch_add(1, Ordering::SeqCst) {
        0 => Keep::Close,
        _ => respond(stream, 429, "later"),
    });
    let idempotent = Money {
        upstream_idempotent: true,
        ..Money::default()
    };
    let (mut edge, listen) = (Edge::start(), free_address());
    let mut plan = plan(listen, &[upstream.address], idempotent);
    edge.serve(&plan.next());
    assert_eq!(pay(listen, "k", "amount=5").status, 502);
    assert_eq!(pay(listen, "k", "amount=5").status, 429);
    // What the first did is as little known as before: it is not another request's key, nor sent where the service knows no keys.
    assert_eq!(pay(listen, "k", "amount=6").status, 422);
    plan.snapshot.routes[0].policy.money = Some(Money::default());
    edge.serve(&plan.next());
    let doubt = pay(listen, "k", "amount=5");
    assert_eq!(
        (doubt.status, doubt.header("x-tend-error")),
        (409, Some("key_in_doubt"))
    );
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[test]
fn errors_of_the_service_are_answers_but_not_that_it_took_nothing() {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    let upstream = Upstream::start(move |request, stream| {
        seen.fetch_add(1, Ordering::SeqCst);
        let status = if request.body == b"too many" { 429 } else { 500 };
        respond(stream, status, "no")
    });
    let (_edge, listen) = money_edge(&[upstream.address], Money::default());
    assert_eq!(pay(listen, "k", "amount=5").status, 500);
    let again = pay(listen, "k", "amount=5");
    assert_eq!((again.status, again.header("idempotent-replayed")), (500, Some("true")));
    assert_eq!(count.load(Ordering::SeqCst), 1);
    for sent in 2..4 {
        assert_eq!(pay(listen, "k-2", "too many").status, 429);
        assert_eq!(count.load(Ordering::SeqCst), sent);
    }
}

#[test]
fn bodies_and_answers_have_their_bounds() {
    let (upstream, count) = counting();
    let money = Money {
        request_bytes_max: 16,
        answer_bytes_max: 4,
        ..Money::default()
    };
    let (_edge, listen) = money_edge(&[upstream.address], money);
    assert_eq!(pay(listen, "k", "amount=5, and a lot more").status, 413);
    let chunked = "POST /pay HTTP/1.1\r\nHost: any.test\r\nIdempotency-Key: k\r\nTransfer-Encoding: chunked\r\n\r\n\
                   a\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n";
    let mut client = Client::connect(listen);
    client.write(chunked);
    assert_eq!(client.read().status, 413);
    assert_eq!(count.load(Ordering::SeqCst), 0);
    // It is passed on, and that it is not kept is said to who asks again.
    assert_eq!(pay(listen, "k", "amount=5").text(), "payment 1");
    let again = pay(listen, "k", "amount=5");
    assert_eq!(
        (again.status, again.header("x-tend-error")),
        (409, Some("answer_not_kept"))
    );
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn nothing_is_sent_while_keys_cannot_be_written() {
    let (upstream, count) = counting();
    let (mut edge, listen) = (Edge::start(), free_address());
    // A file stands where the folder should be.
    std::fs::write(edge.folder.0.join("edge/money"), "").unwrap();
    edge.serve(&plan(listen, &[upstream.address], Money::default()).next());
    let refused = pay(listen, "k", "amount=5");
    assert_eq!(
        (refused.status, refused.header("x-tend-error")),
        (503, Some("money_unavailable"))
    );
    assert_eq!(refused.header("x-tend-outcome"), Some("not-sent"));
    edge.event(|event| matches!(event, FromEdge::MoneyUnavailable { .. }));
    assert_eq!(count.load(Ordering::SeqCst), 0);
    std::fs::remove_file(edge.folder.0.join("edge/money")).unwrap();
    eventually("the folder to be made", || {
        (pay(listen, "k", "amount=5").status == 201).then_some(())
    });
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

/// An edge as a process, killed at the end of its test at the latest.
struct Process(Child);

impl Process {
    fn start(folder: &Folder) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_tend-edge"))
            .arg(folder.0.join("edge.sock"))
            .arg(folder.0.join("edge"))
            .args(["1", "0"])
            .spawn();
        Self(child.unwrap())
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_an_edge_that_was_killed_had_sent_is_in_doubt_and_what_it_had_answered_is_answered() {
    let hold = Arc::new(std::sync::Barrier::new(2));
    let held = hold.clone();
    let upstream = Upstream::start(move |request, stream| {
        if request.body == b"held" {
            held.wait();
            return Keep::Close;
        }
        respond(stream, 200, "paid")
    });
    let folder = Folder::new();
    let listen = free_address();
    std::fs::create_dir_all(folder.0.join("edge")).unwrap();
    let snapshot = plan(listen, &[upstream.address], Money::default()).next();
    std::fs::write(folder.0.join("edge/snapshot.json"), snapshot.to_json()).unwrap();
    let mut edge = Process::start(&folder);
    eventually("the edge to listen", || std::net::TcpStream::connect(listen).ok());
    assert_eq!(pay(listen, "answered", "amount=5").text(), "paid");
    let mut client = Client::connect(listen);
    client.write(&request(&[("Idempotency-Key", "doubt")], "held"));
    eventually("the request at the replica", || (upstream.count() == 2).then_some(()));
    edge.kill();
    hold.wait();
    let _next = Process::start(&folder);
    eventually("the next edge to listen", || std::net::TcpStream::connect(listen).ok());
    let again = pay(listen, "answered", "amount=5");
    assert_eq!(
        (again.text(), again.header("idempotent-replayed")),
        ("paid", Some("true"))
    );
    let doubt = pay(listen, "doubt", "held");
    assert_eq!(
        (doubt.status, doubt.header("x-tend-error")),
        (409, Some("key_in_doubt"))
    );
    assert_eq!(upstream.count(), 2);
    let books = Books::open(&folder.0.join("edge/money")).unwrap().unwrap();
    eventually("the doubt to be found by itself", || {
        (books.doubts().unwrap() == 1).then_some(())
    });
    let mut told = Vec::new();
    // What was not taken is given again.
    assert_eq!(books.tell(|_| false).unwrap(), 0);
    let take = |line: &tend_money::Line| {
        told.push(line.key.clone());
        true
    };
    assert_eq!(books.tell(take).unwrap(), 1);
    assert_eq!((told, books.tell(|_| true).unwrap()), (vec!["doubt".to_owned()], 0));
}

#[test]
fn a_route_that_rewrites_the_path_does_so_with_a_key_too_and_the_key_stands_for_what_the_client_asked() {
    let (upstream, count) = counting();
    let (mut edge, listen) = (Edge::start(), free_address());
    let mut plan = Plan::new(listen)
        .service("api", &[upstream.address])
        .route(None, "/pay", "api");
    plan.snapshot.routes[0].policy.money = Some(Money::default());
    for (rewrite, wanted) in [
        (Rewrite::StripPrefix, "/?note=a"),
        (Rewrite::ReplacePrefix("/v2/payments".to_owned()), "/v2/payments?note=a"),
    ] {
        plan.snapshot.routes[0].policy.rewrite = Some(rewrite);
        edge.serve(&plan.next());
        let key = format!("key-{}", wanted.len());
        assert_eq!(ask(listen, "/pay?note=a", &key).status, 201);
        assert_eq!(upstream.last().target(), wanted);
        // What it is rewritten to may change meanwhile: the client asks the same.
        plan.snapshot.routes[0].policy.rewrite = None;
        edge.serve(&plan.next());
        let again = ask(listen, "/pay?note=a", &key);
        assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")));
        assert_eq!(ask(listen, "/pay?note=b", &key).status, 422);
    }
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

fn ask(address: std::net::SocketAddr, target: &str, key: &str) -> Response {
    let mut client = Client::connect(address);
    client.write(&format!(
        "POST {target} HTTP/1.1\r\nHost: any.test\r\nIdempotency-Key: {key}\r\nContent-Length: 8\r\n\r\namount=5"
    ));
    client.read()
}

#[test]
fn a_route_that_rewrites_the_path_does_so_for_keys_and_callbacks_of_http2_too() {
    let (upstream, _) = counting();
    let mut secure = Secure::before(&[upstream.address], Protocol::Http1);
    let route = &mut secure.plan.snapshot.routes[0];
    route.path_prefix = "/pay".to_owned();
    route.policy.rewrite = Some(Rewrite::StripPrefix);
    route.policy.money = Some(Money {
        spool: Some(Spool {
            signature_header: Some("x-signature".to_owned()),
            ..Spool::default()
        }),
        ..Money::default()
    });
    let snapshot = secure.plan.next();
    secure.edge.serve(&snapshot);
    for (name, path, wanted) in [
        ("idempotency-key", "/pay/in?a=b", "/in?a=b"),
        ("x-signature", "/pay/back?a=b", "/back?a=b"),
    ] {
        run(async {
            let mut head = h2_request("POST", path);
            head.headers_mut().insert(name, http::HeaderValue::from_static("k"));
            let answer = secure.client().await.ask(head, b"amount=5").await.unwrap();
            assert_eq!(answer.status, 201);
        });
        assert_eq!(upstream.last().target(), wanted);
    }
}
