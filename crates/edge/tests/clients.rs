//! Who the client is, and whether it is let in: hops before us, PROXY headers, connections of one client, bans.

use std::io::Write;
use std::net::SocketAddr;

use tend_core::model::{LimitKey, Prefix};
use tend_edge::{FromEdge, LimitKind, ToEdge};
use tend_routing::{Ban, BansFile, ban_file};

use crate::fixture::{Client, Edge, Plan, Response, Upstream, api, eventually};
use crate::limits::hourly;

fn get(client: &mut Client, fields: &str) -> Option<Response> {
    client.write(&format!("GET / HTTP/1.1\r\nHost: any.test\r\n{fields}\r\n"));
    client.try_read(false)
}

fn trusting(upstream: &Upstream, trusted: &[&str]) -> (Edge, SocketAddr, Plan) {
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    plan.snapshot.listeners[0].trusted = trusted.iter().map(|prefix| prefix.parse().unwrap()).collect();
    edge.serve(&plan.next());
    (edge, listen, plan)
}

#[test]
fn a_trusted_hop_is_believed_and_what_nobody_vouches_for_goes_no_further() {
    let upstream = Upstream::named("api");
    let (edge, listen, _) = trusting(&upstream, &["127.0.0.0/8", "10.0.0.0/8"]);
    let mut client = Client::connect(listen);
    let told = |name: &str| upstream.last().header(name).map(str::to_owned);
    get(
        &mut client,
        "X-Forwarded-For: 1.1.1.1, 198.51.100.1, 10.0.0.2\r\nX-Forwarded-Proto: https\r\n",
    )
    .unwrap();
    assert_eq!(
        told("x-forwarded-for").as_deref(),
        Some("198.51.100.1, 10.0.0.2, 127.0.0.1")
    );
    assert_eq!(told("x-real-ip").as_deref(), Some("198.51.100.1"));
    assert_eq!(told("x-forwarded-proto").as_deref(), Some("https"));
    get(&mut client, "Forwarded: for=\"[2001:db8::1]:80\"\r\n").unwrap();
    assert_eq!(told("x-forwarded-for").as_deref(), Some("2001:db8::1, 127.0.0.1"));
    assert_eq!(
        (told("forwarded"), told("x-forwarded-proto").as_deref()),
        (None, Some("http"))
    );
    get(&mut client, "X-Forwarded-For: nonsense\r\n").unwrap();
    assert_eq!(told("x-real-ip").as_deref(), Some("127.0.0.1"));
    drop(client);
    let clients: Vec<_> = edge.log().iter().map(|line| line["client"].clone()).collect();
    assert_eq!(clients, ["198.51.100.1", "2001:db8::1", "127.0.0.1"]);
}

#[test]
fn a_peer_that_is_not_trusted_is_nobody_but_itself() {
    let upstream = Upstream::named("api");
    let (_edge, listen, _) = trusting(&upstream, &["10.0.0.0/8"]);
    let forged =
        "X-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Real-Ip: 10.0.0.1\r\n";
    get(&mut Client::connect(listen), forged).unwrap();
    let seen = upstream.last();
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
}

#[test]
fn limits_count_the_client_behind_the_hop() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, mut plan) = trusting(&upstream, &["127.0.0.1"]);
    plan.snapshot.routes[0].policy.limits = vec![hourly("all", LimitKey::Client, 0)];
    edge.serve(&plan.next());
    let mut client = Client::connect(listen);
    let mut status = |from: &str| {
        get(&mut client, &format!("X-Forwarded-For: {from}\r\n"))
            .unwrap()
            .status
    };
    assert_eq!(status("198.51.100.1"), 200);
    assert_eq!(status("198.51.100.1"), 429);
    assert_eq!(status("198.51.100.2"), 200);
    assert_eq!(status("2001:db8::1"), 200);
    assert_eq!(status("2001:db8::2"), 429);
}

/// Connects as a proxy does: the header first, in two pieces, and the request right behind it.
fn by_proxy(listen: SocketAddr, header: &[u8]) -> (Client, Option<Response>) {
    let mut client = Client::connect(listen);
    let (first, rest) = header.split_at(header.len() / 2);
    client.0.write_all(first).unwrap();
    client
        .0
        .write_all(&[rest, b"GET / HTTP/1.1\r\nHost: any.test\r\n\r\n"].concat())
        .unwrap();
    let response = client.try_read(false);
    (client, response)
}

fn v2(address: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend_from_slice(&address);
    header.extend_from_slice(&[192, 0, 2, 2, 0x12, 0x34, 0, 80]);
    header
}

#[test]
fn a_proxy_header_says_who_connected_and_one_is_needed() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, mut plan) = trusting(&upstream, &["127.0.0.1"]);
    plan.snapshot.listeners[0].proxy_protocol = true;
    edge.serve(&plan.next());
    for (header, client) in [
        (
            b"PROXY TCP4 198.51.100.1 192.0.2.2 4660 80\r\n".to_vec(),
            "198.51.100.1",
        ),
        (b"PROXY TCP6 2001:db8::1 ::1 4660 80\r\n".to_vec(), "2001:db8::1"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (v2([198, 51, 100, 7]), "198.51.100.7"),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\x00".to_vec(), "127.0.0.1"),
    ] {
        let (mut connection, response) = by_proxy(listen, &header);
        assert_eq!(response.unwrap().status, 200);
        assert_eq!(upstream.last().header("x-forwarded-for"), Some(client));
        // It holds for the whole connection, and the client's own word for nothing.
        get(&mut connection, "X-Forwarded-For: 1.1.1.1\r\n").unwrap();
        let believed = if client == "127.0.0.1" {
            "1.1.1.1, 127.0.0.1"
        } else {
            client
        };
        assert_eq!(upstream.last().header("x-forwarded-for"), Some(believed));
    }
    let served = upstream.count();
    let mut client = Client::connect(listen);
    assert!(get(&mut client, "").is_none(), "served without a header");
    assert!(by_proxy(listen, b"PROXY TCP4 nonsense\r\n").1.is_none());
    assert_eq!(upstream.count(), served);
    eventually("the counter", || (edge.stats().proxy_headers_bad == 2).then_some(()));
}

#[test]
fn a_proxy_that_is_not_trusted_is_the_client() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, mut plan) = trusting(&upstream, &["10.0.0.0/8"]);
    plan.snapshot.listeners[0].proxy_protocol = true;
    edge.serve(&plan.next());
    let (_connection, response) = by_proxy(listen, &v2([10, 0, 0, 1]));
    assert_eq!(response.unwrap().status, 200);
    assert_eq!(upstream.last().header("x-forwarded-for"), Some("127.0.0.1"));
}

#[test]
fn one_client_has_only_so_many_connections() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    plan.snapshot.listeners[0].connections_per_client = Some(2);
    edge.serve(&plan.next());
    let mut first = Client::connect(listen);
    let mut second = Client::connect(listen);
    assert_eq!((first.get("/").status, second.get("/").status), (200, 200));
    assert!(Client::connect(listen).is_closed());
    // The next snapshot knows what is open.
    edge.serve(&plan.next());
    assert!(Client::connect(listen).is_closed());
    assert_eq!(first.get("/").status, 200);
    drop(first);
    eventually("a place", || {
        let mut third = Client::connect(listen);
        // One that is refused may be closed before it could write.
        let sent = third.0.write_all(b"GET / HTTP/1.1\r\nHost: any.test\r\n\r\n");
        sent.ok()
            .and_then(|()| third.try_read(false))
            .map(|response| assert_eq!(response.status, 200))
    });
    let limits = edge.stats().limits;
    assert_eq!(
        (limits[0].kind, limits[0].name.as_str()),
        (LimitKind::Connections, listen.to_string().as_str())
    );
    assert!(limits[0].refused >= 2 && limits[0].admitted >= 3, "{limits:?}");
}

#[test]
fn a_bound_on_connections_that_is_tried_out_only_counts() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    plan.snapshot.listeners[0].connections_per_client = Some(1);
    plan.snapshot.listeners[0].connections_shadow = true;
    edge.serve(&plan.next());
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(listen)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
    let limit = &edge.stats().limits[0];
    assert_eq!((limit.admitted, limit.refused, limit.shadowed), (1, 0, 2));
}

fn ban(edge: &mut Edge, plan: &mut Plan, name: &str, allowed: &[&str], banned: &[&str]) {
    let list = |prefixes: &[&str]| -> Vec<Ban> {
        let prefixes = prefixes.iter().map(|text| text.parse::<Prefix>().unwrap());
        prefixes.map(|prefix| Ban { prefix, until: None }).collect()
    };
    let path = edge.folder.0.join(name);
    std::fs::write(&path, ban_file(&list(allowed), &list(banned))).unwrap();
    plan.snapshot.bans = Some(BansFile { path });
    edge.serve(&plan.next());
}

#[test]
fn a_banned_address_is_not_let_in_and_let_in_again() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    let mut before = Client::connect(listen);
    assert_eq!(before.get("/").status, 200);
    ban(&mut edge, &mut plan, "first.bans", &[], &["127.0.0.0/8"]);
    assert!(Client::connect(listen).is_closed());
    // One that is let in already is told why.
    let refused = before.get("/");
    assert_eq!((refused.status, refused.header("x-tend-error")), (403, Some("banned")));
    assert_eq!(upstream.count(), 1);
    eventually("the counter", || (edge.stats().banned == 2).then_some(()));
    ban(&mut edge, &mut plan, "second.bans", &["127.0.0.1"], &["127.0.0.0/8"]);
    assert_eq!(Client::connect(listen).get("/").status, 200);
    plan.snapshot.bans = None;
    edge.serve(&plan.next());
    assert_eq!(Client::connect(listen).get("/").status, 200);
}

#[test]
fn a_banned_client_behind_a_trusted_hop_is_refused_and_the_hop_is_not() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, mut plan) = trusting(&upstream, &["127.0.0.1"]);
    ban(
        &mut edge,
        &mut plan,
        "some.bans",
        &[],
        &["198.51.100.0/24", "2001:db8::/32"],
    );
    let mut client = Client::connect(listen);
    for (from, status) in [("198.51.100.1", 403), ("198.51.101.1", 200), ("2001:db8::1", 403)] {
        let response = get(&mut client, &format!("X-Forwarded-For: {from}\r\n")).unwrap();
        assert_eq!(response.status, status, "{from}");
        if status == 403 {
            assert_eq!(response.header("x-tend-error"), Some("banned"));
        }
    }
    plan.snapshot.listeners[0].proxy_protocol = true;
    edge.serve(&plan.next());
    assert!(by_proxy(listen, &v2([198, 51, 100, 1])).1.is_none());
    assert_eq!(by_proxy(listen, &v2([198, 51, 101, 1])).1.unwrap().status, 200);
    eventually("the counter", || (edge.stats().banned == 3).then_some(()));
}

#[test]
fn bans_that_cannot_be_read_are_refused_and_those_before_stay() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    ban(&mut edge, &mut plan, "good.bans", &[], &["127.0.0.1"]);
    let path = edge.folder.0.join("bad.bans");
    std::fs::write(&path, b"tendbans and nothing else, or nearly").unwrap();
    for path in [path, edge.folder.0.join("missing.bans")] {
        plan.snapshot.bans = Some(BansFile { path });
        let snapshot = serde_json::to_value(plan.next()).unwrap();
        edge.control.send(&ToEdge::Snapshot { snapshot }, &[]).unwrap();
        let (answer, _) = edge.answer(|message| matches!(message, FromEdge::Refused { .. }));
        let FromEdge::Refused { why, .. } = answer else {
            panic!("{answer:?}")
        };
        assert!(why.starts_with("could not read the bans `"), "{why}");
        assert!(Client::connect(listen).is_closed());
    }
}
