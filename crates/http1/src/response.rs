//! The head of a response: read as strictly as that of a request, for a replica that is confused is not to confuse its clients.

use httparse::{ParserConfig, Response, Status};

use crate::fields::{Fields, Kind, Span, room};
use crate::framing::{self, Length, Said};
use crate::scan::{Limits, Scan};
use crate::{Http1Error, Version};

/// What every response begins with.
const BEGIN: &[u8] = b"HTTP/1.";

/// The head of one response.
#[derive(Debug, Default)]
pub struct ResponseHead {
    fields: Fields,
    status: u16,
    reason: Span,
    version: Version,
    length: Length,
    keeps: bool,
}

impl ResponseHead {
    /// Reads a head once all of it has come; returns how many of `bytes` it takes. `scan` is to be a new one for each head, and
    /// `bytes` those of the calls before with more at their end. `to_head` says that the request was a HEAD.
    ///
    /// # Errors
    /// Why this is no response.
    pub fn read(
        &mut self,
        scan: &mut Scan,
        bytes: &[u8],
        limits: &Limits,
        to_head: bool,
    ) -> Result<Option<usize>, Http1Error> {
        // Whoever greets first is no HTTP server, and may never send an empty line.
        let shown = bytes.len().min(BEGIN.len());
        if bytes[..shown] != BEGIN[..shown] {
            return Err(Http1Error::StatusLine);
        }
        match scan.find(bytes, limits, limits.head_bytes_max)? {
            None => Ok(None),
            Some(place) => {
                self.parse(&bytes[..place.end], to_head)?;
                Ok(Some(place.end))
            }
        }
    }

    fn parse(&mut self, head: &[u8], to_head: bool) -> Result<(), Http1Error> {
        let mut room = room();
        let mut parsed = Response::new(&mut []);
        let outcome = ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, head, &mut room);
        match outcome {
            Ok(Status::Complete(read)) if read == head.len() => {}
            Ok(_) => return Err(Http1Error::LineEnd),
            Err(error) => return Err(refusal(error)),
        }
        self.fields.clear();
        self.fields.bytes.extend_from_slice(head);
        self.fields.take(head, parsed.headers)?;
        self.status = parsed.code.filter(|code| *code >= 100).ok_or(Http1Error::StatusLine)?;
        self.reason = match parsed.reason {
            Some(reason) if !reason.is_empty() => Span::of(reason.as_bytes(), head),
            _ => Span::default(),
        };
        self.version = match parsed.version {
            Some(0) => Version::Http10,
            _ => Version::Http11,
        };
        let said = framing::said(&self.fields, self.version)?;
        let bodiless = to_head || matches!(self.status, 100..=199 | 204 | 304);
        self.length = match said {
            _ if bodiless => Length::None,
            Said::Bytes(bytes) => Length::Bytes(bytes),
            Said::Chunked => Length::Chunked,
            Said::Nothing => Length::UntilClose,
        };
        // A 204 that says it has a body may well send one, which would be read as the next response.
        let in_doubt = self.status == 204 && !matches!(said, Said::Nothing | Said::Bytes(0));
        let connection = self.fields.connection();
        self.keeps = !connection.close
            && (self.version == Version::Http11 || connection.keep_alive)
            && self.length != Length::UntilClose
            && !in_doubt;
        Ok(())
    }

    /// Returns the status, from 100 to 999.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the text after the status, maybe empty.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        self.reason.within(&self.fields.bytes)
    }

    /// Returns how the body that follows is framed; [`Length::None`] for an answer to HEAD, a 1xx, a 204 and a 304.
    #[must_use]
    pub fn length(&self) -> Length {
        self.length
    }

    /// Returns the value of `Content-Length`, also where no body follows: an answer to HEAD and a 304 have it for what a GET would get.
    #[must_use]
    pub fn announced(&self) -> Option<&[u8]> {
        self.fields.of_kind(Kind::ContentLength)
    }

    /// Returns the fields.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Returns what the connection was changed to, where it says so.
    #[must_use]
    pub fn upgrade(&self) -> Option<&[u8]> {
        self.fields.of_kind(Kind::Upgrade)
    }

    /// Says whether another request may be sent on the connection once the body was read.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.keeps
    }
}

/// Names what the parser refused.
fn refusal(error: httparse::Error) -> Http1Error {
    match error {
        httparse::Error::HeaderName => Http1Error::FieldName,
        httparse::Error::HeaderValue => Http1Error::FieldValue,
        httparse::Error::NewLine => Http1Error::LineEnd,
        httparse::Error::TooManyHeaders => Http1Error::TooManyFields,
        _ => Http1Error::StatusLine,
    }
}
