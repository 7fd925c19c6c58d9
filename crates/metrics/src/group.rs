//! A sealed stretch of one target: its column of times and a chunk for each series that had a sample. The same bytes in memory and in a
//! block. Knows neither labels nor files.
//!
//! ```text
//! rows, first time, differences of the differences of times
//! chunks, then for each: slot (difference), first row, values, bytes
//! the bytes of the chunks
//! ```
//! All are numbers of `varint`.

use crate::chunk::{ABSENT_BITS, Open, Values};
use crate::varint::{self, Reader};

/// A sealed stretch and what is asked of it most often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// The earliest time in it.
    pub(crate) min: i64,
    /// The latest.
    pub(crate) max: i64,
    /// How many values its chunks hold, those that say «absent» included.
    pub(crate) samples: u64,
    pub(crate) bytes: Box<[u8]>,
}

/// One chunk of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkRef<'a> {
    pub(crate) slot: u32,
    pub(crate) start: u16,
    pub(crate) count: u16,
    pub(crate) bytes: &'a [u8],
}

impl Group {
    /// Seals `chunks` over `times`, which rise and are not empty; `None` where no chunk has a value. Slots rise.
    pub(crate) fn seal<'a>(times: &[i64], chunks: impl Iterator<Item = (u32, &'a Open)>) -> Option<Self> {
        let (min, max) = (*times.first()?, *times.last()?);
        let mut directory = Vec::new();
        let mut data = Vec::new();
        let (mut count, mut samples, mut before) = (0u64, 0u64, 0);
        for (slot, open) in chunks.filter(|(_, open)| open.count > 0) {
            varint::push(&mut directory, u64::from(slot - before));
            varint::push(&mut directory, u64::from(open.start));
            varint::push(&mut directory, u64::from(open.count));
            varint::push(&mut directory, open.bytes().len() as u64);
            data.extend_from_slice(open.bytes());
            before = slot;
            count += 1;
            samples += u64::from(open.count);
        }
        if count == 0 {
            return None;
        }
        let mut bytes = Vec::with_capacity(times.len() * 2 + directory.len() + data.len() + 16);
        push_times(&mut bytes, times);
        varint::push(&mut bytes, count);
        bytes.extend_from_slice(&directory);
        bytes.extend_from_slice(&data);
        Some(Self {
            min,
            max,
            samples,
            bytes: bytes.into(),
        })
    }
}

fn push_times(bytes: &mut Vec<u8>, times: &[i64]) {
    varint::push(bytes, times.len() as u64);
    let (mut before, mut step) = (0i64, 0i64);
    for time in times {
        let now = time.wrapping_sub(before);
        varint::push_signed(bytes, now.wrapping_sub(step));
        (before, step) = (*time, now);
    }
}

/// Reads the times and the directory of a group; `None` where the bytes are none that [`Group::seal`] wrote.
pub(crate) fn open(bytes: &[u8]) -> Option<(Vec<i64>, Vec<ChunkRef<'_>>)> {
    let mut reader = Reader(bytes);
    let rows = reader.count()?;
    let mut times = Vec::with_capacity(rows);
    let (mut before, mut step) = (0i64, 0i64);
    for _ in 0..rows {
        step = step.wrapping_add(reader.signed()?);
        before = before.wrapping_add(step);
        times.push(before);
    }
    if !times.is_sorted_by(|one, two| one < two) {
        return None;
    }
    let count = reader.count()?;
    let mut chunks = Vec::with_capacity(count);
    let (mut slot, mut at) = (0u32, 0usize);
    let mut places = Vec::with_capacity(count);
    for _ in 0..count {
        slot = slot.checked_add(reader.index()?)?;
        let start = u16::try_from(reader.number()?).ok()?;
        let count = u16::try_from(reader.number()?).ok()?;
        if usize::from(start) + usize::from(count) > rows {
            return None;
        }
        let length = usize::try_from(reader.number()?).ok()?;
        places.push((slot, start, count, at, length));
        at = at.checked_add(length)?;
    }
    let data = reader.0;
    for (slot, start, count, at, length) in places {
        let bytes = data.get(at..at.checked_add(length)?)?;
        chunks.push(ChunkRef {
            slot,
            start,
            count,
            bytes,
        });
    }
    Some((times, chunks))
}

/// Appends the samples of a chunk within `from..=to` to two columns.
pub(crate) fn read_chunk(
    times: &[i64],
    (start, count, bytes): (u16, u16, &[u8]),
    (from, to): (i64, i64),
    out: (&mut Vec<i64>, &mut Vec<f64>),
) {
    let rows = &times[usize::from(start).min(times.len())..];
    let first = rows.partition_point(|time| *time < from);
    let wanted = rows.partition_point(|time| *time <= to).saturating_sub(first);
    let rows = &rows[first..];
    let begun = out.1.len();
    Values::new(bytes, count).read(first, wanted, out.1);
    let read = &out.1[begun..];
    let there = |value: &f64| value.to_bits() != ABSENT_BITS;
    // Without an early end, so that the compiler looks at several at a time; almost always there are all.
    if read.iter().fold(true, |all, value| all & there(value)) {
        out.0.extend_from_slice(&rows[..read.len()]);
        return;
    }
    let with_times = rows.iter().zip(read);
    out.0
        .extend(with_times.filter(|(_, value)| there(value)).map(|(time, _)| *time));
    let mut at = begun;
    for place in begun..out.1.len() {
        let value = out.1[place];
        if there(&value) {
            out.1[at] = value;
            at += 1;
        }
    }
    out.1.truncate(at);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_comes_back() {
        let mut one = Open::default();
        let mut two = Open::default();
        for row in 0..5u16 {
            one.push_at(row, f64::from(row));
        }
        two.push_at(1, 7.0);
        two.push_at(4, 8.5);
        let none = Open::default();
        let times = [-10, 5, 20, 36, 1000];
        let group = Group::seal(&times, [(3, &one), (4, &none), (900, &two)].into_iter()).expect("chunks");
        assert_eq!((group.min, group.max, group.samples), (-10, 1000, 9));
        let (read, chunks) = open(&group.bytes).expect("a group");
        assert_eq!(read, times);
        assert_eq!(chunks.iter().map(|chunk| chunk.slot).collect::<Vec<_>>(), [3, 900]);
        let (mut at, mut values) = (Vec::new(), Vec::new());
        let chunk = (chunks[1].start, chunks[1].count, chunks[1].bytes);
        read_chunk(&read, chunk, (5, 1000), (&mut at, &mut values));
        assert_eq!((at, values), (vec![5, 1000], vec![7.0, 8.5]));
    }

    #[test]
    fn no_bytes_make_a_reader_panic() {
        let mut open_chunk = Open::default();
        open_chunk.push(1.5);
        let group = Group::seal(&[1], [(0, &open_chunk)].into_iter()).expect("a chunk");
        for at in 0..group.bytes.len() {
            for bit in 0..8 {
                let mut bytes = group.bytes.to_vec();
                bytes[at] ^= 1 << bit;
                let _ = open(&bytes);
                let _ = open(&bytes[..at]);
            }
        }
    }
}
