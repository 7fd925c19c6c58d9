//! Feeds the reading of responses whatever libFuzzer makes up: what is accepted must say the same when it is written anew and read again.
//!
//! `crates/http1/tests/replay.rs` replays `fuzz/corpus/http1_response` on the stable compiler.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tend_http1::{HeadWriter, Limits, ResponseHead, Scan};

const LIMITS: Limits = Limits {
    head_bytes_max: 8192,
    target_bytes_max: 0,
};

fuzz_target!(|bytes: &[u8]| {
    let mut head = ResponseHead::default();
    let Ok(Some(read)) = head.read(&mut Scan::default(), bytes, &LIMITS, false) else {
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
    let limits = Limits {
        head_bytes_max: 16_384,
        target_bytes_max: 0,
    };
    assert_eq!(again.read(&mut Scan::default(), &out, &limits, false), Ok(Some(out.len())));
    assert_eq!((again.status(), again.reason()), (head.status(), head.reason()));
});
