//! Heads of requests: which are refused and why, and what the others say.

use tend_http1::Http1Error::{self, *};
use tend_http1::{Length, RequestHead, Scan, Version};

use crate::{LIMITS, request};

/// What is refused, with why. `|` stands for CR LF.
const REFUSED: &[(&str, Http1Error)] = &[
    // The request line.
    ("GET  / HTTP/1.1|Host: a||", RequestLine),
    ("GET /  HTTP/1.1|Host: a||", RequestLine),
    (" GET / HTTP/1.1|Host: a||", RequestLine),
    ("GET\t/ HTTP/1.1|Host: a||", RequestLine),
    ("GET / HTTP/1.1 |Host: a||", LineEnd),
    ("GET /|Host: a||", RequestLine),
    ("GET / http/1.1|Host: a||", RequestLine),
    ("GET / HTTP/1.2|Host: a||", RequestLine),
    ("GET / HTTP/1.10|Host: a||", LineEnd),
    ("GET / HTTP/11|Host: a||", RequestLine),
    ("G{T / HTTP/1.1|Host: a||", RequestLine),
    ("GET /a b HTTP/1.1|Host: a||", RequestLine),
    ("\u{16}\u{3}\u{1}", RequestLine),
    ("GET / HTTP/2.0|Host: a||", Version),
    ("GET / HTTP/0.9|Host: a||", Version),
    ("PRI * HTTP/2.0||SM||", Version),
    ("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1|Host: a||", MethodTooLong),
    ("CONNECT a:443 HTTP/1.1|Host: a||", Connect),
    ("CONNECT / HTTP/1.1|Host: a||", Connect),
    // Lines.
    ("GET / HTTP/1.1\nHost: a\n\n", LineEnd),
    ("GET / HTTP/1.1|Host: a\n\n", LineEnd),
    ("GET / HTTP/1.1|Host: a|X: b\nContent-Length: 5||", LineEnd),
    ("\nGET / HTTP/1.1|Host: a||", LineEnd),
    ("GET / HTTP/1.1|Host: a|X: b\rContent-Length: 5||", FieldValue),
    ("GET / HTTP/1.1|Host: a|X: b\r\r\n|", FieldValue),
    ("GET / HTTP/1.1|Host: a|X: b| c||", Folded),
    ("GET / HTTP/1.1|Host: a|\tX: b||", Folded),
    ("GET / HTTP/1.1| Host: a||", Folded),
    // Fields.
    ("GET / HTTP/1.1|Host: a|X : b||", FieldName),
    ("GET / HTTP/1.1|Host: a|Content-Length : 5||", FieldName),
    ("GET / HTTP/1.1|Host: a|Content-Length\t: 5||", FieldName),
    ("GET / HTTP/1.1|Host: a|: b||", FieldName),
    ("GET / HTTP/1.1|Host: a|X||", FieldName),
    ("GET / HTTP/1.1|Host: a|X\u{1}: b||", FieldName),
    ("GET / HTTP/1.1|Host: a|X\0: b||", FieldName),
    ("GET / HTTP/1.1|Host: a|Ü: b||", FieldName),
    ("GET / HTTP/1.1|Host: a|Content_Length: 5||", FieldName),
    ("GET / HTTP/1.1|Host: a|transfer_encoding: chunked||", FieldName),
    ("GET / HTTP/1.1|Host: a|X: b\0c||", FieldValue),
    ("GET / HTTP/1.1|Host: a|X: b\u{7f}c||", FieldValue),
    ("GET / HTTP/1.1|Host: a|X: b\u{b}c||", FieldValue),
    // Hosts.
    ("GET / HTTP/1.1||", Host),
    ("GET / HTTP/1.1|X: a||", Host),
    ("GET / HTTP/1.1|Host: a|Host: a||", Host),
    ("GET / HTTP/1.1|Host: a|host: b||", Host),
    ("GET / HTTP/1.0|Host: a|Host: b||", Host),
    ("GET / HTTP/1.1|Host:||", Host),
    ("GET / HTTP/1.1|Host: a b||", Host),
    ("GET / HTTP/1.1|Host: a, b||", Host),
    ("GET / HTTP/1.1|Host: a,b||", Host),
    ("GET / HTTP/1.1|Host: a/b||", Host),
    ("GET / HTTP/1.1|Host: a?b||", Host),
    ("GET / HTTP/1.1|Host: u@a||", Host),
    ("GET / HTTP/1.1|Host: a%00||", Host),
    ("GET / HTTP/1.1|Host: http://a||", Host),
    ("GET / HTTP/1.1|Host: :80||", Host),
    ("GET / HTTP/1.1|Host: a:80x||", Host),
    ("GET / HTTP/1.1|Host: a:-1||", Host),
    ("GET / HTTP/1.1|Host: a:65536||", Host),
    ("GET / HTTP/1.1|Host: a:80:80||", Host),
    ("GET / HTTP/1.1|Host: [::1||", Host),
    ("GET / HTTP/1.1|Host: [::1]x||", Host),
    ("GET / HTTP/1.1|Host: [fe80::1%25eth0]||", Host),
    ("GET / HTTP/1.1|Host: [a]||", Host),
    // Targets.
    ("GET * HTTP/1.1|Host: a||", Target),
    ("GET a HTTP/1.1|Host: a||", Target),
    ("GET a:80 HTTP/1.1|Host: a||", Target),
    ("GET ?x HTTP/1.1|Host: a||", Target),
    ("GET /#x HTTP/1.1|Host: a||", Target),
    ("GET /ü HTTP/1.1|Host: a||", Target),
    ("GET http://u@a/ HTTP/1.1|Host: a||", Target),
    ("GET http://u:p@a/ HTTP/1.1|Host: a||", Target),
    ("GET http:// HTTP/1.1|Host: a||", Target),
    ("GET http:///x HTTP/1.1|Host: a||", Target),
    ("GET http://a,b/ HTTP/1.1|Host: a||", Target),
    ("GET http:/a HTTP/1.1|Host: a||", Target),
    ("GET ftp://a/ HTTP/1.1|Host: a||", Target),
    ("GET file:///etc/passwd HTTP/1.1|Host: a||", Target),
    ("GET http://a/ HTTP/1.1||", Host),
    ("GET http://a/ HTTP/1.1|Host: b|Host: c||", Host),
    // Lengths.
    (
        "POST / HTTP/1.1|Host: a|Content-Length: 1|Content-Length: 2||",
        ContentLength,
    ),
    (
        "POST / HTTP/1.1|Host: a|Content-Length: 1|Content-Length: 1||",
        ContentLength,
    ),
    ("POST / HTTP/1.1|Host: a|Content-Length: 1, 1||", ContentLength),
    ("POST / HTTP/1.1|Host: a|Content-Length: 1,2||", ContentLength),
    ("POST / HTTP/1.1|Host: a|Content-Length: +1||", ContentLength),
    ("POST / HTTP/1.1|Host: a|Content-Length: -1||", ContentLength),
    ("POST / HTTP/1.1|Host: a|Content-Length: 0x1||", ContentLength),
    ("POST / HTTP/1.1|Host: a|Content-Length: 1 2||", ContentLength),
    ("POST / HTTP/1.1|Host: a|Content-Length: 1.0||", ContentLength),
    ("POST / HTTP/1.1|Host: a|Content-Length: 1e1||", ContentLength),
    ("POST / HTTP/1.1|Host: a|Content-Length: \"1\"||", ContentLength),
    ("POST / HTTP/1.1|Host: a|Content-Length:||", ContentLength),
    (
        "POST / HTTP/1.1|Host: a|Content-Length: 18446744073709551616||",
        ContentLength,
    ),
    (
        "POST / HTTP/1.1|Host: a|Content-Length: 00000000000000000001||",
        ContentLength,
    ),
    // Codings.
    (
        "POST / HTTP/1.1|Host: a|Transfer-Encoding: xchunked||",
        TransferEncoding,
    ),
    (
        "POST / HTTP/1.1|Host: a|Transfer-Encoding: identity||",
        TransferEncoding,
    ),
    (
        "POST / HTTP/1.1|Host: a|Transfer-Encoding: gzip, chunked||",
        TransferEncoding,
    ),
    (
        "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked, identity||",
        TransferEncoding,
    ),
    (
        "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked, chunked||",
        TransferEncoding,
    ),
    (
        "POST / HTTP/1.1|Host: a|Transfer-Encoding: ,chunked||",
        TransferEncoding,
    ),
    (
        "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked;q=1||",
        TransferEncoding,
    ),
    (
        "POST / HTTP/1.1|Host: a|Transfer-Encoding: \"chunked\"||",
        TransferEncoding,
    ),
    ("POST / HTTP/1.1|Host: a|Transfer-Encoding: \u{b}chunked||", FieldValue),
    ("POST / HTTP/1.1|Host: a|Transfer-Encoding:||", TransferEncoding),
    (
        "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked|Transfer-Encoding: chunked||",
        TransferEncoding,
    ),
    (
        "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked|Transfer-Encoding: x||",
        TransferEncoding,
    ),
    ("POST / HTTP/1.0|Host: a|Transfer-Encoding: chunked||", TransferEncoding),
    (
        "POST / HTTP/1.1|Host: a|Content-Length: 3|Transfer-Encoding: chunked||",
        LengthBesideCoding,
    ),
    (
        "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked|Content-Length: 3||",
        LengthBesideCoding,
    ),
    (
        "POST / HTTP/1.1|Host: a|transfer-encoding: CHUNKED|content-length: 0||",
        LengthBesideCoding,
    ),
];

/// What is accepted: host, target, length, whether the connection is kept.
const ACCEPTED: &[(&str, &str, &str, Length, bool)] = &[
    ("GET / HTTP/1.1|Host: a||", "a", "/", Length::None, true),
    ("||GET / HTTP/1.1|Host: a||", "a", "/", Length::None, true),
    (
        "GET /a?b=c&d HTTP/1.1|hOST:   a.test:8080  ||",
        "a.test:8080",
        "/a?b=c&d",
        Length::None,
        true,
    ),
    ("GET /{a}|b HTTP/1.1|Host: a||", "a", "/{a}|b", Length::None, true),
    (
        "GET //a/../b;c HTTP/1.1|Host: a||",
        "a",
        "//a/../b;c",
        Length::None,
        true,
    ),
    ("GET / HTTP/1.1|Host: [::1]:80||", "[::1]:80", "/", Length::None, true),
    (
        "GET / HTTP/1.1|Host: my_service:||",
        "my_service:",
        "/",
        Length::None,
        true,
    ),
    (
        "GET / HTTP/1.1|Host: a|Connection: close||",
        "a",
        "/",
        Length::None,
        false,
    ),
    (
        "GET / HTTP/1.1|Host: a|Connection: x, Close||",
        "a",
        "/",
        Length::None,
        false,
    ),
    ("GET / HTTP/1.0||", "", "/", Length::None, false),
    (
        "GET / HTTP/1.0|Host: a|Connection: Keep-Alive||",
        "a",
        "/",
        Length::None,
        true,
    ),
    ("OPTIONS * HTTP/1.1|Host: a||", "a", "*", Length::None, true),
    ("OPTIONS http://b HTTP/1.1|Host: a||", "b", "*", Length::None, true),
    ("GET http://b HTTP/1.1|Host: a||", "b", "/", Length::None, true),
    ("GET HTTP://b?x=/ HTTP/1.1|Host: a||", "b", "/?x=/", Length::None, true),
    (
        "GET https://b:443/c?d HTTP/1.1|Host: a||",
        "b:443",
        "/c?d",
        Length::None,
        true,
    ),
    ("GET http://b/ HTTP/1.0||", "b", "/", Length::None, false),
    ("GET /http://b HTTP/1.1|Host: a||", "a", "/http://b", Length::None, true),
    (
        "POST / HTTP/1.1|Host: a|Content-Length: 0||",
        "a",
        "/",
        Length::Bytes(0),
        true,
    ),
    (
        "POST / HTTP/1.1|Host: a|Content-Length: 0012||",
        "a",
        "/",
        Length::Bytes(12),
        true,
    ),
    (
        "POST / HTTP/1.1|Host: a|Content-Length:\t7\t||",
        "a",
        "/",
        Length::Bytes(7),
        true,
    ),
    (
        "POST / HTTP/1.1|Host: a|Transfer-Encoding: Chunked||",
        "a",
        "/",
        Length::Chunked,
        true,
    ),
    (
        "GET / HTTP/1.1|Host: a|Content-Length: 5||",
        "a",
        "/",
        Length::Bytes(5),
        true,
    ),
    ("GET / HTTP/1.1|Host: a|X: b\tc ü||", "a", "/", Length::None, true),
    (
        "GET / HTTP/1.1|Host: a|Content-Lengths: 5|Xtransfer-Encoding: x||",
        "a",
        "/",
        Length::None,
        true,
    ),
];

/// Makes bytes of a line of a table.
fn bytes(text: &str) -> Vec<u8> {
    // One target holds the sign itself.
    let text = text
        .replace("}|b", "}\u{1}b")
        .replace('|', "\r\n")
        .replace("}\u{1}b", "}|b");
    text.into_bytes()
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let mut wrong = Vec::new();
    for (text, why) in REFUSED {
        let mut input = bytes(text);
        if !input.ends_with(b"\n") {
            input.extend_from_slice(b"\r\n\r\n");
        }
        let found = request(&input).map(|found| found.is_some());
        if found != Err(*why) {
            wrong.push(format!("{text}: {found:?} and not {why:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_plain_is_accepted() {
    for (text, host, target, length, keeps) in ACCEPTED {
        let input = bytes(text);
        let (head, read) = request(&input)
            .unwrap_or_else(|error| panic!("{text}: {error}"))
            .unwrap();
        assert_eq!(read, input.len(), "{text}");
        let found = (head.host(), head.target(), head.length(), head.keeps());
        assert_eq!(found, (*host, *target, *length, *keeps), "{text}");
    }
}

#[test]
fn a_head_may_come_in_any_pieces() {
    let tables = REFUSED
        .iter()
        .map(|(text, _)| text)
        .chain(ACCEPTED.iter().map(|(text, ..)| text));
    for text in tables {
        let mut input = bytes(text);
        input.extend_from_slice(b"\r\n\r\n");
        let whole = request(&input).map(|found| found.map(|(_, read)| read));
        let mut head = RequestHead::default();
        let mut scan = Scan::default();
        let mut outcome = Ok(None);
        for end in 0..=input.len() {
            outcome = head.read(&mut scan, &input[..end], &LIMITS);
            if !matches!(outcome, Ok(None)) {
                break;
            }
        }
        // A line that is folded may be found out only by the parser.
        assert_eq!(outcome.ok(), whole.ok(), "{text}");
    }
}

#[test]
fn what_follows_a_head_is_left_alone() {
    let (head, read) = request(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP")
        .unwrap()
        .unwrap();
    assert_eq!(
        (head.method(), head.path(), head.version()),
        ("POST", "/a", Version::Http11)
    );
    assert_eq!(
        &b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP"[read..],
        b"abcGET / HTTP"
    );
}

#[test]
fn each_limit_has_its_own_error() {
    let long = |length: usize| "x".repeat(length);
    let many: String = (0..101).map(|number| format!("X-{number}: y\r\n")).collect();
    for (input, why, status) in [
        (
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(1024)),
            TargetTooLong,
            414,
        ),
        (format!("GET /{}", long(1100)), TargetTooLong, 414),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", long(4096)),
            HeadTooLarge,
            431,
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", long(4096)),
            HeadTooLarge,
            431,
        ),
        (
            format!("{}GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n".repeat(2050)),
            HeadTooLarge,
            431,
        ),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), TooManyFields, 431),
        (
            format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", long(33)),
            MethodTooLong,
            501,
        ),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n".to_owned(), Version, 505),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Connect, 405),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), Host, 400),
    ] {
        let found = request(input.as_bytes()).map(|found| found.is_some());
        assert_eq!(found, Err(why), "{input}");
        assert_eq!(why.status(), status, "{why}");
    }
    let fits = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(1023));
    assert!(request(fits.as_bytes()).unwrap().is_some());
}

#[test]
fn a_head_that_was_refused_says_what_it_could() {
    let mut head = RequestHead::default();
    let input = b"POST /pay?x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    assert_eq!(head.read(&mut Scan::default(), input, &LIMITS), Err(Host));
    assert_eq!((head.method(), head.target(), head.host()), ("POST", "/pay?x", ""));
    // And nothing of it is left in the next.
    let next = b"GET / HTTP/1.1\r\nHost: c\r\n\r\n";
    assert_eq!(head.read(&mut Scan::default(), next, &LIMITS), Ok(Some(next.len())));
    assert_eq!(
        (head.method(), head.host(), head.fields().iter().count()),
        ("GET", "c", 1)
    );
}

#[test]
fn an_upgrade_is_seen_where_it_may_be_passed_on() {
    for (fields, wanted) in [
        ("Connection: Upgrade|Upgrade: websocket", Some(&b"websocket"[..])),
        ("Connection: keep-alive, upgrade|Upgrade: WebSocket", Some(b"WebSocket")),
        ("Upgrade: websocket", None),
        ("Connection: upgrade", None),
        ("Connection: upgrade|Upgrade: h2c|HTTP2-Settings: AA", None),
        ("Connection: upgrade|Upgrade: websocket, h2c", None),
        ("Connection: upgrade|Upgrade: websocket|Upgrade: h2c", None),
        ("Connection: upgrade|Upgrade: TLS/1.2", None),
        ("Connection: upgrade|Upgrade: HTTP/2.0", None),
    ] {
        let input = format!("GET / HTTP/1.1|Host: a|{fields}||").replace('|', "\r\n");
        let (head, _) = request(input.as_bytes()).unwrap().unwrap();
        assert_eq!(head.upgrade(), wanted, "{fields}");
    }
    let old = request(b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        .unwrap()
        .unwrap()
        .0;
    assert_eq!(old.upgrade(), None);
}

#[test]
fn a_continue_is_expected_only_where_a_body_follows() {
    for (head, expected) in [
        ("POST / HTTP/1.1|Host: a|Content-Length: 5|Expect: 100-Continue||", true),
        (
            "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked|Expect: 100-continue||",
            true,
        ),
        (
            "POST / HTTP/1.1|Host: a|Content-Length: 0|Expect: 100-continue||",
            false,
        ),
        ("GET / HTTP/1.1|Host: a|Expect: 100-continue||", false),
        (
            "POST / HTTP/1.0|Host: a|Content-Length: 5|Expect: 100-continue||",
            false,
        ),
        ("POST / HTTP/1.1|Host: a|Content-Length: 5|Expect: something||", false),
    ] {
        let found = request(&bytes(head)).unwrap().unwrap().0;
        assert_eq!(found.expects_continue(), expected, "{head}");
    }
}

#[test]
fn connection_says_which_fields_end_here() {
    let input = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: X-A, ,close\r\nConnection: x-b\r\nX-A: 1\r\nX-C: 2\r\n\r\n";
    let (head, _) = request(input).unwrap().unwrap();
    let fields = head.fields();
    assert!(fields.connection().names && fields.connection().close);
    let named = |name: &str| fields.is_named(name.as_bytes());
    assert_eq!((named("x-a"), named("X-B"), named("x-c")), (true, true, false));
}
