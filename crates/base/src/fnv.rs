//! FNV-1a, the hash of everything that is kept or named by a number: folders, users, ports, fingerprints of definitions.
//!
//! It is ours because its values stand in state and in names of files, and are compared by later versions: they must not depend on the
//! toolchain's hasher, nor on a crate that may change its mind. It is quick for short texts and no protection against anybody who
//! chooses them: where somebody could gain by a collision, SHA-256 is used.
//!
//! Invariant: a value never changes (test `values_are_what_they_were`).

/// FNV-1a with 64 bits, fed piece by piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fnv64(u64);

impl Fnv64 {
    const PRIME: u64 = 0x0100_0000_01b3;

    /// Takes in the bytes of a text; where it ends does not count, so «ab» and «c» give what «a» and «bc» give.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.number(u64::from(*byte));
        }
    }

    /// Takes in a number as one piece.
    pub fn number(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(Self::PRIME);
    }

    /// Returns the hash of all that was taken in.
    #[must_use]
    pub fn value(self) -> u64 {
        self.0
    }
}

impl Default for Fnv64 {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

/// Returns the hash of some bytes with 64 bits.
#[must_use]
pub fn fnv64(bytes: &[u8]) -> u64 {
    let mut hash = Fnv64::default();
    hash.bytes(bytes);
    hash.value()
}

/// Returns the hash of some bytes with 32 bits, for short names and small ranges.
#[must_use]
pub fn fnv32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_they_were() {
        // The first three are the reference values of the hash's authors.
        assert_eq!(fnv64(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv64(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv64(b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(fnv32(b""), 0x811c_9dc5);
        assert_eq!(fnv32(b"a"), 0xe40c_292c);
        assert_eq!(fnv32(b"foobar"), 0xbf9c_f968);
    }

    #[test]
    fn pieces_give_what_the_whole_gives_and_a_number_is_one_piece() {
        let mut pieces = Fnv64::default();
        pieces.bytes(b"foo");
        pieces.bytes(b"bar");
        assert_eq!(pieces.value(), fnv64(b"foobar"));
        let (mut number, mut byte) = (Fnv64::default(), Fnv64::default());
        number.number(300);
        byte.bytes(&[44, 1]);
        assert_ne!(number, byte);
        assert_eq!(
            number.value(),
            (0xcbf2_9ce4_8422_2325_u64 ^ 300).wrapping_mul(0x0100_0000_01b3)
        );
    }
}
