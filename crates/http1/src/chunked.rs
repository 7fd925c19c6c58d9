//! Chunked bodies (RFC 9112, 7.1): taken apart where they lie, and the framing of new ones.
//!
//! ```text
//! size ──► data ──► end of data ──► size … ──size 0──► trailers ──► over
//! ```

use crate::Http1Error;
use crate::fields::Fields;

/// The fields after the last chunk, in bytes, at most. Whoever holds the bytes needs room for as many.
pub const TRAILER_BYTES_MAX: usize = 8 << 10;

/// The line of a size with its extensions, in bytes, at most.
const SIZE_LINE_BYTES_MAX: usize = 512;

/// Extensions may outweigh the data by so much over a whole body, as in Go's server: a byte of data for each line of hundreds is an
/// attack on whoever has to read it.
const EXTENSION_BYTES_MAX: usize = 16 << 10;

/// What [`write_chunk_size`] writes at most.
pub const CHUNK_SIZE_BYTES_MAX: usize = 18;

/// What ends a chunked body that has no trailer fields.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Data,
    DataEnd,
    Trailers,
    Over,
}

/// How far a chunked body has been read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chunked {
    state: State,
    /// Of the data of this chunk.
    left: u64,
    /// There was data before.
    has_data: bool,
    extension_bytes: usize,
}

/// What comes next in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Framing to be skipped, and then data. Both are to be taken out before the next call.
    Data {
        /// Bytes of framing, maybe 0.
        skip: usize,
        /// Bytes of data, at least 1.
        length: usize,
    },
    /// Framing to be skipped; then more has to come behind what is left.
    More {
        /// Bytes of framing, maybe 0.
        skip: usize,
    },
    /// The end: framing, trailer fields and all. What follows belongs to the next message.
    End {
        /// Bytes up to the end.
        skip: usize,
    },
}

impl Chunked {
    /// Returns what comes next. `bytes` begin where the piece before ended.
    ///
    /// `trailers` gets the fields after the last chunk, if there are any, with [`Piece::End`].
    ///
    /// # Errors
    /// What was not chunks, or too much of something.
    pub fn next(&mut self, bytes: &[u8], trailers: &mut Fields) -> Result<Piece, Http1Error> {
        let mut skip = 0;
        loop {
            let rest = &bytes[skip..];
            match self.state {
                State::Size => match self.size_line(rest)? {
                    None => return Ok(Piece::More { skip }),
                    Some(line) => skip += line,
                },
                State::Data => {
                    let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
                    if length == 0 {
                        return Ok(Piece::More { skip });
                    }
                    self.left -= length as u64;
                    self.has_data = true;
                    self.extension_bytes = self.extension_bytes.saturating_sub(length);
                    if self.left == 0 {
                        self.state = State::DataEnd;
                    }
                    return Ok(Piece::Data { skip, length });
                }
                State::DataEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        skip += 2;
                        self.state = State::Size;
                    }
                    [] | [b'\r'] => return Ok(Piece::More { skip }),
                    _ => return Err(Http1Error::Chunk),
                },
                State::Trailers => {
                    return match trailer_section(rest)? {
                        None => Ok(Piece::More { skip }),
                        Some(length) => {
                            trailers.read_trailers(&rest[..length])?;
                            self.state = State::Over;
                            Ok(Piece::End { skip: skip + length })
                        }
                    };
                }
                State::Over => return Ok(Piece::End { skip }),
            }
        }
    }

    /// Says whether anything was read.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.state != State::Size || self.has_data
    }

    /// Says whether the end was reached.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Reads the line of a size; returns how long it is, or none when it is not all there.
    fn size_line(&mut self, bytes: &[u8]) -> Result<Option<usize>, Http1Error> {
        let mut size: u64 = 0;
        let mut digits = 0;
        for byte in bytes {
            let Some(digit) = (*byte as char).to_digit(16) else {
                break;
            };
            // 16 digits fill 64 bits; what is longer is an overflow or a disguise.
            if digits == 16 {
                return Err(Http1Error::Chunk);
            }
            size = size << 4 | u64::from(digit);
            digits += 1;
        }
        let Some(after) = bytes.get(digits) else {
            return Ok(None);
        };
        // No space before the extension either, though the grammar allows what it calls bad.
        if digits == 0 || !matches!(after, b';' | b'\r') {
            return Err(Http1Error::Chunk);
        }
        let extension = bytes[digits..]
            .iter()
            .position(|byte| !matches!(byte, b'\t' | b' '..=b'~'))
            .unwrap_or(bytes.len() - digits);
        if digits + extension > SIZE_LINE_BYTES_MAX {
            return Err(Http1Error::ChunkOverhead);
        }
        match &bytes[digits + extension..] {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] => {}
            _ => return Err(Http1Error::Chunk),
        }
        self.extension_bytes += extension;
        if self.extension_bytes > EXTENSION_BYTES_MAX {
            return Err(Http1Error::ChunkOverhead);
        }
        self.left = size;
        self.state = if size == 0 { State::Trailers } else { State::Data };
        Ok(Some(digits + extension + 2))
    }
}

/// Returns how long the trailer section is with its empty line, or none when it is not all there.
fn trailer_section(bytes: &[u8]) -> Result<Option<usize>, Http1Error> {
    let mut line = 0;
    for feed in memchr::memchr_iter(b'\n', bytes) {
        if feed == line || bytes[feed - 1] != b'\r' {
            return Err(Http1Error::Trailers);
        }
        if feed == line + 1 && feed < TRAILER_BYTES_MAX {
            return Ok(Some(feed + 1));
        }
        line = feed + 1;
        if line > TRAILER_BYTES_MAX {
            break;
        }
    }
    if bytes.len() > TRAILER_BYTES_MAX {
        return Err(Http1Error::Trailers);
    }
    Ok(None)
}

/// Writes the line before a chunk of so many bytes. A chunk of none would end the body.
pub fn write_chunk_size(out: &mut Vec<u8>, length: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4).max(1);
    out.extend((0..digits).rev().map(|digit| DIGITS[length >> (digit * 4) & 15]));
    out.extend_from_slice(b"\r\n");
}
