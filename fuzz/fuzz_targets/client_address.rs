//! Feeds libFuzzer's lines as `X-Forwarded-For`, `Forwarded` and `Authorization`: nobody may be believed behind a hop that is not trusted.
//!
//! `crates/routing/tests/hops.rs` replays `fuzz/corpus/client_address` on the stable compiler.

#![no_main]

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use tend_core::model::{LimitKey, Prefix};
use tend_routing::{HOPS_MAX, Hops, limit_key, trusts};

fuzz_target!(|bytes: &[u8]| {
    let trusted: Vec<Prefix> = vec!["10.0.0.0/8".parse().unwrap()];
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let get = |name: &str, see: &mut dyn FnMut(&[u8]) -> bool| {
        let nth = ["x-forwarded-for", "forwarded", "authorization"].iter().position(|known| *known == name);
        lines.iter().skip(nth.unwrap_or(0)).step_by(3).any(|line| see(line))
    };
    let peer = "10.0.0.1".parse().unwrap();
    let path: Vec<IpAddr> = Hops::walk(peer, &trusted, &get).client_first().collect();
    assert!(path.len() <= HOPS_MAX + 1 && path.last() == Some(&peer));
    assert!(path[1..].iter().all(|hop| trusts(&trusted, *hop)), "went on behind {path:?}");
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    assert!(limit_key(&LimitKey::Claim("sub".to_owned()), peer, &get, &hasher).is_some());
});
