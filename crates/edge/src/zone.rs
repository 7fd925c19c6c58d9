//! What is remembered of those who ask: buckets and counts by key, shared by all threads and kept from snapshot to snapshot.
//!
//! Cut into shards by the hash of the key, each with a lock that is held for a look-up and no longer. Knows no rule of a route
//! and nothing of requests; the arithmetic is `tend-routing`'s.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tend_routing::{BucketTable, Leak, Leaked};

use crate::number::ByNumber;

/// A power of two: with the few threads an edge has, two rarely meet at one.
const SHARDS: usize = 16;

/// Keys remembered in one zone: 3 MB where all are used. nginx has room for about 160 000 in the 10 MB of the guides' zones.
const KEYS_MAX: usize = 128 << 10;

/// What became of requests at one limit. Each is counted once at each limit of its route.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    /// Let through at once.
    pub(crate) admitted: AtomicU64,
    /// Let through after a wait.
    pub(crate) delayed: AtomicU64,
    /// Answered with 429 or 503, or the connection closed.
    pub(crate) refused: AtomicU64,
    /// Let through where a limit that is only tried out would have refused or delayed.
    pub(crate) shadowed: AtomicU64,
}

impl Outcomes {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Buckets by key: the state of a rate.
#[derive(Debug)]
pub(crate) struct Zone {
    shards: [Mutex<BucketTable>; SHARDS],
    /// Keyed by a secret of the process, so that clients cannot choose keys that collide.
    pub(crate) hasher: RandomState,
    pub(crate) outcomes: Outcomes,
}

impl Zone {
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::new(BucketTable::new(KEYS_MAX / SHARDS))),
            hasher: RandomState::new(),
            outcomes: Outcomes::default(),
        }
    }

    /// Decides about a request, and notes it where it is let through and `note` is set.
    pub(crate) fn ask(&self, leak: &Leak, key: u64, now_ms: u64, note: bool) -> Leaked {
        let mut table = lock(&self.shards[key as usize % SHARDS]);
        let outcome = leak.ask(table.get(key), now_ms);
        if note && let Leaked::Admitted { bucket, .. } = outcome {
            table.put(key, bucket);
        }
        outcome
    }
}

/// How much goes on at once, by key. Holds only keys with something going on, so it is as large as that is.
#[derive(Debug)]
pub(crate) struct Counts {
    /// The keys are hashes with the secret below; hashing them again, on the way in and out, cost more than the look-up.
    shards: [Mutex<HashMap<u64, u32, ByNumber>>; SHARDS],
    pub(crate) hasher: RandomState,
    pub(crate) outcomes: Outcomes,
}

/// Something going on; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Going {
    counts: Arc<Counts>,
    key: u64,
}

impl Counts {
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::new(HashMap::default())),
            hasher: RandomState::new(),
            outcomes: Outcomes::default(),
        }
    }

    /// Counts one more of a key, unless there are `max`: none then. A limit that is only tried out counts in any case.
    pub(crate) fn enter(self: &Arc<Self>, key: u64, max: u32, shadow: bool) -> Option<Going> {
        let mut shard = lock(&self.shards[key as usize % SHARDS]);
        let count = shard.entry(key).or_insert(0);
        let full = *count >= max;
        if full && !shadow {
            // A limit of zero would leave an empty entry behind.
            if *count == 0 {
                shard.remove(&key);
            }
            Outcomes::count(&self.outcomes.refused);
            return None;
        }
        *count = count.saturating_add(1);
        drop(shard);
        Outcomes::count(if full {
            &self.outcomes.shadowed
        } else {
            &self.outcomes.admitted
        });
        Some(Going {
            counts: self.clone(),
            key,
        })
    }

    fn leave(&self, key: u64) {
        let mut shard = lock(&self.shards[key as usize % SHARDS]);
        if let Entry::Occupied(mut count) = shard.entry(key) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.counts.leave(self.key);
    }
}

/// Both kinds of state are valid after any prefix of what is done to them.
fn lock<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_counted_by_key_until_it_ends() {
        let counts = Arc::new(Counts::new());
        let first = counts.enter(1, 2, false);
        let second = counts.enter(1, 2, false);
        assert!(first.is_some() && second.is_some());
        assert!(counts.enter(1, 2, false).is_none());
        assert!(counts.enter(17, 2, false).is_some());
        let beyond = counts.enter(1, 2, true);
        drop(first);
        assert!(counts.enter(1, 2, false).is_none(), "one beyond the limit still counts");
        drop((second, beyond));
        assert!(counts.enter(1, 2, false).is_some());
        assert!(counts.shards.iter().all(|shard| lock(shard).is_empty()));
        let told = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let outcomes = &counts.outcomes;
        assert_eq!(
            (
                told(&outcomes.admitted),
                told(&outcomes.refused),
                told(&outcomes.shadowed)
            ),
            (4, 2, 1)
        );
    }

    #[test]
    fn nothing_is_let_in_where_nothing_may_go_on() {
        let counts = Arc::new(Counts::new());
        assert!(counts.enter(1, 0, false).is_none());
        assert!(counts.shards.iter().all(|shard| lock(shard).is_empty()));
    }
}
