//! Snappy's block format: `length, then literals and copies of what was before`. Knows nothing of what is packed.
//!
//! Packing looks for repetitions of four bytes and more within blocks of 64 KiB, as Snappy's own does. Any reader reads what it writes.

use super::wire::{push_varint, varint};
use crate::error::BodyError;

/// Copies reach back no further than this, so that an offset has two bytes.
const BLOCK: usize = 1 << 16;
/// Places of four bytes that are remembered.
const SLOTS: usize = 1 << 14;
/// Shorter repetitions are not worth a copy.
const MATCH_MIN: usize = 4;

/// Unpacks a block that may hold no more than `bytes_max` bytes.
pub(super) fn unpack(packed: &[u8], bytes_max: usize) -> Result<Vec<u8>, BodyError> {
    let (length, mut rest) = varint(packed).ok_or(BodyError::Snappy("the length is none"))?;
    let wanted = usize::try_from(length)
        .ok()
        .filter(|length| *length <= bytes_max)
        .ok_or(BodyError::TooLarge { bytes: length })?;
    // Three bytes give 64 at most, so what would be larger is not what it says, and no room is made for it.
    if wanted / 22 > packed.len() {
        return Err(BodyError::Snappy("it is shorter than it says"));
    }
    let mut out = Vec::with_capacity(wanted);
    while let Some((tag, after)) = rest.split_first() {
        rest = after;
        let (length, offset) = match tag & 3 {
            0 => {
                let length = match usize::from(tag >> 2) {
                    short @ 0..60 => short + 1,
                    long => {
                        // A length of four bytes fits, as addresses have eight.
                        usize::try_from(number(&mut rest, long - 59)?)
                            .ok()
                            .and_then(|length| length.checked_add(1))
                            .ok_or(BodyError::Snappy("a literal is too long"))?
                    }
                };
                let (literal, after) = rest
                    .split_at_checked(length)
                    .ok_or(BodyError::Snappy("a literal is cut off"))?;
                if literal.len() > wanted - out.len() {
                    return Err(BodyError::Snappy("it is longer than it says"));
                }
                out.extend_from_slice(literal);
                rest = after;
                continue;
            }
            1 => {
                let low = number(&mut rest, 1)?;
                (4 + usize::from(tag >> 2 & 7), u64::from(tag >> 5) << 8 | low)
            }
            2 => (1 + usize::from(tag >> 2), number(&mut rest, 2)?),
            _ => (1 + usize::from(tag >> 2), number(&mut rest, 4)?),
        };
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        if offset == 0 || offset > out.len() {
            return Err(BodyError::Snappy("a copy is of what is not there"));
        }
        if length > wanted - out.len() {
            return Err(BodyError::Snappy("it is longer than it says"));
        }
        // A copy may be of what it writes itself.
        let from = out.len() - offset;
        for at in from..from + length {
            out.push(out[at]);
        }
    }
    if out.len() != wanted {
        return Err(BodyError::Snappy("it is shorter than it says"));
    }
    Ok(out)
}

/// A number of so many bytes, the lowest first.
fn number(rest: &mut &[u8], bytes: usize) -> Result<u64, BodyError> {
    let (taken, after) = rest.split_at_checked(bytes).ok_or(BodyError::Snappy("it is cut off"))?;
    *rest = after;
    Ok(taken.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// Packs bytes.
pub(super) fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() / 2 + 16);
    push_varint(&mut out, bytes.len() as u64);
    let mut slots = vec![0_u16; SLOTS];
    for block in bytes.chunks(BLOCK) {
        slots.fill(0);
        pack_block(&mut out, block, &mut slots);
    }
    out
}

fn pack_block(out: &mut Vec<u8>, block: &[u8], slots: &mut [u16]) {
    let four = |at: usize| block.get(at..at + MATCH_MIN);
    let (mut at, mut told) = (0, 0);
    while let Some(here) = four(at) {
        let mut word = [0; 4];
        word.copy_from_slice(here);
        let slot = (u32::from_le_bytes(word).wrapping_mul(0x1e35_a7bd) >> 18) as usize;
        let before = usize::from(slots[slot]);
        // Positions within a block fit into 16 bits.
        slots[slot] = at as u16;
        if before >= at || four(before) != Some(here) {
            at += 1;
            continue;
        }
        let more = block[at + MATCH_MIN..].iter().zip(&block[before + MATCH_MIN..]);
        let length = MATCH_MIN + more.take_while(|(one, two)| one == two).count();
        literal(out, &block[told..at]);
        copy(out, at - before, length);
        at += length;
        told = at;
    }
    literal(out, &block[told..]);
}

fn literal(out: &mut Vec<u8>, bytes: &[u8]) {
    let Some(length) = bytes.len().checked_sub(1) else {
        return;
    };
    match length {
        0..60 => out.push((length << 2) as u8),
        60..256 => out.extend([60 << 2, length as u8]),
        _ => out.extend([61 << 2, length as u8, (length >> 8) as u8]),
    }
    out.extend_from_slice(bytes);
}

fn copy(out: &mut Vec<u8>, offset: usize, mut length: usize) {
    while length > 0 {
        let part = length.min(64);
        out.extend([((part - 1) << 2) as u8 | 2, offset as u8, (offset >> 8) as u8]);
        length -= part;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_unpacks() {
        let mut seed: u32 = 7;
        let mut noise = |length: usize| -> Vec<u8> {
            let next = |_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 24) as u8
            };
            (0..length).map(next).collect()
        };
        let repeated = noise(300).repeat(700);
        for bytes in [
            Vec::new(),
            b"a".to_vec(),
            b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".to_vec(),
            vec![0; 200_000],
            noise(59),
            noise(61),
            noise(255),
            noise(257),
            noise(70_000),
            repeated,
        ] {
            let packed = pack(&bytes);
            assert_eq!(unpack(&packed, bytes.len()), Ok(bytes.clone()), "{} bytes", bytes.len());
            assert!(packed.len() <= bytes.len() + bytes.len() / 60 + 16);
        }
        assert!(pack(&vec![0; 200_000]).len() < 10_000);
    }

    /// By the format's own description: each kind of element, and each way to be wrong.
    #[test]
    fn each_kind_of_element_is_read() {
        for (packed, wanted) in [
            (&b"\x03\x08abc"[..], Ok(b"abc".to_vec())),
            (b"\x07\x08abc\x01\x03", Ok(b"abcabca".to_vec())),
            (b"\x06\x08abc\x0a\x03\x00", Ok(b"abcabc".to_vec())),
            (b"\x06\x08abc\x0b\x03\x00\x00\x00", Ok(b"abcabc".to_vec())),
            (b"\x02\xf0\x01ab", Ok(b"ab".to_vec())),
            (b"", Err(BodyError::Snappy("the length is none"))),
            (b"\x03\x08ab", Err(BodyError::Snappy("a literal is cut off"))),
            (b"\x05\x08abc", Err(BodyError::Snappy("it is shorter than it says"))),
            (b"\x02\x08abc", Err(BodyError::Snappy("it is longer than it says"))),
            (
                b"\x06\x08abc\x0a\x04\x00",
                Err(BodyError::Snappy("a copy is of what is not there")),
            ),
            (
                b"\x06\x08abc\x0a\x00\x00",
                Err(BodyError::Snappy("a copy is of what is not there")),
            ),
            (b"\x06\x08abc\x0a\x03", Err(BodyError::Snappy("it is cut off"))),
            (
                b"\xff\xff\xff\xff\x0f\x00",
                Err(BodyError::TooLarge { bytes: 0xffff_ffff }),
            ),
        ] {
            assert_eq!(unpack(packed, 1 << 20), wanted, "{packed:?}");
        }
    }
}
