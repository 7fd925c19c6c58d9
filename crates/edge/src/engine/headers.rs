//! Which heads of HTTP/1 are not let through, and why. What is done to the others is the same as with HTTP/2: see [`super::h2`].

use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts;
use hyper::{Method, Version};

pub(super) use super::h2::fields::{
    X_REQUEST_ID, X_TEND_ERROR, apply, clean_request_trailers, clean_response_trailers, request_id, to_client,
    to_upstream, value_of,
};
use crate::answer::ErrorCode;

/// Says where a request wants to go, host and path, or why it is not forwarded.
///
/// `raw_head` are the bytes as they came. hyper drops `Content-Length` beside `Transfer-Encoding` without a word; here that is
/// refused, since whoever wrote both may mean the one that was dropped.
pub(super) fn check<'a>(parts: &'a Parts, raw_head: &[u8]) -> Result<&'a str, ErrorCode> {
    if parts.method == Method::CONNECT {
        return Err(ErrorCode::MethodNotAllowed);
    }
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().map_err(|_| ErrorCode::BadRequest)?,
        // RFC 9112, 3.2: exactly one, except from a client older than the rule.
        (None, None) if parts.version == Version::HTTP_10 => "",
        _ => return Err(ErrorCode::BadRequest),
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(&b);
    if !host.bytes().all(allowed) || host.len() > 255 {
        return Err(ErrorCode::BadRequest);
    }
    let mut codings = parts.headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next()
        && (codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") || has_length(raw_head))
    {
        return Err(ErrorCode::BadRequest);
    }
    let asterisk = parts.method == Method::OPTIONS && parts.uri.path() == "*";
    if !parts.uri.path().starts_with('/') && !asterisk {
        return Err(ErrorCode::BadRequest);
    }
    // In absolute form the authority counts and Host is to be ignored (RFC 9112, 3.2.2).
    match parts.uri.authority() {
        Some(authority) if authority.as_str().contains('@') => Err(ErrorCode::BadRequest),
        Some(authority) => Ok(authority.as_str()),
        None => Ok(host),
    }
}

/// Says whether a line of the head is `Content-Length`. Behind the head may come the body or, pipelined, other requests.
fn has_length(raw_head: &[u8]) -> bool {
    raw_head
        .split(|byte| *byte == b'\n')
        // hyper skips empty lines before a request, so the head ends at the first empty line after something.
        .skip_while(|line| line.trim_ascii().is_empty())
        .take_while(|line| !line.trim_ascii().is_empty())
        .any(|line| {
            line.get(..15)
                .is_some_and(|name| name.eq_ignore_ascii_case(b"content-length:"))
        })
}

/// Says whether the request asks to change the protocol.
pub(super) fn wants_upgrade(parts: &Parts) -> bool {
    parts.version == Version::HTTP_11 && parts.headers.contains_key(header::UPGRADE) && names(&parts.headers, "upgrade")
}

/// Says whether `Connection` names `token`.
fn names(headers: &HeaderMap, token: &str) -> bool {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|named| named.trim().eq_ignore_ascii_case(token))
}
