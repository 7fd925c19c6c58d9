//! Tables by number, without hashing: for numbers that no client can choose. Knows none of the tables.

use std::hash::{BuildHasherDefault, Hasher};

/// For a table whose keys are numbers of our own, or hashes already.
pub(crate) type ByNumber = BuildHasherDefault<Number>;

/// Leaves numbers as they are.
#[derive(Debug, Default)]
pub(crate) struct Number(u64);

impl Hasher for Number {
    fn finish(&self) -> u64 {
        // Spread over all bits, of which the table uses the highest as well.
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
