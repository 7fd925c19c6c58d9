//! Real servers on loopback: good, slow, cutting, wrong, packed, huge; and how we ask them.

use std::fs;
use std::sync::atomic::Ordering;

use tend_scrape::Health;
use tend_testkit::Folder;

use crate::web::{Says, Web};
use crate::{Running, all, until};

/// What is put into the file: a job `NAME` for each, at its path, with its keys.
fn config(web: &Web, jobs: &[(&str, &str, &str)]) -> String {
    let mut text = String::from("scrape_configs:\n");
    for (name, path, keys) in jobs {
        let address = web.address;
        text.push_str(&format!(
            "  - {{job_name: {name}, metrics_path: {path}, static_configs: [{{targets: ['{address}']}}], {keys}}}\n"
        ));
    }
    text
}

/// A name and path, what is said there, keys of the job, and why it fails; empty where it does not.
fn cases() -> Vec<(&'static str, Says, &'static str, &'static str)> {
    // A timeout of a second is far more than loopback needs, and a round that missed it is followed by another.
    const SOON: &str = "scrape_interval: 1s";
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\na 1\n".to_vec();
    let redirect = || Says::Answer(302, "Location: /well\r\n".to_owned(), Vec::new());
    vec![
        ("well", Says::metrics("a 1\n"), SOON, ""),
        ("untyped", Says::Answer(200, String::new(), b"a 1\n".to_vec()), SOON, ""),
        ("octets", Says::typed("application/octet-stream", "a 1\n"), SOON, ""),
        (
            "html",
            Says::typed("text/html", "<!DOCTYPE html>\n<p>Hello\n"),
            SOON,
            "nothing in the body is a metric; line 1",
        ),
        ("mistyped", Says::typed("text/html", "a 1\n"), SOON, ""),
        (
            "open",
            Says::typed("application/openmetrics-text; version=1.0.0", "a 1\n# EOF\n"),
            SOON,
            "",
        ),
        (
            "uneof",
            Says::typed("application/openmetrics-text", "a 1\n"),
            SOON,
            "the body was cut: it does not end with `# EOF`",
        ),
        ("packed", Says::Packed(b"a 1\n".to_vec()), SOON, ""),
        (
            "bomb",
            Says::Packed(vec![b'a'; 8 << 20]),
            "scrape_interval: 1s, body_size_limit: 1MB",
            "the body is larger than 1048576 bytes (body_size_limit)",
        ),
        (
            "mispacked",
            Says::Answer(200, "Content-Encoding: gzip\r\n".to_owned(), b"a 1\n".to_vec()),
            SOON,
            "is not the gzip that it says it is",
        ),
        (
            "broken",
            Says::Answer(500, String::new(), b"a 1\n".to_vec()),
            SOON,
            "the answer has the status 500",
        ),
        (
            "empty",
            Says::Answer(204, String::new(), Vec::new()),
            SOON,
            "the answer has the status 204",
        ),
        ("cut", Says::Raw(cut), SOON, "no answer: the connection to 127.0.0.1:"),
        (
            "no-http",
            Says::Raw(b"220 mail.example\r\n".to_vec()),
            SOON,
            "no answer: the connection to 127.0.0.1:",
        ),
        ("slow", Says::Silence, "scrape_interval: 500ms", "did not answer within"),
        ("moved", redirect(), SOON, ""),
        (
            "moved-away",
            redirect(),
            "scrape_interval: 1s, follow_redirects: false",
            "the answer has the status 302",
        ),
        (
            "away",
            Says::Silence,
            "scrape_interval: 1s, relabel_configs: [{target_label: __address__, replacement: 'no-such-name.invalid:1'}]",
            "no answer: the name `no-such-name.invalid` was not found",
        ),
        (
            "refusing",
            Says::Silence,
            "scrape_interval: 1s, relabel_configs: [{target_label: __address__, replacement: '127.0.0.1:1'}]",
            "no answer: 127.0.0.1:1 was not reached",
        ),
        (
            "secret",
            Says::metrics("a 1\n"),
            "scrape_interval: 1s, bearer_token_file: /no/such/token",
            "could not read `/no/such/token`",
        ),
    ]
}

#[tokio::test]
async fn each_kind_of_answer_is_taken_or_told() {
    let cases = cases();
    let paths: Vec<String> = cases.iter().map(|(name, ..)| format!("/{name}")).collect();
    let web = Web::new([]);
    for (path, (_, says, ..)) in paths.iter().zip(&cases) {
        web.say(path, says.clone());
    }
    let jobs: Vec<(&str, &str, &str)> = paths
        .iter()
        .zip(&cases)
        .map(|(path, (name, _, keys, _))| (*name, path.as_str(), *keys))
        .collect();
    let running = Running::new();
    running.set(&config(&web, &jobs));
    for (name, _, _, error) in &cases {
        let health = if error.is_empty() { Health::Up } else { Health::Down };
        let series = format!("a{{instance=\"{}\", job=\"{name}\"}}", web.address);
        // A machine may be too busy for one round; the next is as it should be.
        let last = running
            .until(name, &format!("{health:?}, {error:?}"), |last| {
                let newest = running.newest(&format!("job=\"{name}\""));
                let is_kept = match newest.get(&series) {
                    Some(value) if error.is_empty() => value == "1",
                    Some(value) => value == "stale",
                    None => !error.is_empty(),
                };
                last.health == health && last.error.contains(error) && is_kept
            })
            .await;
        assert_eq!(last.hint.is_empty(), error.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_target_is_asked_as_prometheus_asks_and_connections_are_kept() {
    let web = Web::new([("/metrics?a=b+c&d=e", Says::metrics("a 1\n"))]);
    let running = Running::new();
    let keys = "params: {a: ['b c'], d: [e]}, scrape_interval: 2s, scrape_timeout: 1500ms";
    running.set(&config(&web, &[("j", "/metrics", keys)]));
    let asked = || web.asked("GET /metrics?a=b+c&d=e HTTP/1.1").len();
    until("connections are used again", || {
        asked() >= web.connections.load(Ordering::Relaxed) + 2
    })
    .await;
    let head = web.asked("GET").remove(0).to_ascii_lowercase();
    for line in [
        "accept: application/openmetrics-text;version=1.0.0;q=0.9,application/openmetrics-text;version=0.0.1;q=0.8,text/plain;version=0.0.4;q=0.7,*/*;q=0.1\r\n",
        "accept-encoding: gzip\r\n",
        "x-prometheus-scrape-timeout-seconds: 1.5\r\n",
        "user-agent: tend/",
        &format!("host: {}\r\n", web.address),
    ] {
        assert!(head.contains(line), "{line} is not in {head}");
    }
}

#[tokio::test]
async fn who_we_are_is_told_and_a_new_secret_is_read_from_its_file() {
    let folder = Folder::new();
    let token = folder.path().join("token");
    fs::write(&token, "first\n").expect("written");
    let web = Web::new([]);
    let names = ["basic", "bearer", "other", "header"];
    for name in names {
        web.say(&format!("/{name}"), Says::metrics("a 1\n"));
    }
    let bearer = format!("scrape_interval: 200ms, bearer_token_file: '{}'", token.display());
    let running = Running::new();
    running.set(&config(
        &web,
        &[
            (
                "basic",
                "/basic",
                "scrape_interval: 200ms, basic_auth: {username: me, password: pw}",
            ),
            ("bearer", "/bearer", &bearer),
            (
                "other",
                "/other",
                "scrape_interval: 200ms, authorization: {type: Key, credentials: x}",
            ),
            (
                "header",
                "/header",
                "scrape_interval: 200ms, http_headers: {X-One: {values: [a], secrets: [b]}}",
            ),
        ],
    ));
    for (path, line) in [
        ("/basic", "\r\nauthorization: basic bwu6chc=\r\n"),
        ("/bearer", "\r\nauthorization: bearer first\r\n"),
        ("/other", "\r\nauthorization: key x\r\n"),
        ("/header", "\r\nx-one: a\r\nx-one: b\r\n"),
    ] {
        until(path, || !web.asked(path).is_empty()).await;
        let head = web.asked(path).remove(0).to_ascii_lowercase();
        assert!(head.contains(line), "{line:?} is not in {head}");
    }
    fs::write(&token, "second\n").expect("written");
    until("the new token is told", || !web.asked("Bearer second\r\n").is_empty()).await;
}

#[tokio::test]
async fn a_large_body_is_read_beside_the_others_and_what_ends_is_marked() {
    let mut body = String::new();
    for number in 0..20_000 {
        body.push_str(&format!("many{{number=\"{number}\"}} {number}\n"));
    }
    let web = Web::new([]);
    web.say("/large", Says::metrics(&body));
    let running = Running::new();
    running.set(&config(&web, &[("j", "/large", "scrape_interval: 2s")]));
    running
        .until("j", "read", |last| {
            (last.health, last.samples, last.kept) == (Health::Up, 20_000, 20_000)
        })
        .await;
    until("all is kept", || {
        running.newest("number=\"19999\"").into_values().collect::<Vec<_>>() == ["19999"]
    })
    .await;
    web.say("/large", Says::metrics("many{number=\"1\"} 1\n"));
    running
        .until("j", "smaller", |last| last.health == Health::Up && last.samples == 1)
        .await;
    until("all but one have ended", || {
        running
            .newest("many{")
            .values()
            .filter(|value| *value == "stale")
            .count()
            == 19_999
    })
    .await;
    let ups = &all(&running.store)[&format!("up{{instance=\"{}\", job=\"j\"}}", web.address)];
    assert!(ups.windows(2).all(|pair| pair[0].0 < pair[1].0), "{ups:?}");
}
