//! Feeds the reading of requests whatever libFuzzer makes up: what is accepted must say the same when it is written anew and read again.
//!
//! `crates/http1/tests/replay.rs` replays `fuzz/corpus/http1_request` on the stable compiler.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tend_http1::{HeadWriter, Limits, RequestHead, Scan};

const LIMITS: Limits = Limits {
    head_bytes_max: 4096,
    target_bytes_max: 1024,
};

fuzz_target!(|bytes: &[u8]| {
    let mut head = RequestHead::default();
    let Ok(Some(read)) = head.read(&mut Scan::default(), bytes, &LIMITS) else {
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
    let limits = Limits {
        head_bytes_max: 8192,
        target_bytes_max: 1025,
    };
    assert_eq!(again.read(&mut Scan::default(), &out, &limits), Ok(Some(out.len())));
    assert_eq!((again.method(), again.target(), again.host()), (head.method(), head.target(), host));
});
