//! A strict reading of HTTP/1.1 (RFC 9112), written for the tests and from the standard alone: what it accepts has one meaning only.
//!
//! Owns no leniency at all: whatever a receiver "may" accept is refused here. Shares no code with the edge, so that the edge is not
//! judged by itself. Knows no socket.

/// Why there is no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The bytes so far are the beginning of one.
    More,
    /// They are not, or have more than one reading.
    Wrong(String),
}

/// A request as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) is_1_1: bool,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

/// A response as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    /// Its end is the end of the connection.
    pub(crate) until_end: bool,
}

type Fields = Vec<(String, Vec<u8>)>;

fn wrong<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Wrong(why.into()))
}

/// Reads the first request of `bytes`; returns it with its length in bytes.
pub(crate) fn request(bytes: &[u8]) -> Result<(Request, usize), Stop> {
    let (request, used) = request_of_a_peer(bytes)?;
    if !request.target.starts_with('/') && request.target != "*" {
        return wrong(format!("target {}", request.target));
    }
    if values(&request.fields, "host").count() == 0 {
        return wrong("no Host field");
    }
    if !request.is_1_1 {
        return wrong("version 1.0");
    }
    Ok((request, used))
}

/// As [`request`], of a peer that forwards an absolute target as it came, which is right too (RFC 9112, 3.2.2), and an HTTP/1.0
/// request as one, with or without Host.
pub(crate) fn request_of_a_peer(bytes: &[u8]) -> Result<(Request, usize), Stop> {
    let (first, fields, head) = head(bytes)?;
    let mut parts = first.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return wrong("the request line does not have three parts");
    };
    if !is_token(method) {
        return wrong("the method is no token");
    }
    if version != b"HTTP/1.1" && version != b"HTTP/1.0" {
        return wrong(format!("version {}", version.escape_ascii()));
    }
    let asterisk = method == b"OPTIONS" && target == b"*";
    let absolute = target.windows(3).any(|part| part == b"://");
    if !(target.starts_with(b"/") || absolute || asterisk)
        || !target.iter().all(|b| b.is_ascii_graphic() || !b.is_ascii())
    {
        return wrong(format!("target {}", target.escape_ascii()));
    }
    let hosts: Vec<&[u8]> = values(&fields, "host").collect();
    if hosts.len() > 1 {
        return wrong(format!("{} Host fields", hosts.len()));
    }
    let host = hosts.first().copied().unwrap_or_default();
    if !host
        .iter()
        .all(|b| b.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(b))
    {
        return wrong(format!("Host {}", host.escape_ascii()));
    }
    let (body, used) = match framing(&fields)? {
        Framing::Chunked => chunked(&bytes[head..])?,
        Framing::Length(length) => exactly(&bytes[head..], length)?,
        Framing::None => (Vec::new(), 0),
    };
    let request = Request {
        is_1_1: version == b"HTTP/1.1",
        method: text(method),
        target: text(target),
        fields,
        body,
    };
    Ok((request, head + used))
}

/// Reads the first response of `bytes`; returns it with its length in bytes. `bodiless` when it answers HEAD; `ended` when the
/// connection ended after `bytes`.
pub(crate) fn response(bytes: &[u8], bodiless: bool, ended: bool) -> Result<(Response, usize), Stop> {
    let (first, fields, head) = head(bytes)?;
    let status = match first {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1', b' ', digits @ ..] => match digits {
            [a, b, c] | [a, b, c, b' ', ..] if [a, b, c].iter().all(|digit| digit.is_ascii_digit()) => [a, b, c]
                .iter()
                .fold(0, |sum, digit| sum * 10 + u16::from(**digit - b'0')),
            _ => return wrong(format!("status line {}", first.escape_ascii())),
        },
        _ => return wrong(format!("status line {}", first.escape_ascii())),
    };
    let framing = framing(&fields)?;
    let none = bodiless || status < 200 || status == 204 || status == 304;
    let rest = &bytes[head..];
    let (body, used, until_end) = match framing {
        _ if none => (Vec::new(), 0, false),
        Framing::Chunked => chunked(rest).map(|(body, used)| (body, used, false))?,
        Framing::Length(length) => exactly(rest, length).map(|(body, used)| (body, used, false))?,
        Framing::None if ended => (rest.to_vec(), rest.len(), true),
        Framing::None => return Err(Stop::More),
    };
    let response = Response {
        status,
        fields,
        body,
        until_end,
    };
    Ok((response, head + used))
}

/// Returns the values of a field, in order.
pub(crate) fn values<'a>(fields: &'a [(String, Vec<u8>)], name: &str) -> impl Iterator<Item = &'a [u8]> {
    fields
        .iter()
        .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_slice())
}

/// Says whether bytes are a token (RFC 9110, 5.6.2).
fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Reads the first line and the fields up to the empty line; returns where the body begins.
fn head(bytes: &[u8]) -> Result<(&[u8], Fields, usize), Stop> {
    let (first, mut at) = line(bytes, 0)?;
    let mut fields = Vec::new();
    loop {
        let (field, next) = line(bytes, at)?;
        at = next;
        if field.is_empty() {
            return Ok((first, fields, at));
        }
        fields.push(self::field(field)?);
    }
}

fn field(line: &[u8]) -> Result<(String, Vec<u8>), Stop> {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else {
        return wrong(format!("a field without a colon: {}", line.escape_ascii()));
    };
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if !is_token(name) {
        return wrong(format!("field name {}", name.escape_ascii()));
    }
    if !value.iter().all(|b| *b == b'\t' || *b >= b' ' && *b != 0x7f) {
        return wrong(format!("field value {}", value.escape_ascii()));
    }
    Ok((text(name), value.to_vec()))
}

/// Reads a line that ends with CR LF and has neither before it.
fn line(bytes: &[u8], from: usize) -> Result<(&[u8], usize), Stop> {
    let rest = &bytes[from..];
    let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return Err(Stop::More);
    };
    match rest.get(end..end + 2) {
        Some(b"\r\n") => Ok((&rest[..end], from + end + 2)),
        None if rest[end] == b'\r' => Err(Stop::More),
        _ => wrong("a line does not end with CR LF"),
    }
}

enum Framing {
    None,
    Length(usize),
    Chunked,
}

fn framing(fields: &[(String, Vec<u8>)]) -> Result<Framing, Stop> {
    let lengths: Vec<&[u8]> = values(fields, "content-length").collect();
    let codings: Vec<&[u8]> = values(fields, "transfer-encoding").collect();
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok(Framing::None),
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        ([length], []) if !length.is_empty() && length.len() <= 18 && length.iter().all(u8::is_ascii_digit) => {
            Ok(Framing::Length(text(length).parse().expect("digits")))
        }
        _ => wrong(format!(
            "Content-Length {:?} and Transfer-Encoding {:?}",
            lengths.iter().map(|value| text(value)).collect::<Vec<_>>(),
            codings.iter().map(|value| text(value)).collect::<Vec<_>>()
        )),
    }
}

fn exactly(bytes: &[u8], length: usize) -> Result<(Vec<u8>, usize), Stop> {
    match bytes.get(..length) {
        Some(body) => Ok((body.to_vec(), length)),
        None => Err(Stop::More),
    }
}

/// Reads chunks. Extensions are refused, for who forwards takes them out; so are trailer fields that frame or route.
fn chunked(bytes: &[u8]) -> Result<(Vec<u8>, usize), Stop> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let (size, data) = line(bytes, at)?;
        if size.is_empty() || size.len() > 15 || !size.iter().all(u8::is_ascii_hexdigit) {
            return wrong(format!("chunk size {}", size.escape_ascii()));
        }
        let size = usize::from_str_radix(&text(size), 16).expect("hexadecimal");
        if size == 0 {
            at = data;
            break;
        }
        let (chunk, _) = exactly(&bytes[data..], size)?;
        body.extend_from_slice(&chunk);
        match bytes.get(data + size..data + size + 2) {
            Some(b"\r\n") => at = data + size + 2,
            None => return Err(Stop::More),
            Some(_) => return wrong("a chunk is longer than its size"),
        }
    }
    loop {
        let (trailer, next) = line(bytes, at)?;
        at = next;
        if trailer.is_empty() {
            return Ok((body, at));
        }
        let (name, _) = field(trailer)?;
        let name = name.to_ascii_lowercase();
        if [
            "content-length",
            "transfer-encoding",
            "host",
            "connection",
            "trailer",
            "te",
        ]
        .contains(&&name[..])
        {
            return wrong(format!("trailer field {name}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strict_reading_reads_what_is_right_and_refuses_what_is_not() {
        let chunks =
            b"POST /a?b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\nGET";
        let (read, used) = request(chunks).unwrap();
        assert_eq!(
            (&read.method[..], &read.target[..], &read.body[..]),
            ("POST", "/a?b", &b"abc"[..])
        );
        assert_eq!(&chunks[used..], b"GET");
        assert_eq!(request(&chunks[..used - 1]), Err(Stop::More));
        for bad in [
            "GET / HTTP/1.1\nHost: x\n\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n b\r\n\r\n",
            "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\na\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        ] {
            assert!(matches!(request(bad.as_bytes()), Err(Stop::Wrong(_))), "{bad:?}");
        }
        let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP";
        assert_eq!(response(plain, false, false).unwrap().1, plain.len() - 4);
        assert_eq!(response(b"HTTP/1.1 200 OK\r\n\r\nok", false, false), Err(Stop::More));
        assert!(response(b"HTTP/1.1 200 OK\r\n\r\nok", false, true).unwrap().0.until_end);
    }
}
