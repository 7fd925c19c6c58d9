//! How the body of a message is framed (RFC 9112, 6.3), more strictly than asked: whatever two readers could take in two ways is an error.

use crate::fields::{Fields, Kind};
use crate::{Http1Error, Version};

/// How long a body is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Length {
    /// There is none, not even an empty one.
    #[default]
    None,
    /// So many bytes, maybe 0.
    Bytes(u64),
    /// Chunks, to the last one.
    Chunked,
    /// To the end of the connection; responses only.
    UntilClose,
}

/// What the fields of a head say of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Nothing,
    Bytes(u64),
    Chunked,
}

/// Reads what the fields say of the body; the rules are the same for requests and responses.
pub(crate) fn said(fields: &Fields, version: Version) -> Result<Said, Http1Error> {
    if !fields.has(Kind::ContentLength) && !fields.has(Kind::TransferEncoding) {
        return Ok(Said::Nothing);
    }
    let mut length = None;
    let mut chunked = false;
    for field in fields.iter() {
        match field.kind {
            Kind::ContentLength => {
                // Also twice the same: somebody on the way put them together, and nobody knows who reads which.
                if length.is_some() {
                    return Err(Http1Error::ContentLength);
                }
                length = Some(digits(field.value).ok_or(Http1Error::ContentLength)?);
            }
            Kind::TransferEncoding => {
                if chunked || !field.value.eq_ignore_ascii_case(b"chunked") || version == Version::Http10 {
                    return Err(Http1Error::TransferEncoding);
                }
                chunked = true;
            }
            _ => {}
        }
    }
    match (length, chunked) {
        (Some(_), true) => Err(Http1Error::LengthBesideCoding),
        (Some(length), false) => Ok(Said::Bytes(length)),
        (None, true) => Ok(Said::Chunked),
        (None, false) => Ok(Said::Nothing),
    }
}

/// Reads a number of decimal digits and nothing else, as `str::parse` does not: that one takes a sign.
fn digits(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    value.iter().try_fold(0u64, |sum, byte| {
        byte.is_ascii_digit()
            .then(|| sum.checked_mul(10)?.checked_add(u64::from(byte - b'0')))?
    })
}
