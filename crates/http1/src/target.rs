//! The target of a request and the host it is for (RFC 9112, 3.2): checked, never decoded and never put right.

use crate::Http1Error;

/// What a target says, as pieces of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// The authority of the absolute form.
    pub(crate) authority: Option<&'a str>,
    /// Path and query, or `*`. Without a leading `/` only where the absolute form has none.
    pub(crate) rest: &'a str,
}

/// Takes a target apart.
pub(crate) fn read<'a>(method: &[u8], target: &'a str) -> Result<Target<'a>, Http1Error> {
    // A fragment never leaves a client; what is not ASCII is to be escaped (RFC 3986, 2.1), and readers differ in how they see it.
    if !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(Http1Error::Target);
    }
    if method == b"CONNECT" {
        return Err(Http1Error::Connect);
    }
    if target.starts_with('/') || target == "*" && method == b"OPTIONS" {
        return Ok(Target {
            authority: None,
            rest: target,
        });
    }
    let after = |scheme: &str| {
        let (begin, rest) = target.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let rest = after("http://")
        .or_else(|| after("https://"))
        .ok_or(Http1Error::Target)?;
    let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if host(authority.as_bytes()).is_none() {
        return Err(Http1Error::Target);
    }
    Ok(Target {
        authority: Some(authority),
        // RFC 9112, 3.2.4.
        rest: if rest.is_empty() && method == b"OPTIONS" {
            "*"
        } else {
            rest
        },
    })
}

/// Returns the name of a host, with its port where it has one, as text.
pub(crate) fn host(host: &[u8]) -> Option<&str> {
    is_host(host).then(|| std::str::from_utf8(host).ok()).flatten()
}

/// Says whether this names a host, with a port or without. Narrower than RFC 3986: no host has `,` or `;` in its name, but some
/// readers take a list there; and no credentials.
fn is_host(host: &[u8]) -> bool {
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
