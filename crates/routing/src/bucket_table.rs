//! Buckets by key in a table of a fixed size: nothing is allocated after the beginning, and the oldest give way.
//!
//! The table is cut into sets of eight places. A key lives in the set that its hash names; when the set is full, the bucket that was
//! asked for longest ago is forgotten. So both memory and time have a bound, whoever sends whatever: a flood of new keys
//! can at worst make the table forget, and what it forgets first is what was idle longest. Knows no clock and no lock.

use crate::Bucket;

/// Places in a set: 192 bytes, three cache lines.
const WAYS: usize = 8;

/// Key, excess, time; the key 0 marks a free place.
type Slot = [u64; 3];

/// Buckets by the hash of their key.
#[derive(Clone, Debug)]
pub struct BucketTable {
    slots: Vec<Slot>,
}

impl BucketTable {
    /// Returns a table for `entries` keys, rounded up to a power of two of at least eight; 24 bytes for each, of which the system
    /// gives only what was touched.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        let entries = entries.max(WAYS).next_power_of_two();
        Self {
            slots: vec![[0; 3]; entries],
        }
    }

    /// Returns what is kept of a key.
    #[must_use]
    pub fn get(&self, key: u64) -> Option<Bucket> {
        let key = key.max(1);
        let set = &self.slots[self.set_of(key)];
        let [_, excess, at_ms] = *set.iter().find(|slot| slot[0] == key)?;
        Some(Bucket { excess, at_ms })
    }

    /// Keeps the bucket of a key, if need be in the place of the one that is oldest.
    pub fn put(&mut self, key: u64, bucket: Bucket) {
        let key = key.max(1);
        let range = self.set_of(key);
        let set = &mut self.slots[range];
        let place = match set.iter().position(|slot| slot[0] == key) {
            Some(place) => place,
            // A free place is older than any: its time is 0.
            None => (0..WAYS)
                .min_by_key(|place| (set[*place][0] != 0, set[*place][2]))
                .unwrap_or(0),
        };
        set[place] = [key, bucket.excess, bucket.at_ms];
    }

    /// Returns how many keys are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.iter().filter(|slot| slot[0] != 0).count()
    }

    /// Says whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many keys it has room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    fn set_of(&self, key: u64) -> std::ops::Range<usize> {
        let sets = self.slots.len() / WAYS;
        // The low bits may have chosen the table already, so the high ones choose the set.
        let set = (key >> 32) as usize & (sets - 1);
        set * WAYS..(set + 1) * WAYS
    }
}
