//! The fields of a head: its bytes in one vector, names and values as places in it, and what each name means to this hop.
//!
//! Knows the names that belong to the connection (RFC 9110, 7.6.1) and those that frame a message; all others are alike.

use std::mem::MaybeUninit;

use crate::Http1Error;

/// Fields of one head or trailer section at most; hyper's number too.
pub const FIELDS_MAX: usize = 100;

/// What a field means to this hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `Host`.
    Host,
    /// `Content-Length`.
    ContentLength,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Connection`.
    Connection,
    /// `Upgrade`.
    Upgrade,
    /// `Expect`.
    Expect,
    /// Another one that ends at the next hop, such as `Keep-Alive` or `TE`.
    HopByHop,
    /// Any other.
    Other,
}

impl Kind {
    /// Says whether a field of this kind goes on to the next hop as it is.
    #[must_use]
    pub fn is_end_to_end(self) -> bool {
        self == Self::Other
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }

    fn of(name: &[u8]) -> Self {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            2 if is(b"te") => Self::HopByHop,
            4 if is(b"host") => Self::Host,
            6 if is(b"expect") => Self::Expect,
            7 if is(b"upgrade") => Self::Upgrade,
            10 if is(b"connection") => Self::Connection,
            10 if is(b"keep-alive") => Self::HopByHop,
            14 if is(b"content-length") => Self::ContentLength,
            // Goes with an upgrade to HTTP/2, which is not passed on.
            14 if is(b"http2-settings") => Self::HopByHop,
            16 if is(b"proxy-connection") => Self::HopByHop,
            17 if is(b"transfer-encoding") => Self::TransferEncoding,
            18 if is(b"proxy-authenticate") => Self::HopByHop,
            19 if is(b"proxy-authorization") => Self::HopByHop,
            _ => Self::Other,
        }
    }
}

/// Says whether a name reads the same as one that frames a body in environments that fold `_` and `-`, such as CGI and WSGI.
fn looks_like_framing(name: &[u8]) -> bool {
    let alike = |known: &[u8]| {
        let folded =
            |(theirs, known): (&u8, &u8)| theirs.to_ascii_lowercase() == *known || (*theirs, *known) == (b'_', b'-');
        name.iter().zip(known).all(folded)
    };
    match name.len() {
        14 => name.contains(&b'_') && alike(b"content-length"),
        17 => name.contains(&b'_') && alike(b"transfer-encoding"),
        _ => false,
    }
}

/// What the `Connection` fields of a head say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// `close`.
    pub close: bool,
    /// `keep-alive`.
    pub keep_alive: bool,
    /// `upgrade`.
    pub upgrade: bool,
    /// Names of other fields, which end at this hop then: see [`Fields::is_named`].
    pub names: bool,
}

/// Where something stands in the bytes of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    begin: u32,
    end: u32,
}

impl Span {
    pub(crate) fn new(begin: usize, end: usize) -> Self {
        // Heads are bounded far below 4 GiB by `Limits`, and trailers by `TRAILER_BYTES_MAX`.
        Self {
            begin: begin as u32,
            end: end as u32,
        }
    }

    /// Finds the place of `part` in `whole`, of which it is a piece.
    pub(crate) fn of(part: &[u8], whole: &[u8]) -> Self {
        let begin = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
        Self::new(begin, begin + part.len())
    }

    pub(crate) fn within(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.begin as usize..self.end as usize).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug)]
struct Field {
    name: Span,
    value: Span,
    kind: Kind,
}

/// One field of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldRef<'a> {
    /// As it was written: names do not depend on case.
    pub name: &'a [u8],
    /// Without the space around it.
    pub value: &'a [u8],
    /// What it means to this hop.
    pub kind: Kind,
}

/// The fields of a head or of a trailer section, in the order in which they came.
#[derive(Debug, Default)]
pub struct Fields {
    pub(crate) bytes: Vec<u8>,
    fields: Vec<Field>,
    connection: Connection,
    /// A bit for each [`Kind`] that is there, so that most heads need not be looked through for what they do not have.
    kinds: u8,
}

impl Fields {
    /// Says whether there is a field of this kind.
    #[must_use]
    pub fn has(&self, kind: Kind) -> bool {
        self.kinds & kind.bit() != 0
    }

    /// Returns the value of the first field of this kind.
    #[must_use]
    pub fn of_kind(&self, kind: Kind) -> Option<&[u8]> {
        if !self.has(kind) {
            return None;
        }
        self.iter().find(|field| field.kind == kind).map(|field| field.value)
    }

    /// Returns the fields in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = FieldRef<'_>> {
        self.fields.iter().map(|field| FieldRef {
            name: field.name.within(&self.bytes),
            value: field.value.within(&self.bytes),
            kind: field.kind,
        })
    }

    /// Returns the values of all fields of a name, in any case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name.as_bytes()))
            .map(|field| field.value)
    }

    /// Returns the value of the first field of a name, in any case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .find(|field| field.name.eq_ignore_ascii_case(name.as_bytes()))
            .map(|field| field.value)
    }

    /// Says whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Returns what the `Connection` fields say.
    #[must_use]
    pub fn connection(&self) -> Connection {
        self.connection
    }

    /// Says whether a `Connection` field names this one. To be asked only where [`Connection::names`] is true.
    #[must_use]
    pub fn is_named(&self, name: &[u8]) -> bool {
        self.iter()
            .filter(|field| field.kind == Kind::Connection)
            .flat_map(|field| tokens(field.value))
            .any(|token| token.eq_ignore_ascii_case(name))
    }

    /// Forgets everything and keeps the vectors.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        self.connection = Connection::default();
        self.kinds = 0;
    }

    /// Takes over fields that were parsed from `head`, whose bytes are already here.
    pub(crate) fn take(&mut self, head: &[u8], parsed: &[httparse::Header<'_>]) -> Result<(), Http1Error> {
        for header in parsed {
            let kind = Kind::of(header.name.as_bytes());
            match kind {
                Kind::Connection => self.note_connection(header.value),
                Kind::Other if looks_like_framing(header.name.as_bytes()) => return Err(Http1Error::FieldName),
                _ => {}
            }
            self.kinds |= kind.bit();
            self.fields.push(Field {
                name: Span::of(header.name.as_bytes(), head),
                value: Span::of(header.value, head),
                kind,
            });
        }
        Ok(())
    }

    fn note_connection(&mut self, value: &[u8]) {
        for token in tokens(value) {
            if token.eq_ignore_ascii_case(b"close") {
                self.connection.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.connection.keep_alive = true;
            } else if token.eq_ignore_ascii_case(b"upgrade") {
                self.connection.upgrade = true;
            } else {
                self.connection.names = true;
            }
        }
    }

    /// Reads a trailer section: fields and the empty line behind them.
    pub(crate) fn read_trailers(&mut self, section: &[u8]) -> Result<(), Http1Error> {
        self.clear();
        self.bytes.extend_from_slice(section);
        let mut room = [httparse::EMPTY_HEADER; FIELDS_MAX];
        match httparse::parse_headers(section, &mut room) {
            Ok(httparse::Status::Complete((read, parsed))) if read == section.len() => {
                self.take(section, parsed).map_err(|_| Http1Error::Trailers)
            }
            _ => Err(Http1Error::Trailers),
        }
    }
}

/// Returns room for the fields of a head. A plain function's local: it must not become part of a connection's future.
pub(crate) fn room<'a>() -> [MaybeUninit<httparse::Header<'a>>; FIELDS_MAX] {
    [const { MaybeUninit::uninit() }; FIELDS_MAX]
}

/// Returns the elements of a list; empty ones are left out (RFC 9110, 5.6.1).
pub(crate) fn tokens(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}
