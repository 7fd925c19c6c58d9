//! Finds the end of a head while its bytes arrive, looking at each byte once; knows lines and sizes, not what stands in them.

use std::ops::Range;

use memchr::memchr;

use crate::Http1Error;

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All of it, the empty line included, in bytes.
    pub head_bytes_max: usize,
    /// The target of a request, in bytes. Ignored for responses.
    pub target_bytes_max: usize,
}

/// How far a head has been looked at. Begun anew for each head.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    looked: usize,
    line: usize,
    head: usize,
}

impl Scan {
    /// Looks at what has come; `bytes` are those of the calls before with more at their end. Returns the place of the head, behind any
    /// empty lines (RFC 9112, 2.2), once its last line is there.
    ///
    /// # Errors
    /// What is wrong for certain, whatever may follow.
    pub fn find(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        first_line_bytes_max: usize,
    ) -> Result<Option<Range<usize>>, Http1Error> {
        while let Some(found) = bytes.get(self.looked..).and_then(|rest| memchr(b'\n', rest)) {
            let feed = self.looked + found;
            if feed == 0 || bytes[feed - 1] != b'\r' {
                return Err(Http1Error::LineEnd);
            }
            let empty = feed == self.line + 1;
            self.looked = feed + 1;
            if empty && self.line == self.head {
                self.head = feed + 1;
            } else if empty {
                return if self.looked > limits.head_bytes_max {
                    Err(Http1Error::HeadTooLarge)
                } else {
                    Ok(Some(self.head..self.looked))
                };
            }
            self.line = feed + 1;
            if self.line != self.head && matches!(bytes.get(self.line), Some(b' ' | b'\t')) {
                return Err(Http1Error::Folded);
            }
        }
        self.looked = bytes.len();
        if self.line == self.head && bytes.len() - self.head > first_line_bytes_max {
            return Err(Http1Error::TargetTooLong);
        }
        if bytes.len() > limits.head_bytes_max {
            return Err(Http1Error::HeadTooLarge);
        }
        Ok(None)
    }
}
