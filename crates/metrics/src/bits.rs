//! Bits appended to and read from bytes, most significant first. Knows no meaning of them.

/// Appends up to 64 bits of `value`. `free` is how many low bits of the last byte are unused; the new count is returned.
pub(crate) fn push(bytes: &mut Vec<u8>, free: u8, value: u64, count: u8) -> u8 {
    let (mut free, mut left) = (free, count);
    while left > 0 {
        if free == 0 {
            if bytes.len() == bytes.capacity() {
                // Doubling would waste half of a chunk that ends at about 200 bytes.
                bytes.reserve_exact(32);
            }
            bytes.push(0);
            free = 8;
        }
        let take = left.min(free);
        let piece = (value >> (left - take)) & ((1 << take) - 1);
        if let Some(last) = bytes.last_mut() {
            *last |= (piece as u8) << (free - take);
        }
        free -= take;
        left -= take;
    }
    free
}

/// Bits that [`Bits::peek`] shows at least, as long as there are so many.
pub(crate) const PEEKED: u32 = 57;

/// Reads bits. Behind the end all is `None`.
#[derive(Clone, Debug)]
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    /// In bits.
    at: usize,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    #[inline]
    pub(crate) fn bit(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1 == 1;
        self.at += 1;
        Some(bit)
    }

    /// How many bits are left.
    #[inline]
    pub(crate) fn left(&self) -> u32 {
        u32::try_from(self.bytes.len() * 8 - self.at).unwrap_or(u32::MAX)
    }

    /// Looks at what comes next, most significant first: [`PEEKED`] bits at least, zeros behind the end.
    #[inline]
    pub(crate) fn peek(&self) -> u64 {
        let (byte, skip) = (self.at / 8, self.at % 8);
        let rest = self.bytes.get(byte..).unwrap_or_default();
        // A chunk of a length that is known is one load; a slice was a call of memcpy, a tenth of a query over buckets.
        let word = rest.first_chunk().copied().unwrap_or_else(|| {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            word
        });
        u64::from_be_bytes(word) << skip
    }

    /// Passes over bits that were looked at; says whether there are so many, and goes nowhere where not.
    #[inline]
    pub(crate) fn skip(&mut self, count: u32) -> bool {
        let at = self.at + count as usize;
        let is_there = at <= self.bytes.len() * 8;
        if is_there {
            self.at = at;
        }
        is_there
    }

    /// Reads up to 64 bits.
    #[inline]
    pub(crate) fn take(&mut self, count: u8) -> Option<u64> {
        let count = usize::from(count);
        let (byte, skip) = (self.at / 8, self.at % 8);
        // Almost always the bits lie within eight bytes that are there.
        if skip + count <= 64
            && let Some(word) = self.bytes.get(byte..).and_then(|rest| rest.first_chunk())
        {
            self.at += count;
            if count == 0 {
                return Some(0);
            }
            return Some(u64::from_be_bytes(*word) << skip >> (64 - count));
        }
        if self.at + count > self.bytes.len() * 8 {
            return None;
        }
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | u64::from(self.bit()?);
        }
        Some(value)
    }
}
