//! What is done to the headers on their way: hop-by-hop ones taken out, what the edge knows put in. Knows no connection.

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Version};
use tend_routing::CANDIDATE_HEADER;

use crate::answer::ErrorCode;
use crate::exchange::Exchange;
use crate::live::Replica;
use crate::tls::{CLIENT_FIELDS, SUBJECT_FIELD, VERIFY_FIELD};

pub(super) const X_TEND_REPLICA: HeaderName = HeaderName::from_static("x-tend-replica");
pub(super) const X_TEND_INCARNATION: HeaderName = HeaderName::from_static("x-tend-incarnation");
pub(super) const X_TEND_ERROR: HeaderName = HeaderName::from_static("x-tend-error");
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Meant for the next hop only (RFC 9110, 7.6.1), beside what `Connection` names. `Expect` is answered by the edge itself.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
    header::EXPECT,
];

/// What a replica believes of the edge and so must not come from a client, and what it is not to see.
const TRUSTED: [&str; 12] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-real-ip",
    "forwarded",
    "x-tend-replica",
    "x-tend-incarnation",
    CANDIDATE_HEADER,
    CLIENT_FIELDS[0],
    CLIENT_FIELDS[1],
];

/// What a client believes of the edge and so must not come from a replica.
const ATTESTED: [&str; 3] = ["x-tend-replica", "x-tend-incarnation", "x-tend-error"];

/// Never taken out because `Connection` names it: a client could otherwise strip what the edge or the framing depends on.
fn stays_though_named(name: &HeaderName) -> bool {
    *name == header::HOST || *name == header::CONTENT_LENGTH || *name == X_REQUEST_ID
}

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

/// Takes out what is meant for the next hop only.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .filter(|name| !stays_though_named(name))
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Takes out what has one of these names, or reads the same in CGI-like environments, as `X_Forwarded_For` does.
fn remove_alike(headers: &mut HeaderMap, names: &[&str]) {
    let alike: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            names.iter().any(|ours| {
                ours.len() == name.as_str().len()
                    && ours
                        .bytes()
                        .zip(name.as_str().bytes())
                        .all(|(ours, theirs)| ours == theirs || (ours == b'-' && theirs == b'_'))
            })
        })
        .cloned()
        .collect();
    for name in alike {
        headers.remove(name);
    }
}

/// Takes out of a request's trailer fields what replicas believe of the edge.
pub(super) fn clean_request_trailers(trailers: &mut HeaderMap) {
    remove_alike(trailers, &TRUSTED);
}

/// Takes out of a response's trailer fields what clients believe of the edge.
pub(super) fn clean_response_trailers(trailers: &mut HeaderMap) {
    remove_alike(trailers, &ATTESTED);
}

/// Makes a client's headers those of the request to a replica.
pub(super) fn to_upstream(
    headers: &mut HeaderMap,
    host: &str,
    exchange: &Exchange,
    request_id: &HeaderValue,
    upgrade: bool,
) {
    let protocol = upgrade.then(|| headers.get(header::UPGRADE).cloned()).flatten();
    remove_hop_by_hop(headers);
    remove_alike(headers, &TRUSTED);
    let address = value_of(&exchange.client().to_string());
    headers.insert(X_FORWARDED_FOR, address.clone());
    headers.insert(X_REAL_IP, address);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(exchange.scheme()));
    headers.insert(X_FORWARDED_HOST, value_of(host));
    headers.insert(header::HOST, value_of(host));
    headers.insert(X_REQUEST_ID, request_id.clone());
    if let Some(certificate) = exchange.client_certificate() {
        headers.insert(VERIFY_FIELD, HeaderValue::from_static("SUCCESS"));
        headers.insert(SUBJECT_FIELD, value_of(&certificate.subject));
    }
    if let Some(protocol) = protocol {
        headers.insert(header::UPGRADE, protocol);
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// Makes a replica's headers those of the response to a client.
pub(super) fn to_client(headers: &mut HeaderMap, replica: &Replica, request_id: &HeaderValue, upgraded: bool) {
    let protocol = upgraded.then(|| headers.get(header::UPGRADE).cloned()).flatten();
    remove_hop_by_hop(headers);
    headers.remove(X_TEND_ERROR);
    // Whatever the replica wrote there is replaced, all of it.
    headers.insert(X_TEND_REPLICA, value_of(&replica.name));
    headers.insert(X_TEND_INCARNATION, HeaderValue::from(replica.incarnation));
    if !headers.contains_key(X_REQUEST_ID) {
        headers.insert(X_REQUEST_ID, request_id.clone());
    }
    if let Some(protocol) = protocol {
        headers.insert(header::UPGRADE, protocol);
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// Does to the head of a response what its route says.
pub(super) fn apply(headers: &mut HeaderMap, exchange: &Exchange) {
    let Some(rules) = exchange.head_rules() else {
        return;
    };
    for name in &rules.remove {
        headers.remove(&**name);
    }
    for (name, value) in &rules.unless {
        if !headers.contains_key(&**name) {
            set(headers, name, value);
        }
    }
    for (name, value) in &rules.set {
        set(headers, name, value);
    }
    for (name, value) in rules.set_secure.iter().filter(|_| exchange.is_secure()) {
        set(headers, name, value);
    }
}

fn set(headers: &mut HeaderMap, name: &str, value: &str) {
    if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
        headers.insert(name, value_of(value));
    }
}

/// Returns the client's request id where it is harmless, else a new one of 32 hexadecimal digits.
pub(super) fn request_id(headers: &HeaderMap, random: impl Fn() -> u64) -> HeaderValue {
    let harmless = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        !bytes.is_empty()
            && bytes.len() <= 128
            && bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(b))
    };
    match headers.get(X_REQUEST_ID).filter(harmless) {
        Some(value) => value.clone(),
        None => value_of(&format!("{:016x}{:016x}", random(), random())),
    }
}

/// Returns a value for a text that was checked to be one.
pub(super) fn value_of(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
