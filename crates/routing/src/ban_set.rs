//! Who is let in nowhere: millions of addresses and ranges, looked up in a time that does not depend on how many there are.
//!
//! For each length of prefix that occurs there is one table of open addressing, three quarters full: a look-up asks as many tables as there
//! are lengths (32 and 128 and a few more in practice, never more than 33 or 129). Built once from the file described in
//! `docs/reference/format-bans.md` and never changed; knows no clock and no disk.

use std::net::IpAddr;

use tend_base::{Wall, mix64};

use crate::BanFileError;
use crate::ban_file::{List, Record, read};

/// A place of a table; free while `until` is 0.
#[derive(Clone, Copy, Debug)]
struct Slot<const WORDS: usize> {
    key: [u32; WORDS],
    /// Seconds since 1970; [`NEVER`] when it does not end.
    until: u32,
}

/// The end of a ban that has none.
const NEVER: u32 = u32::MAX;

/// The prefixes of one length.
#[derive(Debug)]
struct Table<const WORDS: usize> {
    bits: u8,
    slots: Box<[Slot<WORDS>]>,
    used: usize,
}

/// The prefixes of one family.
#[derive(Debug)]
struct Family<const WORDS: usize> {
    tables: Vec<Table<WORDS>>,
    seed: u64,
}

/// Who is let in nowhere.
#[derive(Debug)]
pub struct BanSet {
    allowed_v4: Family<1>,
    allowed_v6: Family<4>,
    banned_v4: Family<1>,
    banned_v6: Family<4>,
}

impl BanSet {
    /// Reads the bytes of a file. `seed` is any number an attacker does not know: it keeps anybody from choosing addresses that collide.
    ///
    /// # Errors
    /// When the file is not whole, or not of this format.
    pub fn read(bytes: &[u8], seed: u64) -> Result<Self, BanFileError> {
        let lists = read(bytes)?;
        let four = |list: List| Family::build(seed, list.records(bytes).filter_map(Record::v4));
        let six = |list: List| Family::build(seed, list.records(bytes).filter_map(Record::v6));
        Ok(Self {
            allowed_v4: four(lists.allowed_v4),
            allowed_v6: six(lists.allowed_v6),
            banned_v4: four(lists.banned_v4),
            banned_v6: six(lists.banned_v6),
        })
    }

    /// Says whether an address is banned at `now`. The list of those allowed is asked first.
    #[must_use]
    pub fn is_banned(&self, address: IpAddr, now: Wall) -> bool {
        let now = u32::try_from(now.0 / 1000).unwrap_or(NEVER - 1);
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let key = [address.to_bits()];
                !self.allowed_v4.has(key, now) && self.banned_v4.has(key, now)
            }
            IpAddr::V6(address) => {
                let key = words(address.to_bits());
                !self.allowed_v6.has(key, now) && self.banned_v6.has(key, now)
            }
        }
    }

    /// Returns how many addresses and ranges are banned, ended or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.banned_v4.len() + self.banned_v6.len()
    }

    /// Says whether nobody is banned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many bytes the tables take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let (four, six) = (size_of::<Slot<1>>(), size_of::<Slot<4>>());
        (self.allowed_v4.places() + self.banned_v4.places()) * four
            + (self.allowed_v6.places() + self.banned_v6.places()) * six
    }
}

/// Returns an IPv6 address in words, the most significant first.
pub(crate) fn words(bits: u128) -> [u32; 4] {
    [
        (bits >> 96) as u32,
        (bits >> 64) as u32,
        (bits >> 32) as u32,
        bits as u32,
    ]
}

/// Returns a key with all but its first bits cleared.
fn masked<const WORDS: usize>(key: [u32; WORDS], bits: u8) -> [u32; WORDS] {
    std::array::from_fn(|word| {
        let kept = u32::from(bits).saturating_sub(32 * word as u32).min(32);
        key[word] & u32::MAX.checked_shl(32 - kept).unwrap_or(0)
    })
}

impl<const WORDS: usize> Family<WORDS> {
    /// Builds the tables from prefixes given as key, length and end.
    fn build(seed: u64, all: impl Iterator<Item = ([u32; WORDS], u8, u32)> + Clone) -> Self {
        let mut counts = [0usize; 129];
        all.clone().for_each(|(_, bits, _)| counts[usize::from(bits)] += 1);
        let mut family = Self {
            tables: Vec::new(),
            seed,
        };
        for (bits, count) in (0u8..).zip(counts).filter(|(_, count)| *count > 0) {
            let free = Slot {
                key: [0; WORDS],
                until: 0,
            };
            family.tables.push(Table {
                bits,
                // At least one place stays free, where a search ends.
                slots: vec![free; count + count / 3 + 1].into(),
                used: 0,
            });
        }
        for (key, bits, until) in all {
            if let Some(table) = family.tables.iter_mut().find(|table| table.bits == bits) {
                table.put(seed, masked(key, bits), if until == 0 { NEVER } else { until });
            }
        }
        family
    }

    fn has(&self, key: [u32; WORDS], now: u32) -> bool {
        self.tables
            .iter()
            .any(|table| table.end_of(self.seed, masked(key, table.bits)) > now)
    }

    fn len(&self) -> usize {
        self.tables.iter().map(|table| table.used).sum()
    }

    fn places(&self) -> usize {
        self.tables.iter().map(|table| table.slots.len()).sum()
    }
}

impl<const WORDS: usize> Table<WORDS> {
    /// Keeps a prefix; of two ends of the same one the later counts.
    fn put(&mut self, seed: u64, key: [u32; WORDS], until: u32) {
        let place = self.place_of(seed, key);
        let slot = &mut self.slots[place];
        self.used += usize::from(slot.until == 0);
        *slot = Slot {
            key,
            until: until.max(slot.until),
        };
    }

    /// Returns when the ban of a prefix ends; 0 when there is none.
    fn end_of(&self, seed: u64, key: [u32; WORDS]) -> u32 {
        self.slots[self.place_of(seed, key)].until
    }

    /// Returns the place of a key, or the free one where it would be.
    fn place_of(&self, seed: u64, key: [u32; WORDS]) -> usize {
        let hash = key.iter().fold(seed, |hash, word| mix64(hash ^ u64::from(*word)));
        // The hash as a fraction of all hashes becomes a place: no division, and any number of places.
        let mut place = ((u128::from(hash) * self.slots.len() as u128) >> 64) as usize;
        loop {
            let slot = &self.slots[place];
            if slot.until == 0 || slot.key == key {
                return place;
            }
            place = if place + 1 == self.slots.len() { 0 } else { place + 1 };
        }
    }
}
