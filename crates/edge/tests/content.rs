//! Compression, cross-origin rules and error pages, as clients see them.

use std::io::{Read, Write};
use std::net::SocketAddr;

use tend_core::model::{Compress, Cors, ErrorPage, RoutePolicy};

use crate::fixture::{Client, Edge, Keep, PATIENCE, Plan, Response, Upstream, api, respond};

/// Serves `mps/api` on this replica under these rules.
pub(crate) fn under(policy: RoutePolicy, upstream: &Upstream) -> (Edge, SocketAddr, Plan) {
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    plan.snapshot.routes[0].policy = policy;
    edge.serve(&plan.next());
    (edge, listen, plan)
}

fn compressed() -> RoutePolicy {
    RoutePolicy {
        compress: Compress {
            enabled: true,
            ..Compress::default()
        },
        ..RoutePolicy::default()
    }
}

/// Asks with some headers, each a whole line.
pub(crate) fn ask(client: &mut Client, method: &str, path: &str, headers: &[&str]) -> Response {
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    client.write(&format!("{method} {path} HTTP/1.1\r\nHost: any.test\r\n{lines}\r\n"));
    client.try_read(method == "HEAD").expect("no response")
}

/// A body that compresses.
fn json(length: usize) -> String {
    (0..length)
        .map(|i| char::from(b"{\"sum\": 0123456789}, "[(i * i / 5 + i) % 21]))
        .collect()
}

/// Answers with JSON of the length that the path's last segment says, chunked in pieces of 1000 bytes where the path begins so, and
/// with the request's `X-Say` as header lines.
fn service() -> Upstream {
    Upstream::start(|request, stream| {
        let length = request.target().rsplit('/').next().unwrap().parse().unwrap();
        let more = request
            .header("x-say")
            .map_or(String::new(), |line| format!("{line}\r\n"));
        let body = json(length);
        let mut out = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{more}").into_bytes();
        if request.target().starts_with("/chunked/") {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for piece in body.as_bytes().chunks(1000) {
                write!(out, "{:x}\r\n", piece.len()).unwrap();
                out.extend_from_slice(piece);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"0\r\nX-Sum: 7\r\n\r\n");
        } else {
            write!(out, "Content-Length: {length}\r\n\r\n").unwrap();
            if request.method() != "HEAD" {
                out.extend_from_slice(body.as_bytes());
            }
        }
        stream.write_all(&out).map_or(Keep::Close, |()| Keep::Open)
    })
}

/// Decodes with the reference decoder of each coding; panics on a body that is not whole.
pub(crate) fn decoded(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match coding {
        "gzip" => {
            flate2::read::GzDecoder::new(body).read_to_end(&mut out).unwrap();
        }
        "br" => {
            brotli::Decompressor::new(body, 4096).read_to_end(&mut out).unwrap();
        }
        "zstd" => {
            out.reserve(8 << 20);
            zstd_safe::decompress(&mut out, body).unwrap();
        }
        other => panic!("{other}"),
    }
    out
}

#[test]
fn a_body_is_compressed_as_the_client_likes_and_decodes_to_what_it_was() {
    let upstream = service();
    let (edge, listen, _) = under(compressed(), &upstream);
    let mut client = Client::connect(listen);
    for path in ["/1024", "/500000", "/chunked/3000", "/chunked/500000"] {
        for coding in ["gzip", "br", "zstd"] {
            let accept = format!("Accept-Encoding: {coding}");
            let response = ask(&mut client, "GET", path, &[&accept, "X-Say: ETag: \"v1\""]);
            assert_eq!(response.status, 200);
            assert_eq!(response.header("content-encoding"), Some(coding), "{path}");
            assert_eq!(response.header("content-length"), None);
            assert_eq!(response.header("etag"), Some("W/\"v1\""));
            assert_eq!(response.header("vary"), Some("Accept-Encoding"));
            let length = path.rsplit('/').next().unwrap().parse().unwrap();
            assert!(
                decoded(coding, &response.body) == json(length).as_bytes(),
                "{path} {coding}"
            );
            assert!(response.body.len() < length, "{path} {coding}: {}", response.body.len());
        }
    }
    // One connection to the replica carried all of it, so every body was read to its end.
    assert_eq!(upstream.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
    for line in edge.log() {
        assert!(
            line["bytes_out"].as_u64().unwrap() < 300_000 && line["bytes_out"] != 0,
            "{line}"
        );
    }
}

#[test]
fn what_need_not_or_must_not_be_compressed_passes_as_it_is() {
    let upstream = service();
    let (mut edge, listen, mut plan) = under(compressed(), &upstream);
    let mut client = Client::connect(listen);
    for (path, headers) in [
        ("/5000", &[][..]),
        ("/5000", &["Accept-Encoding: deflate"]),
        ("/5000", &["Accept-Encoding: gzip;q=0"]),
        ("/1023", &["Accept-Encoding: gzip"]),
        ("/5000", &["Accept-Encoding: gzip", "Cache-Control: no-transform"]),
        (
            "/5000",
            &["Accept-Encoding: gzip", "X-Say: Cache-Control: no-transform"],
        ),
        ("/5000", &["Accept-Encoding: gzip", "X-Say: Content-Encoding: br"]),
        (
            "/chunked/5000",
            &["Accept-Encoding: gzip", "X-Say: Content-Encoding: br"],
        ),
    ] {
        let response = ask(&mut client, "GET", path, headers);
        let length = path.rsplit('/').next().unwrap().parse().unwrap();
        assert_eq!(response.text(), json(length), "{path} {headers:?}");
        assert_ne!(response.header("content-encoding"), Some("gzip"));
        assert_eq!(
            response.header("content-length").is_none(),
            path.starts_with("/chunked")
        );
    }
    let head = ask(&mut client, "HEAD", "/5000", &["Accept-Encoding: gzip"]);
    assert_eq!(
        (head.header("content-encoding"), head.header("vary")),
        (None, Some("Accept-Encoding"))
    );
    // A route that bears secrets: neither the edge compresses, nor is the service told that it could.
    plan.snapshot.routes[0].policy.compress.secret_bearing = true;
    edge.serve(&plan.next());
    let response = ask(&mut client, "GET", "/5000", &["Accept-Encoding: gzip"]);
    assert_eq!(response.text(), json(5000));
    assert_eq!(upstream.last().header("accept-encoding"), None);
}

#[test]
fn trailers_follow_a_compressed_body() {
    let upstream = service();
    let (_edge, listen, _) = under(compressed(), &upstream);
    let mut client = Client::connect(listen);
    let (tell, heard) = ("TE: trailers", "X-Say: Trailer: X-Sum");
    ask(
        &mut client,
        "GET",
        "/chunked/9000",
        &["Accept-Encoding: gzip", tell, heard],
    );
    // The fixture reads a body with its trailers; the next request shows that nothing was left on the wire.
    assert_eq!(client.get("/5").text(), json(5));
}

#[test]
fn a_client_has_all_that_was_said_while_the_service_pauses() {
    for (types, coded) in [("text/event-stream", true), ("text/*", false)] {
        let (say, said) = std::sync::mpsc::sync_channel::<&'static str>(4);
        let said = std::sync::Mutex::new(said);
        let upstream = Upstream::start(move |_, stream| {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            while let Ok(event) = said.lock().unwrap().recv_timeout(PATIENCE) {
                let chunk = format!("{:x}\r\n{event}\r\n", event.len());
                stream.write_all(chunk.as_bytes()).unwrap();
            }
            stream.write_all(b"0\r\n\r\n").map_or(Keep::Close, |()| Keep::Open)
        });
        let mut policy = compressed();
        policy.compress.types = vec![types.to_owned()];
        let (_edge, listen, _) = under(policy, &upstream);
        let mut client = Client::connect(listen);
        client.write("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
        let mut got = Vec::new();
        for event in ["data: one\n\n", "data: two\n\n"] {
            say.send(event).unwrap();
            while !body_so_far(&got, coded).ends_with(event.as_bytes()) {
                let mut piece = [0; 4096];
                let read = client.0.read(&mut piece).unwrap();
                assert_ne!(read, 0, "the edge closed");
                got.extend_from_slice(&piece[..read]);
            }
        }
        let head = String::from_utf8_lossy(&got).to_lowercase();
        // A stream of events is compressed only where it is named.
        assert_eq!(head.contains("content-encoding: gzip"), coded, "{head}");
        drop(say);
    }
}

/// Returns the text of a chunked body, as far as it has come.
fn body_so_far(got: &[u8], coded: bool) -> Vec<u8> {
    let Some(head) = got.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Vec::new();
    };
    let body = dechunked(&got[head + 4..]);
    if !coded {
        return body;
    }
    let mut text = Vec::new();
    // It has no end yet.
    let _ = flate2::read::GzDecoder::new(&*body).read_to_end(&mut text);
    text
}

/// Takes the chunks out of their framing, as far as they are whole.
fn dechunked(mut framed: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = framed.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&framed[..end]).unwrap(), 16).unwrap();
        let Some(chunk) = framed.get(end + 2..end + 2 + size) else {
            break;
        };
        body.extend_from_slice(chunk);
        framed = framed.get(end + 4 + size..).unwrap_or_default();
    }
    body
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_compressed_body_harms_nobody() {
    let upstream = service();
    let (mut edge, listen, _) = under(compressed(), &upstream);
    for _ in 0..3 {
        let mut client = Client::connect(listen);
        client.write("GET /chunked/5000000 HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n");
        client.0.read_exact(&mut [0; 100]).unwrap();
    }
    assert_eq!(Client::connect(listen).get("/5").text(), json(5));
    crate::fixture::eventually("nothing in flight", || {
        (edge.stats().replicas[0].in_flight == 0).then_some(())
    });
}

fn shop(credentials: bool) -> RoutePolicy {
    RoutePolicy {
        cors: Some(Cors {
            origins: vec!["https://shop.test".to_owned(), "https://*.shop.test".to_owned()],
            methods: vec!["PUT".to_owned()],
            headers: vec!["authorization".to_owned(), "x-a".to_owned()],
            expose: vec!["x-b".to_owned()],
            credentials,
            max_age: Some(std::time::Duration::from_secs(600)),
        }),
        ..RoutePolicy::default()
    }
}

#[test]
fn a_preflight_is_answered_by_the_edge() {
    let upstream = Upstream::named("a");
    let (_edge, listen, _) = under(shop(true), &upstream);
    let mut client = Client::connect(listen);
    let asks = "Access-Control-Request-Method: PUT";
    let told = ask(&mut client, "OPTIONS", "/pay", &["Origin: https://eu.shop.test", asks]);
    assert_eq!(told.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", "https://eu.shop.test"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "GET, HEAD, POST, PUT"),
        ("access-control-allow-headers", "authorization, x-a"),
        ("access-control-max-age", "600"),
        (
            "vary",
            "Access-Control-Request-Method, Access-Control-Request-Headers, Origin",
        ),
    ] {
        assert_eq!(told.header(name), Some(value), "{name}");
    }
    let refused = ask(&mut client, "OPTIONS", "/pay", &["Origin: https://evil.test", asks]);
    assert_eq!(refused.status, 204);
    assert!(
        !refused.lines.iter().any(|line| line.starts_with("access-control")),
        "{:?}",
        refused.lines
    );
    assert_eq!(upstream.count(), 0);
    // Not a preflight: the service knows what it allows.
    for headers in [&["Origin: https://shop.test"][..], &[asks]] {
        assert_eq!(ask(&mut client, "OPTIONS", "/pay", headers).text(), "a");
    }
}

#[test]
fn what_the_service_says_of_other_origins_is_replaced() {
    let upstream = Upstream::start(|_, stream| {
        let out = "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\n\
                   Access-Control-Allow-Methods: DELETE\r\nVary: Cookie\r\nContent-Length: 1\r\n\r\na";
        stream.write_all(out.as_bytes()).map_or(Keep::Close, |()| Keep::Open)
    });
    let (_edge, listen, _) = under(shop(false), &upstream);
    let mut client = Client::connect(listen);
    for (origin, allowed) in [
        ("https://shop.test", Some("https://shop.test")),
        ("https://evil.test", None),
        ("null", None),
    ] {
        let response = ask(&mut client, "GET", "/", &[&format!("Origin: {origin}")]);
        assert_eq!(response.header("access-control-allow-origin"), allowed, "{origin}");
        assert_eq!(response.header("access-control-expose-headers"), allowed.map(|_| "x-b"));
        assert_eq!(response.header("access-control-allow-credentials"), None);
        assert_eq!(response.header("access-control-allow-methods"), None);
        assert_eq!(response.header("vary"), Some("Cookie, Origin"));
    }
    assert_eq!(client.get("/").header("vary"), Some("Cookie, Origin"));
}

#[test]
fn error_pages_stand_for_our_texts_and_for_the_service_where_asked() {
    let upstream = Upstream::start(|request, stream| {
        let status = request.target()[1..].parse().unwrap();
        respond(stream, status, "the service's own")
    });
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    let file = |name: &str, text: &str| {
        let path = edge.folder.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let page = |file, statuses: &[u16], intercept| ErrorPage {
        statuses: statuses.to_vec(),
        file,
        intercept,
    };
    let mut policy = shop(false);
    policy.error_pages = vec![
        page(edge.folder.0.join("missing.html"), &[502], false),
        page(file("down.json", "{\"down\":true}"), &[502, 503], false),
        page(file("sorry.html", "<p>Sorry"), &[500, 404], true),
    ];
    plan.snapshot.routes[0].policy = policy;
    edge.serve(&plan.next());
    let mut client = Client::connect(listen);
    let origin = "Origin: https://shop.test";
    for (path, status, body) in [
        ("/500", 500, "<p>Sorry"),
        ("/404", 404, "<p>Sorry"),
        ("/503", 503, "the service's own"),
        ("/200", 200, "the service's own"),
    ] {
        let response = ask(&mut client, "GET", path, &[origin]);
        assert_eq!((response.status, response.text()), (status, body), "{path}");
        assert_eq!(
            response.header("access-control-allow-origin"),
            Some("https://shop.test")
        );
        let own = body.starts_with('<').then_some("text/html; charset=utf-8");
        assert_eq!(response.header("content-type"), own);
        assert_eq!(response.header("x-tend-error"), None);
    }
    let head = ask(&mut client, "HEAD", "/404", &[]);
    assert_eq!(head.header("content-length"), Some("8"));
    plan.snapshot.services[0].replicas.clear();
    edge.serve(&plan.next());
    let response = client.get("/200");
    assert_eq!((response.status, response.text()), (503, "{\"down\":true}"));
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("x-tend-error"), Some("no_ready_replica"));
    assert_eq!(response.header("retry-after"), Some("1"));
}
