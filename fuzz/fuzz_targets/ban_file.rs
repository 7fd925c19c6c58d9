//! Feeds the reading of bans whatever libFuzzer makes up, with the check sum put right so that it gets further.
//!
//! `crates/routing/tests/bans.rs` replays `fuzz/corpus/ban_file` on the stable compiler.

#![no_main]

use std::net::{Ipv4Addr, Ipv6Addr};

use libfuzzer_sys::fuzz_target;
use tend_base::{Wall, fnv64};
use tend_routing::BanSet;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    if let Some(end) = bytes.len().checked_sub(8) {
        let sum = fnv64(&bytes[..end]);
        bytes[end..].copy_from_slice(&sum.to_le_bytes());
    }
    if let Ok(set) = BanSet::read(&bytes, 1) {
        assert!(set.len() <= bytes.len());
        let _ = set.is_banned(Ipv4Addr::LOCALHOST.into(), Wall(0));
        let _ = set.is_banned(Ipv6Addr::LOCALHOST.into(), Wall(0));
    }
});
