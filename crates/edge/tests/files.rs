//! Files, redirects and rewriting, as clients see them.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use tend_core::model::{Files, Prefix, Redirect, Rewrite, RoutePolicy};

use crate::content::{ask, decoded, under};
use crate::fixture::{Client, Edge, Plan, Upstream, api, free_address};

const SECRET: &str = "not for anybody";

fn rules(root: PathBuf) -> Files {
    Files {
        root,
        index: "index.html".to_owned(),
        fallback: None,
        or_service: false,
        max_age: None,
        immutable: false,
        precompressed: false,
    }
}

/// An edge with files under `/s`, and nothing else.
fn shop(change: impl FnOnce(&mut Files)) -> (Edge, SocketAddr, Plan, PathBuf) {
    let mut edge = Edge::start();
    let root = edge.folder.0.join("root");
    std::fs::create_dir_all(root.join("sub/.git")).unwrap();
    for (name, text) in [
        ("a.txt", "0123456789"),
        ("empty", ""),
        ("index.html", "<p>root"),
        ("app.js", "let plain;"),
        ("app.3f9a1c2b.js", "let hashed;"),
        ("with space & ünï.html", "<p>odd"),
        ("sub/index.html", "<p>sub"),
        (".env", SECRET),
        ("sub/.git/config", SECRET),
        ("../secret", SECRET),
    ] {
        std::fs::write(root.join(name), text).unwrap();
    }
    std::fs::create_dir(root.join("bare")).unwrap();
    let mut files = rules(root.clone());
    change(&mut files);
    let listen = free_address();
    let mut plan = Plan::new(listen).service("api", &[]).route(None, "/s", "api");
    plan.snapshot.routes[0].service = None;
    plan.snapshot.routes[0].policy.files = Some(files);
    edge.serve(&plan.next());
    (edge, listen, plan, root)
}

#[test]
fn files_are_found_by_their_path_and_told_by_their_ending() {
    let (edge, listen, _, _) = shop(|_| {});
    let mut client = Client::connect(listen);
    for (path, text, media_type) in [
        ("/s/a.txt", "0123456789", "text/plain; charset=utf-8"),
        ("/s/a.txt?x=../y", "0123456789", "text/plain; charset=utf-8"),
        ("/s/%61.txt", "0123456789", "text/plain; charset=utf-8"),
        ("/s//a.txt", "0123456789", "text/plain; charset=utf-8"),
        ("/s/empty", "", "application/octet-stream"),
        ("/s/", "<p>root", "text/html; charset=utf-8"),
        ("/s/sub/", "<p>sub", "text/html; charset=utf-8"),
        (
            "/s/with%20space%20&%20%C3%BCn%C3%AF.html",
            "<p>odd",
            "text/html; charset=utf-8",
        ),
    ] {
        let response = client.get(path);
        assert_eq!((response.status, response.text()), (200, text), "{path}");
        assert_eq!(response.header("content-type"), Some(media_type));
        assert_eq!(response.header("content-length"), Some(text.len().to_string().as_str()));
        assert_eq!(response.header("accept-ranges"), Some("bytes"));
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        let head = ask(&mut client, "HEAD", path, &[]);
        assert_eq!((head.status, head.header("etag")), (200, response.header("etag")));
        if !text.is_empty() {
            assert_eq!(head.header("content-length"), Some(text.len().to_string().as_str()));
        }
    }
    for (path, location) in [
        ("/s", "/s/"),
        ("/s/sub", "/s/sub/"),
        ("/s/sub?a=b", "/s/sub/?a=b"),
        ("/s/./sub", ""),
    ] {
        let response = client.get(path);
        if location.is_empty() {
            assert_eq!(response.status, 404);
        } else {
            assert_eq!(
                (response.status, response.header("location")),
                (301, Some(location)),
                "{path}"
            );
        }
    }
    let post = client.post("/s/a.txt", "x");
    assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")));
    let line = &edge.log()[0];
    assert_eq!((&line["bytes_out"], &line["tries"]), (&10.into(), &0.into()));
}

#[test]
fn nothing_outside_of_the_folder_is_served() {
    let (mut edge, listen, mut plan, root) = shop(|_| {});
    symlink("../secret", root.join("out.txt")).unwrap();
    symlink("/etc", root.join("etc")).unwrap();
    symlink("a.txt", root.join("in.txt")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("pipe"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    for path in [
        "/s/none",
        "/s/a.txt/",
        "/s/bare/",
        "/s/bare",
        "/s/../secret",
        "/s/%2e%2e/secret",
        "/s/..%2fsecret",
        "/s/%2e%2e%2fsecret",
        "/s/..%5csecret",
        "/s/sub/../../secret",
        "/s/%252e%252e/secret",
        "/s/out.txt",
        "/s/etc/passwd",
        "/s/.env",
        "/s/%2eenv",
        "/s/sub/.git/config",
        "/s/a.txt%00",
        "/s/a.txt%00.html",
        "/s/%zz",
        "/s/pipe",
        &format!("/s/{}", "a".repeat(5000)),
    ] {
        let response = Client::connect(listen).get(path);
        assert_eq!(response.status, 404, "{path}");
        assert_eq!(response.header("x-tend-error"), Some("no_file"), "{path}");
    }
    assert_eq!(Client::connect(listen).get("/s/in.txt").text(), "0123456789");
    // The whole of it again with another way of writing a path that has stricter rules.
    let mut strict = plan.snapshot.routes[0].clone();
    strict.path_prefix = "/s/sub".to_owned();
    strict.policy.deny = vec!["127.0.0.0/8".parse::<Prefix>().unwrap()];
    plan.snapshot.routes.push(strict);
    edge.serve(&plan.next());
    for (path, status) in [
        ("/s/sub/", 403),
        ("/s/%73ub/", 404),
        ("/s//sub/", 404),
        ("/s//a.txt", 200),
    ] {
        assert_eq!(Client::connect(listen).get(path).status, status, "{path}");
    }
}

#[test]
fn a_client_gets_what_it_has_not_and_the_part_it_wants() {
    let (_edge, listen, _, root) = shop(|files| files.max_age = Some(Duration::from_secs(3600)));
    let mut client = Client::connect(listen);
    let first = client.get("/s/a.txt");
    let (tag, modified) = (first.header("etag").unwrap(), first.header("last-modified").unwrap());
    assert_eq!(first.header("cache-control"), Some("max-age=3600"));
    let none_match = format!("If-None-Match: {tag}");
    let modified_since = format!("If-Modified-Since: {modified}");
    let (if_range, not_this) = (format!("If-Range: {tag}"), "If-Range: \"other\"");
    for (headers, status, body, range) in [
        (&[none_match.as_str()][..], 304, "", None),
        (&[&modified_since], 304, "", None),
        (&["If-None-Match: \"other\""], 200, "0123456789", None),
        (&["If-Match: \"other\""], 412, "", None),
        (&["Range: bytes=2-4"], 206, "234", Some("bytes 2-4/10")),
        (&["Range: bytes=-3"], 206, "789", Some("bytes 7-9/10")),
        (&["Range: bytes=8-"], 206, "89", Some("bytes 8-9/10")),
        (&["Range: bytes=10-"], 416, "", Some("bytes */10")),
        (&["Range: bytes=0-1,4-5"], 200, "0123456789", None),
        (&["Range: bytes=0-0", &if_range], 206, "0", Some("bytes 0-0/10")),
        (&["Range: bytes=0-0", not_this], 200, "0123456789", None),
    ] {
        let response = ask(&mut client, "GET", "/s/a.txt", headers);
        assert_eq!((response.status, response.text()), (status, body), "{headers:?}");
        assert_eq!(response.header("content-range"), range, "{headers:?}");
        if status == 304 {
            assert_eq!(response.header("etag"), Some(tag));
            assert_eq!(response.header("cache-control"), Some("max-age=3600"));
        }
    }
    std::fs::write(root.join("a.txt"), "another length").unwrap();
    let fresh = ask(&mut client, "GET", "/s/a.txt", &[&none_match]);
    assert_eq!((fresh.status, fresh.text()), (200, "another length"));
}

#[test]
fn a_large_file_passes_whole() {
    let (edge, listen, _, root) = shop(|_| {});
    let body: Vec<u8> = (0..3_000_000u32).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect();
    std::fs::write(root.join("big.bin"), &body).unwrap();
    let mut client = Client::connect(listen);
    assert!(client.get("/s/big.bin").body == body);
    let part = ask(&mut client, "GET", "/s/big.bin", &["Range: bytes=1000000-2000000"]);
    assert!(part.body == body[1_000_000..=2_000_000]);
    assert_eq!(edge.log()[1]["bytes_out"], 1_000_001);
}

#[test]
fn what_was_compressed_beforehand_goes_to_who_takes_it() {
    let (_edge, listen, _, root) = shop(|files| {
        files.precompressed = true;
        files.immutable = true;
    });
    let text = "let plain;".repeat(200);
    std::fs::write(root.join("app.js"), &text).unwrap();
    let gzip = {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    std::fs::write(root.join("app.js.gz"), gzip).unwrap();
    let mut out = Vec::with_capacity(4096);
    zstd_safe::compress(&mut out, text.as_bytes(), 19).unwrap();
    std::fs::write(root.join("app.js.zst"), out).unwrap();
    let mut client = Client::connect(listen);
    let mut tags = Vec::new();
    for (accept, coding) in [
        ("br, zstd, gzip", Some("zstd")),
        ("gzip, zstd;q=0.5", Some("gzip")),
        ("br", None),
        ("", None),
    ] {
        let response = ask(
            &mut client,
            "GET",
            "/s/app.js",
            &[&format!("Accept-Encoding: {accept}")],
        );
        assert_eq!(response.header("content-encoding"), coding, "{accept}");
        assert_eq!(response.header("content-type"), Some("text/javascript; charset=utf-8"));
        assert_eq!(response.header("vary"), Some("Accept-Encoding"));
        let body = coding.map_or(response.body.clone(), |coding| decoded(coding, &response.body));
        assert_eq!(body, text.as_bytes(), "{accept}");
        tags.push(response.header("etag").unwrap().to_owned());
    }
    assert_eq!(tags[2], tags[3]);
    assert!(tags[0] != tags[1] && tags[0] != tags[2]);
    let hashed = client.get("/s/app.3f9a1c2b.js");
    assert_eq!(
        hashed.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    assert_eq!(client.get("/s/app.js").header("cache-control"), None);
}

#[test]
fn where_there_is_no_file_the_fallback_or_the_service_answers() {
    let (_edge, listen, _, _) = shop(|files| files.fallback = Some("/index.html".to_owned()));
    let mut client = Client::connect(listen);
    for path in ["/s/orders/7", "/s/.env", "/s/bare/"] {
        let response = client.get(path);
        assert_eq!((response.status, response.text()), (200, "<p>root"), "{path}");
        assert_eq!(response.header("cache-control"), Some("no-cache"));
    }
    assert_eq!(client.get("/s/a.txt").text(), "0123456789");
    let upstream = Upstream::named("the service");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    std::fs::write(edge.folder.0.join("a.txt"), "the file").unwrap();
    let files = Files {
        or_service: true,
        ..rules(edge.folder.0.clone())
    };
    plan.snapshot.routes[0].policy.files = Some(files);
    edge.serve(&plan.next());
    let mut client = Client::connect(listen);
    assert_eq!(client.get("/a.txt").text(), "the file");
    assert_eq!(client.get("/b.txt").text(), "the service");
    assert_eq!(client.post("/a.txt", "x").text(), "the service");
}

#[test]
fn a_folder_that_is_exchanged_is_seen_at_once() {
    let (_edge, listen, _, root) = shop(|files| files.root = files.root.join("../current"));
    let current = root.join("../current");
    let mut client = Client::connect(listen);
    assert_eq!(client.get("/s/a.txt").status, 404);
    symlink(&root, &current).unwrap();
    assert_eq!(client.get("/s/a.txt").text(), "0123456789");
    let next = root.join("../next");
    std::fs::create_dir(&next).unwrap();
    std::fs::write(next.join("a.txt"), "the next release").unwrap();
    symlink(&next, root.join("../new")).unwrap();
    std::fs::rename(root.join("../new"), &current).unwrap();
    assert_eq!(client.get("/s/a.txt").text(), "the next release");
}

#[test]
fn a_client_is_sent_elsewhere_where_the_route_says_so() {
    let upstream = Upstream::named("never asked");
    let policy = RoutePolicy {
        redirect: Some(Redirect {
            to: "https://{host}/new{rest}".to_owned(),
            status: 308,
        }),
        ..RoutePolicy::default()
    };
    let (_edge, listen, _) = under(policy, &upstream);
    let mut client = Client::connect(listen);
    let response = client.get("/a//b?c=d");
    assert_eq!((response.status, response.text()), (308, ""));
    assert_eq!(response.header("location"), Some("https://any.test/new/a//b?c=d"));
    let response = client.post("//evil.test/", "x");
    assert_eq!(response.header("location"), Some("https://any.test/new/evil.test/"));
    assert_eq!(upstream.count(), 0);
}

#[test]
fn the_service_gets_the_rewritten_target_and_the_log_the_clients() {
    let upstream = Upstream::named("a");
    let (mut edge, listen, mut plan) = api(&[upstream.address]);
    plan.snapshot.routes[0].path_prefix = "/api".to_owned();
    for (rewrite, target, wanted) in [
        (Rewrite::StripPrefix, "/api/pay?a=1", "/pay?a=1"),
        (Rewrite::StripPrefix, "/api", "/"),
        (Rewrite::StripPrefix, "/api//x", "/x"),
        (Rewrite::ReplacePrefix("/v2".to_owned()), "/api/pay?a=1", "/v2/pay?a=1"),
    ] {
        plan.snapshot.routes[0].policy.rewrite = Some(rewrite);
        edge.serve(&plan.next());
        assert_eq!(Client::connect(listen).get(target).status, 200);
        assert_eq!(upstream.last().target(), wanted);
    }
    let mut paths: Vec<_> = edge.log().iter().map(|line| line["path"].to_string()).collect();
    paths.sort();
    assert_eq!(
        paths,
        ["\"/api\"", "\"/api//x\"", "\"/api/pay?a=1\"", "\"/api/pay?a=1\""]
    );
}
