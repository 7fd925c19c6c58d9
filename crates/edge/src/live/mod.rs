//! A snapshot in service: its route table, and the replicas with the counters and the record of failures that outlive it.
//!
//! A replica that is the same in the next snapshot keeps its counters; one with another incarnation or address starts afresh.
//! Shared by all threads: what is asked for each request is atomic, the record of failures is locked only while there is one.

mod door;
mod limits;
mod money;
mod route;
mod service;
mod upload;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tend_base::{Clock, Mono, SystemClock, fnv64};
use tend_core::model::{Protocol, ReplicaId};
use tend_routing::{Availability, Failure, Health, Match, RouteTable, Snapshot, SnapshotError};

pub(crate) use door::Door;
pub(crate) use limits::{Bounded, Rated, RouteLimits};
pub(crate) use money::LiveMoney;
pub(crate) use route::{HeadRules, LiveRoute};
pub(crate) use service::{LiveService, Sought};
pub(crate) use upload::UploadRule;

use crate::EdgeError;
use crate::bans::Bans;
use crate::latency::Latency;
use crate::limits::Patience;
use crate::message::{CircuitStats, FromEdge, LimitStats, ReplicaStats};
use crate::metrics::{Counters, ReplicaCounters, Standing as Stands};
use crate::tls::{LiveTls, ServerSide, TicketKeys, Toward};

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
    /// One for each listener.
    doors: Vec<Door>,
    /// Who is let in nowhere; what [`Snapshot::bans`] names, once [`Live::take_bans`] has read it.
    pub(crate) bans: Option<Arc<Bans>>,
    /// Of the routes.
    pub(crate) counters: Counters,
    pub(crate) tls: LiveTls,
    /// No longer in the snapshot, with something still in flight when it came.
    pub(crate) leaving: Vec<Arc<Replica>>,
}

/// One life of one replica.
#[derive(Debug)]
pub(crate) struct Replica {
    /// Unique in this process: the key of the connection pools.
    pub(crate) number: u64,
    pub(crate) id: ReplicaId,
    /// `mps/api/1`, as headers and the log write it.
    pub(crate) name: Box<str>,
    /// The same and its incarnation as values of fields: they cannot end their line, and to clone them does not copy.
    pub(crate) shown: [HeaderValue; 2],
    pub(crate) incarnation: u64,
    pub(crate) address: SocketAddr,
    /// What is spoken with it.
    pub(crate) protocol: Protocol,
    /// How TLS is spoken with it; none where it is not.
    pub(crate) tls: Option<Toward>,
    /// Why no TLS came about the last time it did not.
    trouble: Mutex<Option<String>>,
    in_flight: AtomicU32,
    /// Set once every thread serves a snapshot in which it is draining or absent.
    emptying: AtomicBool,
    reported_empty: AtomicBool,
    pub(crate) answered: AtomicU64,
    /// What a release is judged by: see [`FromEdge::Answered`].
    requests: AtomicU64,
    failed: AtomicU64,
    pub(crate) last_status: AtomicU16,
    pub(crate) failures: [AtomicU64; Failure::ALL.len()],
    pub(crate) latency: Latency,
    pub(crate) counters: ReplicaCounters,
    /// False while nothing is held against it, so that the common case takes no lock.
    troubled: AtomicBool,
    health: Mutex<Health>,
    /// The hash of its name, which stays from life to life.
    name_hash: u64,
    /// When it came, or came back; 0 for one that was there from the beginning.
    since: AtomicU64,
    /// It was asked whether it is well, and is not.
    unwell: AtomicBool,
    /// So many times in a row it was left out for answering worse than the others.
    pub(crate) outlier_row: AtomicU32,
    /// Idle connections that each thread keeps to it.
    keepalive: AtomicU32,
    /// The release it runs, for the log; 0 for none. It may become part of one while it runs.
    release: AtomicU64,
}

static NUMBERS: AtomicU64 = AtomicU64::new(1);

impl Replica {
    fn new(described: &tend_routing::Replica, protocol: Protocol, tls: Option<&Arc<ServerSide>>) -> Self {
        Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            id: described.id.clone(),
            shown: [
                // Nothing but letters, digits, `-`, `_`, `.` and `/`.
                HeaderValue::from_str(&described.id.to_string()).unwrap_or_else(|_| HeaderValue::from_static("")),
                HeaderValue::from(described.incarnation),
            ],
            name: described.id.to_string().into(),
            incarnation: described.incarnation,
            address: described.address,
            protocol,
            tls: tls.map(|side| Toward::new(side, described.address.ip())),
            trouble: Mutex::default(),
            in_flight: AtomicU32::new(0),
            emptying: AtomicBool::new(false),
            reported_empty: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            last_status: AtomicU16::new(0),
            failures: [const { AtomicU64::new(0) }; Failure::ALL.len()],
            latency: Latency::new(),
            counters: ReplicaCounters::new(),
            troubled: AtomicBool::new(false),
            health: Mutex::new(Health::default()),
            name_hash: fnv64(described.id.to_string().as_bytes()),
            since: AtomicU64::new(0),
            unwell: AtomicBool::new(false),
            outlier_row: AtomicU32::new(0),
            keepalive: AtomicU32::new(0),
            release: AtomicU64::new(0),
        }
    }

    /// Returns the release it runs, where it runs one.
    pub(crate) fn release(&self) -> Option<u64> {
        Some(self.release.load(Ordering::Relaxed)).filter(|release| *release > 0)
    }

    fn is(&self, described: &tend_routing::Replica, protocol: Protocol, tls: Option<&Arc<ServerSide>>) -> bool {
        let same_tls = match (&self.tls, tls) {
            (None, None) => true,
            (Some(toward), Some(side)) => Arc::ptr_eq(&toward.side, side),
            _ => false,
        };
        let same = self.address == described.address && self.protocol == protocol && same_tls;
        self.id == described.id && self.incarnation == described.incarnation && same
    }

    /// Returns the name it is asked by whatever the client asked for, where it has one: a server elsewhere knows no other.
    pub(crate) fn host(&self) -> Option<&str> {
        self.tls.as_ref()?.host()
    }

    /// Notes why no TLS came about, or that it did.
    pub(crate) fn notes_trouble(&self, text: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    /// Returns what a person is told of a failure beside its name.
    pub(crate) fn trouble(&self, why: Failure) -> Option<String> {
        let is_told = matches!(why, Failure::Tls | Failure::Certificate | Failure::Check);
        is_told.then(|| self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone())?
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        // Health is plain data that is valid after any prefix of its methods.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn availability(&self, now: Mono) -> Availability {
        if self.unwell.load(Ordering::Relaxed) {
            Availability::Ejected
        } else if self.troubled.load(Ordering::Relaxed) {
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

    /// Notes that it serves from now on, so that its share begins small where the service starts slowly.
    pub(crate) fn comes(&self, now: Mono) {
        self.since.store(now.0, Ordering::Relaxed);
    }

    /// Notes whether it is well.
    pub(crate) fn is_well(&self, well: bool) {
        self.unwell.store(!well, Ordering::Relaxed);
    }

    /// Returns how many idle connections each thread keeps to it.
    pub(crate) fn keepalive(&self) -> usize {
        self.keepalive.load(Ordering::Relaxed) as usize
    }

    /// Returns the requests of clients it answered or failed to, and of these the failures.
    pub(crate) fn requests_and_failures(&self) -> (u64, u64) {
        // In this order, so that there are never more failures than requests.
        let failed = self.failed.load(Ordering::Acquire);
        (self.requests.load(Ordering::Relaxed), failed)
    }

    /// Counts a request as in flight; false, and nothing counted, when the replica is being emptied or has `max` in flight.
    ///
    /// A request that began with an older snapshot may still find the replica there. Invariant: after `InFlight` with 0 nothing is
    /// sent to it; hence the count first and the question second here, the other way round in [`Self::empty`].
    pub(crate) fn enter(&self, max: u32) -> bool {
        let before = self.in_flight.fetch_add(1, Ordering::SeqCst);
        let welcome = before < max && !self.emptying.load(Ordering::SeqCst);
        if !welcome {
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
        }
        welcome
    }

    fn has_in_flight_at_least(&self, max: u32) -> bool {
        self.in_flight.load(Ordering::Relaxed) >= max
    }

    /// Returns how long it serves.
    fn age(&self, now: Mono) -> Duration {
        match self.since.load(Ordering::Relaxed) {
            0 => Duration::MAX,
            since => now.since(Mono(since)),
        }
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

    /// Counts a try that failed.
    pub(crate) fn failed_for(&self, why: Failure) {
        let kind = Failure::ALL.iter().position(|kind| *kind == why);
        self.failures[kind.unwrap_or(0)].fetch_add(1, Ordering::Relaxed);
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

    pub(crate) fn stands(&self, now: Mono) -> Stands {
        Stands {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            ejected: self.availability(now) != Availability::Serving,
        }
    }

    pub(crate) fn stats(&self, now: Mono) -> ReplicaStats {
        ReplicaStats {
            replica: self.id.clone(),
            incarnation: self.incarnation,
            in_flight: self.in_flight.load(Ordering::Relaxed),
            answered: self.answered.load(Ordering::Relaxed),
            failures: Failure::ALL
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
            doors: Vec::new(),
            bans: None,
            counters: Counters::default(),
            leaving: Vec::new(),
        }
    }

    /// Puts a snapshot into service after `before`.
    pub(crate) fn after(before: &Self, snapshot: Snapshot) -> Result<Self, SnapshotError> {
        let patience = before.patience;
        let table = RouteTable::new(&snapshot)?;
        let mut counters = Counters::default();
        let mut routes: Vec<LiveRoute> = snapshot
            .routes
            .iter()
            .map(|route| {
                let label = LiveRoute::label_of(route);
                let counters = counters.of(&before.counters, &label, route.service.as_ref());
                LiveRoute::new(route, patience, counters)
            })
            .collect();
        limits::equip(&mut routes, &snapshot.routes, &before.routes);
        let doors = Door::all(&snapshot.listeners, &before.doors);
        let now = SystemClock.now().mono;
        let tls = LiveTls::after(&before.tls, &snapshot);
        let services: Vec<LiveService> = snapshot
            .services
            .iter()
            .enumerate()
            .map(|(number, service)| {
                let side = tls.server(number);
                let known = |described: &tend_routing::Replica| {
                    let protocol = service.balance.protocol;
                    before
                        .replicas()
                        .find(|known| known.is(described, protocol, side))
                        .cloned()
                };
                let was = before.services.iter().find(|before| before.id == service.id);
                let internal = service
                    .internal
                    .map(|_| counters.of(&before.counters, "internal", Some(&service.id)));
                LiveService::new(service, was, known, now, (internal, side))
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
            tls,
            snapshot,
            table,
            routes,
            services,
            doors,
            bans: None,
            counters,
            leaving,
        })
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

    /// Returns the rules of the listener at an address; none at a service's own loopback address.
    pub(crate) fn door(&self, listener: SocketAddr) -> Option<&Door> {
        self.doors.iter().find(|door| door.listener.address == listener)
    }

    /// Returns the counters of all limits.
    pub(crate) fn limit_stats(&self) -> Vec<LimitStats> {
        let doors = self.doors.iter().filter_map(Door::stats);
        limits::stats(&self.routes).into_iter().chain(doors).collect()
    }

    /// Returns the counters of all circuits.
    pub(crate) fn circuit_stats(&self) -> Vec<CircuitStats> {
        self.services.iter().filter_map(LiveService::circuit_stats).collect()
    }

    /// Reads the bans the snapshot names, or takes them over from `before` where they are the same.
    ///
    /// # Errors
    /// When the file cannot be read; nobody is banned then.
    pub(crate) fn take_bans(&mut self, before: &Self) -> Result<(), EdgeError> {
        let Some(file) = &self.snapshot.bans else {
            return Ok(());
        };
        self.bans = match &before.bans {
            Some(known) if known.path == file.path => Some(known.clone()),
            _ => Some(Arc::new(Bans::read(&file.path)?)),
        };
        Ok(())
    }

    /// Returns the route of this name and its number.
    pub(crate) fn route_named(&self, name: &str) -> Option<(usize, &LiveRoute)> {
        self.routes.iter().enumerate().find(|(_, route)| &*route.name == name)
    }

    /// Returns what a request to a route finds that came by no connection.
    pub(crate) fn found(&self, route: usize) -> Match {
        let service = self.snapshot.routes[route].service.as_ref();
        Match {
            route: Some(route),
            service: service.and_then(|id| self.services.iter().position(|service| service.id == *id)),
        }
    }

    /// Says whether the service of a route has a replica that gets new requests.
    pub(crate) fn has_ready_replica(&self, route: usize) -> bool {
        let service = self.found(route).service;
        service.is_some_and(|service| self.services[service].has_ready())
    }

    pub(crate) fn route(&self, number: Option<usize>) -> Option<&LiveRoute> {
        number.map(|number| &self.routes[number])
    }
}
