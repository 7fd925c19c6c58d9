//! Finds any of many byte strings in a window, all at once.
//!
//! As Wu and Manber do it, with the shortest string that is looked for ([`VALUE_BYTES_MIN`]) as the block: a table tells by three
//! bytes how far the next string's begin is at least, so most bytes of a log are never looked at. A place where that is 0 is looked up
//! by its eight bytes. Measured beside the `aho-corasick` crate by `bench/redact`: faster, and a fraction of its memory, of which
//! each shim has its own.

use crate::value::VALUE_BYTES_MIN;

/// Bytes of a string by which it is looked up: those of a word.
const KEY: usize = VALUE_BYTES_MIN;
/// How far the search goes on over bytes that stand in no key.
const SHIFT_MAX: u8 = (KEY - 2) as u8;

/// What is looked for.
#[derive(Clone, Default)]
pub(crate) struct Exact {
    bytes: Vec<u8>,
    /// In the order of their bytes.
    strings: Vec<Text>,
    /// Strings with the same first bytes, in the order of these.
    groups: Vec<Group>,
    shift: Vec<u8>,
    shift_bits: u32,
    /// Open addressing by key: index in `groups` plus one.
    slots: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Text {
    from: usize,
    length: usize,
    value: u32,
}

#[derive(Clone, Copy)]
struct Group {
    /// The first bytes as a big-endian number, which orders them as text does.
    key: u64,
    first: usize,
    count: usize,
}

/// What stands at a place.
pub(crate) struct Found {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) value: u32,
}

impl Exact {
    /// Takes in strings of at least [`VALUE_BYTES_MIN`] bytes, each with the number of its value.
    pub(crate) fn new(mut strings: Vec<(Vec<u8>, u32)>) -> Self {
        strings.retain(|(text, _)| text.len() >= KEY);
        strings.sort();
        strings.dedup_by(|one, other| one.0 == other.0);
        if strings.is_empty() {
            return Self::default();
        }
        // Three bytes in ten of the table stand in a key at most: enough that most places are passed over.
        let wanted = (strings.len() * usize::from(SHIFT_MAX) * 3).next_power_of_two();
        let shift_bits = wanted.ilog2().clamp(12, 19);
        let mut exact = Self {
            shift: vec![SHIFT_MAX; 1 << shift_bits],
            shift_bits,
            slots: vec![0; (strings.len() * 2).next_power_of_two()],
            ..Self::default()
        };
        for (text, value) in strings {
            let key = key_of(&text);
            for at in 0..=usize::from(SHIFT_MAX) - 1 {
                let place = exact.place_of(word_of(&text) >> (8 * at));
                let shift = SHIFT_MAX - 1 - at as u8;
                exact.shift[place] = exact.shift[place].min(shift);
            }
            let first = exact.strings.len();
            exact.strings.push(Text {
                from: exact.bytes.len(),
                length: text.len(),
                value,
            });
            exact.bytes.extend(text);
            match exact.groups.last_mut() {
                Some(group) if group.key == key => group.count += 1,
                _ => exact.groups.push(Group { key, first, count: 1 }),
            }
        }
        for (at, group) in exact.groups.iter().enumerate() {
            let mut slot = slot_of(group.key, exact.slots.len());
            while exact.slots[slot] != 0 {
                slot = (slot + 1) % exact.slots.len();
            }
            exact.slots[slot] = at as u32 + 1;
        }
        exact
    }

    /// Returns how many strings are looked for.
    pub(crate) fn texts(&self) -> usize {
        self.strings.len()
    }

    /// Returns how many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
            + self.strings.len() * size_of::<Text>()
            + self.groups.len() * size_of::<Group>()
            + self.shift.len()
            + self.slots.len() * size_of::<u32>()
    }

    /// Tells every place where a string stands, the longest of those that begin there, in order of places. Returns the first place
    /// where one may begin whose end is not in the window; its end when there is none.
    pub(crate) fn find(&self, window: &[u8], mut found: impl FnMut(Found)) -> usize {
        let end = window.len();
        if self.groups.is_empty() {
            return end;
        }
        let mut open = end;
        let mut at = 0;
        while let Some(word) = window.get(at..at + KEY).and_then(|bytes| bytes.try_into().ok()) {
            let word = u64::from_le_bytes(word);
            let shift = self.shift[self.place_of(word >> (8 * (usize::from(SHIFT_MAX) - 1)))];
            if shift > 0 {
                at += usize::from(shift);
                continue;
            }
            if let Some(group) = self.group(word.swap_bytes()) {
                let rest = &window[at..];
                let mut longest: Option<&Text> = None;
                for text in &self.strings[group.first..group.first + group.count] {
                    let bytes = &self.bytes[text.from..text.from + text.length];
                    if rest.starts_with(bytes) {
                        // In the order of bytes a string comes before those it begins.
                        longest = Some(text);
                    } else if bytes.starts_with(rest) {
                        open = open.min(at);
                    }
                }
                if let Some(text) = longest {
                    found(Found {
                        start: at,
                        end: at + text.length,
                        value: text.value,
                    });
                }
            }
            at += 1;
        }
        for at in at..end {
            if self.begins_with(&window[at..]) {
                return open.min(at);
            }
        }
        open
    }

    /// Whether a string begins with these bytes, fewer than a key has.
    fn begins_with(&self, bytes: &[u8]) -> bool {
        let (mut low, mut high) = ([0u8; KEY], [0xff; KEY]);
        low[..bytes.len()].copy_from_slice(bytes);
        high[..bytes.len()].copy_from_slice(bytes);
        let (low, high) = (u64::from_be_bytes(low), u64::from_be_bytes(high));
        let first = self.groups.partition_point(|group| group.key < low);
        self.groups.get(first).is_some_and(|group| group.key <= high)
    }

    fn group(&self, key: u64) -> Option<&Group> {
        let mut slot = slot_of(key, self.slots.len());
        loop {
            let at = (self.slots[slot] as usize).checked_sub(1)?;
            let group = &self.groups[at];
            if group.key == key {
                return Some(group);
            }
            slot = (slot + 1) % self.slots.len();
        }
    }

    /// Returns the place in the table of the three lowest bytes of a number.
    #[inline]
    fn place_of(&self, bytes: u64) -> usize {
        let three = (bytes & 0xff_ffff) as u32;
        (three.wrapping_mul(0x9e37_79b1) >> (32 - self.shift_bits)) as usize
    }
}

fn slot_of(key: u64, slots: usize) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % slots
}

fn word_of(text: &[u8]) -> u64 {
    text[..KEY]
        .iter()
        .rev()
        .fold(0, |word, &byte| word << 8 | u64::from(byte))
}

fn key_of(text: &[u8]) -> u64 {
    word_of(text).swap_bytes()
}
