//! Says where in a stream secrets stand: what is found, at which byte and in which line. Replaces nothing, and keeps nothing of it.

use std::sync::Arc;

use crate::patterns::{Label, Patterns};
use crate::redactor::{Hit, Redactor};

/// Something that was found.
pub struct Found<'a> {
    /// As what it was recognised.
    pub label: Label,
    /// The bytes themselves: for looking at their form, never for printing.
    pub bytes: &'a [u8],
    /// How many bytes of the stream come before it.
    pub offset: u64,
    /// In which line it begins, from 1.
    pub line: u64,
}

/// Looks through one stream.
#[derive(Debug)]
pub struct Finder {
    redactor: Redactor,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    line: u64,
}

impl Place {
    fn pass(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        self.line += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    }

    fn tell(&mut self, clean: &[u8], hit: Option<Hit<'_>>, found: &mut dyn FnMut(Found<'_>)) {
        self.pass(clean);
        if let Some(Hit { label, bytes }) = hit {
            let Self { offset, line } = *self;
            found(Found {
                label,
                bytes,
                offset,
                line,
            });
            self.pass(bytes);
        }
    }
}

impl Finder {
    /// Begins a stream.
    #[must_use]
    pub fn new(patterns: Arc<Patterns>) -> Self {
        Self {
            redactor: Redactor::new(patterns),
            place: Place { offset: 0, line: 1 },
        }
    }

    /// Takes in a piece, and tells what is decided.
    pub fn push(&mut self, piece: &[u8], found: &mut dyn FnMut(Found<'_>)) {
        let place = &mut self.place;
        self.redactor
            .take_in(piece, &mut |_, clean, hit| place.tell(clean, hit, found));
    }

    /// Ends the stream: tells what was held back.
    pub fn end(mut self, found: &mut dyn FnMut(Found<'_>)) {
        let place = &mut self.place;
        self.redactor.end(&mut |_, clean, hit| place.tell(clean, hit, found));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rules, Value};

    #[test]
    fn places_are_those_of_the_whole_stream_however_it_is_cut() {
        let values = [Value::new("db", "hunter2hunter2")];
        let patterns = Arc::new(Patterns::new(&values, Rules::All));
        let text = b"one\ntwo hunter2hunter2\npassword=abcdef hunter2hunter2\n";
        for cut in 1..text.len() {
            let mut found = Vec::new();
            let mut finder = Finder::new(Arc::clone(&patterns));
            for piece in text.chunks(cut) {
                finder.push(piece, &mut |hit| found.push((hit.label, hit.offset, hit.line)));
            }
            finder.end(&mut |hit| found.push((hit.label, hit.offset, hit.line)));
            let expected = [
                (Label::Value(0), 8, 2),
                (Label::Credential, 32, 3),
                (Label::Value(0), 39, 3),
            ];
            assert_eq!(found, expected, "in pieces of {cut}");
        }
    }
}
