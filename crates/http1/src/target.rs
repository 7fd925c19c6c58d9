//! The target of a request and the host it is for (RFC 9112, 3.2): checked, never decoded and never put right.

use crate::Http1Error;

/// What a target says, as pieces of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// The authority of the absolute form.
    pub(crate) authority: Option<&'a [u8]>,
    /// Path and query, or `*`. Without a leading `/` only where the absolute form has none.
    pub(crate) rest: &'a [u8],
}

/// Takes a target apart.
pub(crate) fn read<'a>(method: &[u8], target: &'a [u8]) -> Result<Target<'a>, Http1Error> {
    // A fragment never leaves a client; what is not ASCII is to be escaped (RFC 3986, 2.1), and readers differ in how they see it.
    if !target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#') {
        return Err(Http1Error::Target);
    }
    if method == b"CONNECT" {
        return Err(Http1Error::Connect);
    }
    let origin = |rest| Ok(Target { authority: None, rest });
    match target {
        [b'/', ..] => return origin(target),
        b"*" if method == b"OPTIONS" => return origin(target),
        _ => {}
    }
    let after = |scheme: &[u8]| {
        let (begin, rest) = target.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let rest = after(b"http://")
        .or_else(|| after(b"https://"))
        .ok_or(Http1Error::Target)?;
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?'))
        .unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if !is_host(authority) {
        return Err(Http1Error::Target);
    }
    Ok(Target {
        authority: Some(authority),
        // RFC 9112, 3.2.4.
        rest: if rest.is_empty() && method == b"OPTIONS" {
            b"*"
        } else {
            rest
        },
    })
}

/// Says whether this names a host, with a port or without. Narrower than RFC 3986: no host has `,` or `;` in its name, but some
/// readers take a list there; and no credentials.
pub(crate) fn is_host(host: &[u8]) -> bool {
    if host.len() > 255 {
        return false;
    }
    let (name_is_good, port) = if let Some(literal) = host.strip_prefix(b"[") {
        let Some(end) = literal.iter().position(|byte| *byte == b']') else {
            return false;
        };
        let address = std::str::from_utf8(&literal[..end]).ok();
        let good = address.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
        (good, &literal[end + 1..])
    } else {
        let end = host.iter().position(|byte| *byte == b':').unwrap_or(host.len());
        let (name, port) = host.split_at(end);
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        (!name.is_empty() && name.iter().all(allowed), port)
    };
    let port_is_good = match port {
        [] | [b':'] => true,
        [b':', digits @ ..] => {
            digits.len() <= 5
                && digits.iter().all(u8::is_ascii_digit)
                && digits
                    .iter()
                    .fold(0u32, |sum, digit| sum * 10 + u32::from(digit - b'0'))
                    <= 65_535
        }
        _ => false,
    };
    name_is_good && port_is_good
}
