//! The head of a request: read strictly, kept in vectors that are used again for the next one.

use httparse::{ParserConfig, Request, Status};

use crate::fields::{Fields, Kind, Span, room, tokens};
use crate::framing::{self, Length, Said};
use crate::scan::{Limits, Scan};
use crate::{Http1Error, target};

/// Bytes of a method at most: the longest registered one, `UPDATEREDIRECTREF`, has 17.
pub const METHOD_BYTES_MAX: usize = 32;

/// The version a message claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunks, and a connection ends unless both sides say otherwise.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
}

/// The head of one request. Empty at first, and after a head that was refused as far as it made no sense.
#[derive(Debug, Default)]
pub struct RequestHead {
    fields: Fields,
    /// Method, target and host, one behind the other.
    text: String,
    method_end: usize,
    target_end: usize,
    upgrade: Option<Span>,
    version: Version,
    length: Length,
    expects_continue: bool,
}

impl RequestHead {
    /// Reads a head once all of it has come; returns how many of `bytes` it takes. `scan` is to be a new one for each head, and
    /// `bytes` those of the calls before with more at their end.
    ///
    /// # Errors
    /// Why there is no request here. What made sense before that is kept, for the log.
    pub fn read(&mut self, scan: &mut Scan, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Http1Error> {
        self.clear();
        // A method, a target, a version, two spaces and the end of the line.
        let line_bytes_max = METHOD_BYTES_MAX + limits.target_bytes_max + 12;
        // What begins otherwise never becomes a request, such as the first bytes of TLS.
        if bytes
            .first()
            .is_some_and(|byte| !byte.is_ascii_graphic() && !matches!(byte, b'\r' | b'\n'))
        {
            return Err(Http1Error::RequestLine);
        }
        let Some(place) = scan.find(bytes, limits, line_bytes_max)? else {
            return Ok(None);
        };
        let end = place.end;
        self.parse(&bytes[place], limits)?;
        Ok(Some(end))
    }

    fn clear(&mut self) {
        self.fields.clear();
        self.text.clear();
        (self.method_end, self.target_end) = (0, 0);
        self.upgrade = None;
        self.version = Version::Http11;
        self.length = Length::None;
        self.expects_continue = false;
    }

    fn parse(&mut self, head: &[u8], limits: &Limits) -> Result<(), Http1Error> {
        let mut room = room();
        let mut parsed = Request::new(&mut []);
        let outcome = ParserConfig::default().parse_request_with_uninit_headers(&mut parsed, head, &mut room);
        self.fields.bytes.extend_from_slice(head);
        let method = parsed.method.unwrap_or_default();
        let written = parsed.path.unwrap_or_default();
        if method.len() > METHOD_BYTES_MAX {
            return Err(Http1Error::MethodTooLong);
        }
        if written.len() > limits.target_bytes_max {
            return Err(Http1Error::TargetTooLong);
        }
        self.say(method, written);
        match outcome {
            Ok(Status::Complete(read)) if read == head.len() => {}
            // The scan found the end of the head elsewhere than the parser.
            Ok(_) => return Err(Http1Error::LineEnd),
            Err(error) => return Err(refusal(error, head)),
        }
        self.version = match parsed.version {
            Some(0) => Version::Http10,
            _ => Version::Http11,
        };
        let target = target::read(method.as_bytes(), written)?;
        self.fields.take(head, parsed.headers)?;
        self.frame()?;
        self.aim(method, target)?;
        self.upgrade = self.wanted_protocol();
        self.expects_continue = self.version == Version::Http11
            && self.fields.has(Kind::Expect)
            && self
                .fields
                .iter()
                .any(|field| field.kind == Kind::Expect && field.value.eq_ignore_ascii_case(b"100-continue"));
        Ok(())
    }

    fn frame(&mut self) -> Result<(), Http1Error> {
        self.length = match framing::said(&self.fields, self.version)? {
            Said::Nothing => Length::None,
            Said::Bytes(bytes) => Length::Bytes(bytes),
            Said::Chunked => Length::Chunked,
        };
        Ok(())
    }

    /// Notes method and target.
    fn say(&mut self, method: &str, target: &str) {
        self.text.clear();
        self.text.push_str(method);
        self.method_end = self.text.len();
        self.text.push_str(target);
        self.target_end = self.text.len();
    }

    /// Settles which host and which path the request is for.
    fn aim(&mut self, method: &str, target: target::Target<'_>) -> Result<(), Http1Error> {
        let mut hosts = self.fields.iter().filter(|field| field.kind == Kind::Host);
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => target::host(host.value).ok_or(Http1Error::Host)?,
            // RFC 9112, 3.2: exactly one, except from a client older than the rule.
            (None, None) if self.version == Version::Http10 => "",
            _ => return Err(Http1Error::Host),
        };
        // In absolute form the authority counts and Host is to be ignored (RFC 9112, 3.2.2).
        let Some(authority) = target.authority else {
            self.text.push_str(host);
            return Ok(());
        };
        drop(hosts);
        self.say(method, if target.rest.starts_with(['/', '*']) { "" } else { "/" });
        self.text.push_str(target.rest);
        self.target_end = self.text.len();
        self.text.push_str(authority);
        Ok(())
    }

    /// Returns the protocol that the connection is to be changed to, where that may be passed on: a change to another version of HTTP
    /// or to TLS would carry requests past whoever looks at them here.
    fn wanted_protocol(&self) -> Option<Span> {
        if self.version != Version::Http11 || !self.fields.connection().upgrade {
            return None;
        }
        let mut wanted = self.fields.iter().filter(|field| field.kind == Kind::Upgrade);
        let (Some(only), None) = (wanted.next(), wanted.next()) else {
            return None;
        };
        let mut protocols = tokens(only.value);
        let (Some(protocol), None) = (protocols.next(), protocols.next()) else {
            return None;
        };
        let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
        let passes = [&b"h2c"[..], b"h2", b"http", b"tls"];
        let carries_requests = passes.iter().any(|known| name.eq_ignore_ascii_case(known));
        (!carries_requests).then(|| Span::of(protocol, &self.fields.bytes))
    }

    /// Returns the method as it was written; methods depend on case.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.text[..self.method_end]
    }

    /// Returns path and query, or `*`, as they are to be sent on.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.text[self.method_end..self.target_end]
    }

    /// Returns the target without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        let target = self.target();
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// Returns which host the request is for, with the port where one was written; empty from a client of HTTP/1.0 that named none.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.text[self.target_end..]
    }

    /// Returns the version the client speaks.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns how the body is framed; never [`Length::UntilClose`].
    #[must_use]
    pub fn length(&self) -> Length {
        self.length
    }

    /// Returns the fields.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Returns the protocol the client asks to change to, where it does and may.
    #[must_use]
    pub fn upgrade(&self) -> Option<&[u8]> {
        self.upgrade.map(|upgrade| upgrade.within(&self.fields.bytes))
    }

    /// Says whether the client waits for `100 Continue` before it sends the body.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.expects_continue && self.length != Length::None && self.length != Length::Bytes(0)
    }

    /// Says whether the client wants the connection kept.
    #[must_use]
    pub fn keeps(&self) -> bool {
        let connection = self.fields.connection();
        match self.version {
            Version::Http11 => !connection.close,
            Version::Http10 => connection.keep_alive && !connection.close,
        }
    }
}

/// Names what the parser refused.
fn refusal(error: httparse::Error, head: &[u8]) -> Http1Error {
    match error {
        httparse::Error::HeaderName => Http1Error::FieldName,
        httparse::Error::HeaderValue => Http1Error::FieldValue,
        httparse::Error::NewLine => Http1Error::LineEnd,
        httparse::Error::TooManyHeaders => Http1Error::TooManyFields,
        httparse::Error::Version if has_other_major(head) => Http1Error::Version,
        _ => Http1Error::RequestLine,
    }
}

/// Says whether the first line ends with a version of HTTP other than 1.
fn has_other_major(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    matches!(version.strip_prefix(b"HTTP/"), Some([major, b'.', minor])
        if major.is_ascii_digit() && minor.is_ascii_digit() && *major != b'1')
}
