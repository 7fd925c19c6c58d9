//! What the daemon tells the edge: listeners, routes, services and their replicas, whole and numbered.
//!
//! Owns the JSON format, described in `docs/reference/format-snapshot.md`. Does not know how it travels or where it is kept.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tend_core::model::{ReplicaId, ServiceId};

use crate::{EjectionPolicy, RetryPolicy, SnapshotError, Split};

/// The format this program writes. Raised only when an older edge would misread the snapshot; new optional fields do not raise it.
pub const FORMAT_VERSION: u32 = 1;

/// The largest weight of a replica; keeps the arithmetic of balancing far from overflow.
pub const WEIGHT_MAX: u32 = 1000;

/// Everything the edge needs to serve, replacing whatever it served before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`FORMAT_VERSION`] of the writer.
    pub format: u32,
    /// Grows with every change; an edge refuses one lower than it serves.
    pub generation: u64,
    /// Where clients connect.
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// Which service answers which request at these listeners.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// The services and their replicas.
    #[serde(default)]
    pub services: Vec<Service>,
}

/// An address clients connect to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The address; also what the sockets handed over and the routes name it by.
    pub address: SocketAddr,
    /// What people call it, such as `public`; not interpreted.
    #[serde(default)]
    pub key: String,
}

/// Requests that match go to the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Only at these listeners; at all of the snapshot's when empty.
    #[serde(default)]
    pub listeners: Vec<SocketAddr>,
    /// Lower-case host name without port; `*.example.com` matches exactly one label; any host when absent.
    #[serde(default)]
    pub host: Option<String>,
    /// Whole path segments: `/api` and `/api/` match `/api` and `/api/pay`, not `/apix`.
    pub path_prefix: String,
    /// Who answers.
    pub service: ServiceId,
    /// Paths, compared exactly and without the query, that are left out of the access log.
    #[serde(default)]
    pub quiet_paths: Vec<String>,
    /// What may be repeated on another replica.
    #[serde(default)]
    pub retry: RetryPolicy,
}

/// A service and who can answer for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Which.
    pub id: ServiceId,
    /// The loopback address at which other services of the machine reach it, whatever its replicas do.
    #[serde(default)]
    pub internal: Option<SocketAddr>,
    /// When replicas that fail are left out.
    #[serde(default)]
    pub ejection: EjectionPolicy,
    /// Which requests go to its candidates; every replica gets them alike when absent, and none is a candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// In the order of their slots.
    #[serde(default)]
    pub replicas: Vec<Replica>,
}

/// One replica that can be sent requests, or is being emptied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Which, as in `mps/api/1`.
    pub id: ReplicaId,
    /// Distinguishes successive lives of one slot: a new one starts with a clean record.
    pub incarnation: u64,
    /// Where it listens.
    pub address: SocketAddr,
    /// Share of the requests relative to the others of the service, 1 to [`WEIGHT_MAX`].
    #[serde(default = "weight_default")]
    pub weight: u32,
    /// Whether it gets new requests.
    pub state: ReplicaState,
    /// It runs a release that is not proven, and gets only the requests that [`Service::split`] gives it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub candidate: bool,
}

/// Whether a replica gets new requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    /// It does.
    Ready,
    /// It does not; what it has in flight is finished.
    Draining,
}

const fn weight_default() -> u32 {
    1
}

impl Snapshot {
    /// Returns a snapshot of nothing, which answers nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            format: FORMAT_VERSION,
            generation: 0,
            listeners: Vec::new(),
            routes: Vec::new(),
            services: Vec::new(),
        }
    }

    /// Reads a snapshot and checks that it can be served.
    ///
    /// # Errors
    /// Whatever is wrong with it first.
    pub fn parse(json: &[u8]) -> Result<Self, SnapshotError> {
        #[derive(Deserialize)]
        struct Envelope {
            format: u32,
        }
        let read = |source| SnapshotError::Read { source };
        // The number first: a newer format need not even have the fields this program requires.
        let Envelope { format } = serde_json::from_slice(json).map_err(read)?;
        if format > FORMAT_VERSION {
            return Err(SnapshotError::Format {
                found: format,
                known: FORMAT_VERSION,
            });
        }
        let snapshot: Self = serde_json::from_slice(json).map_err(read)?;
        snapshot.check()?;
        Ok(snapshot)
    }

    /// Writes the snapshot as JSON on several lines, so that a person can read and compare it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a snapshot has nothing JSON cannot hold")
    }

    /// Returns every address the edge has to listen on for this snapshot, those of clients first.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let internal = self.services.iter().filter_map(|service| service.internal);
        self.listeners.iter().map(|l| l.address).chain(internal)
    }

    fn check(&self) -> Result<(), SnapshotError> {
        let mut addresses = BTreeSet::new();
        for address in self.addresses() {
            if !addresses.insert(address) {
                return Err(SnapshotError::ListenerTwice { address });
            }
        }
        let mut services = BTreeSet::new();
        for service in &self.services {
            if !services.insert(&service.id) {
                return Err(SnapshotError::ServiceTwice {
                    service: service.id.clone(),
                });
            }
            if let Some(split) = &service.split {
                split.check(&service.id)?;
            }
            let mut lives = BTreeSet::new();
            for replica in &service.replicas {
                if !(1..=WEIGHT_MAX).contains(&replica.weight) {
                    return Err(SnapshotError::Weight {
                        replica: replica.id.clone(),
                        weight: replica.weight,
                    });
                }
                if replica.id.service_id() != service.id || !lives.insert((&replica.id, replica.incarnation)) {
                    return Err(SnapshotError::Misplaced {
                        replica: replica.id.clone(),
                        service: service.id.clone(),
                    });
                }
                if replica.candidate && service.split.is_none() {
                    return Err(SnapshotError::Unsplit {
                        replica: replica.id.clone(),
                    });
                }
            }
        }
        self.routes.iter().try_for_each(|route| {
            if !services.contains(&route.service) {
                return Err(SnapshotError::UnknownService {
                    service: route.service.clone(),
                    path_prefix: route.path_prefix.clone(),
                });
            }
            route.check(&self.listeners)
        })
    }
}

impl Route {
    fn check(&self, listeners: &[Listener]) -> Result<(), SnapshotError> {
        if !self.path_prefix.starts_with('/') {
            return Err(SnapshotError::PathPrefix {
                path_prefix: self.path_prefix.clone(),
            });
        }
        if let Some(host) = &self.host {
            let name = host.strip_prefix("*.").unwrap_or(host);
            let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.[]:".contains(&b);
            // A colon is part of a host only inside the brackets of an IPv6 address.
            let port = name.contains(':') && !name.starts_with('[');
            if name.is_empty() || name.len() > 253 || port || !name.bytes().all(allowed) {
                return Err(SnapshotError::Host { host: host.clone() });
            }
        }
        match self
            .listeners
            .iter()
            .find(|wanted| listeners.iter().all(|l| l.address != **wanted))
        {
            Some(listener) => Err(SnapshotError::UnknownListener {
                listener: *listener,
                path_prefix: self.path_prefix.clone(),
            }),
            None => Ok(()),
        }
    }
}

impl EjectionPolicy {
    /// Returns the time within which failures count together, and for which they eject.
    #[must_use]
    pub fn fail_timeout(&self) -> Duration {
        Duration::from_millis(self.fail_timeout_ms)
    }
}
