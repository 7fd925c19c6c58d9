//! Compresses a body piece by piece as it passes.
//!
//! Knows neither HTTP nor when to compress: that is `content`'s. What a response's encoder holds is bounded by the parameters below,
//! and how many there are at once by [`Seats`].
//!
//! Invariant: no byte of the input is held back once [`Encoder::flush`] was called (test
//! `whatever_the_pieces_a_decoder_gets_back_what_went_in`).

use std::cell::Cell;
use std::io::Write;
use std::rc::Rc;

use brotli::CompressorWriter;
use flate2::Compression;
use flate2::write::GzEncoder;
use zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

/// nginx's default is 1, what people write is 5 or 6. Holds 0.5 MB.
const GZIP_LEVEL: u32 = 5;

/// The strongest that stays below [`HELD_MAX`] bytes: 4 holds twice as much and is half as fast for a few per cent.
const BROTLI_QUALITY: u32 = 3;

/// 64 KiB: most bodies are shorter, and the window is much of what an encoder holds.
const WINDOW_BITS: u32 = 16;

/// zstd's own default.
const ZSTD_LEVEL: i32 = 3;

/// zstd's own tables are made for windows of 2 MiB; with these it holds 0.6 MB, and is twice as fast.
const ZSTD_TABLE_BITS: u32 = 14;

/// No encoder holds more than so many bytes, whatever the body; measured in `docs/design/0240-content.md`.
#[cfg(test)]
const HELD_MAX: usize = 1 << 20;

/// Encoders at once in one thread, so at most 64 MB; responses beyond are not compressed.
const SEATS_MAX: u32 = 64;

/// What a response may be compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

impl Coding {
    /// Returns the name in `Content-Encoding` (RFC 9110, 8.4.1; RFC 7932; RFC 8878).
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// How many encoders a thread has now.
#[derive(Debug, Default)]
pub(crate) struct Seats(Rc<Cell<u32>>);

/// One of them.
#[derive(Debug)]
struct Seat(Rc<Cell<u32>>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// One response's encoder.
pub(crate) struct Encoder {
    kind: Kind,
    coding: Coding,
    /// Something went in since the last flush.
    dirty: bool,
    /// Each piece is let out at once.
    eager: bool,
    _seat: Seat,
}

enum Kind {
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(CCtx<'static>),
    Finished,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder")
            .field("coding", &self.coding())
            .finish_non_exhaustive()
    }
}

impl Encoder {
    /// Returns an encoder, unless there are too many already. `eager` lets each piece out at once, as events want it.
    pub(crate) fn new(coding: Coding, eager: bool, seats: &Seats) -> Option<Box<Self>> {
        if seats.0.get() >= SEATS_MAX {
            return None;
        }
        let kind = match coding {
            Coding::Gzip => Kind::Gzip(Box::new(GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL)))),
            Coding::Brotli => Kind::Brotli(Box::new(CompressorWriter::new(
                Vec::new(),
                4096,
                BROTLI_QUALITY,
                WINDOW_BITS,
            ))),
            Coding::Zstd => Kind::Zstd(zstd()?),
        };
        seats.0.set(seats.0.get() + 1);
        Some(Box::new(Self {
            kind,
            coding,
            dirty: false,
            eager,
            _seat: Seat(seats.0.clone()),
        }))
    }

    /// Returns what goes into `Content-Encoding`.
    pub(crate) fn coding(&self) -> &'static str {
        self.coding.as_str()
    }

    /// Takes a piece of the body and adds to `out` what is ready.
    pub(crate) fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        if input.is_empty() {
            return;
        }
        self.dirty = true;
        match &mut self.kind {
            Kind::Gzip(encoder) => through(&mut **encoder, GzEncoder::get_mut, out, |encoder| {
                encoder.write_all(input)
            }),
            Kind::Brotli(encoder) => through(&mut **encoder, CompressorWriter::get_mut, out, |encoder| {
                encoder.write_all(input)
            }),
            Kind::Zstd(context) => run_zstd(context, input, ZSTD_EndDirective::ZSTD_e_continue, out),
            Kind::Finished => {}
        }
        if self.eager {
            self.flush(out);
        }
    }

    /// Adds to `out` whatever is held back, so that the client has all that was said so far.
    pub(crate) fn flush(&mut self, out: &mut Vec<u8>) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        match &mut self.kind {
            Kind::Gzip(encoder) => through(&mut **encoder, GzEncoder::get_mut, out, Write::flush),
            Kind::Brotli(encoder) => through(&mut **encoder, CompressorWriter::get_mut, out, Write::flush),
            Kind::Zstd(context) => run_zstd(context, &[], ZSTD_EndDirective::ZSTD_e_flush, out),
            Kind::Finished => {}
        }
    }

    /// Says whether something is held back.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Adds the end. Nothing may be pushed any more; a second call adds nothing.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        self.dirty = false;
        match std::mem::replace(&mut self.kind, Kind::Finished) {
            Kind::Gzip(mut encoder) => through(&mut *encoder, GzEncoder::get_mut, out, GzEncoder::try_finish),
            Kind::Brotli(mut encoder) => {
                std::mem::swap(out, encoder.get_mut());
                *out = encoder.into_inner();
            }
            Kind::Zstd(mut context) => run_zstd(&mut context, &[], ZSTD_EndDirective::ZSTD_e_end, out),
            Kind::Finished => {}
        }
    }
}

/// Lets an encoder that owns where it writes to write into `out`.
fn through<E>(
    encoder: &mut E,
    inner: fn(&mut E) -> &mut Vec<u8>,
    out: &mut Vec<u8>,
    act: impl FnOnce(&mut E) -> std::io::Result<()>,
) {
    std::mem::swap(out, inner(encoder));
    // Writing into a vector cannot fail.
    let _ = act(encoder);
    std::mem::swap(out, inner(encoder));
}

/// Returns a context with our bounds; none when there is no memory for it, and the body then goes as it is.
fn zstd() -> Option<CCtx<'static>> {
    let mut context = CCtx::try_create()?;
    for parameter in [
        CParameter::CompressionLevel(ZSTD_LEVEL),
        CParameter::WindowLog(WINDOW_BITS),
        CParameter::HashLog(ZSTD_TABLE_BITS),
        CParameter::ChainLog(ZSTD_TABLE_BITS),
    ] {
        context.set_parameter(parameter).ok()?;
    }
    Some(context)
}

fn run_zstd(context: &mut CCtx<'static>, input: &[u8], directive: ZSTD_EndDirective, out: &mut Vec<u8>) {
    let mut input = InBuffer::around(input);
    loop {
        out.reserve(CCtx::out_size().min(input.src.len() - input.pos() + 1024));
        let begin = out.len();
        let mut output = OutBuffer::around_pos(out, begin);
        // It fails when it is called out of order only, which the type does not allow.
        let Ok(left) = context.compress_stream2(&mut output, &mut input, directive) else {
            return;
        };
        let taken = input.pos() == input.src.len();
        let done = match directive {
            ZSTD_EndDirective::ZSTD_e_continue => taken,
            _ => taken && left == 0,
        };
        if done {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const CODINGS: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

    fn decode(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            Coding::Gzip => {
                // A stream that is only flushed has no end yet; what came before it counts.
                let _ = flate2::read::GzDecoder::new(bytes).read_to_end(&mut out);
            }
            Coding::Brotli => {
                let _ = brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out);
            }
            Coding::Zstd => {
                let mut context = zstd_safe::DCtx::create();
                let mut input = InBuffer::around(bytes);
                out.reserve(1 << 20);
                let mut output = OutBuffer::around(&mut out);
                while input.pos() < bytes.len() {
                    context.decompress_stream(&mut output, &mut input).unwrap();
                }
            }
        }
        out
    }

    fn text(length: usize) -> Vec<u8> {
        let letters = b"{\"account\": \"0123456789\", \"sum\": ";
        (0..length).map(|i| letters[(i * i / 7 + i) % letters.len()]).collect()
    }

    #[test]
    fn whatever_the_pieces_a_decoder_gets_back_what_went_in() {
        let input = text(300_000);
        for coding in CODINGS {
            for piece in [1000, 65_536, 300_000] {
                let seats = Seats::default();
                let mut encoder = Encoder::new(coding, false, &seats).unwrap();
                let (mut out, mut given) = (Vec::new(), 0);
                for part in input.chunks(piece) {
                    encoder.push(part, &mut out);
                    given += part.len();
                    encoder.flush(&mut out);
                    assert!(!encoder.is_dirty());
                    assert!(decode(coding, &out) == input[..given], "{coding:?} after {given}");
                    if given > 3 * piece {
                        break;
                    }
                }
                encoder.push(&input[given..], &mut out);
                encoder.finish(&mut out);
                let end = out.len();
                encoder.finish(&mut out);
                assert_eq!(out.len(), end);
                assert!(decode(coding, &out) == input, "{coding:?}");
                assert!(out.len() < input.len() / 2, "{coding:?}: {}", out.len());
            }
        }
    }

    #[test]
    fn an_eager_encoder_holds_nothing_back_and_an_empty_body_has_an_end() {
        for coding in CODINGS {
            let seats = Seats::default();
            let mut encoder = Encoder::new(coding, true, &seats).unwrap();
            let mut out = Vec::new();
            encoder.push(b"data: 1\n\n", &mut out);
            assert_eq!(decode(coding, &out), b"data: 1\n\n");
            let mut encoder = Encoder::new(coding, false, &seats).unwrap();
            let mut out = Vec::new();
            encoder.finish(&mut out);
            assert!(!out.is_empty());
            assert_eq!(decode(coding, &out), b"");
        }
    }

    #[test]
    fn there_are_never_more_encoders_than_seats() {
        let seats = Seats::default();
        let mut taken: Vec<_> = (0..SEATS_MAX)
            .map(|_| Encoder::new(Coding::Gzip, false, &seats).unwrap())
            .collect();
        assert!(Encoder::new(Coding::Gzip, false, &seats).is_none());
        taken.pop();
        assert!(Encoder::new(Coding::Zstd, false, &seats).is_some());
    }

    #[test]
    fn what_zstd_holds_stays_below_what_is_written_down() {
        let seats = Seats::default();
        let mut encoder = Encoder::new(Coding::Zstd, false, &seats).unwrap();
        encoder.push(&text(1_000_000), &mut Vec::new());
        let Kind::Zstd(context) = &encoder.kind else {
            panic!("another kind");
        };
        assert!(context.sizeof() < HELD_MAX, "{}", context.sizeof());
    }
}
