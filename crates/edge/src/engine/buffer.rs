//! Bytes on their way: what was read and not yet used, and what is to be written. Bounded; knows nothing of what the bytes mean.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What one read takes at most. Only the pages that bytes reached cost memory.
pub(super) const BUFFER_BYTES: usize = 32 << 10;

/// What came and was not used yet.
#[derive(Debug)]
pub(super) struct Buffer {
    /// All of it is initialised once, so that reading into it needs neither `unsafe` nor another zeroing.
    bytes: Vec<u8>,
    begin: usize,
    end: usize,
}

impl Buffer {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; BUFFER_BYTES],
            begin: 0,
            end: 0,
        }
    }

    pub(super) fn filled(&self) -> &[u8] {
        &self.bytes[self.begin..self.end]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.begin == self.end
    }

    /// Says whether there is no room for another byte.
    pub(super) fn is_full(&self) -> bool {
        self.end - self.begin == self.bytes.len()
    }

    /// Says whether it was made larger than others.
    pub(super) fn is_grown(&self) -> bool {
        self.bytes.len() > BUFFER_BYTES
    }

    /// Takes out the first so many bytes.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.begin = (self.begin + bytes).min(self.end);
        if self.begin == self.end {
            (self.begin, self.end) = (0, 0);
        }
    }

    pub(super) fn clear(&mut self) {
        (self.begin, self.end) = (0, 0);
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
        if self.end == self.bytes.len() && self.begin > 0 {
            self.bytes.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, self.end - self.begin);
        }
        let mut room = ReadBuf::new(&mut self.bytes[self.end..]);
        ready!(Pin::new(stream).poll_read(cx, &mut room))?;
        let read = room.filled().len();
        self.end += read;
        Poll::Ready(Ok(read))
    }
}

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) bytes: Vec<u8>,
    at: usize,
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.at = 0;
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
        ready!(Pin::new(stream).poll_flush(cx))?;
        self.clear();
        Poll::Ready(Ok(()))
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
        let mut buffer = Buffer::new();
        let input: Vec<u8> = (0..BUFFER_BYTES).map(|number| number as u8).collect();
        assert_eq!(fill(&mut buffer, &input), BUFFER_BYTES);
        assert!(buffer.is_full());
        assert_eq!(fill(&mut buffer, b"x"), 0);
        buffer.consume(10);
        assert_eq!(fill(&mut buffer, b"hello"), 5);
        assert!(buffer.filled().starts_with(&input[10..]) && buffer.filled().ends_with(b"hello"));
        buffer.grow(BUFFER_BYTES * 2);
        assert!(!buffer.is_grown(), "there was room");
        assert_eq!(fill(&mut buffer, b"world"), 5);
        buffer.grow(BUFFER_BYTES * 2);
        assert!(buffer.is_grown() && buffer.filled().ends_with(b"helloworld"));
        buffer.consume(usize::MAX / 2);
        assert!(buffer.is_empty());
    }
}
