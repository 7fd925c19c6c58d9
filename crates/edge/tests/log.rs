//! The access log's formats, what is sampled, and the trace a request belongs to.

use std::collections::BTreeSet;

use tend_core::model::{AccessLog, LogFormat, Protocol};

use crate::content::ask;
use crate::fixture::{Client, Upstream, api, respond};
use crate::h2_peers::{Secure, request, run};

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[test]
fn a_trace_is_passed_on_or_made_and_stands_in_the_log() {
    let upstream = Upstream::named("a");
    let (edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    let theirs = format!("traceparent: 00-{ID}-00f067aa0ba902b7-01");
    let mut spans = BTreeSet::new();
    for _ in 0..2 {
        ask(&mut client, "GET", "/", &[&theirs, "tracestate: vendor=1"]);
        let got = upstream.last();
        let parent = got.header("traceparent").unwrap();
        let (before, span) = (format!("00-{ID}-"), &parent[36..52]);
        assert!(
            parent.starts_with(&before) && parent.ends_with("-01") && parent.len() == 55,
            "{parent}"
        );
        assert_ne!(span, "00f067aa0ba902b7");
        assert!(spans.insert(span.to_owned()), "each hop has a span of its own");
        assert_eq!(got.header("tracestate"), Some("vendor=1"));
    }
    let mut made = vec![ID.to_owned(), ID.to_owned()];
    for headers in [
        &["tracestate: vendor=1"][..],
        &["traceparent: 00-zz-00f067aa0ba902b7-01", "tracestate: vendor=1"],
        &[&theirs, &theirs],
    ] {
        ask(&mut client, "GET", "/", headers);
        let got = upstream.last();
        let parents: Vec<_> = got
            .lines
            .iter()
            .filter(|line| line.starts_with("traceparent"))
            .collect();
        assert_eq!(parents.len(), 1, "{parents:?}");
        let parent = got.header("traceparent").unwrap();
        assert!(!parent.contains(ID) && parent.ends_with("-03"), "{parent}");
        assert_eq!(got.header("tracestate"), None);
        made.push(parent[3..35].to_owned());
    }
    assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), 4);
    let logged: Vec<_> = edge
        .log()
        .iter()
        .map(|line| line["trace_id"].as_str().unwrap().to_owned())
        .collect();
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    assert_eq!(sorted(logged), sorted(made));
}

#[test]
fn a_line_says_by_which_route_and_scheme() {
    let upstream = Upstream::named("a");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    plan = plan.route(Some("shop.test"), "/pay", "api");
    edge.serve(&plan.next());
    let mut client = Client::connect(listen);
    client.get("/x");
    client.write("GET /pay/7 HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    client.read();
    let lines = edge.log();
    for (line, route) in lines.iter().zip(["*/", "shop.test/pay"]) {
        assert_eq!((&line["route"], &line["scheme"]), (&route.into(), &"http".into()));
        // The peer is the client.
        assert!(line["client"].as_str().unwrap().starts_with("127.0.0.1:") && line.get("peer").is_none());
    }
}

/// Serves under this log, asks `count` times for each status, and returns the log as it is on the disk.
fn logged(log: AccessLog, statuses: &[u16], count: usize) -> String {
    let upstream = Upstream::start(|request, stream| {
        let status = request.target()[1..4].parse().unwrap();
        respond(stream, status, "body")
    });
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    plan.snapshot.access_log = log;
    edge.serve(&plan.next());
    let mut client = Client::connect(listen);
    for status in statuses {
        for _ in 0..count {
            let headers = ["Referer: https://shop.test/\"x", "User-Agent: test/1"];
            let answer = ask(&mut client, "GET", &format!("/{status}?a=b"), &headers);
            assert_eq!(answer.status, *status);
        }
    }
    drop(client);
    edge.drain();
    let folder = edge.ended();
    std::fs::read_to_string(folder.0.join("edge/access.log")).unwrap()
}

#[test]
fn the_combined_format_is_written_where_it_is_asked_for() {
    let log = AccessLog {
        format: LogFormat::Combined,
        ..AccessLog::default()
    };
    let text = logged(log, &[200], 1);
    let (before, behind) = text.split_once(" - - [").unwrap();
    assert_eq!(before, "127.0.0.1");
    let (date, rest) = behind.split_once("] ").unwrap();
    assert!(
        date.len() == 26 && date.ends_with(" +0000") && date.as_bytes()[2] == b'/',
        "{date}"
    );
    assert_eq!(
        rest,
        "\"GET /200?a=b HTTP/1.1\" 200 4 \"https://shop.test/\\x22x\" \"test/1\"\n"
    );
}

#[test]
fn failures_are_written_whatever_the_sample() {
    let log = AccessLog {
        sample_permille: 100,
        ..AccessLog::default()
    };
    let text = logged(log, &[200, 404, 500], 300);
    let count = |status: u16| text.matches(&format!("\"status\":{status},")).count();
    assert_eq!((count(404), count(500)), (300, 300));
    // 30 are expected; being off by so much has a chance below one in a billion.
    assert!((1..70).contains(&count(200)), "{}", count(200));
}

#[test]
fn the_combined_format_says_which_version_the_client_speaks() {
    let combined = AccessLog {
        format: LogFormat::Combined,
        ..AccessLog::default()
    };
    let upstream = Upstream::named("a");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    plan.snapshot.access_log = combined;
    edge.serve(&plan.next());
    for version in ["1.0", "1.1"] {
        let mut client = Client::connect(listen);
        client.write(&format!("GET /{version} HTTP/{version}\r\nHost: any.test\r\n\r\n"));
        assert_eq!(client.read().status, 200);
    }
    edge.drain();
    let folder = edge.ended();
    let text = std::fs::read_to_string(folder.0.join("edge/access.log")).unwrap();
    for version in ["1.0", "1.1"] {
        assert!(
            text.contains(&format!("\"GET /{version} HTTP/{version}\" 200 ")),
            "{text}"
        );
    }

    let mut secure = Secure::before(&[upstream.address], Protocol::Http1);
    secure.plan.snapshot.access_log = combined;
    secure.edge.serve(&secure.plan.next());
    run(async {
        let client = secure.client().await;
        assert_eq!(client.ask(request("GET", "/two"), &[]).await.unwrap().status, 200);
    });
    secure.edge.drain();
    let folder = secure.edge.ended();
    let text = std::fs::read_to_string(folder.0.join("edge/access.log")).unwrap();
    assert!(text.contains("\"GET /two HTTP/2.0\" 200 "), "{text}");
}

#[test]
fn a_line_says_which_release_answered_also_when_it_became_one_while_it_ran() {
    let upstream = Upstream::named("a");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    for release in [None, Some(12), Some(13)] {
        plan.snapshot.services[0].replicas[0].release = release;
        edge.serve(&plan.next());
        assert_eq!(client.get("/").status, 200);
    }
    client.write("GET /nowhere HTTP/1.1\r\nHost: any.test\r\nHost: two\r\n\r\n");
    client.read();
    let mut releases: Vec<_> = edge.log().iter().map(|line| line["release"].as_u64()).collect();
    releases.sort_unstable();
    assert_eq!(releases, [None, None, Some(12), Some(13)]);
}
