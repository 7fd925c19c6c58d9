//! Debian's `promtool`, as it is, against a Prometheus and against the doors: it has to print the same.

use std::process::Command;
use std::sync::Arc;

use tend_doors::encode_write;

use crate::peer::Peer;
use crate::samples::series;
use crate::server::Server;
use crate::world::{Clock, World, wall};

/// What it printed, and whether it succeeded.
fn promtool(arguments: &[String]) -> (bool, String, String) {
    let out = Command::new("promtool")
        .args(arguments)
        .output()
        .expect("promtool of the Debian package prometheus");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.success(), text(&out.stdout), text(&out.stderr))
}

/// Lines in an order of their own: neither says in which order series are.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn promtool_prints_of_ours_what_it_prints_of_theirs() {
    let world = Arc::new(World::new(Clock::Goes));
    let server = Server::new(Arc::clone(&world));
    let peer = Peer::prometheus();
    let base = (wall() - 50 * 60_000) / 60_000 * 60_000;
    for batch in series(base).chunks(10) {
        let body = encode_write(batch, &[]);
        let headers = [
            ("Content-Type", "application/x-protobuf"),
            ("Content-Encoding", "snappy"),
        ];
        assert_eq!(
            peer.ask("POST", "/api/v1/write", &headers, &body)
                .map(|answer| answer.0),
            Some(204)
        );
        assert_eq!(world.ask("POST", "/api/v1/write", "", &headers, &body).status, 204);
    }
    let at = |seconds: i64| (base / 1000 + seconds).to_string();
    let (start, end) = (format!("--start={}", at(300)), format!("--end={}", at(900)));
    let time = format!("--time={}", at(600));
    let cases: &[&[&str]] = &[
        &["query", "instant", &time, "URL", "up"],
        &[
            "query",
            "instant",
            &time,
            "URL",
            "sum by (status) (rate(http_requests_total[5m]))",
        ],
        &["query", "instant", &time, "URL", "scalar(sum(up))"],
        &["query", "instant", &time, "URL", "temperature"],
        &["query", "instant", &time, "URL", "odd"],
        &["query", "instant", &time, "URL", "up[2m]"],
        &["query", "instant", &time, "URL", "nothing"],
        &["query", "instant", &time, "URL", "up{"],
        &["query", "instant", &time, "URL", "sum(up[5m])"],
        &["query", "instant", &time, "URL", "up * on (job) group_left up"],
        &["query", "range", &start, &end, "--step=30s", "URL", "up"],
        &[
            "query",
            "range",
            &start,
            &end,
            "--step=1m",
            "URL",
            "histogram_quantile(0.9, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))",
        ],
        &["query", "series", "--match=up", "URL"],
        &["query", "series", "--match=up", "--match=sparse", &start, &end, "URL"],
        &["query", "labels", "URL", "instance"],
        &["query", "labels", "--match=up", "URL", "job"],
        &["query", "labels", &start, &end, "URL", "room"],
    ];
    for case in cases {
        let run = |url: &str| {
            let arguments: Vec<String> = case
                .iter()
                .map(|argument| {
                    if *argument == "URL" {
                        url.to_owned()
                    } else {
                        (*argument).to_owned()
                    }
                })
                .collect();
            promtool(&arguments)
        };
        let ours = run(&server.url());
        let theirs = run(&format!("http://127.0.0.1:{}", peer.port));
        assert_eq!(ours.0, theirs.0, "{case:?}: {} {}", ours.2, theirs.2);
        assert_eq!(sorted(&ours.1), sorted(&theirs.1), "{case:?}");
        // What it says of a failure is the text of the answer. Which of two that clash comes first is open.
        if !case.contains(&"up * on (job) group_left up") {
            assert_eq!(ours.2, theirs.2, "{case:?}");
        }
    }
}
