//! The values of one series, one after the other, in few bits. Times are not here: they are the column of the series' target.
//!
//! A chunk begins in *decimal* mode where its values are whole numbers divided by a power of ten (counters, bytes, durations that were
//! printed with few digits), and codes how the difference to the value before changed: the same difference is one bit. Values that are no
//! such numbers put it into *xor* mode (as in Facebook's Gorilla). Either way each value comes back bit by bit as it went in, except that
//! every NaN but the marker of staleness becomes the ordinary one.
//!
//! ```text
//! 0                        the same again: the same difference, the same value in xor mode, the same special
//! decimal:  10 6 bits, 110 10 bits, 1110 16 bits, 11110 28 bits, 111110 56 bits: how much the difference changed
//!           111111 tag
//! xor:      10 the bits within the window of the one before; 110 6 bits zeros in front, 6 bits length - 1, bits
//!           111 tag
//! tag, 4 bits: 0..=9 decimal mode with so many digits after the point, then 6 bits length and a zigzag number;
//!           10 xor mode, then 64 bits; 12 NaN, 13 absent, 14 stale
//! ```

use tend_promql::{NAN_BITS, STALE_BITS, is_stale};

use crate::bits::{self, Bits, PEEKED};
use crate::varint::{unzigzag, zigzag};

/// Stands for a column's row in which the series has no sample. Never leaves the store; the value itself cannot come from outside,
/// because every NaN that does is made ordinary.
pub(crate) const ABSENT_BITS: u64 = 0x7ff0_0000_0000_0003;

/// More digits after the point are not looked for: what needs them is no decimal that anybody printed.
const DIGITS_MAX: u8 = 9;
const TAG_XOR: u8 = 10;
const TAG_NAN: u8 = 12;
const TAG_ABSENT: u8 = 13;
const TAG_STALE: u8 = 14;
/// No mode yet.
const MODE_NONE: u8 = 15;

const POWERS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// Whole numbers beyond are not exact in a double.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Widths of a changed difference; the prefix is so many ones and a zero.
const WIDTHS: [u8; 5] = [6, 10, 16, 28, 56];

/// Returns the whole number that `value` is when the point is moved by `digits`, if it comes back exactly.
pub(crate) fn scaled(value: f64, digits: u8) -> Option<i64> {
    let power = POWERS[usize::from(digits)];
    let moved = value * power;
    // A negative zero would come back positive. The first test refuses NaN and infinities too.
    if moved.abs() < WHOLE_MAX {
        let whole = moved.round_ties_even() as i64;
        (unscaled(whole, digits).to_bits() == value.to_bits()).then_some(whole)
    } else {
        None
    }
}

/// Returns the value of a whole number that [`scaled`] gave.
pub(crate) fn unscaled(whole: i64, digits: u8) -> f64 {
    whole as f64 / POWERS[usize::from(digits)]
}

/// Returns the fewest digits from `least` on with which `value` is a decimal.
fn digits_of(value: f64, least: u8) -> Option<(u8, i64)> {
    (least..=DIGITS_MAX).find_map(|digits| Some((digits, scaled(value, digits)?)))
}

/// A chunk that is being written: its bytes and what the next value is compared with.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    bytes: Vec<u8>,
    /// Decimal: the whole number before. Xor: the bits before.
    last: i64,
    delta: i64,
    /// Unused bits of the last byte.
    free: u8,
    /// Digits after the point, or a tag.
    mode: u8,
    /// The tag of the special that stands before, or 0.
    special: u8,
    leading: u8,
    length: u8,
    /// Values in the chunk.
    pub(crate) count: u16,
    /// The row of the column that the first value belongs to.
    pub(crate) start: u16,
}

impl Default for Open {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            last: 0,
            delta: 0,
            free: 0,
            mode: MODE_NONE,
            special: 0,
            leading: 0,
            length: 0,
            count: 0,
            start: 0,
        }
    }
}

impl Open {
    /// Returns the bytes so far; [`Values`] reads `count` values of them.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns what the chunk takes of memory beyond its own fields.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Returns the value that was appended last, in this chunk or the one before; 0 when there was none.
    pub(crate) fn last_value(&self) -> f64 {
        match (self.special, self.mode) {
            (TAG_NAN, _) => f64::from_bits(NAN_BITS),
            (TAG_ABSENT, _) => f64::from_bits(ABSENT_BITS),
            (TAG_STALE, _) => f64::from_bits(STALE_BITS),
            (_, MODE_NONE) => 0.0,
            (_, TAG_XOR) => f64::from_bits(self.last as u64),
            (_, digits) => unscaled(self.last, digits),
        }
    }

    /// Begins the next chunk. The memory is kept, and so is what [`Open::last_value`] says.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.free = 0;
        self.count = 0;
        self.start = 0;
    }

    /// Appends rows without a sample until the chunk reaches `row`, then `value`. `row` is not below what was appended.
    pub(crate) fn push_at(&mut self, row: u16, value: f64) {
        if self.count == 0 {
            self.start = row;
        }
        while self.start + self.count < row {
            self.push(f64::from_bits(ABSENT_BITS));
        }
        self.push(value);
    }

    /// Appends a value.
    pub(crate) fn push(&mut self, value: f64) {
        let first = self.count == 0;
        self.count += 1;
        let special = match value.to_bits() {
            ABSENT_BITS => TAG_ABSENT,
            _ if is_stale(value) => TAG_STALE,
            _ if value.is_nan() => TAG_NAN,
            _ => 0,
        };
        if first {
            self.begin(value, special);
        } else if special != 0 {
            if self.special == special {
                self.put(0, 1);
            } else {
                self.tag(special);
                self.special = special;
            }
        } else {
            self.number(value);
        }
    }

    /// The first value of a chunk: a tag alone, and for a special the mode stays open.
    fn begin(&mut self, value: f64, special: u8) {
        let before = self.mode;
        self.special = special;
        if special != 0 {
            self.mode = MODE_NONE;
            self.put(u64::from(special), 4);
            return;
        }
        let as_before = if before <= DIGITS_MAX {
            scaled(value, before).map(|whole| (before, whole))
        } else {
            None
        };
        match as_before.or_else(|| digits_of(value, 0)) {
            Some((digits, whole)) => {
                self.put(u64::from(digits), 4);
                self.whole(digits, whole);
            }
            None => {
                self.put(u64::from(TAG_XOR), 4);
                self.raw(value);
            }
        }
    }

    fn number(&mut self, value: f64) {
        let after_special = std::mem::take(&mut self.special) != 0;
        match self.mode {
            TAG_XOR => self.xor(value, after_special),
            MODE_NONE => match digits_of(value, 0) {
                Some((digits, whole)) => {
                    self.tag(digits);
                    self.whole(digits, whole);
                }
                None => {
                    self.tag(TAG_XOR);
                    self.raw(value);
                }
            },
            digits => match scaled(value, digits) {
                Some(whole) => self.difference(whole, after_special),
                // More digits only: going back and forth would cost more than it saves.
                None => match digits_of(value, digits + 1) {
                    Some((digits, whole)) => {
                        self.tag(digits);
                        self.whole(digits, whole);
                    }
                    None => {
                        self.tag(TAG_XOR);
                        self.raw(value);
                    }
                },
            },
        }
    }

    fn difference(&mut self, whole: i64, after_special: bool) {
        let delta = whole - self.last;
        let changed = delta - self.delta;
        self.last = whole;
        self.delta = delta;
        // After a special, one zero bit would mean the special again.
        if changed == 0 && !after_special {
            self.put(0, 1);
            return;
        }
        let coded = zigzag(changed);
        for (at, width) in WIDTHS.into_iter().enumerate() {
            if coded >> width == 0 {
                let ones = at as u8 + 1;
                // The prefix and the number at once: 62 bits at most.
                let prefix = (1 << (ones + 1)) - 2;
                self.put(prefix << width | coded, ones + 1 + width);
                return;
            }
        }
    }

    fn xor(&mut self, value: f64, after_special: bool) {
        let bits = value.to_bits();
        let changed = bits ^ self.last as u64;
        self.last = bits as i64;
        if changed == 0 && !after_special {
            self.put(0, 1);
            return;
        }
        let leading = changed.leading_zeros().min(63) as u8;
        let trailing = if changed == 0 {
            0
        } else {
            changed.trailing_zeros() as u8
        };
        let end = self.leading + self.length;
        if self.length > 0 && leading >= self.leading && 64 - trailing <= end {
            self.put(0b10, 2);
            self.put(changed >> (64 - end), self.length);
        } else {
            let length = 64 - leading - trailing;
            self.put(0b110, 3);
            self.put(u64::from(leading), 6);
            self.put(u64::from(length - 1), 6);
            self.put(changed >> trailing, length);
            (self.leading, self.length) = (leading, length);
        }
        if changed == 0 {
            // No window of one bit is kept for what comes next.
            self.length = 0;
        }
    }

    /// Writes the prefix that a tag has in the mode, and the tag.
    fn tag(&mut self, tag: u8) {
        match self.mode {
            TAG_XOR => self.put(0b111, 3),
            MODE_NONE => self.put(1, 1),
            _ => self.put(0b11_1111, 6),
        }
        self.put(u64::from(tag), 4);
    }

    fn whole(&mut self, digits: u8, whole: i64) {
        let coded = zigzag(whole);
        let length = (64 - coded.leading_zeros()) as u8;
        self.put(u64::from(length), 6);
        self.put(coded, length);
        (self.mode, self.last, self.delta) = (digits, whole, 0);
    }

    fn raw(&mut self, value: f64) {
        self.put(value.to_bits(), 64);
        (self.mode, self.last) = (TAG_XOR, value.to_bits() as i64);
        (self.leading, self.length) = (0, 0);
    }

    fn put(&mut self, value: u64, count: u8) {
        self.free = bits::push(&mut self.bytes, self.free, value, count);
    }
}

/// Reads the values of a chunk. `None` after the last, and where the bytes are none that [`Open`] wrote.
#[derive(Clone, Debug)]
pub(crate) struct Values<'a> {
    bits: Bits<'a>,
    left: u16,
    first: bool,
    mode: u8,
    special: u8,
    last: i64,
    delta: i64,
    leading: u8,
    length: u8,
}

impl<'a> Values<'a> {
    pub(crate) fn new(bytes: &'a [u8], count: u16) -> Self {
        Self {
            bits: Bits::new(bytes),
            left: count,
            first: true,
            mode: MODE_NONE,
            special: 0,
            last: 0,
            delta: 0,
            leading: 0,
            length: 0,
        }
    }

    fn tagged(&mut self) -> Option<f64> {
        let tag = self.bits.take(4)? as u8;
        match tag {
            0..=DIGITS_MAX => {
                let length = self.bits.take(6)? as u8;
                self.last = unzigzag(self.bits.take(length)?);
                (self.mode, self.delta, self.special) = (tag, 0, 0);
                Some(unscaled(self.last, tag))
            }
            TAG_XOR => {
                self.last = self.bits.take(64)? as i64;
                (self.mode, self.special) = (tag, 0);
                (self.leading, self.length) = (0, 0);
                Some(f64::from_bits(self.last as u64))
            }
            _ => {
                self.special = tag;
                special_value(tag)
            }
        }
    }

    #[inline]
    fn decimal(&mut self) -> Option<f64> {
        if !self.bits.bit()? {
            if self.special != 0 {
                return special_value(self.special);
            }
            self.last = self.last.wrapping_add(self.delta);
            return Some(unscaled(self.last, self.mode));
        }
        for width in WIDTHS {
            if !self.bits.bit()? {
                let changed = unzigzag(self.bits.take(width)?);
                self.special = 0;
                self.delta = self.delta.wrapping_add(changed);
                self.last = self.last.wrapping_add(self.delta);
                return Some(unscaled(self.last, self.mode));
            }
        }
        self.tagged()
    }

    /// Passes over `skip` values and appends up to `take` of those that follow.
    pub(crate) fn read(mut self, skip: usize, take: usize, out: &mut Vec<f64>) {
        let end = (skip + take).min(usize::from(self.left));
        // Room is made once: a push of each value was a twentieth of a query over buckets.
        let begun = out.len();
        out.resize(begun + end.saturating_sub(skip), 0.0);
        let mut room = Room {
            skip,
            values: &mut out[begun..],
        };
        let mut at = 0;
        while at < end {
            at += self.decimals(end - at, &mut room);
            if at == end {
                break;
            }
            let Some(value) = self.next() else { break };
            room.put(1, || value);
            at += 1;
        }
        let empty = room.values.len();
        out.truncate(out.len() - empty);
    }

    /// Goes through values of decimal mode for as long as they are ordinary ones, up to `end` of them, and returns how many it went through.
    fn decimals(&mut self, end: usize, room: &mut Room<'_>) -> usize {
        match self.mode {
            _ if self.first || self.special != 0 => 0,
            0 => self.decimals_by(end, room, |whole| whole as f64),
            1..=DIGITS_MAX => {
                let power = POWERS[usize::from(self.mode)];
                self.decimals_by(end, room, |whole| whole as f64 / power)
            }
            _ => 0,
        }
    }

    /// Bit by bit, with all of the state in memory, values took half of the time of a query over buckets; one look at the bytes for each value,
    /// a third. So one look serves for all values that lie within it, and those that go on as before are a run of zeros.
    #[inline]
    fn decimals_by(&mut self, end: usize, room: &mut Room<'_>, value: impl Fn(i64) -> f64) -> usize {
        let (mut bits, mut last, mut delta, mut read) = (self.bits.clone(), self.last, self.delta, 0);
        let mut is_ordinary = true;
        while is_ordinary && read < end {
            let (mut word, there) = (bits.peek(), bits.left().min(PEEKED));
            let mut used = 0;
            while read < end {
                let ones = word.leading_ones();
                let (run, changed, size) = match ones {
                    0 => {
                        let run = word.leading_zeros().min(there - used);
                        let run = run.min(u32::try_from(end - read).unwrap_or(run));
                        (run, 0, run)
                    }
                    // The widest and tags are not for here.
                    1..=4 => {
                        let width = u32::from(WIDTHS[ones as usize - 1]);
                        (1, unzigzag(word << (ones + 1) >> (64 - width)), ones + 1 + width)
                    }
                    _ => {
                        is_ordinary = false;
                        break;
                    }
                };
                if size == 0 || used + size > there {
                    break;
                }
                word <<= size;
                used += size;
                delta = delta.wrapping_add(changed);
                room.put(run as usize, || {
                    last = last.wrapping_add(delta);
                    value(last)
                });
                read += run as usize;
            }
            // A number that does not lie within one look is cut off.
            is_ordinary &= used > 0 && bits.skip(used);
        }
        (self.bits, self.last, self.delta) = (bits, last, delta);
        self.left -= read as u16;
        read
    }

    fn xor(&mut self) -> Option<f64> {
        if !self.bits.bit()? {
            if self.special != 0 {
                return special_value(self.special);
            }
            return Some(f64::from_bits(self.last as u64));
        }
        if self.bits.bit()? {
            if self.bits.bit()? {
                return self.tagged();
            }
            self.leading = self.bits.take(6)? as u8;
            self.length = self.bits.take(6)? as u8 + 1;
        }
        let end = self.leading + self.length;
        if end > 64 || self.length == 0 {
            return None;
        }
        let changed = self.bits.take(self.length)? << (64 - end);
        self.special = 0;
        self.last = (self.last as u64 ^ changed) as i64;
        if changed == 0 {
            self.length = 0;
        }
        Some(f64::from_bits(self.last as u64))
    }
}

/// Where values go that are read: the first are passed over, the others fill what is left.
struct Room<'v> {
    skip: usize,
    values: &'v mut [f64],
}

impl Room<'_> {
    /// Takes `count` values, no more than are wanted.
    #[inline]
    fn put(&mut self, count: usize, mut next: impl FnMut() -> f64) {
        let passed = count.min(self.skip);
        self.skip -= passed;
        for _ in 0..passed {
            next();
        }
        let (here, behind) = std::mem::take(&mut self.values).split_at_mut(count - passed);
        here.fill_with(next);
        self.values = behind;
    }
}

fn special_value(tag: u8) -> Option<f64> {
    match tag {
        TAG_NAN => Some(f64::from_bits(NAN_BITS)),
        TAG_ABSENT => Some(f64::from_bits(ABSENT_BITS)),
        TAG_STALE => Some(f64::from_bits(STALE_BITS)),
        _ => None,
    }
}

impl Iterator for Values<'_> {
    type Item = f64;

    #[inline]
    fn next(&mut self) -> Option<f64> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let value = if std::mem::take(&mut self.first) {
            self.tagged()
        } else {
            match self.mode {
                TAG_XOR => self.xor(),
                MODE_NONE => match self.bits.bit() {
                    Some(true) => self.tagged(),
                    Some(false) => special_value(self.special),
                    None => None,
                },
                _ => self.decimal(),
            }
        };
        if value.is_none() {
            // What cannot be read has no rest either.
            self.left = 0;
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(values: &[f64]) -> Open {
        let mut open = Open::default();
        for value in values {
            open.push(*value);
        }
        open
    }

    fn assert_comes_back(values: &[f64]) {
        let open = written(values);
        let read: Vec<u64> = Values::new(open.bytes(), open.count).map(f64::to_bits).collect();
        let wanted: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
        assert_eq!(read, wanted, "{values:?}");
        // In pieces, as queries read: the same values.
        for (skip, take) in [
            (0, usize::MAX / 2),
            (0, 1),
            (1, 2),
            (values.len() / 2, 7),
            (values.len(), 1),
        ] {
            let mut piece = Vec::new();
            Values::new(open.bytes(), open.count).read(skip, take, &mut piece);
            let piece: Vec<u64> = piece.into_iter().map(f64::to_bits).collect();
            let there = skip.min(wanted.len())..skip.saturating_add(take).min(wanted.len());
            assert_eq!(piece, wanted[there], "{skip} {take} of {values:?}");
        }
    }

    const NAN: f64 = f64::from_bits(NAN_BITS);
    const STALE: f64 = f64::from_bits(STALE_BITS);
    const ABSENT: f64 = f64::from_bits(ABSENT_BITS);

    #[test]
    fn each_value_comes_back_bit_by_bit() {
        let odd = 0.1f64.sqrt();
        let cases: &[&[f64]] = &[
            &[0.0],
            &[-0.0, 0.0, -0.0],
            &[1.0, 2.0, 3.0, 4.0, 3.0, -100_000.0, 1e15, -1e15, 0.0],
            &[
                9_007_199_254_740_991.0,
                -9_007_199_254_740_991.0,
                9_007_199_254_740_992.0,
                1e300,
            ],
            &[0.1, 0.2, 0.25, 0.123_456_789, 1234.5, 7.0],
            &[odd, odd, -odd, odd * 2.0, f64::MIN_POSITIVE, 5e-324, f64::MAX],
            &[f64::INFINITY, f64::NEG_INFINITY, 1.0, f64::INFINITY],
            &[NAN, NAN, 1.0, NAN, NAN, 1.0, STALE, ABSENT, ABSENT, 2.0, 3.0, STALE],
            &[STALE, odd, STALE, STALE, odd, odd, NAN, odd, odd],
            &[ABSENT, NAN, STALE],
            &[5.0, 10.0, STALE, 15.0, 20.0],
        ];
        for case in cases {
            assert_comes_back(case);
        }
    }

    #[test]
    fn made_up_series_come_back() {
        let mut random = 0x5eed_u64;
        let mut next = || {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            random >> 33
        };
        for _ in 0..3000 {
            let mut value = next() as f64;
            let values: Vec<f64> = (0..next() % 200)
                .map(|_| {
                    match next() % 12 {
                        0 => return [NAN, STALE, ABSENT, f64::INFINITY][next() as usize % 4],
                        1 => value = (next() as f64).sqrt(),
                        2 => value = next() as f64 / 1000.0,
                        3..=6 => value += (next() % 1000) as f64,
                        _ => {}
                    }
                    value
                })
                .collect();
            assert_comes_back(&values);
        }
    }

    #[test]
    fn a_new_chunk_goes_on_from_the_value_before() {
        let mut open = written(&[0.25, 0.5]);
        open.clear();
        assert_eq!(open.last_value(), 0.5);
        open.push_at(7, 0.75);
        assert_eq!((open.start, open.count), (7, 1));
        open.push_at(9, STALE);
        let values: Vec<u64> = Values::new(open.bytes(), open.count).map(f64::to_bits).collect();
        assert_eq!(values, [0.75f64.to_bits(), ABSENT_BITS, STALE_BITS]);
    }

    #[test]
    fn an_idle_series_takes_a_bit_a_sample() {
        assert!(written(&[17.0; 120]).bytes().len() <= 17);
        assert!(written(&[NAN; 120]).bytes().len() <= 16);
        let steady: Vec<f64> = (0..120).map(|at| f64::from(at) * 5.0).collect();
        assert!(written(&steady).bytes().len() <= 20);
    }

    #[test]
    fn no_bytes_make_a_reader_panic() {
        let mut random = 1u64;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..random % 40)
                .map(|_| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
                    (random >> 40) as u8
                })
                .collect();
            random = random.wrapping_add(1);
            let one_by_one: Vec<u64> = Values::new(&bytes, 500).map(f64::to_bits).collect();
            let mut at_once = Vec::new();
            Values::new(&bytes, 500).read(0, 500, &mut at_once);
            let at_once: Vec<u64> = at_once.into_iter().map(f64::to_bits).collect();
            assert!(one_by_one.len() <= 500);
            assert_eq!(at_once, one_by_one, "{bytes:?}");
        }
    }
}
