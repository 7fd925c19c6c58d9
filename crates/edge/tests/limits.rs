//! Limits of routes: who is refused, delayed, or only counted, and what they are told.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tend_core::model::{InFlight, Limit, LimitKey, Rate};
use tend_edge::{LimitKind, LimitStats};

use crate::fixture::{Client, Edge, Keep, Plan, Response, Upstream, api, eventually, respond};

/// So slow that no test sees a second request leak away.
pub(crate) fn hourly(name: &str, key: LimitKey, burst: u32) -> Limit {
    Limit {
        name: name.to_owned(),
        key,
        rate: Rate {
            requests: NonZeroU32::MIN,
            per: Duration::from_secs(3600),
            burst,
            delay_after: None,
        },
        shadow: false,
        message: None,
    }
}

fn bound(key: LimitKey, max: u32) -> InFlight {
    InFlight {
        key,
        max: max.try_into().unwrap(),
        upgraded: false,
        shadow: false,
    }
}

fn serve(edge: &mut Edge, plan: &mut Plan, limits: Vec<Limit>, in_flight: Vec<InFlight>) {
    plan.snapshot.routes[0].policy.limits = limits;
    plan.snapshot.routes[0].policy.in_flight = in_flight;
    edge.serve(&plan.next());
}

fn stats(edge: &mut Edge, kind: LimitKind) -> LimitStats {
    let all = edge.stats().limits;
    let mut of_kind = all.iter().filter(|limit| limit.kind == kind);
    let found = of_kind.next().expect("no such limit").clone();
    assert!(of_kind.next().is_none(), "{all:?}");
    found
}

fn get(client: &mut Client, fields: &str) -> Response {
    client.write(&format!("GET / HTTP/1.1\r\nHost: any.test\r\n{fields}\r\n"));
    client.read()
}

#[test]
fn who_asks_too_often_is_refused_and_told_when_to_come_again() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    serve(
        &mut edge,
        &mut plan,
        vec![hourly("mps/pay", LimitKey::Client, 2)],
        Vec::new(),
    );
    let mut client = Client::connect(listen);
    for _ in 0..3 {
        assert_eq!(client.get("/").status, 200);
    }
    let refused = client.get("/");
    assert_eq!(
        (refused.status, refused.header("x-tend-error")),
        (429, Some("rate_limited"))
    );
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&seconds), "{seconds}");
    assert!(refused.text().starts_with("tend edge: too many requests"));
    // The connection goes on, and other clients of the same address are no others.
    assert_eq!(client.get("/").status, 429);
    assert_eq!(Client::connect(listen).get("/").status, 429);
    assert_eq!(upstream.count(), 3);
    let limit = stats(&mut edge, LimitKind::Rate);
    assert_eq!(
        (limit.stack.as_str(), limit.name.as_str(), limit.key.as_str()),
        ("mps", "mps/pay", "client")
    );
    assert_eq!(
        (limit.admitted, limit.delayed, limit.refused, limit.shadowed),
        (3, 0, 3, 0)
    );
    assert_eq!(edge.stats().errors, [("rate_limited".to_owned(), 3)]);
}

#[test]
fn a_refusal_has_the_form_the_client_likes() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    let mut limit = hourly("pay", LimitKey::Client, 0);
    limit.message = Some("Too many payments. Please wait.".to_owned());
    serve(&mut edge, &mut plan, vec![limit], Vec::new());
    let mut client = Client::connect(listen);
    assert_eq!(client.get("/").status, 200);
    let json = get(&mut client, "Accept: application/json\r\nX-Request-Id: r-1\r\n");
    assert_eq!(
        (json.status, json.header("content-type")),
        (429, Some("application/json"))
    );
    let body: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!(
        (&body["error"], &body["message"]),
        (&"rate_limited".into(), &"Too many payments. Please wait.".into())
    );
    assert_eq!(body["request_id"], "r-1");
    assert_eq!(body["retry_after"].to_string(), json.header("retry-after").unwrap());
    let html = get(&mut client, "Accept: text/html,*/*;q=0.8\r\n");
    assert_eq!(html.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(html.text().contains("<p>Too many payments. Please wait.</p>"));
    let plain = get(&mut client, "");
    assert_eq!(plain.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(plain.text(), "Too many payments. Please wait.\n");
    // A refusal of another kind, which no gate makes.
    plan.snapshot.services[0].replicas.clear();
    serve(&mut edge, &mut plan, Vec::new(), Vec::new());
    let json = get(&mut client, "Accept: application/json\r\n");
    let body: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!(
        (json.status, &body["error"], &body["retry_after"]),
        (503, &"no_ready_replica".into(), &1.into())
    );
}

#[test]
fn a_limit_that_is_tried_out_counts_and_refuses_nobody() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    let mut rate = hourly("pay", LimitKey::Client, 1);
    rate.shadow = true;
    let mut in_flight = bound(LimitKey::Route, 1);
    in_flight.shadow = true;
    serve(&mut edge, &mut plan, vec![rate], vec![in_flight]);
    let mut client = Client::connect(listen);
    for _ in 0..5 {
        assert_eq!(client.get("/").status, 200);
    }
    let limit = stats(&mut edge, LimitKind::Rate);
    assert_eq!((limit.admitted, limit.refused, limit.shadowed), (2, 0, 3));
    let limit = stats(&mut edge, LimitKind::InFlight);
    assert_eq!((limit.admitted, limit.refused, limit.shadowed), (5, 0, 0));
}

#[test]
fn requests_beyond_the_rate_wait_for_their_turn() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    let mut limit = hourly("pay", LimitKey::Client, 4);
    limit.rate.requests = 20.try_into().unwrap();
    limit.rate.per = Duration::from_secs(1);
    limit.rate.delay_after = Some(1);
    serve(&mut edge, &mut plan, vec![limit], Vec::new());
    // All are asked before the first answer is read, so that they come within the burst.
    let mut clients: Vec<Client> = (0..4).map(|_| Client::connect(listen)).collect();
    for client in &mut clients {
        client.write("GET / HTTP/1.1\r\nHost: any.test\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
    let limit = stats(&mut edge, LimitKind::Rate);
    assert_eq!((limit.admitted + limit.delayed, limit.refused), (4, 0));
    // On a machine that stalls for long between them none need wait; two came at once in any case.
    assert!(limit.admitted >= 2, "{limit:?}");
}

#[test]
fn accounts_and_headers_are_counted_apart() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    let by_account = hourly("account", LimitKey::Claim("sub".to_owned()), 0);
    let by_key = hourly("key", LimitKey::Header("x-api-key".to_owned()), 0);
    serve(&mut edge, &mut plan, vec![by_account, by_key], Vec::new());
    let mut client = Client::connect(listen);
    // {"sub":"a"} and {"sub":"b"}
    let (a, b) = (
        "Authorization: Bearer e30.eyJzdWIiOiJhIn0.x\r\n",
        "Authorization: Bearer e30.eyJzdWIiOiJiIn0.x\r\n",
    );
    assert_eq!(get(&mut client, a).status, 200);
    assert_eq!(get(&mut client, a).status, 429);
    assert_eq!(get(&mut client, &format!("{b}X-Api-Key: k\r\n")).status, 200);
    // Refused by the second; the first does not count it.
    assert_eq!(get(&mut client, "X-Api-Key: k\r\n").status, 429);
    assert_eq!(get(&mut client, "").status, 200);
    assert_eq!(get(&mut client, "").status, 429);
}

#[test]
fn what_was_counted_counts_under_the_next_snapshot_and_on_routes_of_the_same_limit() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, plan) = api(&[upstream.address]);
    let mut plan = plan.route(None, "/pay", "api");
    plan.snapshot.routes[1].policy.limits = vec![hourly("pay", LimitKey::Client, 1)];
    serve(
        &mut edge,
        &mut plan,
        vec![hourly("pay", LimitKey::Client, 1)],
        Vec::new(),
    );
    let mut client = Client::connect(listen);
    assert_eq!(client.get("/").status, 200);
    assert_eq!(client.get("/pay").status, 200);
    assert_eq!(client.get("/").status, 429);
    edge.serve(&plan.next());
    assert_eq!(client.get("/pay").status, 429);
    plan.snapshot.routes[1].policy.limits[0].name = "other".to_owned();
    edge.serve(&plan.next());
    assert_eq!(client.get("/pay").status, 200);
    assert_eq!(client.get("/").status, 429);
}

/// An upstream that answers `/hold` only when it is told to; returns how to tell it.
fn holding() -> (Upstream, std::sync::mpsc::SyncSender<()>) {
    let (release, wait) = sync_channel::<()>(0);
    let wait = Mutex::new(wait);
    let upstream = Upstream::start(move |request, stream| {
        if request.target() == "/hold" {
            let _ = wait.lock().unwrap().recv();
        }
        respond(stream, 200, "done")
    });
    (upstream, release)
}

fn hold(upstream: &Upstream, listen: SocketAddr) -> Client {
    let mut holder = Client::connect(listen);
    let before = upstream.count();
    holder.write("GET /hold HTTP/1.1\r\nHost: any.test\r\n\r\n");
    eventually("the held request", || (upstream.count() > before).then_some(()));
    holder
}

#[test]
fn what_one_client_has_going_on_is_bounded() {
    let (upstream, release) = holding();
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    serve(&mut edge, &mut plan, Vec::new(), vec![bound(LimitKey::Client, 1)]);
    let mut holder = hold(&upstream, listen);
    let mut client = Client::connect(listen);
    let refused = client.get("/");
    assert_eq!(
        (refused.status, refused.header("x-tend-error")),
        (429, Some("in_flight_limited"))
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    // The next snapshot knows what goes on.
    edge.serve(&plan.next());
    assert_eq!(client.get("/").status, 429);
    release.send(()).unwrap();
    assert_eq!(holder.read().status, 200);
    eventually("a place", || (client.get("/").status == 200).then_some(()));
    assert!(stats(&mut edge, LimitKind::InFlight).refused >= 2);
}

#[test]
fn what_goes_on_at_a_route_is_bounded_for_everybody() {
    let (upstream, release) = holding();
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    serve(&mut edge, &mut plan, Vec::new(), vec![bound(LimitKey::Route, 1)]);
    let mut holder = hold(&upstream, listen);
    let refused = Client::connect(listen).get("/");
    assert_eq!(
        (refused.status, refused.header("x-tend-error")),
        (503, Some("route_busy"))
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    release.send(()).unwrap();
    holder.read();
}

#[test]
fn a_client_that_leaves_gives_its_place_back() {
    let (upstream, release) = holding();
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    serve(&mut edge, &mut plan, Vec::new(), vec![bound(LimitKey::Client, 1)]);
    drop(hold(&upstream, listen));
    let mut client = Client::connect(listen);
    eventually("a place", || (client.get("/").status == 200).then_some(()));
    // The upstream still waits; it is let go so that it can end.
    drop(release);
}

#[test]
fn upgraded_connections_have_a_bound_of_their_own() {
    let upstream = Upstream::start(|request, stream| {
        if request.header("upgrade").is_none() {
            return respond(stream, 200, "plain");
        }
        let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
        if stream.write_all(head.as_bytes()).is_ok() {
            let _ = stream.read_to_end(&mut Vec::new());
        }
        Keep::Close
    });
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    let mut upgraded = bound(LimitKey::Client, 2);
    upgraded.upgraded = true;
    serve(&mut edge, &mut plan, Vec::new(), vec![upgraded]);
    let upgrade = || {
        let mut client = Client::connect(listen);
        let response = get(&mut client, "Connection: Upgrade\r\nUpgrade: echo\r\n");
        (client, response.status)
    };
    let (first, status) = upgrade();
    assert_eq!(status, 101);
    let (_second, status) = upgrade();
    assert_eq!(status, 101);
    assert_eq!(upgrade().1, 429);
    // Other requests do not count.
    assert_eq!(Client::connect(listen).get("/").status, 200);
    drop(first);
    eventually("a place", || (upgrade().1 == 101).then_some(()));
    assert!(stats(&mut edge, LimitKind::Upgraded).refused >= 1);
}

#[test]
fn a_head_with_too_many_fields_is_refused() {
    let upstream = Upstream::named("api");
    let (_edge, listen, _) = api(&[upstream.address]);
    let fields = |count: usize| -> String { (0..count).map(|n| format!("x-{n}: 1\r\n")).collect() };
    assert_eq!(get(&mut Client::connect(listen), &fields(90)).status, 200);
    assert_eq!(get(&mut Client::connect(listen), &fields(200)).status, 431);
    assert_eq!(upstream.count(), 1);
}

#[test]
fn rates_of_one_name_count_together_whether_a_service_answers_or_not() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, plan) = api(&[upstream.address]);
    let mut plan = plan.route(None, "/old", "api");
    let redirect = &mut plan.snapshot.routes[1];
    redirect.service = None;
    redirect.policy.redirect = Some(tend_core::model::Redirect {
        to: "/new".to_owned(),
        status: 302,
    });
    let named = |name: &str| hourly(name, LimitKey::Client, 1);
    for (first, second, third) in [("mps/slow", "mps/slow", 429), ("mps/slow2", "other/slow2", 200)] {
        plan.snapshot.routes[0].policy.limits = vec![named(first)];
        plan.snapshot.routes[1].policy.limits = vec![named(second)];
        edge.serve(&plan.next());
        let mut client = Client::connect(listen);
        assert_eq!(client.get("/").status, 200);
        assert_eq!(client.get("/old").status, 302);
        assert_eq!(client.get("/").status, third);
        let limits = edge.stats().limits;
        let told: Vec<_> = limits
            .iter()
            .map(|one| (one.stack.as_str(), one.name.as_str()))
            .collect();
        let mut wanted = vec![("mps", first)];
        wanted.extend((first != second).then_some(("other", second)));
        assert_eq!(told, wanted);
    }
}

#[test]
fn a_body_limit_that_is_tried_out_only_counts() {
    let upstream = Upstream::named("api");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    plan.snapshot.routes[0].policy.body_bytes_max = Some(10);
    for (shadow, status, counted) in [(true, 200, (0, 2)), (false, 413, (2, 2))] {
        plan.snapshot.routes[0].policy.body_shadow = shadow;
        edge.serve(&plan.next());
        let mut client = Client::connect(listen);
        assert_eq!(client.post("/", "0123456789").status, 200);
        assert_eq!(client.post("/", "0123456789a").status, status);
        let mut client = Client::connect(listen);
        client.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n");
        assert_eq!(client.read().status, status);
        eventually("both to be counted", || {
            let limit = stats(&mut edge, LimitKind::Body);
            ((limit.refused, limit.shadowed) == counted).then_some(())
        });
    }
}
