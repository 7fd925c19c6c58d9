//! The stream: bytes in, in pieces of any size; the same bytes out, with secrets replaced.
//!
//! Holds back what may be the begin of a secret and no more, [`WINDOW_BYTES`] at most.

use std::sync::Arc;

use crate::patterns::{Label, Patterns, Scan, Span, WINDOW_BYTES};

/// What stands at a place of the stream.
#[derive(Clone, Copy)]
pub struct Hit<'a> {
    /// As what it was recognised.
    pub label: Label,
    /// The bytes themselves: for looking at their form, never for printing.
    pub bytes: &'a [u8],
}

/// Is told bytes that are clean, and what was found after them.
pub type Tell<'a> = dyn FnMut(&Patterns, &[u8], Option<Hit<'_>>) + 'a;

/// Replaces secrets in one stream.
#[derive(Clone, Debug)]
pub struct Redactor {
    patterns: Arc<Patterns>,
    held: Vec<u8>,
    before: Option<u8>,
    spans: Vec<Span>,
}

impl Redactor {
    /// Begins a stream.
    #[must_use]
    pub fn new(patterns: Arc<Patterns>) -> Self {
        Self {
            patterns,
            held: Vec::new(),
            before: None,
            spans: Vec::new(),
        }
    }

    /// Takes in a piece, and adds to `out` what is decided.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.take_in(piece, &mut |patterns, clean, hit| {
            out.extend_from_slice(clean);
            if let Some(hit) = hit {
                patterns.write_marker(hit.label, out);
            }
        });
    }

    /// Ends the stream: adds to `out` what was held back. What follows is another stream.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        self.end(&mut |patterns, clean, hit| {
            out.extend_from_slice(clean);
            if let Some(hit) = hit {
                patterns.write_marker(hit.label, out);
            }
        });
    }

    /// As [`Redactor::push`], for who wants to know what stands where: told each decided part, and what was found after it.
    pub fn take_in(&mut self, mut piece: &[u8], tell: &mut Tell<'_>) {
        while !piece.is_empty() {
            let room = WINDOW_BYTES - self.held.len();
            let (now, later) = piece.split_at(room.min(piece.len()));
            self.held.extend_from_slice(now);
            piece = later;
            self.decide(false, tell);
            if self.held.len() == WINDOW_BYTES {
                // Nothing that is looked for is as long: many overlap, each the next, and are replaced as one so far.
                self.decide(true, tell);
            }
        }
    }

    /// As [`Redactor::flush`], told as [`Redactor::take_in`] does.
    pub fn end(&mut self, tell: &mut Tell<'_>) {
        self.decide(true, tell);
        self.before = None;
    }

    /// Returns how many bytes are held back.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    fn decide(&mut self, last: bool, tell: &mut Tell<'_>) {
        let scan = Scan {
            before: self.before,
            last,
        };
        let decided = self.patterns.scan(&self.held, scan, &mut self.spans);
        let mut at = 0;
        for span in &self.spans {
            let hit = Hit {
                label: span.label,
                bytes: &self.held[span.start..span.end],
            };
            tell(&self.patterns, &self.held[at..span.start], Some(hit));
            at = span.end;
        }
        if at < decided {
            tell(&self.patterns, &self.held[at..decided], None);
        }
        if decided > 0 {
            self.before = self.held.get(decided - 1).copied();
            self.held.drain(..decided);
        }
    }
}

impl Patterns {
    /// Returns a whole text with its secrets replaced.
    #[must_use]
    pub fn redact(self: &Arc<Self>, text: &str) -> String {
        let mut out = Vec::with_capacity(text.len());
        let mut redactor = Redactor::new(Arc::clone(self));
        redactor.push(text.as_bytes(), &mut out);
        redactor.flush(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}
