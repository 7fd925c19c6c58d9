//! Heads of responses: how their bodies are framed, and which are no responses.

use tend_http1::Http1Error::{self, *};
use tend_http1::{Length, ResponseHead, Scan};

use crate::{LIMITS, response};

#[test]
fn a_response_is_framed_by_what_it_says_or_refused() {
    type Verdict = Result<(u16, Length, bool), Http1Error>;
    let cases: &[(&str, Verdict)] = &[
        ("HTTP/1.1 200 OK|Content-Length: 5||", Ok((200, Length::Bytes(5), true))),
        ("HTTP/1.1 200|Content-Length: 5||", Ok((200, Length::Bytes(5), true))),
        (
            "HTTP/1.1 200 OK|Content-Length: 5|Connection: close||",
            Ok((200, Length::Bytes(5), false)),
        ),
        (
            "HTTP/1.0 200 OK|Content-Length: 5||",
            Ok((200, Length::Bytes(5), false)),
        ),
        (
            "HTTP/1.0 200 OK|Content-Length: 5|Connection: keep-alive||",
            Ok((200, Length::Bytes(5), true)),
        ),
        (
            "HTTP/1.1 200 OK|Transfer-Encoding: chunked||",
            Ok((200, Length::Chunked, true)),
        ),
        ("HTTP/1.1 200 OK||", Ok((200, Length::UntilClose, false))),
        ("HTTP/1.1 204 No Content||", Ok((204, Length::None, true))),
        (
            "HTTP/1.1 204 No Content|Content-Length: 5||",
            Ok((204, Length::None, false)),
        ),
        (
            "HTTP/1.1 204 No Content|Transfer-Encoding: chunked||",
            Ok((204, Length::None, false)),
        ),
        (
            "HTTP/1.1 304 Not Modified|Content-Length: 99||",
            Ok((304, Length::None, true)),
        ),
        ("HTTP/1.1 100 Continue||", Ok((100, Length::None, true))),
        (
            "HTTP/1.1 101 Switching Protocols|Upgrade: x||",
            Ok((101, Length::None, true)),
        ),
        (
            "HTTP/1.1 599 Whatever|Content-Length: 0||",
            Ok((599, Length::Bytes(0), true)),
        ),
        (
            "HTTP/1.1 200 OK|Content-Length: 5|Transfer-Encoding: chunked||",
            Err(LengthBesideCoding),
        ),
        (
            "HTTP/1.1 304 OK|Content-Length: 5|Transfer-Encoding: chunked||",
            Err(LengthBesideCoding),
        ),
        (
            "HTTP/1.1 200 OK|Content-Length: 5|Content-Length: 5||",
            Err(ContentLength),
        ),
        (
            "HTTP/1.1 200 OK|Content-Length: 5|Content-Length: 6||",
            Err(ContentLength),
        ),
        ("HTTP/1.1 200 OK|Content-Length: -5||", Err(ContentLength)),
        ("HTTP/1.1 200 OK|Transfer-Encoding: gzip||", Err(TransferEncoding)),
        ("HTTP/1.0 200 OK|Transfer-Encoding: chunked||", Err(TransferEncoding)),
        ("HTTP/1.1 200 OK|X: a| b||", Err(Folded)),
        ("HTTP/1.1 200 OK|X : a||", Err(FieldName)),
        ("HTTP/1.1 200 OK|X: a\0||", Err(FieldValue)),
        ("HTTP/1.1 200 OK|X: a\n|", Err(LineEnd)),
        ("HTTP/1.1 200 OK\nContent-Length: 5\n\n", Err(LineEnd)),
        ("HTTP/1.1 20 OK||", Err(StatusLine)),
        ("HTTP/1.1 099 OK||", Err(StatusLine)),
        ("HTTP/1.1 2000 OK||", Err(StatusLine)),
        ("HTTP/1.1  200 OK||", Err(StatusLine)),
        ("HTTP/2.0 200 OK||", Err(StatusLine)),
        ("|HTTP/1.1 200 OK||", Err(StatusLine)),
        ("220 mail.test ESMTP|", Err(StatusLine)),
        ("220", Err(StatusLine)),
    ];
    for (text, expected) in cases {
        let input = text.replace('|', "\r\n").into_bytes();
        let found = response(&input).map(|found| {
            let (head, read) = found.unwrap_or_else(|| panic!("{text}: not all"));
            assert_eq!(read, input.len(), "{text}");
            (head.status(), head.length(), head.keeps())
        });
        assert_eq!(found, *expected, "{text}");
    }
}

#[test]
fn an_answer_to_head_has_a_length_and_no_body() {
    for text in ["Content-Length: 1234", "Transfer-Encoding: chunked", "X: y"] {
        let input = format!("HTTP/1.1 200 OK\r\n{text}\r\n\r\n");
        let mut head = ResponseHead::default();
        let read = head.read(&mut Scan::default(), input.as_bytes(), &LIMITS, true);
        assert_eq!(read, Ok(Some(input.len())));
        assert_eq!((head.length(), head.keeps()), (Length::None, true), "{text}");
        let announced = text.starts_with("Content-Length").then_some(&b"1234"[..]);
        assert_eq!(head.announced(), announced);
    }
}

#[test]
fn a_response_may_come_in_any_pieces() {
    let input = b"HTTP/1.1 200 Fine by me\r\nContent-Length: 5\r\nX: y\r\n\r\nhello";
    let mut head = ResponseHead::default();
    let mut scan = Scan::default();
    for end in 0..input.len() - 5 {
        assert_eq!(head.read(&mut scan, &input[..end], &LIMITS, false), Ok(None), "{end}");
    }
    assert_eq!(head.read(&mut scan, input, &LIMITS, false), Ok(Some(input.len() - 5)));
    assert_eq!((head.status(), head.reason()), (200, &b"Fine by me"[..]));
}

#[test]
fn a_head_without_an_end_is_not_read_for_ever() {
    let mut input = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
    input.resize(LIMITS.head_bytes_max + 1, b'x');
    assert_eq!(response(&input).map(|found| found.is_some()), Err(HeadTooLarge));
}
