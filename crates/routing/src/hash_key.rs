//! What consistent hashing hashes: who asks, a header, or a cookie.
//!
//! The hash depends on nothing but the value, so that every edge sends a key to the same server. Whoever can choose the value can choose
//! the server, as with nginx.

use std::net::IpAddr;

use tend_base::fnv64;
use tend_core::model::HashKey;

use crate::split::cookies;
use crate::{Fields, network_of};

/// Returns the hash of a request; none when it does not have what is hashed.
pub fn hash_key(key: &HashKey, client: IpAddr, fields: &Fields<'_>) -> Option<u64> {
    let mut hash = None;
    let mut take = |value: &[u8]| {
        if !value.is_empty() {
            hash = Some(fnv64(value));
        }
        hash.is_some()
    };
    match key {
        HashKey::Client => {
            match network_of(client) {
                IpAddr::V4(address) => take(&address.octets()),
                IpAddr::V6(address) => take(&address.octets()),
            };
        }
        HashKey::Header(name) => {
            fields(name, &mut take);
        }
        HashKey::Cookie(name) => {
            fields("cookie", &mut |pairs| {
                cookies(pairs).any(|(key, value)| key == name.as_bytes() && take(value))
            });
        }
    }
    hash
}
