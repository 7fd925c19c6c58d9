//! What of a stream may go to its file as it is, and what goes there in its place.
//!
//! Looks at the head of a FIFO without taking anything out, and makes a list of parts: bytes that are clean, which the kernel moves
//! as ever, and secrets, in whose place a marker is written before they are taken. So a shim killed at any instant loses nothing, lets
//! no secret through and writes at most a marker twice: what it held back is still in the FIFO. Knows no file.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, tee};
use tend_redact::{Patterns, Scan, Span, WINDOW_BYTES};

/// Room for as many pieces as the largest FIFO has: pages of it, of which nothing is used.
const GROWN_BYTES: usize = 1 << 20;

/// What stands next in a FIFO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// So many bytes that go to the file as they are.
    Clean(u64),
    /// So many bytes in whose place others are written.
    Secret { bytes: u64, instead: Vec<u8> },
}

/// What is to be done with output before it may be written.
pub(super) enum Screen {
    /// Nothing: whoever started the shim did not ask for it.
    Open,
    /// It must be looked at, and nobody has told for what yet: none of it may be written.
    Untold,
    /// It is looked at.
    Told(Box<Looking>),
}

pub(super) struct Looking {
    patterns: Arc<Patterns>,
    /// Shows what is in the FIFO; empty between two looks.
    pipe: Option<(OwnedFd, OwnedFd)>,
    parts: VecDeque<Part>,
    spans: Vec<Span>,
    before: Option<u8>,
    /// The next byte's predecessor once all parts have gone.
    before_next: Option<u8>,
    /// So many bytes stay in the FIFO until more comes after them.
    held: u64,
}

impl Looking {
    pub(super) fn new(patterns: Arc<Patterns>) -> Self {
        Self {
            patterns,
            pipe: None,
            parts: VecDeque::new(),
            spans: Vec::new(),
            before: None,
            before_next: None,
            held: 0,
        }
    }

    /// Returns how many bytes were held back at the last look.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// Returns what is next in the FIFO, looking at it when that is not known; nothing when all that waits is held back.
    ///
    /// `waiting` is how much waits there; `last`: nothing follows it, so that nothing is held back.
    pub(super) fn next(&mut self, fifo: &OwnedFd, waiting: u64, last: bool) -> Result<Option<Part>, Errno> {
        if self.parts.is_empty() {
            self.look(fifo, waiting, last)?;
        }
        Ok(self.parts.front().cloned())
    }

    /// Says that so many bytes of the next part have left the FIFO.
    pub(super) fn took(&mut self, bytes: u64) {
        match self.parts.front_mut() {
            Some(Part::Clean(left)) if *left > bytes => *left -= bytes,
            _ => {
                self.parts.pop_front();
            }
        }
    }

    /// Says that bytes have left the FIFO in another way: what is in it now is not known.
    pub(super) fn forget(&mut self) {
        self.parts.clear();
        self.before_next = None;
        self.held = 0;
    }

    fn look(&mut self, fifo: &OwnedFd, waiting: u64, last: bool) -> Result<(), Errno> {
        self.before = self.before_next;
        let mut window = self.show(fifo)?;
        if (window.len() as u64) < waiting.min(WINDOW_BYTES as u64) {
            // A pipe shows as many pieces as it has room for, and these are small: it gets more room, once.
            let grown = self
                .pipe
                .as_ref()
                .map(|(_, writer)| rustix::pipe::fcntl_setpipe_size(writer, GROWN_BYTES));
            if grown.is_some_and(|grown| grown.is_ok()) {
                window = self.show(fifo)?;
            }
        }
        let shows_all = window.len() as u64 >= waiting;
        let mut scan = Scan {
            before: self.before,
            last: last && shows_all,
        };
        let mut decided = self.patterns.scan(&window, scan, &mut self.spans);
        if decided == 0 && (window.len() == WINDOW_BYTES || !shows_all) {
            // Nothing that is looked for is as long: many overlap, each the next, and are replaced as one so far.
            scan.last = true;
            decided = self.patterns.scan(&window, scan, &mut self.spans);
        }
        self.held = (window.len() - decided) as u64;
        let mut at = 0;
        for span in &self.spans {
            if span.context > at {
                self.parts.push_back(Part::Clean((span.context - at) as u64));
            }
            // With what it was recognised by: a shim that took over in between would not recognise the rest.
            let mut instead = window[span.context..span.start].to_vec();
            self.patterns.write_marker(span.label, &mut instead);
            self.parts.push_back(Part::Secret {
                bytes: (span.end - span.context) as u64,
                instead,
            });
            at = span.end;
        }
        if decided > at {
            self.parts.push_back(Part::Clean((decided - at) as u64));
        }
        if decided > 0 {
            self.before_next = window.get(decided - 1).copied();
        }
        Ok(())
    }

    /// Returns the head of the FIFO, of which nothing is taken.
    fn show(&mut self, fifo: &OwnedFd) -> Result<Vec<u8>, Errno> {
        if self.pipe.is_none() {
            self.pipe = Some(pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?);
        }
        let Some((reader, writer)) = &self.pipe else {
            return Ok(Vec::new());
        };
        let shown = match tee(fifo, writer, WINDOW_BYTES, SpliceFlags::NONBLOCK) {
            Ok(shown) => shown,
            Err(Errno::AGAIN) => 0,
            Err(errno) => return Err(errno),
        };
        let mut window = Vec::with_capacity(shown);
        while window.len() < shown {
            match rustix::io::read(reader, spare_capacity(&mut window)) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => {
                    // With something left in it, it would show what is not next.
                    self.pipe = None;
                    return Err(errno);
                }
            }
        }
        Ok(window)
    }
}
