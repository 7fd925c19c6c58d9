//! A service in service: who of its replicas gets a request, and whether anybody is asked at all.
//!
//! What one request learns for the next outlives a snapshot: the turns, the share of a split, the circuit. The choice is `tend-routing`'s.
//! Turns and the circuit are under a lock that is held for the arithmetic alone, and only where a service asks for them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tend_base::Mono;
use tend_core::model::{Balance, Breaker, HashKey, Method, ServiceId};
use tend_routing::{
    Aim, Availability, By, Circuit, EjectionPolicy, Fields, Load, Pass, ReplicaState, Service, Split, Standing,
    Switched, Turns, choose, ramped,
};

use super::Replica;
use crate::message::CircuitStats;
use crate::metrics::RouteCounters;
use crate::tls::ServerSide;

#[derive(Debug)]
pub(crate) struct LiveService {
    pub(crate) id: ServiceId,
    /// `mps/api`, as the log writes it.
    pub(crate) name: Box<str>,
    pub(crate) ejection: EjectionPolicy,
    /// Of requests that come in at its own loopback address.
    pub(crate) internal: Option<Arc<RouteCounters>>,
    pub(crate) balance: Balance,
    pub(super) split: Option<Split>,
    /// Goes on from snapshot to snapshot, or each would begin its share anew. Shared by the threads as `rotation` is: each with a
    /// count of its own, the share would be off by as many requests as there are threads.
    draws: AtomicU64,
    pub(super) replicas: Vec<Slot>,
    rotation: AtomicU64,
    turns: Mutex<Turns>,
    pub(crate) circuit: Option<Arc<LiveCircuit>>,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) replica: Arc<Replica>,
    weight: u32,
    pub(super) ready: bool,
    candidate: bool,
}

/// What a request looks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sought<'a> {
    pub(crate) aim: Aim,
    /// Not these: they were tried.
    pub(crate) tried: &'a [Arc<Replica>],
    /// The hash of what the service hashes, where the request has it.
    pub(crate) key: Option<u64>,
    pub(crate) now: Mono,
}

impl LiveService {
    /// Puts a service into service. `before` is what it was, `known` finds replicas that are the same as before.
    pub(super) fn new(
        described: &Service,
        before: Option<&Self>,
        known: impl Fn(&tend_routing::Replica) -> Option<Arc<Replica>>,
        now: Mono,
        (internal, tls): (Option<Arc<RouteCounters>>, Option<&Arc<ServerSide>>),
    ) -> Self {
        let slot = |one: &tend_routing::Replica| {
            let replica = known(one).unwrap_or_else(|| {
                let replica = Arc::new(Replica::new(one, described.balance.protocol, tls));
                // Where nobody was before, nobody has to be spared.
                if before.is_some_and(|before| before.replicas.iter().any(|slot| slot.ready)) {
                    replica.comes(now);
                }
                replica
            });
            replica.keepalive.store(described.balance.keepalive, Ordering::Relaxed);
            replica.release.store(one.release.unwrap_or(0), Ordering::Relaxed);
            // Without a check nothing would ever say that it is well again.
            if described.balance.check.is_none() {
                replica.is_well(true);
            }
            Slot {
                replica,
                weight: one.weight,
                ready: one.state == ReplicaState::Ready,
                candidate: one.candidate,
            }
        };
        let replicas: Vec<Slot> = described.replicas.iter().map(slot).collect();
        let owed = replicas
            .iter()
            .map(|slot| before.map_or(0, |before| before.owed(&slot.replica)));
        Self {
            turns: Mutex::new(Turns::going_on(owed.collect())),
            id: described.id.clone(),
            name: described.id.to_string().into(),
            ejection: EjectionPolicy::from(&described.balance),
            internal,
            split: described.split.clone(),
            draws: AtomicU64::new(before.map_or(0, |before| before.draws.load(Ordering::Relaxed))),
            rotation: AtomicU64::new(0),
            circuit: described.balance.breaker.as_ref().map(|rules| {
                let known = before.and_then(|before| before.circuit.clone());
                known
                    .filter(|circuit| circuit.rules == *rules)
                    .unwrap_or_else(|| Arc::new(LiveCircuit::new(rules)))
            }),
            balance: described.balance.clone(),
            replicas,
        }
    }

    fn owed(&self, replica: &Arc<Replica>) -> i64 {
        let index = self
            .replicas
            .iter()
            .position(|slot| Arc::ptr_eq(&slot.replica, replica));
        index.map_or(0, |index| lock(&self.turns).owed(index))
    }

    /// Returns who may answer a request with these fields.
    pub(crate) fn aim(&self, fields: &Fields<'_>) -> Aim {
        match &self.split {
            None => Aim::Any,
            Some(split) => split.aim(fields, || self.draws.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Says whether any replica gets new requests.
    pub(crate) fn has_ready(&self) -> bool {
        self.replicas
            .iter()
            .any(|slot| slot.ready && !slot.candidate && !slot.replica.is_emptying())
    }

    /// Returns what is hashed of a request, where anything is.
    pub(crate) fn hashed(&self) -> Option<&HashKey> {
        match &self.balance.method {
            Method::Hash(key) => Some(key),
            _ => None,
        }
    }

    /// Returns how many requests may be in flight on each replica.
    pub(crate) fn in_flight_max(&self) -> u32 {
        self.balance.connections_max.unwrap_or(u32::MAX)
    }

    /// Returns the replica for the next try; none when no ready replica is left that may answer. `random` is any number.
    pub(crate) fn choose(&self, sought: Sought<'_>, random: u64) -> Option<&Arc<Replica>> {
        // In turn each gets as many in a row as it has weight, which is too many of the finer weights of a slow start.
        let rotation = || match self.balance.slow_start.is_zero() {
            true => self.rotation.fetch_add(1, Ordering::Relaxed),
            false => random,
        };
        let name = |index: usize| self.replicas[index].replica.name_hash;
        match (&self.balance.method, sought.key) {
            (Method::RoundRobin, _) => self.choose_by(sought, By::Turns(&mut lock(&self.turns))),
            (Method::PowerOfTwo, _) => self.choose_by(sought, By::TwoDrawn(random)),
            (Method::Hash(_), Some(key)) => self.choose_by(sought, By::Hash(key, &name)),
            (Method::LeastConnections | Method::Hash(_), _) => self.choose_by(sought, By::Least(rotation())),
        }
    }

    /// Says whether there is a replica for another try.
    pub(crate) fn has(&self, sought: Sought<'_>) -> bool {
        self.choose_by(sought, By::Least(0)).is_some()
    }

    /// Says whether some replica would get the request if it did not have as much in flight as it may.
    pub(crate) fn is_full(&self, aim: Aim) -> bool {
        let max = self.in_flight_max();
        self.replicas
            .iter()
            .any(|slot| slot.ready && aim.allows(slot.candidate) && slot.replica.has_in_flight_at_least(max))
    }

    fn choose_by(&self, sought: Sought<'_>, by: By<'_>) -> Option<&Arc<Replica>> {
        let max = self.in_flight_max();
        let slow_start = self.balance.slow_start;
        let standing = |index: usize| {
            let slot = &self.replicas[index];
            let replica = &slot.replica;
            let open =
                slot.ready && !replica.is_emptying() && !sought.tried.iter().any(|tried| Arc::ptr_eq(tried, replica));
            let in_flight = replica.in_flight.load(Ordering::Relaxed);
            (open && in_flight < max).then(|| Standing {
                load: Load {
                    in_flight,
                    weight: if slow_start.is_zero() {
                        slot.weight
                    } else {
                        ramped(slot.weight, replica.age(sought.now), slow_start)
                    },
                },
                candidate: slot.candidate,
                ejected: replica.availability(sought.now) == Availability::Ejected,
            })
        };
        let last_failure = |index: usize| self.replicas[index].replica.health(|health| health.last_failure());
        choose(self.replicas.len(), standing, last_failure, sought.aim, by).map(|index| &self.replicas[index].replica)
    }

    /// Returns the replicas that get new requests.
    pub(crate) fn ready(&self) -> impl Iterator<Item = &Arc<Replica>> {
        self.replicas.iter().filter(|slot| slot.ready).map(|slot| &slot.replica)
    }

    /// Returns those of them that are proven.
    pub(crate) fn proven(&self) -> impl Iterator<Item = &Arc<Replica>> {
        let proven = self.replicas.iter().filter(|slot| slot.ready && !slot.candidate);
        proven.map(|slot| &slot.replica)
    }

    /// Returns the counters of its circuit, where it has one.
    pub(crate) fn circuit_stats(&self) -> Option<CircuitStats> {
        let circuit = self.circuit.as_ref()?;
        Some(CircuitStats {
            service: self.id.clone(),
            open: circuit.is_shut.load(Ordering::Relaxed),
            opened: circuit.opened.load(Ordering::Relaxed),
            refused: circuit.refused.load(Ordering::Relaxed),
        })
    }
}

/// The circuit of a service and what it counted.
#[derive(Debug)]
pub(crate) struct LiveCircuit {
    rules: Breaker,
    /// False while every request is let through, so that asking takes no lock then.
    is_shut: AtomicBool,
    circuit: Mutex<Circuit>,
    opened: AtomicU64,
    refused: AtomicU64,
}

impl LiveCircuit {
    fn new(rules: &Breaker) -> Self {
        Self {
            rules: rules.clone(),
            is_shut: AtomicBool::new(false),
            circuit: Mutex::new(Circuit::default()),
            opened: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Lets a request through.
    ///
    /// # Errors
    /// How long until there is a chance, when it is not let through.
    pub(crate) fn ask(&self, now: Mono) -> Result<Pass, Duration> {
        if !self.is_shut.load(Ordering::Relaxed) {
            return Ok(Pass::default());
        }
        let outcome = lock(&self.circuit).ask(now);
        if outcome.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    /// Notes how a request ended.
    pub(crate) fn note(&self, pass: Pass, failed: bool, now: Mono) {
        let mut circuit = lock(&self.circuit);
        if circuit.note(pass, failed, &self.rules, now) == Some(Switched::Opened) {
            self.opened.fetch_add(1, Ordering::Relaxed);
        }
        self.is_shut.store(!circuit.is_closed(), Ordering::Relaxed);
    }

    /// Notes that a request ended without telling anything.
    pub(crate) fn abandoned(&self, pass: Pass) {
        lock(&self.circuit).abandoned(pass);
    }
}

/// Both kinds of state are valid after any prefix of what is done to them.
fn lock<T>(state: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
