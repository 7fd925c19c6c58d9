//! Replays the corpora of the fuzz targets `http1_*`, and what a generator makes up, on the stable compiler.

use std::path::Path;

use tend_base::Random;
use tend_http1::{HeadWriter, Limits, RequestHead, ResponseHead, Scan};

use crate::{chunks, request, response};

/// Room for what a head grows by when it is written anew.
const ROOMY: Limits = Limits {
    head_bytes_max: 16_384,
    target_bytes_max: 1025,
};

/// What the target `fuzz/fuzz_targets/http1_request.rs` does with its input.
fn judge_request(bytes: &[u8]) {
    let Ok(Some((head, read))) = request(bytes) else {
        return;
    };
    assert!(read <= bytes.len());
    let host = if head.host().is_empty() { "a" } else { head.host() };
    let mut out = Vec::new();
    let mut writer = HeadWriter::request(&mut out, head.method(), head.target());
    writer.field("Host", host.as_bytes());
    for field in head.fields().iter().filter(|field| field.kind.is_end_to_end()) {
        writer.copy(field);
    }
    writer.end();
    let mut again = RequestHead::default();
    assert_eq!(again.read(&mut Scan::default(), &out, &ROOMY), Ok(Some(out.len())));
    assert_eq!(
        (again.method(), again.target(), again.host()),
        (head.method(), head.target(), host)
    );
}

/// What the target `fuzz/fuzz_targets/http1_response.rs` does with its input.
fn judge_response(bytes: &[u8]) {
    let Ok(Some((head, read))) = response(bytes) else {
        return;
    };
    assert!(read <= bytes.len());
    let mut out = Vec::new();
    let mut writer = HeadWriter::response(&mut out, head.status(), head.reason());
    for field in head.fields().iter().filter(|field| field.kind.is_end_to_end()) {
        writer.copy(field);
    }
    writer.end();
    let mut again = ResponseHead::default();
    assert_eq!(
        again.read(&mut Scan::default(), &out, &ROOMY, false),
        Ok(Some(out.len()))
    );
    assert_eq!((again.status(), again.reason()), (head.status(), head.reason()));
}

/// What the target `fuzz/fuzz_targets/http1_chunked.rs` does with its input.
fn judge_chunked(bytes: &[u8]) {
    assert_eq!(chunks::read(bytes, bytes.len()), chunks::read(bytes, 1));
}

fn replay(target: &str, judge: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut replayed = 0;
    for entry in std::fs::read_dir(&folder).expect("a corpus") {
        judge(&std::fs::read(entry.expect("an entry").path()).expect("an input"));
        replayed += 1;
    }
    assert!(replayed > 0, "{} is empty", folder.display());
}

#[test]
fn fuzz_corpus_http1_request() {
    replay("http1_request", judge_request);
}

#[test]
fn fuzz_corpus_http1_response() {
    replay("http1_response", judge_response);
}

#[test]
fn fuzz_corpus_http1_chunked() {
    replay("http1_chunked", judge_chunked);
}

#[test]
fn no_bytes_make_it_panic() {
    // Pieces of the grammar in any order reach further than bytes alone.
    let mut random = Random::new(0x5eed);
    for round in 0..60_000 {
        let mut input = Vec::new();
        match round % 3 {
            0 => input.extend_from_slice(b"POST / HTTP/1.1\r\nHost: a\r\n"),
            1 => input.extend_from_slice(b"HTTP/1.1 200 OK\r\n"),
            _ => {}
        }
        for _ in 0..random.index(16) {
            match random.index(10) {
                0 => input.push(random.index(256) as u8),
                1..=4 => input.extend_from_slice(b"\r\n"),
                _ => input.extend_from_slice(random.pick(PIECES).as_bytes()),
            }
        }
        if random.index(2) == 0 {
            input.extend_from_slice(b"\r\n\r\n");
        }
        judge_request(&input);
        judge_response(&input);
        judge_chunked(&input);
    }
}

const PIECES: &[&str] = &[
    "GET ",
    "OPTIONS ",
    "CONNECT ",
    "/",
    "*",
    "http://",
    "b.test",
    ":80",
    "?x",
    "#",
    "@",
    " ",
    "\t",
    " HTTP/1.1",
    " HTTP/1.0",
    " HTTP/2.0",
    "HTTP/1.1 ",
    "200 OK",
    "204",
    "304",
    "Host: a",
    "Host:",
    "Content-Length: 5",
    "Content-Length: ",
    "5",
    "0",
    "ffffffffffffffff",
    "a",
    ";",
    "=\"x\"",
    "hello",
    "Transfer-Encoding: chunked",
    "transfer-encoding:",
    "chunked",
    "Connection: ",
    "close",
    "upgrade",
    "Upgrade: websocket",
    "Expect: 100-continue",
    "X: y",
    "X",
    ":",
    ",",
    "\r",
    "\n",
    "\0",
    "\u{7f}",
    "ü",
    "_",
    "-",
    "[::1]",
    "Trailer: X",
];
