//! The records of the log as bytes. Knows no file and no head: who reads gives the values before.
//!
//! ```text
//! 1 symbols: texts                           numbered on from those before in the segment
//! 2 shapes: pairs of symbols                 numbered on
//! 3 target: number, labels as texts
//! 4 series: target, shapes                   slots of the target, numbered on
//! 5 row: target, time, slots, flags, [which have a sample], which changed, what changed
//! 6 late: target, (slot, time, value)        samples with a time of their own
//! ```
//! A row says of each slot whether it has a sample and whether it differs from the one before, each in a bit, and then only what changed:
//! a whole number as a difference (also of thousandths and millionths), else the bits that differ.

use crate::chunk::{scaled, unscaled};
use crate::varint::{self, Reader};

pub(crate) const SYMBOLS: u8 = 1;
pub(crate) const SHAPES: u8 = 2;
pub(crate) const TARGET: u8 = 3;
pub(crate) const SERIES: u8 = 4;
pub(crate) const ROW: u8 = 5;
pub(crate) const LATE: u8 = 6;

/// Each slot has a sample.
const ALL: u8 = 1;

/// Digits after the point of the first three tags; the fourth says that the bits themselves follow.
const DIGITS: [u8; 3] = [0, 3, 6];
const RAW: u64 = 3;

/// A sample with a time of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Late {
    pub(crate) slot: u32,
    pub(crate) time: i64,
    pub(crate) value: f64,
}

/// Writes the symbols from some number on.
pub(crate) fn symbols<'t>(out: &mut Vec<u8>, texts: impl ExactSizeIterator<Item = &'t str>) {
    out.push(SYMBOLS);
    varint::push(out, texts.len() as u64);
    for text in texts {
        varint::push_text(out, text);
    }
}

/// Writes shapes.
pub(crate) fn shapes<'p>(out: &mut Vec<u8>, shapes: impl ExactSizeIterator<Item = &'p [(u32, u32)]>) {
    out.push(SHAPES);
    varint::push(out, shapes.len() as u64);
    for pairs in shapes {
        varint::push(out, pairs.len() as u64);
        for (name, value) in pairs {
            varint::push(out, u64::from(*name));
            varint::push(out, u64::from(*value));
        }
    }
}

/// Writes a target.
pub(crate) fn target<'t>(out: &mut Vec<u8>, target: u32, labels: impl Iterator<Item = (&'t str, &'t str)> + Clone) {
    out.push(TARGET);
    varint::push(out, u64::from(target));
    varint::push(out, labels.clone().count() as u64);
    for (name, value) in labels {
        varint::push_text(out, name);
        varint::push_text(out, value);
    }
}

/// Writes the shapes of a target's next slots.
pub(crate) fn series(out: &mut Vec<u8>, target: u32, shapes: impl ExactSizeIterator<Item = u32>) {
    out.push(SERIES);
    varint::push(out, u64::from(target));
    varint::push(out, shapes.len() as u64);
    let mut before = 0;
    for shape in shapes {
        // Shapes of a target mostly follow one another.
        varint::push_signed(out, i64::from(shape) - before);
        before = i64::from(shape);
    }
}

/// Where a row belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowHead {
    pub(crate) target: u32,
    pub(crate) time: i64,
    /// How many slots the target has.
    pub(crate) slots: u32,
}

/// Writes a row; `row` rises by slot, and `before` gives the value before of each of its
/// slots; 0 where the segment has none, as each segment is read by itself.
pub(crate) fn row(out: &mut Vec<u8>, head: RowHead, row: &[(u32, f64)], before: impl Fn(u32) -> f64) {
    out.push(ROW);
    varint::push(out, u64::from(head.target));
    varint::push_signed(out, head.time);
    varint::push(out, u64::from(head.slots));
    let all = row.len() == head.slots as usize;
    out.push(if all { ALL } else { 0 });
    if !all {
        let begin = out.len();
        out.resize(begin + (head.slots as usize).div_ceil(8), 0);
        for (slot, _) in row {
            out[begin + *slot as usize / 8] |= 1 << (slot % 8);
        }
    }
    let begin = out.len();
    out.resize(begin + row.len().div_ceil(8), 0);
    for (at, (slot, value)) in row.iter().enumerate() {
        let old = before(*slot);
        if old.to_bits() != value.to_bits() {
            out[begin + at / 8] |= 1 << (at % 8);
            push_change(out, old, *value);
        }
    }
}

fn push_change(out: &mut Vec<u8>, old: f64, new: f64) {
    for (tag, digits) in DIGITS.into_iter().enumerate() {
        if let Some(to) = scaled(new, digits) {
            let Some(from) = scaled(old, digits) else { continue };
            varint::push(out, varint::zigzag(to - from) << 2 | tag as u64);
            return;
        }
    }
    let bits = old.to_bits() ^ new.to_bits();
    let kept = 8 - bits.trailing_zeros() as usize / 8;
    varint::push(out, (kept as u64) << 2 | RAW);
    out.extend_from_slice(&bits.to_be_bytes()[..kept]);
}

fn read_change(reader: &mut Reader<'_>, old: f64) -> Option<f64> {
    let coded = reader.number()?;
    if coded & 3 == RAW {
        let kept = usize::try_from(coded >> 2).ok().filter(|kept| *kept <= 8)?;
        let mut bits = [0; 8];
        bits[..kept].copy_from_slice(reader.bytes(kept)?);
        return Some(f64::from_bits(old.to_bits() ^ u64::from_be_bytes(bits)));
    }
    let digits = DIGITS[(coded & 3) as usize];
    let whole = scaled(old, digits)?.checked_add(varint::unzigzag(coded >> 2))?;
    Some(unscaled(whole, digits))
}

/// Reads the begin of a row, behind its kind; [`read_row`] reads the rest.
pub(crate) fn read_row_head(reader: &mut Reader<'_>) -> Option<(RowHead, bool)> {
    let (target, time, slots) = (reader.index()?, reader.signed()?, reader.index()?);
    let flags = reader.bytes(1)?[0];
    // Each slot takes a bit of what follows at least.
    if slots as usize > reader.0.len().saturating_mul(8) {
        return None;
    }
    Some((RowHead { target, time, slots }, flags & ALL != 0))
}

/// Appends the samples of a row to `out`. `before` is asked with slots below `head.slots`.
pub(crate) fn read_row(
    reader: &mut Reader<'_>,
    (head, all): (RowHead, bool),
    before: impl Fn(u32) -> Option<f64>,
    out: &mut Vec<(u32, f64)>,
) -> Option<()> {
    let present = if all {
        None
    } else {
        Some(reader.bytes((head.slots as usize).div_ceil(8))?)
    };
    let is_there = |slot: u32| present.is_none_or(|bits| bits[slot as usize / 8] >> (slot % 8) & 1 == 1);
    let count = (0..head.slots).filter(|slot| is_there(*slot)).count();
    let changed = reader.bytes(count.div_ceil(8))?;
    for (at, slot) in (0..head.slots).filter(|slot| is_there(*slot)).enumerate() {
        let old = before(slot)?;
        let is_changed = changed[at / 8] >> (at % 8) & 1 == 1;
        out.push((slot, if is_changed { read_change(reader, old)? } else { old }));
    }
    Some(())
}

/// Writes samples with times of their own.
pub(crate) fn late(out: &mut Vec<u8>, target: u32, samples: &[Late]) {
    out.push(LATE);
    varint::push(out, u64::from(target));
    varint::push(out, samples.len() as u64);
    for sample in samples {
        varint::push(out, u64::from(sample.slot));
        varint::push_signed(out, sample.time);
        out.extend_from_slice(&sample.value.to_bits().to_le_bytes());
    }
}

/// Reads them, behind the kind.
pub(crate) fn read_late(reader: &mut Reader<'_>) -> Option<(u32, Vec<Late>)> {
    let target = reader.index()?;
    let count = reader.count()?;
    let mut samples = Vec::with_capacity(count);
    for _ in 0..count {
        samples.push(Late {
            slot: reader.index()?,
            time: reader.signed()?,
            value: f64::from_bits(reader.u64()?),
        });
    }
    Some((target, samples))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tend_promql::{NAN_BITS, STALE};

    #[test]
    fn a_row_comes_back() {
        let before = [0.0, 5.0, 0.25, 1e300, STALE, -3.5, f64::from_bits(NAN_BITS), 7.0];
        let after = [
            -0.0,
            6.0,
            0.123_456,
            1e301,
            1.0,
            STALE,
            f64::from_bits(NAN_BITS),
            0.1f64.sqrt(),
        ];
        for skipped in 0..=8u32 {
            let samples: Vec<(u32, f64)> = (0..8)
                .filter(|slot| *slot != skipped)
                .map(|slot| (slot, after[slot as usize]))
                .collect();
            let head = RowHead {
                target: 3,
                time: -17,
                slots: 8,
            };
            let mut bytes = Vec::new();
            row(&mut bytes, head, &samples, |slot| before[slot as usize]);
            let mut reader = Reader(&bytes[1..]);
            let read_head = read_row_head(&mut reader).expect("a row");
            assert_eq!(read_head.0, head);
            let mut read = Vec::new();
            read_row(
                &mut reader,
                read_head,
                |slot| before.get(slot as usize).copied(),
                &mut read,
            )
            .expect("a row");
            let bits = |samples: &[(u32, f64)]| samples.iter().map(|one| (one.0, one.1.to_bits())).collect::<Vec<_>>();
            assert_eq!(bits(&read), bits(&samples));
            assert!(reader.0.is_empty());
            for cut in 0..bytes.len() {
                let mut reader = Reader(&bytes[1..cut.max(1)]);
                if let Some(head) = read_row_head(&mut reader) {
                    assert_eq!(read_row(&mut reader, head, |_| Some(0.1), &mut Vec::new()), None);
                }
            }
        }
    }

    #[test]
    fn late_samples_come_back() {
        let samples = [
            Late {
                slot: 9,
                time: -1,
                value: 0.5,
            },
            Late {
                slot: 0,
                time: i64::MAX,
                value: -0.0,
            },
        ];
        let mut bytes = Vec::new();
        late(&mut bytes, 4, &samples);
        assert_eq!(read_late(&mut Reader(&bytes[1..])), Some((4, samples.to_vec())));
        assert_eq!(read_late(&mut Reader(&bytes[1..bytes.len() - 1])), None);
    }
}
