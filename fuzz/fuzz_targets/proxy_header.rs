//! Feeds the reading of PROXY headers whatever libFuzzer makes up, as a connection would: it must never ask for a byte behind the header.
//!
//! `crates/routing/tests/proxy_header.rs` replays `fuzz/corpus/proxy_header` on the stable compiler.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tend_routing::{PROXY_HEADER_BYTES_MAX, ProxyHeader, proxy_header};

fuzz_target!(|bytes: &[u8]| {
    let mut taken = 0;
    loop {
        match proxy_header(&bytes[..taken]) {
            Err(_) => return,
            Ok(ProxyHeader::Incomplete { more }) => {
                assert!(more > 0);
                taken += more;
                if taken > bytes.len() {
                    return;
                }
            }
            Ok(ProxyHeader::Complete { bytes: length, .. }) => {
                assert!(length == taken && length <= PROXY_HEADER_BYTES_MAX);
                assert_eq!(proxy_header(bytes), proxy_header(&bytes[..length]));
                return;
            }
        }
    }
});
