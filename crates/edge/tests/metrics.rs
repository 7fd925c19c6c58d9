//! What is counted, as a scraper reads it.

use std::collections::BTreeMap;

use tend_edge::{FromEdge, ToEdge};

use crate::content::ask;
use crate::fixture::{Client, Edge, Keep, Upstream, api, eventually, free_address, respond};

/// Asks for the metrics and reads them as the format is defined: one series a line, each once, each with a type.
fn scrape(edge: &mut Edge) -> BTreeMap<String, f64> {
    edge.control.send(&ToEdge::Metrics, &[]).unwrap();
    let text = match edge.answer(|message| matches!(message, FromEdge::Metrics { .. })).0 {
        FromEdge::Metrics { text } => text,
        other => panic!("{other:?}"),
    };
    let mut series = BTreeMap::new();
    let mut types = BTreeMap::new();
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("# TYPE ") {
            let (name, kind) = described.split_once(' ').unwrap();
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let bare = name.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|ending| bare.strip_suffix(ending).filter(|family| types.contains_key(*family)));
            assert!(types.contains_key(family.unwrap_or(bare)), "{line} has no type");
            assert!(
                series.insert(name.to_owned(), value.parse().unwrap()).is_none(),
                "{line} is there twice"
            );
        }
    }
    series
}

const API: &str = "stack=\"mps\",service=\"api\",route=\"*/\"";

fn requests(series: &BTreeMap<String, f64>, labels: &str, method: &str, status: &str) -> Option<f64> {
    let name = format!("http_requests_total{{{labels},method=\"{method}\",status=\"{status}\"}}");
    series.get(&name).copied()
}

fn by_status() -> Upstream {
    Upstream::start(|request, stream| {
        let status = request.target()[1..].parse().unwrap_or(200);
        respond(stream, status, "body")
    })
}

fn expect(edge: &mut Edge, what: &str, wanted: impl Fn(&BTreeMap<String, f64>) -> bool) -> BTreeMap<String, f64> {
    // A request is counted when its last byte is written, which the client may see before.
    eventually(what, || Some(scrape(edge)).filter(&wanted))
}

#[test]
fn requests_are_counted_by_route_method_and_status() {
    let upstream = by_status();
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    plan = plan.route(Some("shop.test"), "/pay", "api");
    plan.snapshot.routes[0].host = None;
    edge.serve(&plan.next());
    let mut client = Client::connect(listen);
    for path in ["/200", "/200", "/404", "/500", "/599", "/418", "/health"] {
        client.get(path);
    }
    client.post("/200", "1234567");
    ask(&mut client, "BREW", "/200", &[]);
    client.write("GET /pay HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    client.read();
    let series = expect(&mut edge, "ten requests", |series| {
        series["tend_edge_requests_total"] == 10.0
    });
    for (method, status, wanted) in [
        ("GET", "200", Some(2.0)),
        ("GET", "404", Some(1.0)),
        ("GET", "500", Some(1.0)),
        ("GET", "5xx", Some(1.0)),
        ("GET", "4xx", Some(1.0)),
        ("POST", "200", Some(1.0)),
        ("other", "200", Some(1.0)),
        ("BREW", "200", None),
    ] {
        assert_eq!(requests(&series, API, method, status), wanted, "{method} {status}");
    }
    let pay = "stack=\"mps\",service=\"api\",route=\"shop.test/pay\"";
    assert_eq!(requests(&series, pay, "GET", "200"), Some(1.0));
    // The health path is not among them, and was counted in all.
    assert_eq!(series[&format!("http_request_duration_seconds_count{{{API}}}")], 8.0);
    assert_eq!(
        series[&format!("http_request_duration_seconds_bucket{{{API},le=\"+Inf\"}}")],
        8.0
    );
    assert_eq!(series[&format!("tend_edge_request_bytes_total{{{API}}}")], 7.0);
    assert_eq!(series[&format!("tend_edge_response_bytes_total{{{API}}}")], 32.0);
    let replica = "stack=\"mps\",service=\"api\",replica=\"mps/api/1\",incarnation=\"1\"";
    for (name, wanted) in [
        (
            format!("tend_edge_replica_requests_total{{{replica},status=\"2xx\"}}"),
            6.0,
        ),
        (
            format!("tend_edge_replica_requests_total{{{replica},status=\"5xx\"}}"),
            2.0,
        ),
        (format!("tend_edge_replica_answer_seconds_count{{{replica}}}"), 10.0),
        (format!("tend_edge_replica_in_flight{{{replica}}}"), 0.0),
        (format!("tend_edge_replica_ejected{{{replica}}}"), 0.0),
        ("tend_edge_connections_accepted_total".to_owned(), 1.0),
        ("tend_edge_snapshot_generation".to_owned(), 2.0),
    ] {
        assert_eq!(series[&name], wanted, "{name}");
    }
}

#[test]
fn counts_go_on_from_snapshot_to_snapshot_and_end_with_the_route() {
    let upstream = by_status();
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    Client::connect(listen).get("/200");
    expect(&mut edge, "one", |series| {
        requests(series, API, "GET", "200") == Some(1.0)
    });
    edge.serve(&plan.next());
    Client::connect(listen).get("/200");
    expect(&mut edge, "two", |series| {
        requests(series, API, "GET", "200") == Some(2.0)
    });
    // Another listener's route of the same name counts with it, and is not told twice.
    let other = free_address();
    plan.snapshot.listeners.push(tend_core::model::Listener::plain(other));
    plan.snapshot.routes[0].listeners = vec![listen];
    let mut second = plan.snapshot.routes[0].clone();
    second.listeners = vec![other];
    plan.snapshot.routes.push(second);
    edge.serve(&plan.next());
    Client::connect(other).get("/200");
    expect(&mut edge, "three", |series| {
        requests(series, API, "GET", "200") == Some(3.0)
    });
    plan.snapshot.routes.clear();
    edge.serve(&plan.next());
    assert_eq!(Client::connect(listen).get("/200").status, 404);
    let series = expect(&mut edge, "no route", |series| {
        requests(series, "route=\"none\"", "GET", "404") == Some(1.0)
    });
    assert_eq!(requests(&series, API, "GET", "200"), None);
    assert_eq!(series["tend_edge_refusals_total{code=\"no_route\"}"], 1.0);
}

#[test]
fn a_page_of_many_routes_comes_whole() {
    let upstream = by_status();
    let (mut edge, _, mut plan) = api(&[upstream.address]);
    for number in 0..200 {
        plan = plan.route(None, &format!("/r{number}"), "api");
    }
    edge.serve(&plan.next());
    let series = scrape(&mut edge);
    let routes = series
        .keys()
        .filter(|name| name.starts_with("tend_edge_upgraded_connections{"))
        .count();
    assert_eq!(routes, 202);
}

#[test]
fn an_open_websocket_is_counted_and_not_timed() {
    let upstream = Upstream::start(|_, stream| {
        use std::io::{Read, Write};
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let _ = stream.read(&mut [0]);
        Keep::Close
    });
    let (mut edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    client.write("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(client.read().status, 101);
    let open = format!("tend_edge_upgraded_connections{{{API}}}");
    expect(&mut edge, "one open", |series| series[&open] == 1.0);
    drop(client);
    let series = expect(&mut edge, "none open", |series| series[&open] == 0.0);
    assert_eq!(requests(&series, API, "GET", "101"), Some(1.0));
    assert_eq!(series[&format!("http_request_duration_seconds_count{{{API}}}")], 0.0);
}
