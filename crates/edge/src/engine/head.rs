//! The heads that are written: hop-by-hop fields left out, what the edge knows put in, what the route says done. Knows no connection.

use std::cell::Cell;
use std::fmt::{self, Write};
use std::net::IpAddr;

use tend_base::Wall;
use tend_http1::{FieldRef, Fields, HeadWriter, Kind, Length, RequestHead, ResponseHead};
use tend_routing::CANDIDATE_HEADER;

use crate::answer::OwnAnswer;
use crate::content::Shape;
use crate::exchange::Exchange;
use crate::gate::money::DELIVERY_ID;
use crate::live::{HeadRules, Replica};
use crate::tls::{CLIENT_FIELDS, SUBJECT_FIELD, VERIFY_FIELD};

/// What a replica believes of the edge and so must not come from a client, and what it is not to see.
pub(super) const TRUSTED: [&str; 14] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-real-ip",
    "x-request-id",
    "forwarded",
    "x-tend-replica",
    "x-tend-incarnation",
    DELIVERY_ID,
    CANDIDATE_HEADER,
    CLIENT_FIELDS[0],
    CLIENT_FIELDS[1],
];

/// What a client believes of the edge and so must not come from a replica.
pub(super) const ATTESTED: [&str; 4] = ["x-tend-replica", "x-tend-incarnation", "x-tend-error", "x-tend-outcome"];

const X_REQUEST_ID: &str = "x-request-id";

/// Says whether a name is one of these, or reads the same in CGI-like environments, as `X_Forwarded_For` does.
fn is_alike(name: &[u8], names: &[&str]) -> bool {
    // All of them begin so; most fields do not.
    if !matches!(name.first(), Some(b'x' | b'X' | b'f' | b'F')) {
        return false;
    }
    names.iter().any(|ours| {
        ours.len() == name.len()
            && ours
                .bytes()
                .zip(name)
                .all(|(ours, theirs)| ours == theirs.to_ascii_lowercase() || (ours == b'-' && *theirs == b'_'))
    })
}

/// Returns the fields of a head that go on to the next hop.
fn end_to_end(fields: &Fields) -> impl Iterator<Item = FieldRef<'_>> {
    let names = fields.connection().names;
    fields
        .iter()
        .filter(|field| field.kind.is_end_to_end())
        .filter(move |field| !names || !fields.is_named(field.name))
}

/// Writes the head of the request to a replica.
pub(super) fn request(out: &mut Vec<u8>, head: &RequestHead, host: Option<&str>, exchange: &Exchange) {
    let mut writer = HeadWriter::request(out, head.method(), &exchange.target());
    write_known(&mut writer, "host", host.unwrap_or(head.host()).as_bytes());
    for field in to_replica(head, exchange) {
        writer.copy(field);
    }
    told(head.host(), exchange, |name, value| {
        write_told(&mut writer, name, value)
    });
    if let Some(protocol) = head.upgrade() {
        writer.field("connection", b"upgrade").field("upgrade", protocol);
    }
    write_length(&mut writer, head.length());
    writer.end();
}

/// Writes what a replica is told by the edge.
pub(super) fn write_told(writer: &mut HeadWriter<'_>, name: &str, value: &[u8]) {
    if name == SUBJECT_FIELD {
        // Whatever the authority has let somebody be called.
        writer.field(name, value);
    } else {
        write_known(writer, name, value);
    }
}

/// Writes a field of which it is known that neither name nor value can end its line. To look for it all the same in each of twenty
/// fields was a tenth of what a request costs outside the kernel.
fn write_known(writer: &mut HeadWriter<'_>, name: &str, value: &[u8]) {
    writer.copy(FieldRef {
        name: name.as_bytes(),
        value,
        kind: Kind::Other,
    });
}

/// Returns the client's fields that go to a replica.
fn to_replica<'h>(head: &'h RequestHead, exchange: &Exchange) -> impl Iterator<Item = FieldRef<'h>> {
    let stays = stays(exchange);
    end_to_end(head.fields()).filter(move |field| stays(field.name))
}

/// Says by its name whether a client's field, which is not for this hop only, goes to a replica.
pub(super) fn stays(exchange: &Exchange) -> impl Fn(&[u8]) -> bool + use<> {
    let hides_codings = exchange.hides_codings();
    let keeps_state = exchange.trace().is_clients;
    move |name: &[u8]| {
        let wanted = match name.len() {
            10 => keeps_state || !name.eq_ignore_ascii_case(b"tracestate"),
            11 => !name.eq_ignore_ascii_case(b"traceparent"),
            15 => !hides_codings || !name.eq_ignore_ascii_case(b"accept-encoding"),
            _ => true,
        };
        wanted && !is_alike(name, &TRUSTED)
    }
}

/// Returns the fields as they go to a replica, names in lower case, without those that frame the request or change the protocol.
pub(super) fn request_fields(head: &RequestHead, exchange: &Exchange) -> Vec<(String, Vec<u8>)> {
    let mut fields = Vec::new();
    let mut add = |name: &str, value: &[u8]| fields.push((name.to_owned(), value.to_vec()));
    add("host", head.host().as_bytes());
    for field in to_replica(head, exchange) {
        if !field.name.eq_ignore_ascii_case(b"trailer") {
            add(&lower(field.name), field.value);
        }
    }
    told(head.host(), exchange, add);
    fields
}

/// Gives `add` what a replica is told by the edge of a request that asks `host`.
pub(super) fn told(host: &str, exchange: &Exchange, mut add: impl FnMut(&str, &[u8])) {
    let address = AddressText::new(exchange.client());
    match exchange.forwarded_for() {
        None => add("x-forwarded-for", address.as_bytes()),
        Some(hops) => add("x-forwarded-for", hops.as_bytes()),
    }
    add("x-real-ip", address.as_bytes());
    add("x-forwarded-proto", exchange.scheme().as_bytes());
    add("x-forwarded-host", host.as_bytes());
    add("x-request-id", exchange.request_id().as_bytes());
    add("traceparent", &exchange.trace().parent());
    if let Some(certificate) = exchange.client_certificate() {
        add(VERIFY_FIELD, b"SUCCESS");
        add(SUBJECT_FIELD, certificate.subject.as_bytes());
    }
}

/// Returns the fields of a replica's answer that go on.
pub(super) fn response_fields(fields: &Fields) -> impl Iterator<Item = FieldRef<'_>> {
    end_to_end(fields).filter(|field| !is_alike(field.name, &ATTESTED))
}

/// Returns a name in lower case.
pub(super) fn lower(name: &[u8]) -> String {
    // Names are ASCII.
    String::from_utf8_lossy(name).to_ascii_lowercase()
}

/// What a response is written with beside what the replica said.
pub(super) struct Framing<'a> {
    pub(super) length: Length,
    /// What the route's rules do to the fields, once the body was looked at.
    pub(super) shape: &'a Shape,
    /// What to write as `Connection`, if anything.
    pub(super) connection: Option<&'static str>,
}

/// Writes the head of the response to a client.
pub(super) fn response(
    out: &mut Vec<u8>,
    head: &ResponseHead,
    exchange: &Exchange,
    replica: &Replica,
    framing: &Framing<'_>,
    date: &Date,
) {
    let mut writer = HeadWriter::response(out, head.status(), head.reason());
    let Shape { remove, set, .. } = framing.shape;
    let is = |name: &[u8], one: &str| name.eq_ignore_ascii_case(one.as_bytes());
    let left = response_fields(head.fields())
        .filter(|field| {
            !remove.iter().any(|one| is(field.name, one)) && !set.iter().any(|(one, _)| is(field.name, one))
        })
        .map(|field| (field.name, field.value));
    let shaped = set.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let seen = write_ruled(&mut writer, left.chain(shaped), exchange);
    let [replica_name, incarnation] = &replica.shown;
    write_known(&mut writer, "x-tend-replica", replica_name.as_bytes());
    write_known(&mut writer, "x-tend-incarnation", incarnation.as_bytes());
    if !seen.request_id {
        write_known(&mut writer, "x-request-id", exchange.request_id().as_bytes());
    }
    if !seen.date {
        write_known(&mut writer, "date", &date.text(exchange.began()));
    }
    match (framing.length, head.announced()) {
        // An answer to HEAD and a 304 tell the length of what they do not send; a 204 has none to tell.
        (Length::None, Some(announced))
            if head.status() != 204 && head.status() >= 200 && !remove.contains(&"content-length") =>
        {
            write_known(&mut writer, "content-length", announced);
        }
        (length, _) => write_length(&mut writer, length),
    }
    if let Some(connection) = framing.connection {
        write_known(&mut writer, "connection", connection.as_bytes());
    }
    if let Some(protocol) = head.upgrade().filter(|_| head.status() == 101) {
        writer.field("upgrade", protocol);
    }
    writer.end();
}

/// Writes a response that is none yet, such as 103.
pub(super) fn interim(out: &mut Vec<u8>, head: &ResponseHead) {
    let mut writer = HeadWriter::response(out, head.status(), head.reason());
    for field in response_fields(head.fields()) {
        writer.copy(field);
    }
    writer.end();
}

/// Writes the head of an answer of the edge; `length` is that of its body, which need not be sent.
pub(super) fn own(
    out: &mut Vec<u8>,
    answer: &OwnAnswer,
    exchange: &Exchange,
    length: u64,
    connection: Option<&'static str>,
    date: &Date,
) {
    let mut writer = HeadWriter::response(out, answer.status, reason(answer.status).as_bytes());
    let fields = answer.fields.iter().filter(|(name, _)| name != X_REQUEST_ID);
    let seen = write_ruled(
        &mut writer,
        fields.map(|(name, value)| (name.as_bytes(), value.as_bytes())),
        exchange,
    );
    if let Some(code) = answer.code {
        write_known(&mut writer, "x-tend-error", code.as_str().as_bytes());
    }
    write_known(&mut writer, "x-request-id", exchange.request_id().as_bytes());
    if !seen.date {
        write_known(&mut writer, "date", &date.text(exchange.began()));
    }
    if !matches!(answer.status, 100..=199 | 204 | 304) {
        writer.number("content-length", length);
    }
    if let Some(connection) = connection {
        write_known(&mut writer, "connection", connection.as_bytes());
    }
    writer.end();
}

pub(super) fn write_length(writer: &mut HeadWriter<'_>, length: Length) {
    match length {
        Length::None | Length::UntilClose => {}
        Length::Bytes(bytes) => {
            writer.number("content-length", bytes);
        }
        Length::Chunked => {
            writer.field("transfer-encoding", b"chunked");
        }
    }
}

/// Which fields were among those written.
#[derive(Default)]
struct Seen {
    request_id: bool,
    date: bool,
}

/// Writes fields as the route's rules leave them.
fn write_ruled<'f>(
    writer: &mut HeadWriter<'_>,
    fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    exchange: &Exchange,
) -> Seen {
    let none = HeadRules::default();
    let rules = exchange.route().map_or(&none, |route| &route.head);
    let secure = if exchange.is_secure() {
        &rules.set_secure[..]
    } else {
        &[]
    };
    let is = |name: &[u8], rule: &str| name.eq_ignore_ascii_case(rule.as_bytes());
    // A bit for each of `unless`; there are no more than a handful.
    let mut written: u64 = 0;
    let mut seen = Seen::default();
    for (name, value) in fields {
        if rules.may_concern(name) {
            let replaced = rules.set.iter().chain(secure).any(|(rule, _)| is(name, rule.as_str()));
            if replaced || rules.remove.iter().any(|rule| is(name, rule.as_str())) {
                continue;
            }
            for (number, (rule, _)) in rules.unless.iter().enumerate().take(64) {
                written |= u64::from(is(name, rule.as_str())) << number;
            }
        }
        match name.len() {
            4 => seen.date |= is(name, "date"),
            12 => seen.request_id |= is(name, X_REQUEST_ID),
            _ => {}
        }
        writer.copy(FieldRef {
            name,
            value,
            kind: Kind::Other,
        });
    }
    for (number, (name, value)) in rules.unless.iter().enumerate() {
        if number >= 64 || written >> number & 1 == 0 {
            write_known(writer, name.as_str(), value.as_bytes());
        }
    }
    for (name, value) in rules.set.iter().chain(secure) {
        seen.date |= *name == "date";
        seen.request_id |= *name == X_REQUEST_ID;
        write_known(writer, name.as_str(), value.as_bytes());
    }
    seen
}

/// Writes the end of a chunked body to a replica, with what trailer fields may go on.
pub(super) fn request_trailers(out: &mut Vec<u8>, trailers: &Fields) {
    write_trailers(out, passing_trailers(trailers, &TRUSTED));
}

/// Writes the end of a chunked body to a client, with what trailer fields may go on.
pub(super) fn response_trailers(out: &mut Vec<u8>, trailers: &Fields) {
    write_trailers(out, passing_trailers(trailers, &ATTESTED));
}

/// What has to be known before the body and means nothing behind it (RFC 9110, 6.5.1); somebody may merge it into the head.
const NEVER_TRAILERS: [&str; 9] = [
    "authorization",
    "cache-control",
    "content-encoding",
    "content-range",
    "content-type",
    "cookie",
    "max-forwards",
    "set-cookie",
    "trailer",
];

/// Says whether a field may follow a body.
pub(super) fn may_trail(name: &[u8]) -> bool {
    !NEVER_TRAILERS
        .iter()
        .any(|never| name.eq_ignore_ascii_case(never.as_bytes()))
}

/// Returns what may go on of trailer fields, which say nothing of what is `reserved`.
pub(super) fn passing_trailers<'t>(trailers: &'t Fields, reserved: &[&str]) -> impl Iterator<Item = FieldRef<'t>> {
    end_to_end(trailers).filter(|field| !is_alike(field.name, reserved) && may_trail(field.name))
}

/// Writes the end of a chunked body, with these trailer fields.
pub(super) fn write_trailers<'t>(out: &mut Vec<u8>, trailers: impl Iterator<Item = FieldRef<'t>>) {
    out.extend_from_slice(b"0\r\n");
    let mut writer = HeadWriter::section(out);
    for field in trailers {
        writer.copy_lower(field);
    }
    writer.end();
}

/// Looks at a value and says whether it has seen enough.
type See<'a> = dyn FnMut(&[u8]) -> bool + 'a;

/// Returns the fields of a head as routing and rules ask for them: by name, in lower case.
pub(super) fn asked_fields(fields: &Fields) -> impl Fn(&str, &mut See<'_>) -> bool {
    |name, see| fields.all(name).any(see)
}

/// Returns the client's request id where it is harmless.
pub(super) fn request_id(head: &RequestHead) -> Option<&str> {
    let value = head.fields().get(X_REQUEST_ID)?;
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(b);
    let harmless = !value.is_empty() && value.len() <= 128 && value.iter().all(allowed);
    std::str::from_utf8(value).ok().filter(|_| harmless)
}

/// An address as text, without an allocation.
struct AddressText {
    bytes: [u8; 45],
    length: usize,
}

impl AddressText {
    fn new(address: IpAddr) -> Self {
        let mut text = Self {
            bytes: [0; 45],
            length: 0,
        };
        match address {
            // By hand: the formatting of the standard library shows in a profile.
            IpAddr::V4(address) => {
                for (number, octet) in address.octets().into_iter().enumerate() {
                    if number > 0 {
                        text.push(b'.');
                    }
                    if octet >= 100 {
                        text.push(b'0' + octet / 100);
                    }
                    if octet >= 10 {
                        text.push(b'0' + octet / 10 % 10);
                    }
                    text.push(b'0' + octet % 10);
                }
            }
            // The longest address fits.
            IpAddr::V6(address) => {
                let _ = write!(text, "{address}");
            }
        }
        text
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Write for AddressText {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let end = self.length + piece.len();
        let place = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        place.copy_from_slice(piece.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// The time of day as `Date` has it, made once a second.
#[derive(Debug, Default)]
pub(crate) struct Date {
    made: Cell<Option<(u64, [u8; 29])>>,
}

impl Date {
    fn text(&self, now: Wall) -> [u8; 29] {
        let second = now.0 / 1000;
        if let Some((made, text)) = self.made.get()
            && made == second
        {
            return text;
        }
        let text = imf_fixdate(now);
        self.made.set(Some((second, text)));
        text
    }
}

/// Returns `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).
fn imf_fixdate(now: Wall) -> [u8; 29] {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    // The first of January 1970 was a Thursday.
    let day = DAYS[(now.0 / 86_400_000 % 7) as usize];
    let iso = now.to_rfc3339();
    let month = iso[5..7].parse().map_or("Jan", |month: usize| MONTHS[(month - 1) % 12]);
    let text = format!("{day}, {} {month} {} {} GMT", &iso[8..10], &iso[..4], &iso[11..19]);
    let mut bytes = [b' '; 29];
    bytes
        .iter_mut()
        .zip(text.bytes())
        .for_each(|(place, byte)| *place = byte);
    bytes
}

/// Returns the usual text beside a status.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        416 => "Range Not Satisfiable",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_are_alike() {
        for (name, alike) in [
            ("X-Forwarded-For", true),
            ("x_forwarded_for", true),
            ("X_Real-IP", true),
            ("FORWARDED", true),
            ("X-Tend-Candidate", true),
            ("X-Request-Id", true),
            ("X-Forwarded-Fog", false),
            ("X-Forwarded-Fo", false),
            ("Accept", false),
            ("", false),
        ] {
            assert_eq!(is_alike(name.as_bytes(), &TRUSTED), alike, "{name}");
        }
    }

    #[test]
    fn addresses_are_written_as_the_standard_library_does() {
        for text in [
            "0.0.0.0",
            "127.0.0.1",
            "10.99.100.255",
            "::1",
            "2001:db8:1111:2222:3333:4444:5555:6666",
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(AddressText::new(address).as_bytes(), text.as_bytes());
        }
    }

    #[test]
    fn dates_are_written_as_http_has_them() {
        for (millis, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777_000, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (1_795_265_075_123, "Sat, 21 Nov 2026 12:44:35 GMT"),
        ] {
            let date = Date::default();
            assert_eq!(date.text(Wall(millis)), text.as_bytes());
            assert_eq!(date.text(Wall(millis + 1)), text.as_bytes(), "made before");
        }
    }
}
