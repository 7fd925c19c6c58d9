//! Two facts of a certificate that no library we have hands out: until when it is valid, and for whom it is.
//!
//! A reader of exactly that part of DER (X.690) which leads there in RFC 5280, 4.1. It verifies nothing, and no bytes make it panic.

use std::fmt::Write;

const INTEGER: u8 = 0x02;
const OBJECT: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const TELETEX_STRING: u8 = 0x14;
const IA5_STRING: u8 = 0x16;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const BMP_STRING: u8 = 0x1e;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;

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

/// What is read of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// The last second of its validity, since 1970.
    pub(super) not_after: u64,
    /// Its subject as RFC 4514 writes it, in ASCII: `CN=alice,O=Example`.
    pub(super) subject: String,
}

/// Reads a certificate; none when it is not one.
pub(super) fn read(certificate: &[u8]) -> Option<Facts> {
    let mut outer = Reader(certificate);
    let mut signed = Reader(outer.take(SEQUENCE)?);
    let mut fields = Reader(signed.take(SEQUENCE)?);
    if fields.next_tag() == Some(VERSION) {
        fields.take(VERSION)?;
    }
    fields.take(INTEGER)?;
    fields.take(SEQUENCE)?;
    let _issuer = fields.take(SEQUENCE)?;
    let mut validity = Reader(fields.take(SEQUENCE)?);
    validity.any()?;
    let (tag, not_after) = validity.any()?;
    Some(Facts {
        not_after: seconds(tag, not_after)?,
        subject: subject(fields.take(SEQUENCE)?)?,
    })
}

/// A place in DER.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn next_tag(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// Takes the next value, whatever its tag.
    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // Nothing of four gigabytes is a certificate.
            0x81..=0x84 => {
                let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = length.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
                (usize::try_from(length).ok()?, rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    fn take(&mut self, wanted: u8) -> Option<&'a [u8]> {
        let (tag, value) = self.any()?;
        (tag == wanted).then_some(value)
    }
}

/// Returns the seconds since 1970 of `YYMMDDHHMMSSZ`, or with a year of four digits (RFC 5280, 4.1.2.5).
fn seconds(tag: u8, text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i64 = digits(year)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (digits(year)?, rest)
        }
        _ => return None,
    };
    if rest.len() != 10 {
        return None;
    }
    let pair = |at: usize| rest.get(at..at + 2).and_then(digits);
    let (month, day) = (pair(0)?, pair(2)?);
    let (hour, minute, second) = (pair(4)?, pair(6)?, pair(8)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days since 1970-03-01 by the era of 400 years, with March as the first month: leap days come last.
    let march = if month > 2 { month - 3 } else { month + 9 };
    let year = if month > 2 { year } else { year - 1 };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * march + 2) / 5 + day - 1 - 719_468;
    u64::try_from(((days * 24 + hour) * 60 + minute) * 60 + second).ok()
}

fn digits(text: &str) -> Option<i64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// Writes a name, the most specific part first (RFC 4514, 2.1).
fn subject(name: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    let mut sets = Reader(name);
    while !sets.0.is_empty() {
        let mut set = Reader(sets.take(SET)?);
        let mut part = String::new();
        while !set.0.is_empty() {
            let mut pair = Reader(set.take(SEQUENCE)?);
            let object = pair.take(OBJECT)?;
            let (tag, value) = pair.any()?;
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

    const BIT_STRING: u8 = 0x03;

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
                let pair = [value(OBJECT, object), value(*tag, text)].concat();
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
    fn times_are_read_in_both_forms() {
        for (tag, text, wanted) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "261121205212Z", Some(1_795_294_332)),
            (UTC_TIME, "240229235959Z", Some(1_709_251_199)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (UTC_TIME, "26112120521Z", None),
            (UTC_TIME, "261321205212Z", None),
            (UTC_TIME, "261121205212+", None),
            (GENERALIZED_TIME, "2050010100000éZ", None),
            (OBJECT, "261121205212Z", None),
        ] {
            assert_eq!(seconds(tag, text.as_bytes()), wanted, "{text}");
        }
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
        let facts = read(&certificate(value(UTC_TIME, b"261121205212Z"), &name(&attributes))).unwrap();
        assert_eq!(
            facts.subject,
            "1.2.3.999=#020107,CN=b,CN=\\ a\\0D\\0AX: y\\ ,O=B\\C3\\A4cker\\,CN\\=root,C=DE"
        );
        assert_eq!(facts.not_after, 1_795_294_332);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let whole = certificate(
            value(GENERALIZED_TIME, b"20500101000000Z"),
            &name(&[(&[0x55, 4, 3], 12, b"x")]),
        );
        for end in 0..whole.len() {
            read(&whole[..end]);
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0x80, 0x81, 0x84, 0xff] {
                let mut broken = whole.clone();
                broken[at] = byte;
                read(&broken);
            }
        }
        assert!(read(&whole).is_some());
    }
}
