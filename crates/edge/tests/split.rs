//! A new release beside the old one: who gets which request, what is attested and what is counted.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use tend_base::{Exposed, Secret};
use tend_core::model::{Allow, AllowPlace};
use tend_edge::FromEdge;
use tend_routing::{ReplicaState, Split};

use crate::fixture::{Client, Edge, Keep, Plan, Response, Upstream, api, config, eventually, free_address, respond};

const TOKEN: &str = "5f0c6f6a";

/// Starts an edge with an old replica in slot 1 and a candidate in slot 2.
fn split(old: SocketAddr, new: SocketAddr, share_permille: u32) -> (Edge, SocketAddr, Plan) {
    let (mut edge, listen, mut plan) = api(&[old, new]);
    let service = &mut plan.snapshot.services[0];
    service.replicas[1].candidate = true;
    service.split = Some(Split {
        share_permille,
        allow: vec![
            Allow {
                place: AllowPlace::Header,
                name: "x-canary".to_owned(),
                value: "yes".to_owned(),
            },
            Allow {
                place: AllowPlace::Cookie,
                name: "beta".to_owned(),
                value: "1".to_owned(),
            },
        ],
        token: Exposed(Secret::new(TOKEN.to_owned())),
    });
    edge.serve(&plan.next());
    (edge, listen, plan)
}

/// Asks with one more header line.
fn get_with(client: &mut Client, line: &str) -> Response {
    client.write(&format!("GET / HTTP/1.1\r\nHost: any.test\r\n{line}\r\n\r\n"));
    client.read()
}

fn probe(client: &mut Client) -> Response {
    get_with(client, &format!("X-Tend-Candidate: {TOKEN}"))
}

/// Returns the latest counts of a slot once `wanted` accepts them: requests and failures.
fn counts(edge: &mut Edge, slot: u32, wanted: impl Fn(u64, u64) -> bool) -> (u64, u64) {
    let event = edge.event(|event| {
        matches!(event, FromEdge::Answered { replica, requests, failed, .. }
            if replica.slot == slot && wanted(*requests, *failed))
    });
    match event {
        FromEdge::Answered { requests, failed, .. } => (requests, failed),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_candidate_gets_what_is_meant_for_it_and_nothing_else() {
    let (old, new) = (Upstream::named("old"), Upstream::named("new"));
    let (_edge, listen, _) = split(old.address, new.address, 0);
    let mut client = Client::connect(listen);
    for _ in 0..50 {
        assert_eq!(client.get("/").text(), "old");
    }
    assert_eq!(new.count(), 0);
    assert_eq!(probe(&mut client).text(), "new");
    assert_eq!(get_with(&mut client, "X-Canary: yes").text(), "new");
    assert_eq!(get_with(&mut client, "Cookie: a=b; beta=1").text(), "new");
    assert_eq!(get_with(&mut client, "Cookie: a=b; beta=12").text(), "old");
    assert_eq!(get_with(&mut client, "X-Tend-Candidate: 5f0c6f6b").text(), "old");
}

#[test]
fn a_share_of_a_thousand_requests_goes_to_the_candidate_give_or_take_one() {
    let (old, new) = (Upstream::named("old"), Upstream::named("new"));
    let (mut edge, listen, mut plan) = split(old.address, new.address, 100);
    // Two clients, and so both threads of the edge; a snapshot in between does not begin the share anew.
    let mut clients = [Client::connect(listen), Client::connect(listen)];
    for round in 0..500 {
        for client in &mut clients {
            assert_eq!(client.get("/").status, 200);
        }
        if round % 100 == 7 {
            edge.serve(&plan.next());
        }
    }
    assert_eq!(old.count() + new.count(), 1000);
    assert!(new.count().abs_diff(100) <= 1, "{}", new.count());
}

#[test]
fn the_token_reaches_no_replica_whether_it_is_right_or_not() {
    let (old, new) = (Upstream::named("old"), Upstream::named("new"));
    let (mut edge, listen, mut plan) = split(old.address, new.address, 0);
    let mut client = Client::connect(listen);
    let odd = format!("X_Tend_Candidate: {TOKEN}\r\nX-Canary: yes");
    let named = format!("X-Tend-Candidate: {TOKEN}\r\nConnection: keep-alive, X-Tend-Candidate");
    for (line, answers) in [
        (&*format!("X-Tend-Candidate: {TOKEN}"), "new"),
        ("X-Tend-Candidate: wrong", "old"),
        (&*odd, "new"),
        (&*named, "new"),
    ] {
        assert_eq!(get_with(&mut client, line).text(), answers, "{line}");
    }
    // Nor where there is no split and it means nothing.
    plan.snapshot.services[0].split = None;
    plan.snapshot.services[0].replicas[1].candidate = false;
    edge.serve(&plan.next());
    for _ in 0..4 {
        probe(&mut client);
    }
    for upstream in [&old, &new] {
        for request in upstream.requests.lock().unwrap().iter() {
            let told = request.lines.join("\n").to_ascii_lowercase().replace('_', "-");
            assert!(!told.contains("x-tend"), "{told}");
        }
    }
}

#[test]
fn without_a_ready_candidate_a_probe_is_refused_and_the_others_are_answered_by_the_old_release() {
    let (old, new) = (Upstream::named("old"), Upstream::named("new"));
    let (mut edge, listen, mut plan) = split(old.address, new.address, 500);
    plan.snapshot.services[0].replicas[1].state = ReplicaState::Draining;
    edge.serve(&plan.next());
    let mut client = Client::connect(listen);
    let refused = probe(&mut client);
    assert_eq!(
        (refused.status, refused.header("x-tend-error")),
        (503, Some("no_ready_candidate"))
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("x-tend-replica"), None);
    assert_eq!(get_with(&mut client, "X-Canary: yes").text(), "old");
    for _ in 0..20 {
        assert_eq!(client.get("/").text(), "old");
    }
    assert_eq!(new.count(), 0);
}

#[test]
fn with_nothing_but_candidates_ordinary_requests_are_not_given_to_them() {
    let (old, new) = (Upstream::named("old"), Upstream::named("new"));
    let (mut edge, listen, mut plan) = split(old.address, new.address, 0);
    plan.snapshot.services[0].replicas.remove(0);
    edge.serve(&plan.next());
    let mut client = Client::connect(listen);
    let refused = client.get("/");
    assert_eq!(
        (refused.status, refused.header("x-tend-error")),
        (503, Some("no_ready_replica"))
    );
    assert_eq!(probe(&mut client).text(), "new");
    assert_eq!(get_with(&mut client, "X-Canary: yes").text(), "new");
}

#[test]
fn a_probe_that_fails_is_never_answered_by_the_old_release() {
    let old = Upstream::named("old");
    let (_edge, listen, _) = split(old.address, free_address(), 0);
    let mut client = Client::connect(listen);
    for _ in 0..10 {
        let response = probe(&mut client);
        assert_eq!(
            (response.status, response.header("x-tend-error")),
            (502, Some("connect_failed"))
        );
    }
    assert_eq!(old.count(), 0);
    // A client on the list gets an answer all the same.
    for _ in 0..10 {
        let response = get_with(&mut client, "X-Canary: yes");
        assert_eq!((response.status, response.text()), (200, "old"));
    }
}

#[test]
fn a_probe_is_repeated_on_another_candidate() {
    let (old, new) = (Upstream::named("old"), Upstream::named("new"));
    let (mut edge, listen, mut plan) = split(old.address, free_address(), 0);
    let mut second = plan.snapshot.services[0].replicas[1].clone();
    second.id = "mps/api/3".parse().unwrap();
    second.address = new.address;
    plan.snapshot.services[0].replicas.push(second);
    edge.serve(&plan.next());
    let mut client = Client::connect(listen);
    for _ in 0..10 {
        assert_eq!(probe(&mut client).text(), "new");
    }
    assert_eq!(old.count(), 0);
}

#[test]
fn a_promoted_candidate_gets_requests_like_any_other_and_keeps_its_counts() {
    let (old, new) = (Upstream::named("old"), Upstream::named("new"));
    let (mut edge, listen, mut plan) = split(old.address, new.address, 0);
    let mut client = Client::connect(listen);
    probe(&mut client);
    plan.snapshot.services[0].replicas[1].candidate = false;
    plan.snapshot.services[0].split = None;
    edge.serve(&plan.next());
    for _ in 0..20 {
        client.get("/");
    }
    assert_eq!((old.count(), new.count()), (10, 11));
    assert_eq!(edge.stats().replicas[1].answered, 11);
}

/// Answers with what a replica would write that wants to be taken for another, wherever HTTP lets it.
fn forger() -> Upstream {
    Upstream::start(|_, stream| {
        let text = "HTTP/1.1 200 OK\r\nX-Tend-Replica: mps/api/9\r\nx-tend-replica: mps/api/8\r\nX-Tend-Incarnation: 99\r\n\
                    X-TEND-INCARNATION: 98\r\nX-Tend-Error: none\r\nTrailer: X-Tend-Replica, X-Tend-Incarnation, X-Sum\r\n\
                    Transfer-Encoding: chunked\r\n\r\n\
                    2\r\nok\r\n0\r\nX-Tend-Replica: mps/api/7\r\nX-Tend-Incarnation: 97\r\nX-Sum: 1\r\n\r\n";
        // The edge may have gone.
        let _ = stream.write_all(text.as_bytes());
        Keep::Close
    })
}

#[test]
fn who_answered_is_said_by_the_edge_and_cannot_be_forged() {
    let upstream = forger();
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    plan.snapshot.services[0].replicas[0].incarnation = 41;
    edge.serve(&plan.next());
    let mut client = Client::connect(listen);
    // With TE the edge passes trailer fields on; the connection is closed, so that all that comes can be looked at.
    client.write("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE, close\r\nX-Tend-Incarnation: 5\r\n\r\n");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut client.0, &mut text).unwrap();
    let said: Vec<&str> = text
        .lines()
        .filter(|line| line.to_ascii_lowercase().starts_with("x-tend"))
        .collect();
    assert_eq!(said, ["x-tend-replica: mps/api/1", "x-tend-incarnation: 41"], "{text}");
    // Trailer fields do pass: it is not for want of them that none was forged.
    assert!(text.to_ascii_lowercase().contains("x-sum: 1"), "{text}");
    assert_eq!(upstream.last().header("x-tend-incarnation"), None);
}

#[test]
fn trailer_fields_of_a_client_do_not_speak_for_the_edge() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let replica = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(crate::fixture::PATIENCE)).unwrap();
        let mut got = Vec::new();
        let mut buffer = [0; 4096];
        while !got.ends_with(b"\r\n\r\n") || !String::from_utf8_lossy(&got).contains("x-sum: 1") {
            match std::io::Read::read(&mut stream, &mut buffer) {
                Ok(read) if read > 0 => got.extend_from_slice(&buffer[..read]),
                _ => break,
            }
        }
        respond(&mut stream, 200, "ok");
        String::from_utf8(got).unwrap()
    });
    let (_edge, listen, _) = api(&[address]);
    let mut client = Client::connect(listen);
    client.write(
        "POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Real-IP, X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nok\r\n0\r\nX-Real-IP: 6.6.6.6\r\nX-Sum: 1\r\n\r\n",
    );
    assert_eq!(client.read().status, 200);
    let got = replica.join().unwrap();
    assert!(!got.contains("6.6.6.6"), "{got}");
}

#[test]
fn what_a_release_is_judged_by_is_counted_for_each_replica() {
    let old = Upstream::named("old");
    let new = Upstream::start(|request, stream| match request.target() {
        "/bad" => respond(stream, 500, "bad"),
        "/cut" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
            Keep::Close
        }
        // An error that is cut is one failure.
        "/badly-cut" => {
            let _ = stream.write_all(b"HTTP/1.1 502 Bad\r\nContent-Length: 10\r\n\r\nhalf");
            Keep::Close
        }
        "/switch" => {
            let _ = stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n");
            Keep::Close
        }
        "/hang-up" => Keep::Close,
        _ => respond(stream, 404, "new"),
    });
    let (mut edge, listen, _) = split(old.address, new.address, 0);
    let ask = |method: &str, path: &str, line: &str| {
        // A connection for each: some are cut.
        let mut client = Client::connect(listen);
        client.write(&format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\n{line}\r\nContent-Length: 0\r\n\r\n"
        ));
        client.try_read(false).map(|response| response.status)
    };
    let listed = "X-Canary: yes";
    for _ in 0..3 {
        assert_eq!(ask("GET", "/", listed), Some(404));
    }
    assert_eq!(ask("GET", "/bad", listed), Some(500));
    assert_eq!(ask("GET", "/cut", listed), None);
    assert_eq!(ask("GET", "/badly-cut", listed), None);
    assert_eq!(ask("POST", "/hang-up", listed), Some(502));
    assert_eq!(ask("GET", "/switch", listed), Some(502));
    // Answered by the old release after the new one failed it: a failure of the one and a request of both.
    assert_eq!(ask("GET", "/hang-up", listed), Some(200));
    // Asked on purpose: not what clients do.
    assert_eq!(ask("GET", "/bad", &format!("X-Tend-Candidate: {TOKEN}")), Some(500));
    assert_eq!(ask("GET", "/", "X-A: b"), Some(200));
    assert_eq!(
        counts(&mut edge, 2, |requests, failed| requests >= 9 && failed >= 6),
        (9, 6)
    );
    assert_eq!(counts(&mut edge, 1, |requests, _| requests >= 2), (2, 0));
}

#[test]
fn a_replica_that_is_gone_or_too_slow_fails_what_it_was_given() {
    let old = Upstream::named("old");
    let slow = Upstream::start(|_, stream| {
        let _ = std::io::Read::read(stream, &mut [0]);
        Keep::Close
    });
    let folder = std::sync::Arc::new(crate::fixture::Folder::new());
    let mut settings = config(&folder, "edge", Duration::ZERO);
    settings.patience.answer = Duration::from_secs(1);
    let edge = Edge::start_with(folder, settings);
    let (mut edge, listen, mut plan) = crate::fixture::api_on(edge, &[old.address, slow.address, free_address()]);
    let service = &mut plan.snapshot.services[0];
    service.replicas[1].candidate = true;
    service.replicas[2].candidate = true;
    service.split = Some(Split {
        share_permille: 999,
        allow: Vec::new(),
        token: Exposed(Secret::new(TOKEN.to_owned())),
    });
    edge.serve(&plan.next());
    let mut client = Client::connect(listen);
    for _ in 0..4 {
        assert_eq!(client.get("/").text(), "old");
    }
    for slot in [2, 3] {
        let (requests, failed) = counts(&mut edge, slot, |requests, _| requests > 0);
        assert_eq!(requests, failed, "slot {slot}");
    }
}

#[test]
fn counts_are_said_again_and_again_while_a_service_is_split_and_once_more_at_its_end() {
    let (old, new) = (Upstream::named("old"), Upstream::named("new"));
    let (mut edge, listen, mut plan) = split(old.address, new.address, 0);
    let mut client = Client::connect(listen);
    client.get("/");
    // Nothing happens in between, and whoever missed the first hears the second.
    for _ in 0..2 {
        assert_eq!(counts(&mut edge, 1, |requests, _| requests == 1), (1, 0));
    }
    client.get("/");
    plan.snapshot.services[0].split = None;
    plan.snapshot.services[0].replicas.pop();
    edge.serve(&plan.next());
    assert_eq!(counts(&mut edge, 1, |requests, _| requests == 2), (2, 0));
    eventually("the last requests", || (old.count() == 2).then_some(()));
}
