//! The body of a message of HTTP/1 as pieces. Knows neither whose body it is nor where it comes from.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use tend_http1::{Chunked, Fields, Length, Piece as Chunk};

use super::super::buffer::Buffer;
use super::fields;
use super::pour::{Broken, Piece};

/// See the head of the file.
pub(super) struct Inlet {
    left: Left,
    /// What followed the body, until it is passed on.
    trailers: Option<HeaderMap>,
    /// What trailer fields may not say.
    reserved: &'static [&'static str],
}

enum Left {
    Nothing,
    Bytes(u64),
    Chunks(Chunked),
    UntilClose,
}

/// Where a body is read from.
pub(super) struct From<'a, F> {
    pub(super) buffer: &'a mut Buffer,
    pub(super) trailers: &'a mut Fields,
    /// Reads more into the buffer; 0 at the end.
    pub(super) fill: F,
}

impl Inlet {
    /// Returns a body of which nothing was read yet.
    pub(super) fn new(length: Length, reserved: &'static [&'static str]) -> Self {
        Self {
            left: match length {
                Length::None | Length::Bytes(0) => Left::Nothing,
                Length::Bytes(bytes) => Left::Bytes(bytes),
                Length::Chunked => Left::Chunks(Chunked::default()),
                Length::UntilClose => Left::UntilClose,
            },
            trailers: None,
            reserved,
        }
    }

    /// Says whether all of it was read, and passed on.
    pub(super) fn is_end(&self) -> bool {
        matches!(self.left, Left::Nothing) && self.trailers.is_none()
    }

    /// Returns the next piece; none after the last.
    pub(super) fn poll_piece<F>(
        &mut self,
        cx: &mut Context<'_>,
        mut from: From<'_, F>,
    ) -> Poll<Option<Result<Piece, Broken>>>
    where
        F: FnMut(&mut Context<'_>, &mut Buffer) -> Poll<io::Result<usize>>,
    {
        loop {
            if let Some(data) = self.take(from.buffer, from.trailers) {
                return Poll::Ready(Some(data.map(Piece::Data)));
            }
            if matches!(self.left, Left::Nothing) {
                return Poll::Ready(self.trailers.take().map(|trailers| Ok(Piece::Trailers(trailers))));
            }
            match ready!((from.fill)(cx, from.buffer)) {
                Ok(0) if matches!(self.left, Left::UntilClose) => self.left = Left::Nothing,
                Ok(read) if read > 0 => {}
                _ => return Poll::Ready(Some(Err(Broken))),
            }
        }
    }

    /// Takes what has come.
    fn take(&mut self, buffer: &mut Buffer, trailers: &mut Fields) -> Option<Result<Bytes, Broken>> {
        let come = buffer.filled().len();
        if come == 0 {
            return None;
        }
        let straight = match &mut self.left {
            Left::Nothing => return None,
            Left::UntilClose => come,
            Left::Bytes(left) => {
                let straight = usize::try_from(*left).unwrap_or(usize::MAX).min(come);
                *left -= straight as u64;
                straight
            }
            Left::Chunks(chunks) => {
                // What came in many chunks goes on as one piece.
                let mut data = Vec::with_capacity(come);
                loop {
                    match chunks.next(buffer.filled(), trailers) {
                        Ok(Chunk::Data { skip, length }) => {
                            data.extend_from_slice(&buffer.filled()[skip..skip + length]);
                            buffer.consume(skip + length);
                        }
                        Ok(Chunk::More { skip }) => {
                            buffer.consume(skip);
                            break;
                        }
                        Ok(Chunk::End { skip }) => {
                            buffer.consume(skip);
                            self.left = Left::Nothing;
                            self.trailers = fields::trailers_from_plain(trailers, self.reserved);
                            break;
                        }
                        Err(_) => return Some(Err(Broken)),
                    }
                }
                return (!data.is_empty()).then(|| Ok(Bytes::from(data)));
            }
        };
        let data = Bytes::copy_from_slice(&buffer.filled()[..straight]);
        buffer.consume(straight);
        if matches!(self.left, Left::Bytes(0)) {
            self.left = Left::Nothing;
        }
        Some(Ok(data))
    }
}
