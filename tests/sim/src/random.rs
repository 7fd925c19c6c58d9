//! Numbers that look random and are the same for the same seed. Knows nothing of what they decide.

use std::ops::Range;
use std::time::Duration;

/// A sequence of them, and what faults are picked with.
#[derive(Clone, Debug)]
pub struct Random(tend_base::Random);

impl Random {
    /// Starts the sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(tend_base::Random::new(seed))
    }

    /// Returns a number in the range, which is not empty.
    pub fn number(&mut self, range: Range<u64>) -> u64 {
        range.start + self.0.below(range.end - range.start)
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
        self.0.pick(items)
    }
}
