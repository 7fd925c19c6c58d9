//! Finds the route of a request: by listener, then host, then the longest path prefix.
//!
//! A host named exactly goes before a wildcard, a wildcard before any host; when the more exact host has no route for the path, the
//! next is asked. Compares the path as it came: neither percent-decoded nor with `..` resolved, which is also how it is forwarded.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::SocketAddr;

use tend_core::model::ServiceId;

use crate::{Route, Snapshot, SnapshotError};

/// What clients ask for is only looked up here, never put in, so nobody outside can make its keys collide.
type Map<K, V> = HashMap<K, V, BuildHasherDefault<Fnv>>;

/// FNV-1a: three times as fast as the standard hasher on keys of a few bytes.
#[derive(Clone, Copy, Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// The longest host name looked up; DNS allows 253 bytes.
const HOST_BYTES_MAX: usize = 255;

/// Where requests go; built once per snapshot, asked without allocating.
#[derive(Debug, Default)]
pub struct RouteTable {
    listeners: Map<SocketAddr, Hosts>,
    internal: Map<SocketAddr, usize>,
}

/// What was found for a request; both numbers are indices into the snapshot the table was built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// The route; none when the request came in at the service's own loopback address.
    pub route: Option<usize>,
    /// The service; none when the route answers by itself.
    pub service: Option<usize>,
}

#[derive(Debug, Default)]
struct Hosts {
    exact: Map<Box<str>, Paths>,
    /// By what follows `*.`.
    wildcard: Map<Box<str>, Paths>,
    any: Paths,
}

/// Prefixes without their last slash, the root being the empty text.
#[derive(Debug, Default)]
struct Paths {
    prefixes: Map<Box<str>, Match>,
    longest: usize,
}

impl Paths {
    fn find(&self, path: &str) -> Option<Match> {
        if self.prefixes.is_empty() {
            return None;
        }
        let whole = path.strip_suffix('/').unwrap_or(path);
        let mut cut = whole.len();
        loop {
            // Prefixes end where a segment ends, so only those places have to be looked at.
            if cut <= self.longest
                && let Some(found) = self.prefixes.get(&whole[..cut])
            {
                return Some(*found);
            }
            cut = whole[..cut].rfind('/')?;
        }
    }
}

impl RouteTable {
    /// Builds the table of a snapshot.
    ///
    /// # Errors
    /// When two routes claim the same requests.
    pub fn new(snapshot: &Snapshot) -> Result<Self, SnapshotError> {
        let numbers: HashMap<&ServiceId, usize> = snapshot
            .services
            .iter()
            .enumerate()
            .map(|(number, service)| (&service.id, number))
            .collect();
        let mut table = Self::default();
        for (number, service) in snapshot.services.iter().enumerate() {
            if let Some(address) = service.internal {
                table.internal.insert(address, number);
            }
        }
        for listener in &snapshot.listeners {
            let hosts = table.listeners.entry(listener.address).or_default();
            for (number, route) in snapshot.routes.iter().enumerate() {
                if !route.listeners.is_empty() && !route.listeners.contains(&listener.address) {
                    continue;
                }
                // That the service is there was checked with the snapshot.
                let service = route.service.as_ref().and_then(|id| numbers.get(id)).copied();
                let paths = match route.host.as_deref() {
                    None => &mut hosts.any,
                    Some(host) => match host.strip_prefix("*.") {
                        Some(rest) => hosts.wildcard.entry(rest.into()).or_default(),
                        None => hosts.exact.entry(host.into()).or_default(),
                    },
                };
                let prefix = route.path_prefix.trim_end_matches('/');
                paths.longest = paths.longest.max(prefix.len());
                let found = Match {
                    route: Some(number),
                    service,
                };
                if let Some(first) = paths.prefixes.insert(prefix.into(), found) {
                    return Err(SnapshotError::Ambiguous {
                        listener: listener.address,
                        host: route.host.clone().unwrap_or_else(|| "any".to_owned()),
                        path_prefix: route.path_prefix.clone(),
                        first: first
                            .route
                            .map_or_else(Box::default, |first| answerer(&snapshot.routes[first])),
                        second: answerer(route),
                    });
                }
            }
        }
        Ok(table)
    }

    /// Returns who answers a request that came in at `listener` for `host` (as the client wrote it, port and all) and `path`.
    #[must_use]
    pub fn find(&self, listener: SocketAddr, host: &str, path: &str) -> Option<Match> {
        if let Some(service) = self.internal.get(&listener) {
            return Some(Match {
                route: None,
                service: Some(*service),
            });
        }
        let hosts = self.listeners.get(&listener)?;
        let mut lower = [0u8; HOST_BYTES_MAX];
        let host = without_port(host);
        if let Some(lower) = lower.get_mut(..host.len()) {
            lower.copy_from_slice(host.as_bytes());
            lower.make_ascii_lowercase();
            let host = std::str::from_utf8(lower).unwrap_or("");
            let by_name = hosts.exact.get(host).and_then(|paths| paths.find(path)).or_else(|| {
                let (label, rest) = host.split_once('.')?;
                (!label.is_empty())
                    .then(|| hosts.wildcard.get(rest))
                    .flatten()?
                    .find(path)
            });
            if by_name.is_some() {
                return by_name;
            }
        }
        hosts.any.find(path)
    }
}

/// Names who answers at a route.
fn answerer(route: &Route) -> Box<str> {
    match &route.service {
        Some(service) => service.to_string().into(),
        None => "the edge itself".into(),
    }
}

/// Returns the host without `:port` and without the dot a fully qualified name may end in.
fn without_port(host: &str) -> &str {
    let end = match host.rfind(':') {
        // `[::1]` has colons and no port.
        Some(colon) if !host[colon..].contains(']') => colon,
        _ => host.len(),
    };
    let name = &host[..end];
    name.strip_suffix('.').unwrap_or(name)
}
