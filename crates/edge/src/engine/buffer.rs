//! Bytes on their way: what was read and not yet used, and what is to be written. Bounded; knows nothing of what the bytes mean.
//!
//! Memory is held only while there are bytes. It comes from a pile of the thread and goes back to its top, so that whoever reads or writes next
//! gets memory that the processor still has at hand. When each request kept its buffers until it was answered, 64 requests at a time had 64 times
//! the memory, and all of it had left the processor's cache before it was used: `recv` took half as long again as nginx's, now as long.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pile::Pile;

/// What one read takes at most. Only the pages that bytes reached cost memory.
pub(super) const BUFFER_BYTES: usize = 32 << 10;

/// What is written into is kept for the next if it has not grown beyond this.
const OUT_BYTES_KEPT: usize = 4 * BUFFER_BYTES;

/// The thread's memory that nobody uses.
struct Spare {
    /// To be read into: each [`BUFFER_BYTES`] long. All of it is initialised once, so that reading into it needs neither `unsafe` nor
    /// another zeroing.
    to_fill: Pile<Vec<u8>>,
    /// To be written from: empty, of any capacity.
    to_flush: Pile<Vec<u8>>,
}

thread_local! {
    static SPARE: RefCell<Spare> = const {
        RefCell::new(Spare {
            to_fill: Pile::new(),
            to_flush: Pile::new(),
        })
    };
}

fn spare<T>(use_it: impl FnOnce(&mut Spare) -> T) -> T {
    SPARE.with(|spare| use_it(&mut spare.borrow_mut()))
}

/// Gives to the system what this thread has not used since the last look; says whether any is left.
pub(super) fn trim() -> bool {
    spare(|spare| spare.to_fill.trim() | spare.to_flush.trim())
}

/// What came and was not used yet.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// Of no length while there is nothing in it.
    bytes: Vec<u8>,
    begin: usize,
    end: usize,
}

impl Buffer {
    pub(super) fn filled(&self) -> &[u8] {
        &self.bytes[self.begin..self.end]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.begin == self.end
    }

    /// Says whether there is no room for another byte.
    pub(super) fn is_full(&self) -> bool {
        !self.is_empty() && self.end - self.begin == self.bytes.len()
    }

    /// Takes out the first so many bytes.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.begin = (self.begin + bytes).min(self.end);
        if self.begin == self.end {
            self.clear();
        }
    }

    pub(super) fn clear(&mut self) {
        (self.begin, self.end) = (0, 0);
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.len() == BUFFER_BYTES {
            spare(|spare| spare.to_fill.give(bytes));
        }
    }

    /// Makes room for a head that does not fit, up to so many bytes.
    pub(super) fn grow(&mut self, bytes_max: usize) {
        if self.is_full() && self.bytes.len() < bytes_max {
            self.bytes.resize(bytes_max, 0);
        }
    }

    /// Reads more behind what is there; 0 at the end of the stream, and when there is no room.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Poll<io::Result<usize>> {
        if self.bytes.is_empty() {
            self.bytes = spare(|spare| spare.to_fill.take()).unwrap_or_else(|| vec![0; BUFFER_BYTES]);
        } else if self.end == self.bytes.len() && self.begin > 0 {
            self.bytes.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, self.end - self.begin);
        }
        let mut room = ReadBuf::new(&mut self.bytes[self.end..]);
        let outcome = Pin::new(stream).poll_read(cx, &mut room);
        let read = room.filled().len();
        self.end += read;
        if self.is_empty() {
            self.clear();
        }
        outcome.map_ok(|()| read)
    }
}

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Of no capacity while there is nothing in it.
    bytes: Vec<u8>,
    at: usize,
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Returns where more is to be added.
    pub(super) fn end(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0
            && let Some(bytes) = spare(|spare| spare.to_flush.take())
        {
            self.bytes = bytes;
        }
        &mut self.bytes
    }

    /// Returns what is left to be written.
    pub(super) fn left(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    pub(super) fn clear(&mut self) {
        self.at = 0;
        let mut bytes = std::mem::take(&mut self.bytes);
        if (1..=OUT_BYTES_KEPT).contains(&bytes.capacity()) {
            bytes.clear();
            spare(|spare| spare.to_flush.give(bytes));
        }
    }

    /// Says whether as much waits as should be written before more is added.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() - self.at >= BUFFER_BYTES
    }

    /// Writes until nothing is left, here or in a stream that encrypts. `written` is told of each piece, also when it ends in an error.
    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncWrite + Unpin),
        mut written: impl FnMut(usize),
    ) -> Poll<io::Result<()>> {
        while self.at < self.bytes.len() {
            let bytes = ready!(Pin::new(&mut *stream).poll_write(cx, &self.bytes[self.at..]))?;
            if bytes == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.at += bytes;
            written(bytes);
        }
        // What was written is not needed to flush what the stream holds.
        self.clear();
        Pin::new(stream).poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `bytes` into the buffer.
    fn fill(buffer: &mut Buffer, mut bytes: &[u8]) -> usize {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match buffer.poll_fill(&mut cx, &mut bytes) {
            Poll::Ready(Ok(read)) => read,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_full_buffer_reads_again_once_something_was_taken_out() {
        let mut buffer = Buffer::default();
        let input: Vec<u8> = (0..BUFFER_BYTES).map(|number| number as u8).collect();
        assert_eq!(fill(&mut buffer, &input), BUFFER_BYTES);
        assert!(buffer.is_full());
        assert_eq!(fill(&mut buffer, b"x"), 0);
        buffer.consume(10);
        assert_eq!(fill(&mut buffer, b"hello"), 5);
        assert!(buffer.filled().starts_with(&input[10..]) && buffer.filled().ends_with(b"hello"));
        buffer.grow(BUFFER_BYTES * 2);
        assert_eq!(buffer.bytes.len(), BUFFER_BYTES, "there was room");
        assert_eq!(fill(&mut buffer, b"world"), 5);
        buffer.grow(BUFFER_BYTES * 2);
        assert!(buffer.bytes.len() > BUFFER_BYTES && buffer.filled().ends_with(b"helloworld"));
        buffer.consume(usize::MAX / 2);
        assert!(buffer.is_empty());
    }
}
