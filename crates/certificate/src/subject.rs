//! For whom a certificate is, as one line of text that can be trusted as a header: the way of RFC 4514.
//!
//! Verifies nothing: who asks has verified the certificate. No bytes make it panic.

use std::fmt::Write;

use crate::der::{self, OBJECT_IDENTIFIER, Reader, SEQUENCE, SET};

const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const TELETEX_STRING: u8 = 0x14;
const IA5_STRING: u8 = 0x16;
const BMP_STRING: u8 = 0x1e;

/// The attributes that have a short name in RFC 4514, 3, and e-mail's, by their object identifiers in DER.
const NAMES: [(&[u8], &str); 12] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 12], "title"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], "emailAddress"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
];

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The last millisecond of its validity, since 1970-01-01 UTC.
    pub not_after_ms: u64,
    /// Its subject as RFC 4514 writes it, in ASCII: `CN=alice,O=Example`.
    pub subject: String,
}

impl Facts {
    /// Reads a certificate in DER; none when it is not one.
    #[must_use]
    pub fn read(certificate: &[u8]) -> Option<Self> {
        let fields = der::fields(certificate)?;
        Some(Self {
            not_after_ms: fields.valid.1,
            subject: subject(fields.subject)?,
        })
    }
}

/// Writes a name, the most specific part first (RFC 4514, 2.1).
fn subject(name: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    let mut sets = Reader(name);
    while !sets.0.is_empty() {
        let mut set = Reader(sets.tagged(SET)?);
        let mut part = String::new();
        while !set.0.is_empty() {
            let mut pair = Reader(set.tagged(SEQUENCE)?);
            let object = pair.tagged(OBJECT_IDENTIFIER)?;
            let (tag, value) = pair.value()?;
            if !part.is_empty() {
                part.push('+');
            }
            attribute(&mut part, object, tag, value);
        }
        parts.push(part);
    }
    parts.reverse();
    Some(parts.join(","))
}

fn attribute(out: &mut String, object: &[u8], tag: u8, value: &[u8]) {
    let text = match tag {
        UTF8_STRING | PRINTABLE_STRING | IA5_STRING => std::str::from_utf8(value).ok().map(str::to_owned),
        TELETEX_STRING => Some(value.iter().copied().map(char::from).collect()),
        BMP_STRING => {
            let units: Vec<u16> = value
                .chunks(2)
                .map(|two| two.iter().fold(0, |sum, b| sum << 8 | u16::from(*b)))
                .collect();
            String::from_utf16(&units).ok()
        }
        _ => None,
    };
    let known = NAMES.iter().find(|(known, _)| *known == object);
    match (known, text) {
        (Some((_, name)), Some(text)) => {
            let _ = write!(out, "{name}=");
            escaped(out, &text);
        }
        _ => {
            let _ = write!(out, "{}=#{tag:02x}", dotted(object));
            let length = value.len();
            let _ = match length {
                0..0x80 => write!(out, "{length:02x}"),
                _ => write!(out, "84{length:08x}"),
            };
            value.iter().for_each(|byte| {
                let _ = write!(out, "{byte:02x}");
            });
        }
    }
}

/// Writes a value so that it can be told from its surroundings (RFC 4514, 2.4), and in ASCII, for a header.
fn escaped(out: &mut String, text: &str) {
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' | b'=' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b'#' | b' ' if at == 0 => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b' ' if at == last => out.push_str("\\ "),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\{byte:02X}");
            }
        }
    }
}

/// Writes an object identifier with dots.
fn dotted(object: &[u8]) -> String {
    let mut numbers = Vec::new();
    let mut number: u64 = 0;
    for byte in object {
        number = number.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            numbers.push(number);
            number = 0;
        }
    }
    let Some((first, rest)) = numbers.split_first() else {
        return "0.0".to_owned();
    };
    let top = (first / 40).min(2);
    let mut out = format!("{top}.{}", first - top * 40);
    rest.iter().for_each(|number| {
        let _ = write!(out, ".{number}");
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTEGER: u8 = 0x02;
    const BIT_STRING: u8 = 0x03;
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    const VERSION: u8 = 0xa0;

    fn value(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        match content.len() {
            short @ 0..=0x7f => out.push(short as u8),
            long => out.extend([0x82, (long >> 8) as u8, long as u8]),
        }
        out.extend_from_slice(content);
        out
    }

    fn name(attributes: &[(&[u8], u8, &[u8])]) -> Vec<u8> {
        attributes
            .iter()
            .flat_map(|(object, tag, text)| {
                let pair = [value(OBJECT_IDENTIFIER, object), value(*tag, text)].concat();
                value(SET, &value(SEQUENCE, &pair))
            })
            .collect()
    }

    fn certificate(until: Vec<u8>, subject: &[u8]) -> Vec<u8> {
        let fields = [
            value(VERSION, &value(INTEGER, &[2])),
            value(INTEGER, &[1]),
            value(SEQUENCE, &[]),
            value(SEQUENCE, &[]),
            value(SEQUENCE, &[value(UTC_TIME, b"260101000000Z"), until].concat()),
            value(SEQUENCE, subject),
            value(SEQUENCE, &[]),
        ]
        .concat();
        let whole = [value(SEQUENCE, &fields), value(SEQUENCE, &[]), value(BIT_STRING, &[0])].concat();
        value(SEQUENCE, &whole)
    }

    #[test]
    fn a_subject_cannot_pretend_to_be_another() {
        let attributes: [(&[u8], u8, &[u8]); 5] = [
            (&[0x55, 4, 6], PRINTABLE_STRING, b"DE"),
            (&[0x55, 4, 10], UTF8_STRING, "Bäcker,CN=root".as_bytes()),
            (&[0x55, 4, 3], UTF8_STRING, b" a\r\nX: y "),
            (&[0x55, 4, 3], BMP_STRING, &[0, b'b']),
            (&[0x2a, 3, 0x87, 0x67], INTEGER, &[7]),
        ];
        let facts = Facts::read(&certificate(value(UTC_TIME, b"261121205212Z"), &name(&attributes))).unwrap();
        assert_eq!(
            facts.subject,
            "1.2.3.999=#020107,CN=b,CN=\\ a\\0D\\0AX: y\\ ,O=B\\C3\\A4cker\\,CN\\=root,C=DE"
        );
        assert_eq!(facts.not_after_ms, 1_795_294_332_999);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let whole = certificate(
            value(GENERALIZED_TIME, b"20500101000000Z"),
            &name(&[(&[0x55, 4, 3], 12, b"x")]),
        );
        for end in 0..whole.len() {
            let _ = Facts::read(&whole[..end]);
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0x80, 0x81, 0x84, 0xff] {
                let mut broken = whole.clone();
                broken[at] = byte;
                let _ = Facts::read(&broken);
            }
        }
        assert!(Facts::read(&whole).is_some());
    }
}
