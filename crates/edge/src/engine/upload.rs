//! The body of a request on its way to a replica: framed anew, passed on as the replica takes it, never collected.

use std::task::{Context, Poll, ready};

use tend_http1::{Chunked, Fields, Length, Piece, write_chunk_size};
use tokio::io::AsyncRead;

use super::buffer::{Buffer, Outgoing};
use super::head;
use super::link::Link;
use crate::answer::ErrorCode;

/// A body that has come whole and is no larger is sent with the head and kept until the answer comes, so that it can be sent again.
const WHOLE_BYTES_MAX: usize = 16 << 10;

/// An unread body of so many bytes is read and dropped after an answer of the edge; beyond, the connection ends.
const DROPPED_BYTES_MAX: u64 = 64 << 10;

/// The body of one request.
#[derive(Debug)]
pub(super) struct Upload {
    left: Left,
    /// Data that was taken from the client's connection.
    bytes: u64,
    bytes_max: u64,
    waits_for_client: bool,
    is_broken: bool,
}

#[derive(Debug)]
enum Left {
    Nothing,
    /// So many bytes lie in the client's buffer still, though they were sent.
    Kept(usize),
    Bytes(u64),
    Chunks(Chunked),
}

/// Why a body cannot be sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The client sent something else than it announced, or too much.
    Client(ErrorCode),
    /// The client is gone.
    ClientGone,
}

/// The places a body goes through.
pub(super) struct Way<'a, S> {
    pub(super) client: &'a mut S,
    pub(super) from_client: &'a mut Buffer,
    pub(super) trailers: &'a mut Fields,
}

impl Upload {
    /// Returns a body of which nothing was taken yet.
    pub(super) fn new(length: Length, bytes_max: u64) -> Self {
        Self {
            left: match length {
                Length::None | Length::UntilClose | Length::Bytes(0) => Left::Nothing,
                Length::Bytes(bytes) => Left::Bytes(bytes),
                Length::Chunked => Left::Chunks(Chunked::default()),
            },
            bytes: 0,
            bytes_max,
            waits_for_client: false,
            is_broken: false,
        }
    }

    /// Adds to a head that is about to be sent what has come of the body, where that is all of it.
    pub(super) fn join(&mut self, from_client: &Buffer, out: &mut Outgoing) {
        let Left::Bytes(bytes) = self.left else {
            return;
        };
        if let Some(whole) = usize::try_from(bytes).ok().filter(|bytes| *bytes <= WHOLE_BYTES_MAX)
            && let Some(body) = from_client.filled().get(..whole)
        {
            out.end().extend_from_slice(body);
            self.left = Left::Kept(whole);
        }
    }

    /// Takes the body back that was kept, for another try.
    pub(super) fn rewind(&mut self) {
        if let Left::Kept(bytes) = self.left {
            self.left = Left::Bytes(bytes as u64);
        }
    }

    /// Says whether part of it is gone and cannot be sent again.
    pub(super) fn is_taken(&self) -> bool {
        self.bytes > 0 || matches!(&self.left, Left::Chunks(chunks) if chunks.has_begun())
    }

    /// Says whether all of it was taken from the client.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.left, Left::Nothing | Left::Kept(_))
    }

    /// Says whether the client is to send more before anything can go on.
    pub(super) fn waits_for_client(&self) -> bool {
        self.waits_for_client
    }

    /// Says whether the replica did not take all of it.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Returns how much data came so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Drops what was kept: it will not be sent again.
    pub(super) fn settle(&mut self, from_client: &mut Buffer) {
        if let Left::Kept(bytes) = self.left {
            from_client.consume(bytes);
            self.bytes += bytes as u64;
            self.left = Left::Nothing;
        }
    }

    /// Sends the head that is in `out` and then the body, as far as both sides let it. A replica that does not take it any more is not
    /// an error: it may have answered.
    pub(super) fn poll<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        way: &mut Way<'_, S>,
        link: &mut Link,
        out: &mut Outgoing,
    ) -> Poll<Result<(), Stop>> {
        loop {
            self.waits_for_client = false;
            if self.is_broken {
                return Poll::Ready(Ok(()));
            }
            if !out.is_empty() {
                if ready!(link.poll_flush(cx, out)).is_err() {
                    self.is_broken = true;
                }
                continue;
            }
            if self.is_over() {
                return Poll::Ready(Ok(()));
            }
            if let Left::Bytes(left) = &mut self.left
                && !way.from_client.is_empty()
            {
                // Straight from where it was read.
                let filled = way.from_client.filled();
                let piece = usize::try_from(*left).unwrap_or(usize::MAX).min(filled.len());
                match ready!(link.poll_write(cx, &filled[..piece])) {
                    Ok(written) if written > 0 => {
                        way.from_client.consume(written);
                        self.bytes += written as u64;
                        *left -= written as u64;
                        if *left == 0 {
                            self.left = Left::Nothing;
                        }
                    }
                    _ => self.is_broken = true,
                }
                continue;
            }
            if self.take_chunks(way, out)? {
                continue;
            }
            self.waits_for_client = true;
            match ready!(way.from_client.poll_fill(cx, way.client)) {
                Ok(read) if read > 0 => {}
                _ => return Poll::Ready(Err(Stop::ClientGone)),
            }
        }
    }

    /// Frames anew what has come of a chunked body; says whether there is something to be written.
    fn take_chunks<S>(&mut self, way: &mut Way<'_, S>, out: &mut Outgoing) -> Result<bool, Stop> {
        let Left::Chunks(chunks) = &mut self.left else {
            return Ok(false);
        };
        let malformed = |_| Stop::Client(ErrorCode::BadRequest);
        while !out.is_full() {
            match chunks.next(way.from_client.filled(), way.trailers).map_err(malformed)? {
                Piece::Data { skip, length } => {
                    self.bytes += length as u64;
                    if self.bytes > self.bytes_max {
                        return Err(Stop::Client(ErrorCode::BodyTooLarge));
                    }
                    write_chunk_size(out.end(), length);
                    out.end()
                        .extend_from_slice(&way.from_client.filled()[skip..skip + length]);
                    out.end().extend_from_slice(b"\r\n");
                    way.from_client.consume(skip + length);
                }
                Piece::More { skip } => {
                    way.from_client.consume(skip);
                    break;
                }
                Piece::End { skip } => {
                    way.from_client.consume(skip);
                    head::request_trailers(out.end(), way.trailers);
                    self.left = Left::Nothing;
                    break;
                }
            }
        }
        Ok(!out.is_empty())
    }

    /// Says whether what is left is little enough to be read and dropped, so that the connection can go on.
    pub(super) fn can_be_dropped(&self) -> bool {
        match &self.left {
            Left::Nothing | Left::Kept(_) => true,
            Left::Bytes(bytes) => *bytes <= DROPPED_BYTES_MAX,
            Left::Chunks(_) => true,
        }
    }

    /// Returns how long the body was said to be, where it was and has not been touched.
    pub(super) fn announced(&self) -> Option<u64> {
        match self.left {
            Left::Nothing => Some(0),
            Left::Kept(bytes) => Some(bytes as u64),
            Left::Bytes(bytes) => Some(bytes),
            Left::Chunks(_) => None,
        }
    }

    /// Reads what is left and drops it, within bounds.
    pub(super) fn poll_drop<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        way: &mut Way<'_, S>,
        dropped: &mut u64,
    ) -> Poll<Result<(), Stop>> {
        self.poll_take(cx, way, &mut |data| {
            *dropped += data.len() as u64;
            *dropped <= DROPPED_BYTES_MAX
        })
    }

    /// Reads what is left and gives the data to `take`, which says whether it wants more.
    pub(super) fn poll_take<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        way: &mut Way<'_, S>,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Poll<Result<(), Stop>> {
        loop {
            let filled = way.from_client.filled();
            let (skip, length) = match &mut self.left {
                Left::Nothing => return Poll::Ready(Ok(())),
                Left::Kept(bytes) => (0, *bytes),
                Left::Bytes(left) => (0, usize::try_from(*left).unwrap_or(usize::MAX).min(filled.len())),
                Left::Chunks(chunks) => {
                    let piece = chunks.next(filled, way.trailers);
                    match piece.map_err(|_| Stop::Client(ErrorCode::BadRequest))? {
                        Piece::Data { skip, length } => (skip, length),
                        Piece::More { skip } => (skip, 0),
                        Piece::End { skip } => {
                            way.from_client.consume(skip);
                            self.left = Left::Nothing;
                            continue;
                        }
                    }
                }
            };
            let wants_more = length == 0 || take(&filled[skip..skip + length]);
            way.from_client.consume(skip + length);
            self.bytes += length as u64;
            match &mut self.left {
                Left::Bytes(left) => *left -= length as u64,
                Left::Kept(_) => self.left = Left::Nothing,
                Left::Nothing | Left::Chunks(_) => {}
            }
            if matches!(self.left, Left::Bytes(0)) {
                self.left = Left::Nothing;
            }
            if !wants_more {
                return Poll::Ready(Err(Stop::Client(ErrorCode::BodyTooLarge)));
            }
            if length == 0 && !self.is_over() {
                match ready!(way.from_client.poll_fill(cx, way.client)) {
                    Ok(read) if read > 0 => {}
                    _ => return Poll::Ready(Err(Stop::ClientGone)),
                }
            }
        }
    }
}
