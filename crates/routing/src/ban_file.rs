//! The file in which the control process hands bans to the edge; the format is in `docs/reference/format-bans.md`.
//!
//! Owns the bytes, both ways. Does not know how addresses are looked up, nor where the file is.

use std::net::IpAddr;

use tend_base::{Fnv64, Wall, fnv64};
use tend_core::model::Prefix;

use crate::BanFileError;
use crate::ban_set::words;

/// What a file begins with.
const MAGIC: [u8; 8] = *b"tendbans";

/// The format this program writes and the newest it reads.
const FORMAT: u32 = 1;

/// Magic, format, four counts.
const HEAD_BYTES: usize = 8 + 4 + 4 * 4;

/// The check sum at the end.
const SUM_BYTES: usize = 8;

/// Address, length of the prefix, end.
const V4_BYTES: usize = 4 + 1 + 4;
const V6_BYTES: usize = 16 + 1 + 4;

/// An address or range, and until when it is banned, or allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Whom.
    pub prefix: Prefix,
    /// When it ends; never when absent. Kept in whole seconds, rounded up.
    pub until: Option<Wall>,
}

/// Writes a file: whom to let in whatever is banned, and whom not to.
#[must_use]
pub fn ban_file(allowed: &[Ban], banned: &[Ban]) -> Vec<u8> {
    let count = |list: &[Ban], four: bool| {
        let count = list.iter().filter(|ban| ban.prefix.address().is_ipv4() == four).count();
        u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes()
    };
    let mut out = Vec::with_capacity(HEAD_BYTES + V6_BYTES * (allowed.len() + banned.len()) + SUM_BYTES);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    for list in [allowed, banned] {
        out.extend_from_slice(&count(list, true));
        out.extend_from_slice(&count(list, false));
    }
    for list in [allowed, banned] {
        for four in [true, false] {
            for ban in list.iter().filter(|ban| ban.prefix.address().is_ipv4() == four) {
                match ban.prefix.address() {
                    IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
                    IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
                }
                out.push(ban.prefix.bits());
                out.extend_from_slice(&seconds(ban.until).to_le_bytes());
            }
        }
    }
    let sum = fnv64(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

/// 0 stands for never, so an end in 1970 becomes a second later.
fn seconds(until: Option<Wall>) -> u32 {
    until.map_or(0, |until| {
        u32::try_from(until.0.div_ceil(1000)).unwrap_or(u32::MAX - 1).max(1)
    })
}

/// Where the lists of a file are; the order is that of the file.
pub(crate) struct Lists {
    pub(crate) allowed_v4: List,
    pub(crate) allowed_v6: List,
    pub(crate) banned_v4: List,
    pub(crate) banned_v6: List,
}

/// Records of one kind in the bytes of a file.
#[derive(Clone, Copy)]
pub(crate) struct List {
    from: usize,
    count: usize,
    bytes_each: usize,
}

/// One entry, as it is written.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a>(&'a [u8]);

/// Finds the lists in the bytes of a file, and checks every record.
pub(crate) fn read(bytes: &[u8]) -> Result<Lists, BanFileError> {
    let head = bytes.first_chunk::<HEAD_BYTES>().ok_or(BanFileError::NoBans)?;
    if head[..8] != MAGIC {
        return Err(BanFileError::NoBans);
    }
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let found = number(8);
    if found != FORMAT {
        return Err(BanFileError::Format { found, known: FORMAT });
    }
    let mut from = HEAD_BYTES;
    let mut list = |at: usize, bytes_each: usize| {
        let list = List {
            from,
            count: number(at) as usize,
            bytes_each,
        };
        from = from.saturating_add(list.count.saturating_mul(bytes_each));
        list
    };
    let lists = Lists {
        allowed_v4: list(12, V4_BYTES),
        allowed_v6: list(16, V6_BYTES),
        banned_v4: list(20, V4_BYTES),
        banned_v6: list(24, V6_BYTES),
    };
    let expected = from.saturating_add(SUM_BYTES);
    if bytes.len() != expected {
        return Err(BanFileError::Length {
            found: bytes.len(),
            expected,
        });
    }
    let mut sum = Fnv64::default();
    sum.bytes(&bytes[..from]);
    if bytes[from..] != sum.value().to_le_bytes() {
        return Err(BanFileError::Sum);
    }
    for list in [lists.allowed_v4, lists.allowed_v6, lists.banned_v4, lists.banned_v6] {
        let most = if list.bytes_each == V4_BYTES { 32 } else { 128 };
        if let Some(record) = list.records(bytes).position(|record| record.bits() > most) {
            return Err(BanFileError::Record {
                offset: list.from + record * list.bytes_each,
            });
        }
    }
    Ok(lists)
}

impl List {
    pub(crate) fn records(self, bytes: &[u8]) -> impl Iterator<Item = Record<'_>> + Clone {
        let all = &bytes[self.from..self.from + self.count * self.bytes_each];
        all.chunks_exact(self.bytes_each).map(Record)
    }
}

impl Record<'_> {
    fn bits(&self) -> u8 {
        self.0[self.0.len() - 5]
    }

    fn until(&self) -> u32 {
        self.0
            .last_chunk::<4>()
            .map_or(0, |seconds| u32::from_le_bytes(*seconds))
    }

    /// Returns address, length and end of a record of IPv4.
    pub(crate) fn v4(self) -> Option<([u32; 1], u8, u32)> {
        let address = self.0.first_chunk::<4>()?;
        Some(([u32::from_be_bytes(*address)], self.bits(), self.until()))
    }

    /// Returns address, length and end of a record of IPv6.
    pub(crate) fn v6(self) -> Option<([u32; 4], u8, u32)> {
        let address = self.0.first_chunk::<16>()?;
        Some((words(u128::from_be_bytes(*address)), self.bits(), self.until()))
    }
}
