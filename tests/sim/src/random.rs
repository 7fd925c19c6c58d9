//! Numbers that look random and are the same for the same seed. Knows nothing of what they decide.

use std::ops::Range;
use std::time::Duration;

/// SplitMix64: small, and good enough to pick faults with (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts the sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number in the range, which is not empty.
    pub fn number(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    /// Returns a duration of whole microseconds, in milliseconds from the range.
    pub fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_micros(self.number(range.start * 1000..range.end * 1000))
    }

    /// Returns true so many times of a thousand.
    pub fn chance(&mut self, permille: u64) -> bool {
        self.number(0..1000) < permille
    }

    /// Returns one of the items, of which there is at least one.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let index = self.number(0..items.len() as u64);
        &items[usize::try_from(index).expect("an index of a slice")]
    }
}
