//! Numbers that look random and are the same from the same seed: for what is only to be spread, for simulators and tests. Nobody who guesses them
//! may gain by it: what has to be secret comes from the system.

/// What a seed is moved on by: 2^64 divided by the golden ratio, odd.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads neighbouring numbers over all 64 bits; no two numbers give the same.
#[must_use]
pub fn mix64(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(STEP);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): small, and the same on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins the sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the number at a place of a seed's sequence, of which 0 is the first, without those before it.
    #[must_use]
    pub fn at(seed: u64, place: u64) -> u64 {
        mix64(seed.wrapping_add(place.wrapping_mul(STEP)))
    }

    /// Returns the next number, any of 64 bits.
    pub fn number(&mut self) -> u64 {
        let number = mix64(self.0);
        self.0 = self.0.wrapping_add(STEP);
        number
    }

    /// Returns a number below `limit`.
    ///
    /// # Panics
    /// When the limit is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    /// Returns a position in something of `count` items.
    ///
    /// # Panics
    /// When there are none.
    pub fn index(&mut self, count: usize) -> usize {
        (self.number() % count as u64) as usize
    }

    /// Returns one of some items.
    ///
    /// # Panics
    /// When there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// Returns true so many times of a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Returns a number from 0 to below 1.
    pub fn part(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_paper() {
        // The first of seed 1234567, as Vigna's splitmix64.c gives them.
        let mut random = Random::new(1_234_567);
        let numbers: Vec<u64> = (0..3).map(|_| random.number()).collect();
        assert_eq!(
            numbers,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
        let alone: Vec<u64> = (0..3).map(|place| Random::at(1_234_567, place)).collect();
        assert_eq!(alone, numbers);
    }

    #[test]
    fn parts_lie_below_one() {
        let mut random = Random::new(7);
        let parts: Vec<f64> = (0..10_000).map(|_| random.part()).collect();
        assert!(parts.iter().all(|part| (0.0..1.0).contains(part)));
        let mean = parts.iter().sum::<f64>() / 10_000.0;
        assert!((0.48..0.52).contains(&mean), "{mean}");
    }
}
