//! Reads what a client takes (`Accept-Encoding`, RFC 9110, 12.5.3). Knows nothing of responses.

use crate::encode::Coding;

/// How much a client wants each coding, in thousandths; 0 is «not at all».
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accept {
    zstd: u16,
    brotli: u16,
    gzip: u16,
    /// The body as it is; a client that does not name it takes it, but anything it named rather.
    identity: Option<u16>,
}

impl Accept {
    /// A client that says nothing takes anything; what it can read is not known, so it gets the body as it is.
    pub(crate) const NOTHING_SAID: Self = Self {
        zstd: 0,
        brotli: 0,
        gzip: 0,
        identity: None,
    };

    /// Reads the header; parts that are not what the grammar says are passed over, since the body as it is is always safe.
    ///
    /// Several lines of the header are read one after the other, each with `self` from the line before.
    pub(crate) fn and(mut self, value: &[u8]) -> Self {
        let mut rest = None;
        let mut named = (false, false, false);
        for part in value.split(|byte| *byte == b',') {
            let mut pieces = part.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let name = pieces.next().unwrap_or_default();
            let weight = match pieces.next() {
                None => Some(1000),
                Some(parameter) if pieces.next().is_none() => quality(parameter),
                Some(_) => None,
            };
            let Some(weight) = weight else { continue };
            if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
                (self.gzip, named.0) = (weight, true);
            } else if name.eq_ignore_ascii_case(b"br") {
                (self.brotli, named.1) = (weight, true);
            } else if name.eq_ignore_ascii_case(b"zstd") {
                (self.zstd, named.2) = (weight, true);
            } else if name.eq_ignore_ascii_case(b"identity") {
                self.identity = Some(weight);
            } else if name == b"*" {
                rest = Some(weight);
            }
        }
        if let Some(rest) = rest {
            if !named.0 {
                self.gzip = rest;
            }
            if !named.1 {
                self.brotli = rest;
            }
            if !named.2 {
                self.zstd = rest;
            }
            // `*` speaks of identity only to forbid it: `gzip, *` does not ask for less than gzip.
            if rest == 0 && self.identity.is_none() {
                self.identity = Some(0);
            }
        }
        self
    }

    /// Says whether the body as it is was refused (`identity;q=0`).
    pub(crate) fn refuses_identity(self) -> bool {
        self.identity == Some(0)
    }

    /// Returns the coding the client wants most among those of `ours`, the first of equals; none when it would rather have the body as
    /// it is.
    pub(crate) fn best(self, ours: &[Coding]) -> Option<Coding> {
        let mut best: Option<(Coding, u16)> = None;
        let least = self.identity.unwrap_or(0).max(1);
        for coding in ours {
            let weight = self.weight(*coding);
            if weight >= least && best.is_none_or(|(_, before)| weight > before) {
                best = Some((*coding, weight));
            }
        }
        best.map(|(coding, _)| coding)
    }

    /// Returns how much the client wants it.
    pub(crate) fn weight(self, coding: Coding) -> u16 {
        match coding {
            Coding::Zstd => self.zstd,
            Coding::Brotli => self.brotli,
            Coding::Gzip => self.gzip,
        }
    }
}

/// Reads `q=0.5`: at most three decimals, at most 1.
fn quality(parameter: &[u8]) -> Option<u16> {
    let [b'q' | b'Q', b'=', value @ ..] = parameter else {
        return None;
    };
    let (whole, decimals) = match value {
        [whole] | [whole, b'.'] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let mut thousandths: u16 = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    for (digit, worth) in decimals.iter().zip([100, 10, 1]) {
        thousandths += u16::from(digit.is_ascii_digit().then_some(digit - b'0')?) * worth;
    }
    (thousandths <= 1000).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

    fn best(value: &str) -> Option<Coding> {
        Accept::NOTHING_SAID.and(value.as_bytes()).best(&OURS)
    }

    #[test]
    fn the_coding_wanted_most_is_taken_and_ours_comes_first_among_equals() {
        for (value, wanted) in [
            ("", None),
            ("gzip", Some(Coding::Gzip)),
            ("x-gzip", Some(Coding::Gzip)),
            ("GZip , deflate", Some(Coding::Gzip)),
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("gzip, deflate, br", Some(Coding::Brotli)),
            ("gzip;q=1.0, br;q=0.9, zstd;q=0.8", Some(Coding::Gzip)),
            ("gzip;q=0.001", Some(Coding::Gzip)),
            ("gzip;q=0", None),
            ("gzip;q=0.000", None),
            ("deflate", None),
            ("*", Some(Coding::Zstd)),
            ("zstd;q=0, *", Some(Coding::Brotli)),
            ("*;q=0", None),
            ("gzip, *;q=0", Some(Coding::Gzip)),
            ("identity", None),
            ("identity, gzip", Some(Coding::Gzip)),
            ("identity;q=1, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=0.5", Some(Coding::Gzip)),
            ("identity;q=0, gzip;q=0.1", Some(Coding::Gzip)),
            // Not in the grammar: passed over.
            ("gzip;q=1.0001", None),
            ("gzip;q=2", None),
            ("gzip;q=1.5", None),
            ("gzip;q=-1", None),
            ("gzip;q", None),
            ("gzip;level=9", None),
            ("gzip;q=0.5;q=1", None),
            ("gzipped, br", Some(Coding::Brotli)),
            ("\u{ff}, br", Some(Coding::Brotli)),
        ] {
            assert_eq!(best(value), wanted, "{value:?}");
        }
    }

    #[test]
    fn identity_is_refused_by_name_or_by_the_star() {
        for (value, refused) in [
            ("identity;q=0", true),
            ("gzip, identity;q=0.0", true),
            ("gzip, *;q=0", true),
            ("identity, *;q=0", false),
            ("gzip", false),
            ("", false),
        ] {
            let accept = Accept::NOTHING_SAID.and(value.as_bytes());
            assert_eq!(accept.refuses_identity(), refused, "{value:?}");
        }
    }

    #[test]
    fn two_lines_of_the_header_are_one_list() {
        let accept = Accept::NOTHING_SAID.and(b"gzip").and(b"br;q=0.5");
        assert_eq!(accept.best(&OURS), Some(Coding::Gzip));
        assert_eq!(accept.weight(Coding::Brotli), 500);
    }
}
