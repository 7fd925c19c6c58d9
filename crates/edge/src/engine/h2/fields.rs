//! What is done to the fields of heads and trailers on their way: hop-by-hop ones taken out, what the edge knows put in; and which
//! heads of HTTP/2 are not let through. Knows no connection.

use std::borrow::Cow;
use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

use http::header::{self, Entry, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode, response};
use tend_base::Wall;
use tend_http1::{FieldRef, Fields, Kind, Length, ResponseHead};

use super::super::head::{ATTESTED, TRUSTED, may_trail, passing_trailers, response_fields};
use crate::answer::ErrorCode;
use crate::content::Shape;
use crate::exchange::Exchange;
use crate::live::Replica;
use crate::tls::{SUBJECT_FIELD, VERIFY_FIELD};

const X_TEND_REPLICA: HeaderName = HeaderName::from_static("x-tend-replica");
const X_TEND_INCARNATION: HeaderName = HeaderName::from_static("x-tend-incarnation");
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

/// Room for the fields of the usual answer and for ours.
const FIELDS_USUAL: usize = 24;

/// The one thing HTTP/2 knows in `TE`.
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");

/// Never taken out because `Connection` names it: a client could otherwise strip what the edge or the framing depends on.
fn stays_though_named(name: &HeaderName) -> bool {
    *name == header::HOST || *name == header::CONTENT_LENGTH || *name == X_REQUEST_ID
}

/// Says where a request of HTTP/2 wants to go, or why it is not forwarded. `h2` has refused what RFC 9113, 8.2 and 8.3 forbid.
pub(super) fn check(parts: &Parts) -> Result<&str, ErrorCode> {
    if parts.method == Method::CONNECT {
        return Err(match parts.extensions.get::<h2::ext::Protocol>() {
            None => ErrorCode::MethodNotAllowed,
            // As RFC 9220, 3, says it of a protocol that is not known; a WebSocket is a GET by now.
            Some(_) => ErrorCode::MethodUnknown,
        });
    }
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let written = match (hosts.next(), hosts.next()) {
        (None, None) => None,
        (Some(host), None) => Some(host.to_str().map_err(|_| ErrorCode::BadRequest)?),
        _ => return Err(ErrorCode::BadRequest),
    };
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let host = match (authority, written) {
        // Two that differ could be routed by one and served by the other (RFC 9113, 8.3.1).
        (Some(authority), Some(written)) if !authority.eq_ignore_ascii_case(written) => {
            return Err(ErrorCode::BadRequest);
        }
        (Some(host), _) | (None, Some(host)) => host,
        (None, None) => return Err(ErrorCode::BadRequest),
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(&b);
    if host.is_empty() || host.len() > 255 || !host.bytes().all(allowed) {
        return Err(ErrorCode::BadRequest);
    }
    // As on HTTP/1: readers differ in how they see what should have been escaped (RFC 3986, 2.1).
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ErrorCode::BadRequest);
    }
    if parts.headers.keys().any(|name| looks_like_framing(name.as_str())) {
        return Err(ErrorCode::BadRequest);
    }
    let asterisk = parts.method == Method::OPTIONS && parts.uri.path() == "*";
    if !parts.uri.path().starts_with('/') && !asterisk {
        return Err(ErrorCode::BadRequest);
    }
    Ok(host)
}

/// Says whether a name reads as one that frames a body where `_` and `-` are the same, such as in CGI.
fn looks_like_framing(name: &str) -> bool {
    let alike = |known: &str| name.contains('_') && name.replace('_', "-") == known;
    match name.len() {
        14 => alike("content-length"),
        17 => alike("transfer-encoding"),
        _ => false,
    }
}

/// Says whether the client takes trailers, as clients of gRPC have to say.
pub(super) fn takes_trailers(headers: &HeaderMap) -> bool {
    headers.get(header::TE).is_some_and(|value| *value == TRAILERS)
}

/// Returns the cookies as HTTP/1 has them: HTTP/2 may write them apart, there they are one field (RFC 9113, 8.2.3).
pub(super) fn joined_cookies(headers: &HeaderMap) -> Option<Cow<'_, [u8]>> {
    let mut cookies = headers.get_all(header::COOKIE).iter();
    let mut joined = Cow::Borrowed(cookies.next()?.as_bytes());
    for cookie in cookies {
        let joined = joined.to_mut();
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(cookie.as_bytes());
    }
    Some(joined)
}

/// Says whether a field of a request goes on to a replica of HTTP/1 as it is: neither meant for this hop only nor framing.
pub(super) fn is_end_to_end(name: &HeaderName) -> bool {
    // By its text: the compiler looks at the length first, and most names are told apart by that.
    !matches!(
        name.as_str(),
        "connection"
            | "content-length"
            | "expect"
            | "host"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Returns the length of the body that a head tells.
pub(super) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Returns the trailer fields of a request as they go to a replica of HTTP/1.
pub(super) fn to_plain_trailers(trailers: &HeaderMap) -> impl Iterator<Item = FieldRef<'_>> {
    let fields = trailers.iter().map(|(name, value)| FieldRef {
        name: name.as_str().as_bytes(),
        value: value.as_bytes(),
        kind: Kind::Other,
    });
    fields
        .zip(trailers.iter().map(|(name, _)| is_end_to_end(name)))
        .filter_map(|(field, passes)| (passes && may_trail(field.name)).then_some(field))
}

/// Returns the head of what a replica of HTTP/1 answered, without what is for us only and what it may not say.
pub(super) fn from_plain(head: &ResponseHead) -> response::Parts {
    let (mut parts, ()) = Response::new(()).into_parts();
    // The parser lets 100 to 999 through, as this does.
    parts.status = StatusCode::from_u16(head.status()).unwrap_or(StatusCode::BAD_GATEWAY);
    parts.headers = HeaderMap::with_capacity(FIELDS_USUAL);
    for field in response_fields(head.fields()) {
        add(&mut parts.headers, field);
    }
    let length = match (head.length(), head.announced()) {
        (Length::Bytes(_), Some(announced)) => HeaderValue::from_bytes(announced).ok(),
        // An answer to HEAD and a 304 tell the length of what they do not send; a 204 has none to tell.
        (Length::None, Some(announced)) if head.status() != 204 && head.status() >= 200 => {
            HeaderValue::from_bytes(announced).ok()
        }
        _ => None,
    };
    if let Some(length) = length {
        parts.headers.insert(header::CONTENT_LENGTH, length);
    }
    parts
}

/// Returns the trailer fields of a message of HTTP/1 that may go on; none when there are none.
pub(super) fn trailers_from_plain(trailers: &Fields, reserved: &[&str]) -> Option<HeaderMap> {
    if trailers.is_empty() {
        return None;
    }
    let mut headers = HeaderMap::new();
    for field in passing_trailers(trailers, reserved) {
        add(&mut headers, field);
    }
    (!headers.is_empty()).then_some(headers)
}

/// Adds the fields of a head of HTTP/1 that go on to the next hop.
pub(super) fn add_end_to_end(headers: &mut HeaderMap, fields: &Fields) {
    for field in fields.iter().filter(|field| field.kind.is_end_to_end()) {
        add(headers, field);
    }
}

fn add(headers: &mut HeaderMap, field: FieldRef<'_>) {
    // What was read strictly is a name and a value here as well.
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(field.name), HeaderValue::from_bytes(field.value)) {
        headers.append(name, value);
    }
}

/// Makes the head that goes to a replica one of HTTP/2; the host goes in `:authority`.
pub(super) fn for_linked(headers: &mut HeaderMap, trailers: bool) {
    headers.remove(header::HOST);
    if trailers {
        headers.insert(header::TE, TRAILERS);
    }
}

/// Says when an answer was made, where the replica did not: HTTP wants that of whoever has a clock (RFC 9110, 6.6.1).
pub(super) fn date(headers: &mut HeaderMap, now: Wall) {
    if let Entry::Vacant(free) = headers.entry(header::DATE) {
        free.insert(today(now));
    }
}

/// Returns the date; written anew once a second.
fn today(now: Wall) -> HeaderValue {
    thread_local! {
        static LAST: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
    }
    let seconds = now.0 / 1000;
    LAST.with(|last| {
        let mut last = last.borrow_mut();
        if last.0 != seconds {
            *last = (
                seconds,
                value_of(&httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))),
            );
        }
        last.1.clone()
    })
}

/// Takes out what is meant for the next hop only.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
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
pub(super) fn to_upstream(headers: &mut HeaderMap, host: &str, exchange: &Exchange) {
    remove_hop_by_hop(headers);
    remove_alike(headers, &TRUSTED);
    let address = value_of(&exchange.client().to_string());
    let hops = exchange.forwarded_for();
    headers.insert(
        X_FORWARDED_FOR,
        hops.map_or_else(|| address.clone(), |hops| value_of(&hops)),
    );
    headers.insert(X_REAL_IP, address);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(exchange.scheme()));
    headers.insert(X_FORWARDED_HOST, value_of(host));
    headers.insert(header::HOST, value_of(host));
    headers.insert(X_REQUEST_ID, once(exchange.request_id()));
    if exchange.hides_codings() {
        headers.remove(header::ACCEPT_ENCODING);
    }
    if !exchange.trace().is_clients {
        headers.remove("tracestate");
    }
    if let Ok(mut parent) = HeaderValue::from_bytes(&exchange.trace().parent()) {
        parent.set_sensitive(true);
        headers.insert("traceparent", parent);
    }
    if let Some(certificate) = exchange.client_certificate() {
        headers.insert(VERIFY_FIELD, HeaderValue::from_static("SUCCESS"));
        headers.insert(SUBJECT_FIELD, value_of(&certificate.subject));
    }
}

/// Returns the fields of a request as they go to a replica when it is held whole: without those that frame it.
pub(super) fn to_be_held(mut headers: HeaderMap, host: &str, exchange: &Exchange) -> Vec<(String, Vec<u8>)> {
    to_upstream(&mut headers, host, exchange);
    for framing in [header::CONTENT_LENGTH, header::TRAILER] {
        headers.remove(framing);
    }
    let cookies = joined_cookies(&headers).map(|joined| ("cookie".to_owned(), joined.into_owned()));
    let fields = headers.iter().filter(|(name, _)| *name != header::COOKIE);
    fields
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .chain(cookies)
        .collect()
}

/// Takes out of the head of what a replica of HTTP/2 answered what is for us only and what it may not say.
pub(super) fn from_linked(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    remove_alike(headers, &ATTESTED);
}

/// Makes a replica's headers those of the response to a client.
pub(super) fn to_client(headers: &mut HeaderMap, replica: &Replica, exchange: &Exchange, shape: &Shape) {
    for name in &shape.remove {
        headers.remove(*name);
    }
    for (name, value) in &shape.set {
        set(headers, name, value);
    }
    if shape.encoder.is_some() {
        headers.remove(header::CONTENT_LENGTH);
    }
    apply(headers, exchange);
    let [name, incarnation] = &replica.shown;
    headers.insert(X_TEND_REPLICA, name.clone());
    headers.insert(X_TEND_INCARNATION, incarnation.clone());
    if !headers.contains_key(X_REQUEST_ID) {
        headers.insert(X_REQUEST_ID, once(exchange.request_id()));
    }
}

/// Does to the head of a response what its route says.
pub(super) fn apply(headers: &mut HeaderMap, exchange: &Exchange) {
    let Some(route) = exchange.route() else {
        return;
    };
    let rules = &route.head;
    for name in &rules.remove {
        headers.remove(name);
    }
    for (name, value) in &rules.unless {
        if let Entry::Vacant(free) = headers.entry(name) {
            free.insert(value.clone());
        }
    }
    let secure = rules.set_secure.iter().filter(|_| exchange.is_secure());
    for (name, value) in rules.set.iter().chain(secure) {
        headers.insert(name, value.clone());
    }
}

fn set(headers: &mut HeaderMap, name: &str, value: &str) {
    if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
        headers.insert(name, value_of(value));
    }
}

/// Returns the client's request id where it is harmless.
pub(super) fn request_id(headers: &HeaderMap) -> Option<&str> {
    let harmless = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        !bytes.is_empty()
            && bytes.len() <= 128
            && bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(b))
    };
    headers.get(X_REQUEST_ID).filter(harmless)?.to_str().ok()
}

/// Returns a value that comes once and never again. Marked so, it is kept out of the table of fields seen before (RFC 7541, 2.3.2): it
/// would drive out what does come again, and each one that lies there is compared with the next.
pub(super) fn once(text: &str) -> HeaderValue {
    let mut value = value_of(text);
    value.set_sensitive(true);
    value
}

/// Returns a value for a text that was checked to be one.
pub(super) fn value_of(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
