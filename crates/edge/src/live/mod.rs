//! A snapshot in service: its route table, and the replicas with the counters and the record of failures that outlive it.
//!
//! A replica that is the same in the next snapshot keeps its counters; one with another incarnation or address starts afresh.
//! Shared by all threads: what is asked for each request is atomic, the record of failures is locked only while there is one.

mod route;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tend_base::Mono;
use tend_core::model::{Protocol, ReplicaId, ServiceId};
use tend_routing::{
    Aim, Availability, EjectionPolicy, Failure, Fields, Health, Load, ReplicaState, RouteTable, Snapshot,
    SnapshotError, Split, Standing, choose,
};

pub(crate) use route::{HeadRules, LiveRoute};

use crate::latency::Latency;
use crate::limits::Patience;
use crate::message::{FromEdge, ReplicaStats};
use crate::tls::{LiveTls, TicketKeys};

/// The failures in the order of their counters.
pub(crate) const FAILURES: [Failure; 6] = [
    Failure::ConnectRefused,
    Failure::ConnectTimeout,
    Failure::ConnectFailed,
    Failure::Closed,
    Failure::HeadTimeout,
    Failure::Malformed,
];

/// What all threads serve.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) snapshot: Snapshot,
    /// Where a route says nothing else.
    patience: Patience,
    pub(crate) table: RouteTable,
    /// In the order of the snapshot's.
    pub(crate) routes: Vec<LiveRoute>,
    pub(crate) services: Vec<LiveService>,
    pub(crate) tls: LiveTls,
    /// No longer in the snapshot, with something still in flight when it came.
    pub(crate) leaving: Vec<Arc<Replica>>,
}

#[derive(Debug)]
pub(crate) struct LiveService {
    pub(crate) id: ServiceId,
    /// `mps/api`, as the log writes it.
    pub(crate) name: Box<str>,
    pub(crate) ejection: EjectionPolicy,
    split: Option<Split>,
    /// Goes on from snapshot to snapshot, or each would begin its share anew. Shared by the threads as `rotation` is: each with a
    /// count of its own, the share would be off by as many requests as there are threads.
    draws: AtomicU64,
    replicas: Vec<Slot>,
    rotation: AtomicU64,
}

#[derive(Debug)]
struct Slot {
    replica: Arc<Replica>,
    weight: u32,
    ready: bool,
    candidate: bool,
}

/// One life of one replica.
#[derive(Debug)]
pub(crate) struct Replica {
    /// Unique in this process: the key of the connection pools.
    pub(crate) number: u64,
    pub(crate) id: ReplicaId,
    /// `mps/api/1`, as headers and the log write it.
    pub(crate) name: Box<str>,
    pub(crate) incarnation: u64,
    pub(crate) address: SocketAddr,
    /// What is spoken with it.
    pub(crate) protocol: Protocol,
    in_flight: AtomicU32,
    /// Set once every thread serves a snapshot in which it is draining or absent.
    emptying: AtomicBool,
    reported_empty: AtomicBool,
    pub(crate) answered: AtomicU64,
    /// What a release is judged by: see [`FromEdge::Answered`].
    requests: AtomicU64,
    failed: AtomicU64,
    pub(crate) last_status: AtomicU16,
    pub(crate) failures: [AtomicU64; FAILURES.len()],
    pub(crate) latency: Latency,
    /// False while nothing is held against it, so that the common case takes no lock.
    troubled: AtomicBool,
    health: Mutex<Health>,
}

static NUMBERS: AtomicU64 = AtomicU64::new(1);

impl Replica {
    fn new(described: &tend_routing::Replica, protocol: Protocol) -> Self {
        Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            id: described.id.clone(),
            name: described.id.to_string().into(),
            incarnation: described.incarnation,
            address: described.address,
            protocol,
            in_flight: AtomicU32::new(0),
            emptying: AtomicBool::new(false),
            reported_empty: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            last_status: AtomicU16::new(0),
            failures: [const { AtomicU64::new(0) }; FAILURES.len()],
            latency: Latency::new(),
            troubled: AtomicBool::new(false),
            health: Mutex::new(Health::default()),
        }
    }

    fn is(&self, described: &tend_routing::Replica, protocol: Protocol) -> bool {
        let same = self.address == described.address && self.protocol == protocol;
        self.id == described.id && self.incarnation == described.incarnation && same
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        // Health is plain data that is valid after any prefix of its methods.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn availability(&self, now: Mono) -> Availability {
        if self.troubled.load(Ordering::Relaxed) {
            self.lock().availability(now)
        } else {
            Availability::Serving
        }
    }

    /// Runs `change` on the record of failures.
    pub(crate) fn health<T>(&self, change: impl FnOnce(&mut Health) -> T) -> T {
        let mut health = self.lock();
        let outcome = change(&mut health);
        self.troubled.store(!health.is_clean(), Ordering::Relaxed);
        outcome
    }

    /// Says whether anything is held against it.
    pub(crate) fn is_troubled(&self) -> bool {
        self.troubled.load(Ordering::Relaxed)
    }

    /// Counts a request as in flight; false, and nothing counted, when the replica is being emptied.
    ///
    /// A request that began with an older snapshot may still find the replica there. Invariant: after `InFlight` with 0 nothing is
    /// sent to it; hence the count first and the question second here, the other way round in [`Self::empty`].
    pub(crate) fn enter(&self) -> bool {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let welcome = !self.emptying.load(Ordering::SeqCst);
        if !welcome {
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
        }
        welcome
    }

    /// Counts a request as no longer in flight; returns what the daemon is to be told.
    pub(crate) fn leave(&self) -> Option<FromEdge> {
        let before = self.in_flight.fetch_sub(1, Ordering::SeqCst);
        (before == 1 && self.emptying.load(Ordering::SeqCst))
            .then(|| self.report())
            .flatten()
    }

    /// Lets no new request in from now on; returns what the daemon is to be told.
    pub(crate) fn empty(&self) -> Option<FromEdge> {
        self.emptying.store(true, Ordering::SeqCst);
        self.report()
    }

    /// Lets requests in again.
    pub(crate) fn fill(&self) {
        self.reported_empty.store(false, Ordering::SeqCst);
        self.emptying.store(false, Ordering::SeqCst);
    }

    fn report(&self) -> Option<FromEdge> {
        let n = self.in_flight.load(Ordering::SeqCst);
        let already = n == 0 && self.reported_empty.swap(true, Ordering::SeqCst);
        (!already).then(|| self.has_in_flight(n))
    }

    /// Says how much is in flight on it.
    pub(crate) fn remaining(&self) -> FromEdge {
        self.has_in_flight(self.in_flight.load(Ordering::SeqCst))
    }

    fn has_in_flight(&self, n: u32) -> FromEdge {
        FromEdge::InFlight {
            replica: self.id.clone(),
            incarnation: self.incarnation,
            n,
        }
    }

    /// Counts a request of a client that it answered, or failed to.
    pub(crate) fn count(&self, failed: bool) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if failed {
            self.count_cut();
        }
    }

    /// Counts as failed what is counted as a request already: the rest of the answer did not come.
    pub(crate) fn count_cut(&self) {
        self.failed.fetch_add(1, Ordering::Release);
    }

    /// Says that it answers, and what was counted so far.
    pub(crate) fn answers(&self) -> FromEdge {
        // In this order, so that there are never more failures than requests.
        let failed = self.failed.load(Ordering::Acquire);
        FromEdge::Answered {
            service: self.id.service_id(),
            replica: self.id.clone(),
            incarnation: self.incarnation,
            status: self.last_status.load(Ordering::Relaxed),
            requests: self.requests.load(Ordering::Relaxed),
            failed,
        }
    }

    /// Says whether it is being emptied: nothing new is sent to it.
    pub(crate) fn is_emptying(&self) -> bool {
        self.emptying.load(Ordering::SeqCst)
    }

    pub(crate) fn stats(&self, now: Mono) -> ReplicaStats {
        ReplicaStats {
            replica: self.id.clone(),
            incarnation: self.incarnation,
            in_flight: self.in_flight.load(Ordering::Relaxed),
            answered: self.answered.load(Ordering::Relaxed),
            failures: FAILURES
                .iter()
                .zip(&self.failures)
                .map(|(kind, count)| (kind.as_str().to_owned(), count.load(Ordering::Relaxed)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            ejected: self.availability(now) != Availability::Serving,
            last_status: self.last_status.load(Ordering::Relaxed),
            p50_us: self.latency.quantile_us(50),
            p95_us: self.latency.quantile_us(95),
        }
    }
}

impl LiveService {
    /// Returns who may answer a request with these fields.
    pub(crate) fn aim(&self, fields: &Fields<'_>) -> Aim {
        match &self.split {
            None => Aim::Any,
            Some(split) => split.aim(fields, || self.draws.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Returns the replica for the next try, leaving out those already tried; none when no ready replica is left that may answer.
    pub(crate) fn choose(&self, aim: Aim, tried: &[Arc<Replica>], now: Mono) -> Option<&Arc<Replica>> {
        let standing = |index: usize| {
            let slot = &self.replicas[index];
            let replica = &slot.replica;
            let open = slot.ready && !replica.is_emptying() && !tried.iter().any(|tried| Arc::ptr_eq(tried, replica));
            open.then(|| Standing {
                load: Load {
                    in_flight: replica.in_flight.load(Ordering::Relaxed),
                    weight: slot.weight,
                },
                candidate: slot.candidate,
                ejected: replica.availability(now) == Availability::Ejected,
            })
        };
        let last_failure = |index: usize| self.replicas[index].replica.health(|health| health.last_failure());
        let rotation = self.rotation.fetch_add(1, Ordering::Relaxed);
        choose(self.replicas.len(), standing, last_failure, aim, rotation).map(|index| &self.replicas[index].replica)
    }
}

impl Live {
    /// Returns what serves nothing.
    pub(crate) fn nothing(patience: Patience, tickets: Arc<TicketKeys>) -> Self {
        Self {
            tls: LiveTls::nothing(tickets),
            patience,
            snapshot: Snapshot::empty(),
            table: RouteTable::default(),
            routes: Vec::new(),
            services: Vec::new(),
            leaving: Vec::new(),
        }
    }

    /// Puts a snapshot into service after `before`.
    pub(crate) fn after(before: &Self, snapshot: Snapshot) -> Result<Self, SnapshotError> {
        let patience = before.patience;
        let table = RouteTable::new(&snapshot)?;
        let routes = snapshot
            .routes
            .iter()
            .map(|route| LiveRoute::new(route, patience))
            .collect();
        let services: Vec<LiveService> = snapshot
            .services
            .iter()
            .map(|service| LiveService {
                id: service.id.clone(),
                name: service.id.to_string().into(),
                ejection: EjectionPolicy::from(&service.balance),
                split: service.split.clone(),
                draws: AtomicU64::new(before.draws_of(&service.id)),
                rotation: AtomicU64::new(0),
                replicas: service
                    .replicas
                    .iter()
                    .map(|described| Slot {
                        replica: before
                            .replicas()
                            .find(|known| known.is(described, service.balance.protocol))
                            .cloned()
                            .unwrap_or_else(|| Arc::new(Replica::new(described, service.balance.protocol))),
                        weight: described.weight,
                        ready: described.state == ReplicaState::Ready,
                        candidate: described.candidate,
                    })
                    .collect(),
            })
            .collect();
        let stays = |replica: &Arc<Replica>| {
            services
                .iter()
                .flat_map(|service| &service.replicas)
                .any(|slot| Arc::ptr_eq(&slot.replica, replica))
        };
        let leaving = before
            .replicas()
            .filter(|replica| !stays(replica))
            // A thread may still pick from the old snapshot, so one that is empty now stays until it was reported.
            .filter(|replica| !replica.reported_empty.load(Ordering::SeqCst))
            .cloned()
            .collect();
        Ok(Self {
            patience,
            tls: LiveTls::after(&before.tls, &snapshot),
            snapshot,
            table,
            routes,
            services,
            leaving,
        })
    }

    fn draws_of(&self, id: &ServiceId) -> u64 {
        self.services
            .iter()
            .find(|service| service.id == *id)
            .map_or(0, |service| service.draws.load(Ordering::Relaxed))
    }

    /// Says whether a service is split now.
    pub(crate) fn is_split(&self) -> bool {
        self.services.iter().any(|service| service.split.is_some())
    }

    /// Returns what the replicas of split services were counted to have done; of those that are leaving as well, since nothing tells
    /// whose they were.
    pub(crate) fn counted(&self) -> impl Iterator<Item = FromEdge> {
        let split = self.services.iter().filter(|service| service.split.is_some());
        split
            .flat_map(|service| service.replicas.iter().map(|slot| &slot.replica))
            .chain(self.leaving.iter().filter(|_| self.is_split()))
            .map(|replica| replica.answers())
    }

    /// Returns all replicas, those that are leaving last.
    pub(crate) fn replicas(&self) -> impl Iterator<Item = &Arc<Replica>> {
        self.services
            .iter()
            .flat_map(|service| service.replicas.iter().map(|slot| &slot.replica))
            .chain(&self.leaving)
    }

    /// Lets requests in where the snapshot says ready; to be called before any thread serves it.
    pub(crate) fn fill(&self) {
        self.ready().for_each(|replica| replica.fill());
    }

    /// Lets no more requests in where it does not; to be called when every thread serves it. Returns what the daemon is to be told.
    pub(crate) fn empty(&self) -> Vec<FromEdge> {
        self.draining()
            .chain(&self.leaving)
            .filter_map(|replica| replica.empty())
            .collect()
    }

    /// Returns the replicas of the snapshot that get no new requests.
    pub(crate) fn draining(&self) -> impl Iterator<Item = &Arc<Replica>> {
        self.services
            .iter()
            .flat_map(|service| service.replicas.iter())
            .filter(|slot| !slot.ready)
            .map(|slot| &slot.replica)
    }

    /// Returns the replicas that get new requests.
    pub(crate) fn ready(&self) -> impl Iterator<Item = &Arc<Replica>> {
        self.services
            .iter()
            .flat_map(|service| service.replicas.iter())
            .filter(|slot| slot.ready)
            .map(|slot| &slot.replica)
    }

    pub(crate) fn route(&self, number: Option<usize>) -> Option<&LiveRoute> {
        number.map(|number| &self.routes[number])
    }
}
