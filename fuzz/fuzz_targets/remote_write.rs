//! Feeds the reading of remote write whatever libFuzzer makes up: what was read is written and read the same.
//!
//! `crates/doors/tests/corpus.rs` replays `fuzz/corpus/remote_write` on the stable compiler.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tend_doors::{decode_write, encode_write};

fuzz_target!(|bytes: &[u8]| {
    let Ok(read) = decode_write(bytes) else { return };
    let written = encode_write(&read.series, &read.metadata);
    let again = decode_write(&written).expect("what we wrote");
    // Not by `==`: a value may be none that is a number.
    let told = |request: &tend_doors::WriteRequest| format!("{:?}{:?}", request.series, request.metadata);
    assert_eq!(told(&read), told(&again));
});
