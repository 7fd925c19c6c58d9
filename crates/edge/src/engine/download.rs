//! The body of a response on its way to the client: framed anew, passed on as the client takes it, never collected.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tend_http1::{Chunked, Fields, Length, Piece, write_chunk_size};
use tokio::io::AsyncWrite;

use super::buffer::{BUFFER_BYTES, Buffer, Outgoing};
use super::head;
use super::link::Link;
use crate::encode::Encoder;

/// The body of one response.
#[derive(Debug)]
pub(super) struct Download {
    left: Left,
    /// The client gets chunks; otherwise the bytes as they are.
    in_chunks: bool,
    /// Data that was taken from the replica's connection.
    bytes: u64,
    /// What the client took, heads and framing too.
    written: u64,
    waits_for_client: bool,
    /// The data passes through it.
    coded: Option<Box<Coded>>,
}

/// Data on its way through an encoder.
#[derive(Debug)]
struct Coded {
    encoder: Box<Encoder>,
    out: Vec<u8>,
    /// What the encoder gave.
    bytes: u64,
    /// The replica had nothing more for one turn of the event loop; at the second, what is held back goes out.
    is_paused: bool,
}

#[derive(Debug)]
enum Left {
    Nothing,
    Bytes(u64),
    Chunks(Chunked),
    UntilClose,
}

/// Who cut a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// It does not take it any more.
    Client,
    /// It ended too soon, or sent something that was not what it announced.
    Replica,
    /// The replica sends nothing for too long.
    Silent,
    /// The whole of the request took too long.
    Overdue,
}

impl Download {
    /// Returns a body of which nothing was taken yet.
    pub(super) fn new(length: Length, in_chunks: bool, encoder: Option<Box<Encoder>>) -> Self {
        Self {
            left: match length {
                Length::None | Length::Bytes(0) => Left::Nothing,
                Length::Bytes(bytes) => Left::Bytes(bytes),
                Length::Chunked => Left::Chunks(Chunked::default()),
                Length::UntilClose => Left::UntilClose,
            },
            in_chunks,
            bytes: 0,
            written: 0,
            waits_for_client: false,
            coded: encoder.map(|encoder| {
                Box::new(Coded {
                    encoder,
                    out: Vec::new(),
                    bytes: 0,
                    is_paused: false,
                })
            }),
        }
    }

    /// Returns how much data there was for the client so far.
    pub(super) fn bytes(&self) -> u64 {
        self.coded.as_ref().map_or(self.bytes, |coded| coded.bytes)
    }

    /// Returns how much data came so far.
    pub(super) fn received(&self) -> u64 {
        self.bytes
    }

    /// Says whether the client is to take some before anything can go on.
    pub(super) fn waits_for_client(&self) -> bool {
        self.waits_for_client
    }

    /// Returns how much the client has taken.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Sends what is in `out`, the head at first, and then the body, as far as both sides let it.
    pub(super) fn poll<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut S,
        link: &mut Link,
        from_replica: &mut Buffer,
        out: &mut Outgoing,
        trailers: &mut Fields,
    ) -> Poll<Result<(), Cut>> {
        loop {
            self.take(from_replica, out, trailers)?;
            self.waits_for_client = true;
            if !out.is_empty() {
                let written = &mut self.written;
                ready!(out.poll_flush(cx, client, |bytes| *written += bytes as u64)).map_err(|_| Cut::Client)?;
                continue;
            }
            if matches!(self.left, Left::Nothing) {
                ready!(Pin::new(client).poll_flush(cx)).map_err(|_| Cut::Client)?;
                return Poll::Ready(Ok(()));
            }
            let straight = self.straight(from_replica);
            if straight > 0 {
                let outcome = ready!(Pin::new(&mut *client).poll_write(cx, &from_replica.filled()[..straight]));
                match outcome {
                    Ok(written) if written > 0 => {
                        self.written += written as u64;
                        self.passed(written, from_replica);
                    }
                    _ => return Poll::Ready(Err(Cut::Client)),
                }
                continue;
            }
            // What a stream that encrypts holds back goes out before anything is waited for.
            self.waits_for_client = match Pin::new(&mut *client).poll_flush(cx) {
                Poll::Pending => true,
                Poll::Ready(Ok(())) => false,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Cut::Client)),
            };
            let filled = link.poll_fill(cx, from_replica);
            if self.coded.is_some() && self.flushes(cx, filled.is_pending(), out) {
                continue;
            }
            match ready!(filled) {
                Ok(0) if matches!(self.left, Left::UntilClose) => self.end(out, trailers),
                Ok(read) if read > 0 => {}
                _ => return Poll::Ready(Err(Cut::Replica)),
            }
        }
    }

    /// Returns how many bytes can be written as they lie.
    fn straight(&self, from_replica: &Buffer) -> usize {
        let filled = from_replica.filled().len();
        match self.left {
            _ if self.in_chunks || self.coded.is_some() => 0,
            Left::Bytes(left) => usize::try_from(left).unwrap_or(usize::MAX).min(filled),
            Left::UntilClose => filled,
            Left::Nothing | Left::Chunks(_) => 0,
        }
    }

    fn passed(&mut self, bytes: usize, from_replica: &mut Buffer) {
        from_replica.consume(bytes);
        self.bytes += bytes as u64;
        if let Left::Bytes(left) = &mut self.left {
            *left -= bytes as u64;
            if *left == 0 {
                self.left = Left::Nothing;
            }
        }
    }

    fn end(&mut self, out: &mut Outgoing, trailers: &Fields) {
        self.left = Left::Nothing;
        if let Some(coded) = &mut self.coded {
            coded.encoder.finish(&mut coded.out);
            self.put_coded(out);
        }
        if self.in_chunks {
            head::response_trailers(out.end(), trailers);
        }
    }

    /// Says whether the encoder gave out what it held back, for the replica has paused.
    fn flushes(&mut self, cx: &mut Context<'_>, pauses: bool, out: &mut Outgoing) -> bool {
        let Some(coded) = &mut self.coded else {
            return false;
        };
        if !pauses || !coded.encoder.is_dirty() {
            coded.is_paused = false;
            return false;
        }
        if !std::mem::replace(&mut coded.is_paused, true) {
            // What is on its way may come before the next turn, and is better compressed together.
            cx.waker().wake_by_ref();
            return false;
        }
        coded.encoder.flush(&mut coded.out);
        self.put_coded(out);
        true
    }

    /// Writes what the encoder gave.
    fn put_coded(&mut self, out: &mut Outgoing) {
        if let Some(coded) = &mut self.coded
            && !coded.out.is_empty()
        {
            put(out.end(), &coded.out, self.in_chunks);
            coded.bytes += coded.out.len() as u64;
            coded.out.clear();
        }
    }

    /// Takes what has come: behind a head that waits to be sent, so that both go in one call; or where it has to be framed anew.
    fn take(&mut self, from_replica: &mut Buffer, out: &mut Outgoing, trailers: &mut Fields) -> Result<(), Cut> {
        while !out.is_full() {
            let straight = self.straight(from_replica);
            if straight > 0 {
                if out.is_empty() || straight > BUFFER_BYTES / 2 {
                    return Ok(());
                }
                out.end().extend_from_slice(&from_replica.filled()[..straight]);
                self.passed(straight, from_replica);
                continue;
            }
            let (skip, length) = match &mut self.left {
                Left::Nothing => return Ok(()),
                Left::Bytes(left) => (
                    0,
                    usize::try_from(*left)
                        .unwrap_or(usize::MAX)
                        .min(from_replica.filled().len()),
                ),
                Left::UntilClose => (0, from_replica.filled().len()),
                Left::Chunks(chunks) => match chunks.next(from_replica.filled(), trailers).map_err(|_| Cut::Replica)? {
                    Piece::Data { skip, length } => (skip, length),
                    Piece::More { skip } => {
                        from_replica.consume(skip);
                        return Ok(());
                    }
                    Piece::End { skip } => {
                        from_replica.consume(skip);
                        self.end(out, trailers);
                        return Ok(());
                    }
                },
            };
            if length == 0 {
                return Ok(());
            }
            from_replica.consume(skip);
            let data = &from_replica.filled()[..length];
            match &mut self.coded {
                None => put(out.end(), data, self.in_chunks),
                Some(coded) => {
                    coded.encoder.push(data, &mut coded.out);
                    self.put_coded(out);
                }
            }
            self.passed(length, from_replica);
            if (self.in_chunks || self.coded.is_some()) && matches!(self.left, Left::Nothing) {
                self.end(out, trailers);
            }
        }
        Ok(())
    }
}

/// Writes data as a chunk, or as it is.
fn put(out: &mut Vec<u8>, data: &[u8], in_chunks: bool) {
    if in_chunks {
        write_chunk_size(out, data.len());
    }
    out.extend_from_slice(data);
    if in_chunks {
        out.extend_from_slice(b"\r\n");
    }
}
