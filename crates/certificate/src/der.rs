//! The fields of a certificate that no library here hands out: its dates, and names of issuer and subject for people.
//!
//! Reads DER (X.690) just far enough, from certificates that `webpki` has read before. Knows nothing of signatures and extensions.

/// `SEQUENCE`.
pub(crate) const SEQUENCE: u8 = 0x30;
/// `SET`.
pub(crate) const SET: u8 = 0x31;
/// `OBJECT IDENTIFIER`.
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
/// The version of a certificate, `[0] EXPLICIT`.
const VERSION: u8 = 0xa0;
/// `UTCTime`, a year of two digits.
const UTC_TIME: u8 = 0x17;
/// `GeneralizedTime`, a year of four digits.
const GENERALIZED_TIME: u8 = 0x18;

/// `commonName`, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// `organizationName`, 2.5.4.10.
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];

/// What is left to be read.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Takes the next value, whatever it is, as its tag and content.
    pub(crate) fn value(&mut self) -> Option<(u8, &'a [u8])> {
        let tag = self.byte()?;
        let first = self.byte()?;
        // Above 127 the low bits say how many bytes the length has; no certificate needs more than three.
        let length = match first {
            0..=0x7f => usize::from(first),
            0x81..=0x83 => {
                let mut length = 0;
                for _ in 0..first & 0x7f {
                    length = length << 8 | usize::from(self.byte()?);
                }
                length
            }
            _ => return None,
        };
        let (content, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// Takes the next value if it has the tag.
    pub(crate) fn tagged(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content) = self.value()?;
        (found == tag).then_some(content)
    }
}

/// The fields of a certificate that are read here (RFC 5280, 4.1).
pub(crate) struct Fields<'a> {
    /// The first and the last millisecond since 1970-01-01 UTC at which it is valid; 0 for what was before.
    pub(crate) valid: (u64, u64),
    /// The distinguished name of its owner, without the outer tag.
    pub(crate) subject: &'a [u8],
}

/// Reads a certificate; none when it is not one.
pub(crate) fn fields(certificate: &[u8]) -> Option<Fields<'_>> {
    let certificate = Reader(certificate).tagged(SEQUENCE)?;
    let mut fields = Reader(Reader(certificate).tagged(SEQUENCE)?);
    if fields.0.first() == Some(&VERSION) {
        fields.value()?;
    }
    // Serial number, algorithm of the signature, issuer.
    for _ in 0..3 {
        fields.value()?;
    }
    let mut validity = Reader(fields.tagged(SEQUENCE)?);
    let (from, to) = (time(&mut validity)?, time(&mut validity)?);
    Some(Fields {
        // The last second counts as a whole (RFC 5280, 4.1.2.5: inclusive).
        valid: (from, to.saturating_add(999)),
        subject: fields.tagged(SEQUENCE)?,
    })
}

/// Reads a time as RFC 5280 allows it: UTC, to the second, ending in `Z`.
fn time(reader: &mut Reader<'_>) -> Option<u64> {
    let (tag, content) = reader.value()?;
    let digits = content.strip_suffix(b"Z")?;
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let short = number(&digits[..2])?;
            (if short < 50 { 2000 + short } else { 1900 + short }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (number(&digits[..4])?, &digits[4..]),
        _ => return None,
    };
    let mut pairs = rest.chunks_exact(2).map(number);
    let mut next = || pairs.next().flatten();
    let (month, day, hour, minute, second) = (next()?, next()?, next()?, next()?, next()?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if year < 1970 {
        return Some(0);
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(seconds * 1000)
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
    })
}

/// Counts the days of the Gregorian calendar, from 1970 on.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    // Years from 1 March on, so that the day of a leap year comes last.
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month_from_march * 153 + 2) / 5 + day - 1;
    // Days from 1 March of the year 0 to 1 January 1970.
    days - 719_468
}

/// Returns what a person calls the owner of a distinguished name (its content, without the outer tag): common name or organisation.
pub(crate) fn person_name(name: &[u8]) -> String {
    let find = |wanted: &[u8]| {
        let mut parts = Reader(name);
        while let Some(part) = parts.tagged(SET) {
            let mut attribute = Reader(Reader(part).tagged(SEQUENCE)?);
            if attribute.tagged(OBJECT_IDENTIFIER)? == wanted {
                let (_, text) = attribute.value()?;
                // Never control characters: this is printed.
                let text = String::from_utf8_lossy(text);
                return Some(text.chars().filter(|c| !c.is_control()).collect::<String>());
            }
        }
        None
    };
    find(COMMON_NAME)
        .or_else(|| find(ORGANIZATION))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "without a name".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_the_standard_writes_them() {
        let of = |tag: u8, text: &str| {
            let mut bytes = vec![tag, u8::try_from(text.len()).unwrap()];
            bytes.extend(text.as_bytes());
            time(&mut Reader(&bytes))
        };
        for (tag, text, seconds) in [
            (UTC_TIME, "700101000000Z", 0),
            // What was before only ever says that the beginning is long past.
            (UTC_TIME, "691231235959Z", 0),
            (UTC_TIME, "000229120000Z", 951_825_600),
            (UTC_TIME, "261121203000Z", 1_795_293_000),
            (UTC_TIME, "491231235959Z", 2_524_607_999),
            (GENERALIZED_TIME, "20500101000000Z", 2_524_608_000),
            (GENERALIZED_TIME, "99991231235959Z", 253_402_300_799),
        ] {
            assert_eq!(of(tag, text), Some(seconds * 1000), "{text}");
        }
        for (tag, text) in [
            (UTC_TIME, "261121203000"),
            (UTC_TIME, "261321203000Z"),
            (UTC_TIME, "2611212030Z"),
            (UTC_TIME, "26112120300aZ"),
            (GENERALIZED_TIME, "261121203000Z"),
            (0x0c, "261121203000Z"),
        ] {
            assert_eq!(of(tag, text), None, "{text}");
        }
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        for bytes in [
            &[0x30, 5, 1][..],
            &[0x30, 0x84, 0, 0, 0, 1, 0],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x82, 1],
            &[0x30],
        ] {
            assert!(Reader(bytes).value().is_none(), "{bytes:?}");
        }
        assert_eq!(Reader(&[0x04, 0x81, 1, 7]).value(), Some((4, &[7][..])));
    }
}
