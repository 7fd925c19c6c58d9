//! What came back: status, headers, and a body of bounded size, unpacked. Opens nothing.

use std::fmt;
use std::io::{self, Write};
use std::ops::Deref;
use std::time::Duration;

use flate2::write::MultiGzDecoder;
use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, RETRY_AFTER};
use tend_base::Wall;
use zeroize::Zeroize;

/// Packed bytes that are unpacked at once. Deflate makes at most 1032 bytes of one, so a body is at most this much above its limit for a moment.
const PIECE: usize = 1024;

/// The longest pause that another side is believed to want: a day.
const PAUSE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    pub(crate) headers: Headers,
    /// The body, up to the limit of the request.
    pub body: Body,
    /// Whether there was more than the limit.
    pub cut: bool,
}

/// Headers of an answer; they may set cookies, so they are not printed.
pub(crate) struct Headers(pub(crate) HeaderMap);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} headers", self.0.len())
    }
}

impl Answer {
    /// Returns the first header of this name, where it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.0.get(name)?.to_str().ok()
    }

    /// Returns how long the other side wants not to be asked, as `Retry-After` says in seconds or as a date; a day at most.
    #[must_use]
    pub fn retry_after(&self, now: Wall) -> Option<Duration> {
        let text = self.headers.0.get(RETRY_AFTER)?.to_str().ok()?.trim();
        let pause = match text.parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => {
                let date = httpdate::parse_http_date(text).ok()?;
                let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
                since.saturating_sub(Duration::from_millis(now.0))
            }
        };
        Some(pause.min(PAUSE_MAX))
    }

    /// Returns the body as text; what is no UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The bytes of an answer.
#[derive(Default)]
pub struct Body {
    bytes: Vec<u8>,
    overwrite: bool,
}

impl Body {
    /// Returns the bytes themselves; nobody overwrites them any more.
    #[must_use]
    pub fn into_bytes(mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    fn push(&mut self, more: &[u8]) {
        let needed = self.bytes.len() + more.len();
        if self.overwrite && self.bytes.capacity() < needed {
            // Growing by itself would leave a copy behind.
            let mut larger = Vec::with_capacity(needed * 2);
            larger.extend_from_slice(&self.bytes);
            self.bytes.zeroize();
            self.bytes = larger;
        }
        self.bytes.extend_from_slice(more);
    }
}

impl Deref for Body {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes.len())
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if self.overwrite {
            self.bytes.zeroize();
        }
    }
}

/// Takes a body in as it comes.
pub(crate) struct Intake(Way);

enum Way {
    Plain(Bounded),
    Packed {
        decoder: Box<MultiGzDecoder<Bounded>>,
        begun: bool,
    },
}

/// A body that takes no more than its limit.
struct Bounded {
    body: Body,
    limit: usize,
    cut: bool,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.limit - self.body.len();
        self.cut |= bytes.len() > room;
        self.body.push(&bytes[..bytes.len().min(room)]);
        // The rest is taken and forgotten: that it is cut is no failure of unpacking.
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Intake {
    /// Begins a body; its headers say whether it is packed, and are those of the unpacked one afterwards.
    pub(crate) fn begin(headers: &mut HeaderMap, told: u64, limit: usize, overwrite: bool) -> Self {
        let packed = headers
            .get(CONTENT_ENCODING)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"gzip") || value.as_bytes() == b"x-gzip");
        let mut bounded = Bounded {
            body: Body {
                bytes: Vec::new(),
                overwrite,
            },
            limit,
            cut: false,
        };
        if packed {
            headers.remove(CONTENT_ENCODING);
            headers.remove(CONTENT_LENGTH);
            return Self(Way::Packed {
                decoder: Box::new(MultiGzDecoder::new(bounded)),
                begun: false,
            });
        }
        // With its length told, as servers do, the memory never moves; a lie costs no more than this.
        let told = usize::try_from(told).unwrap_or(usize::MAX).min(limit).min(16 << 20);
        bounded.body.bytes.reserve_exact(told);
        Self(Way::Plain(bounded))
    }

    /// Takes more in; says whether more is wanted.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> io::Result<bool> {
        match &mut self.0 {
            Way::Plain(bounded) => {
                bounded.write_all(bytes)?;
                Ok(!bounded.cut)
            }
            Way::Packed { decoder, begun } => {
                *begun |= !bytes.is_empty();
                for piece in bytes.chunks(PIECE) {
                    decoder.write_all(piece)?;
                    if decoder.get_ref().cut {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }

    /// Returns the body, and whether it was cut.
    pub(crate) fn end(mut self) -> io::Result<(Body, bool)> {
        let bounded = match &mut self.0 {
            Way::Plain(bounded) => bounded,
            Way::Packed { decoder, begun } => {
                // Nothing at all, as to a `HEAD`, is nothing packed.
                if *begun && !decoder.get_ref().cut {
                    decoder.try_finish()?;
                }
                decoder.get_mut()
            }
        };
        Ok((std::mem::take(&mut bounded.body), bounded.cut))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn taken(bytes: &[u8], coding: &str, limit: usize, step: usize) -> io::Result<(Vec<u8>, bool)> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, coding.parse().unwrap());
        let mut intake = Intake::begin(&mut headers, 0, limit, true);
        for piece in bytes.chunks(step) {
            if !intake.take(piece)? {
                break;
            }
        }
        intake.end().map(|(body, cut)| (body.into_bytes(), cut))
    }

    #[test]
    fn a_body_is_the_same_however_it_comes_and_is_cut_at_its_limit() {
        let text: Vec<u8> = (0..50_000u32)
            .flat_map(|number| number.to_string().into_bytes())
            .collect();
        let mut two = packed(&text[..1000]);
        two.extend(packed(&text[1000..]));
        for step in [1, 7, 4096, usize::MAX] {
            for (bytes, coding) in [(&text, "identity"), (&packed(&text), "gzip"), (&two, "GZIP")] {
                assert_eq!(taken(bytes, coding, text.len(), step).unwrap(), (text.clone(), false));
                assert_eq!(
                    taken(bytes, coding, text.len() - 1, step).unwrap(),
                    (text[..text.len() - 1].to_vec(), true)
                );
                assert_eq!(taken(bytes, coding, 0, step).unwrap(), (Vec::new(), true));
            }
        }
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let bomb = packed(&vec![0; 8 << 20]);
        let (body, cut) = taken(&bomb, "gzip", 1000, 65_536).unwrap();
        assert_eq!((body.len(), cut), (1000, true));
    }

    #[test]
    fn what_is_not_packed_or_ends_early_is_an_error() {
        let whole = packed(&[b'x'; 5000]);
        assert!(taken(b"not packed at all", "gzip", 100, 5).is_err());
        assert!(taken(&whole[..whole.len() - 5], "gzip", 10_000, 5).is_err());
        assert!(taken(&whole[..20], "gzip", 10_000, 5).is_err());
        assert_eq!(taken(b"", "gzip", 10, 5).unwrap(), (Vec::new(), false));
    }

    #[test]
    fn pauses_are_read_in_seconds_and_as_a_date() {
        let of = |text: &str, now: u64| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            let answer = Answer {
                status: 429,
                headers: Headers(headers),
                body: Body::default(),
                cut: false,
            };
            answer.retry_after(Wall(now)).map(|pause| pause.as_secs())
        };
        // The date is 784111777 seconds after 1970.
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(of(" 120 ", 0), Some(120));
        assert_eq!(of(date, 784_111_770_000), Some(7));
        assert_eq!(of(date, 784_111_790_000), Some(0));
        assert_eq!(of("99999999999", 0), Some(86_400));
        assert_eq!(of("soon", 0), None);
        assert_eq!(of("-5", 0), None);
    }
}
