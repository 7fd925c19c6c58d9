//! Heads written anew.

use tend_http1::HeadWriter;

use crate::{request, response};

#[test]
fn what_is_written_reads_the_same() {
    let input =
        b"GET http://b.test/x?y HTTP/1.1\r\nhost: a\r\nX-A:  one \r\nX-B:\r\nx-a: \xfctwo\r\nKeep-Alive: 5\r\n\r\n";
    let (head, _) = request(input).unwrap().unwrap();
    let mut out = Vec::new();
    let mut writer = HeadWriter::request(&mut out, head.method(), head.target());
    writer.field("Host", head.host().as_bytes());
    for field in head.fields().iter().filter(|field| field.kind.is_end_to_end()) {
        writer.copy(field);
    }
    writer.number("Content-Length", 18_446_744_073_709_551_615).end();
    let expected = b"GET /x?y HTTP/1.1\r\nHost: b.test\r\nX-A: one\r\nX-B: \r\nx-a: \xfctwo\r\n\
        Content-Length: 18446744073709551615\r\n\r\n";
    assert_eq!(out, expected, "{}", String::from_utf8_lossy(&out));
    let mut out = Vec::new();
    HeadWriter::response(&mut out, 404, b"Not Here")
        .number("Content-Length", 0)
        .end();
    assert_eq!(out, b"HTTP/1.1 404 Not Here\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(response(&out).unwrap().unwrap().0.status(), 404);
}

#[test]
fn no_value_can_end_its_line() {
    let evil = "a\r\nX-Evil: 1\r\n\r\nGET /smuggled HTTP/1.1\0";
    let mut out = Vec::new();
    HeadWriter::request(&mut out, evil, evil)
        .field(evil, evil.as_bytes())
        .end();
    let lines = out.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines, 3, "{}", String::from_utf8_lossy(&out));
    let mut out = Vec::new();
    HeadWriter::response(&mut out, 7, evil.as_bytes()).end();
    assert!(out.starts_with(b"HTTP/1.1 100 aX-Evil"));
    assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 2);
}
