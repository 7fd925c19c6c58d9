//! Tests of the reader and writer of HTTP/1: tables of bytes with what is to become of them, and the fuzz corpora.

mod chunks;
mod replay;
mod requests;
mod responses;
mod written;

use tend_http1::{Limits, RequestHead, ResponseHead, Scan};

/// The limits of the tests: small, so that tables can pass them.
const LIMITS: Limits = Limits {
    head_bytes_max: 4096,
    target_bytes_max: 1024,
};

/// Reads one request.
fn request(bytes: &[u8]) -> Result<Option<(RequestHead, usize)>, tend_http1::Http1Error> {
    let mut head = RequestHead::default();
    let read = head.read(&mut Scan::default(), bytes, &LIMITS)?;
    Ok(read.map(|read| (head, read)))
}

/// Reads one response, to a GET.
fn response(bytes: &[u8]) -> Result<Option<(ResponseHead, usize)>, tend_http1::Http1Error> {
    let mut head = ResponseHead::default();
    let read = head.read(&mut Scan::default(), bytes, &LIMITS, false)?;
    Ok(read.map(|read| (head, read)))
}
