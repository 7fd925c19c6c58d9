//! Protocol buffers as bytes: fields of a message, one after the other. Knows no message.

use crate::error::BodyError;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire<'a> {
    /// A number of up to 64 bits.
    Number(u64),
    /// Eight bytes.
    Eight(u64),
    /// A text, bytes, or a message.
    Bytes(&'a [u8]),
    /// Four bytes, which no message here has.
    Four,
}

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) number: u32,
    pub(super) value: Wire<'a>,
}

/// Reads the fields of a message.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'a [u8]) -> Reader<'a> {
        Reader(message)
    }

    /// The next field; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Field<'a>>, BodyError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3)
            .ok()
            .filter(|number| (1..1 << 29).contains(number))
            .ok_or(BodyError::Message("illegal tag"))?;
        let value = match tag & 7 {
            0 => Wire::Number(self.varint()?),
            1 => {
                let bytes = self.take(8)?;
                let mut eight = [0; 8];
                eight.copy_from_slice(bytes);
                Wire::Eight(u64::from_le_bytes(eight))
            }
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).map_err(|_| BodyError::Message("unexpected EOF"))?;
                Wire::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Wire::Four
            }
            _ => return Err(BodyError::Message("illegal wireType")),
        };
        Ok(Some(Field { number, value }))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], BodyError> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(BodyError::Message("unexpected EOF"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, BodyError> {
        let (value, rest) = varint(self.0).ok_or(BodyError::Message("a number has no end"))?;
        self.0 = rest;
        Ok(value)
    }
}

/// A number in groups of seven bits, the lowest first; `None` when it does not end or does not fit.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value: u64 = 0;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if at == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

/// Appends a number in groups of seven bits.
pub(super) fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field with a number; zero is what a field is that is not there.
pub(super) fn number(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        push_varint(out, u64::from(field << 3));
        push_varint(out, value);
    }
}

/// Appends a field of eight bytes.
pub(super) fn eight(out: &mut Vec<u8>, field: u32, bits: u64) {
    push_varint(out, u64::from(field << 3 | 1));
    out.extend_from_slice(&bits.to_le_bytes());
}

/// Appends a field of bytes.
pub(super) fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    push_varint(out, u64::from(field << 3 | 2));
    push_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}
