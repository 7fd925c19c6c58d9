//! What the daemon tells the edge: listeners, routes, services and their replicas, whole and numbered.
//!
//! Owns the JSON format, described in `docs/reference/format-snapshot.md`. Does not know how it travels or where it is kept.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tend_base::Wall;
use tend_core::model::{
    AccessLog, Balance, ClientCertificates, Listener, Prefix, ReplicaId, RoutePolicy, ServiceId, TlsVersion,
};

use crate::{SnapshotError, Split};

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
    /// Rules of listeners that speak TLS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tls: Vec<ListenerTls>,
    /// What is shown to clients that speak TLS, chosen by the name they ask for; the first when none fits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
    /// What an authority asks for now.
    #[serde(default, skip_serializing_if = "Challenges::is_empty")]
    pub challenges: Challenges,
    /// What the access log says.
    #[serde(default, skip_serializing_if = "is_default")]
    pub access_log: AccessLog,
    /// Who is let in nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bans: Option<BansFile>,
}

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerTls {
    /// Which.
    pub listener: SocketAddr,
    /// The oldest version spoken.
    #[serde(default)]
    pub version_min: TlsVersion,
    /// What is asked of clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clients: Option<ClientCertificates>,
}

/// A certificate in files that never change: another certificate has other paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The names it is for, in lower case; `*.example.com` for one label.
    pub names: Vec<String>,
    /// It and those that lead to a root, in PEM.
    pub chain: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
}

/// What an authority asks for to see who controls a name (ACME).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Challenges {
    /// Answered at `/.well-known/acme-challenge/TOKEN`, at every listener without TLS, before any route.
    pub http01: Vec<Http01>,
    /// Shown to clients that speak `acme-tls/1` and ask for the name, and to no others.
    pub tls_alpn01: Vec<Certificate>,
}

/// A challenge of HTTP-01 (RFC 8555, 8.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Http01 {
    /// The last segment of the path.
    pub token: String,
    /// The body.
    pub answer: String,
}

/// Addresses that are let in nowhere, in a file that never changes: it is too long for a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BansFile {
    /// Where. The format is [`crate`]'s.
    pub path: PathBuf,
}

impl Challenges {
    fn is_empty(&self) -> bool {
        self.http01.is_empty() && self.tls_alpn01.is_empty()
    }
}

/// Requests that match go to the service, or are answered as the policy says.
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
    /// Who answers; none only where the policy has files or a redirect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
    /// Paths, compared exactly and without the query, that are left out of the access log and served during maintenance.
    #[serde(default)]
    pub quiet_paths: Vec<String>,
    /// Under which rules.
    #[serde(default, skip_serializing_if = "is_default")]
    pub policy: RoutePolicy,
    /// It is closed for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// Its requests wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
}

/// A route that is closed for a while, but for its quiet paths and some clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Maintenance {
    /// When it is expected to end; it does not end by itself.
    pub until: Option<Wall>,
    /// What clients are told.
    pub message: Option<String>,
    /// Who is served all the same.
    pub allow: Vec<Prefix>,
}

/// A route whose requests wait until the pause is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// A request waits at most so long, in milliseconds; then 503.
    pub wait_max_ms: u64,
    /// So many wait at once, over all threads; the next get 503.
    pub requests_max: u32,
}

/// A service and who can answer for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Which.
    pub id: ServiceId,
    /// The loopback address at which other services of the machine reach it, whatever its replicas do.
    #[serde(default)]
    pub internal: Option<SocketAddr>,
    /// How requests are divided, and when a replica that fails is left out.
    #[serde(default, skip_serializing_if = "is_default")]
    pub balance: Balance,
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
    /// The release it runs, for the access log; absent for a stack that runs in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<u64>,
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

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
            tls: Vec::new(),
            certificates: Vec::new(),
            challenges: Challenges::default(),
            access_log: AccessLog::default(),
            bans: None,
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
            match &route.service {
                Some(service) if !services.contains(service) => {
                    return Err(SnapshotError::UnknownService {
                        service: service.clone(),
                        path_prefix: route.path_prefix.clone(),
                    });
                }
                None if route.policy.redirect.is_none() && route.policy.files.is_none() => {
                    return Err(SnapshotError::NoAnswer {
                        path_prefix: route.path_prefix.clone(),
                    });
                }
                _ => {}
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
