//! Which requests go to a service's candidates: those that ask on purpose, those on the list, and a share of the others.
//!
//! A candidate is a replica of a new release that is not proven yet. Owns the rule and the draw; knows no HTTP library and keeps no
//! count: who asks brings the fields of the request, and a number that grows by one with each draw.

use serde::{Deserialize, Serialize};
use tend_base::{Exposed, Random};
use tend_core::model::{Allow, AllowPlace, ServiceId};

use crate::SnapshotError;

/// The request header whose value, when it is the token of [`Split`], leads to the candidates and to nobody else. The edge passes
/// it on to no replica, whatever its value.
pub const CANDIDATE_HEADER: &str = "x-tend-candidate";

/// The largest share of a split; all of the requests is no split.
pub const SHARE_PERMILLE_MAX: u32 = 999;

/// How requests are divided between a service's candidates and its other replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// So many of a thousand requests go to the candidates, 0 to [`SHARE_PERMILLE_MAX`].
    #[serde(default)]
    pub share_permille: u32,
    /// Requests that go to the candidates whatever the share.
    #[serde(default)]
    pub allow: Vec<Allow>,
    /// What [`CANDIDATE_HEADER`] has to say; not empty.
    pub token: Exposed,
}

/// The fields of a request: calls the function with each value of the header named, until it says true; returns whether it did.
pub type Fields<'a> = dyn Fn(&str, &mut dyn FnMut(&[u8]) -> bool) -> bool + 'a;

/// Who may answer a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Aim {
    /// Any replica: the service is not split.
    #[default]
    Any,
    /// A candidate and nobody else: a question about the new release must not be answered by the old one.
    CandidateOnly,
    /// A candidate, or another replica where no candidate can answer.
    CandidateFirst,
    /// Only replicas that are not candidates: a candidate is not proven.
    Others,
}

impl Aim {
    /// Says whether a replica is among those asked first.
    #[must_use]
    pub fn prefers(self, candidate: bool) -> bool {
        match self {
            Self::Any => true,
            Self::CandidateOnly | Self::CandidateFirst => candidate,
            Self::Others => !candidate,
        }
    }

    /// Says whether a replica may answer at all, be it for want of a better one.
    #[must_use]
    pub fn allows(self, candidate: bool) -> bool {
        self == Self::CandidateFirst || self.prefers(candidate)
    }
}

impl Split {
    /// Returns who may answer a request with these fields. `draw` gives the number of this draw, counted up by one from any start;
    /// it is asked only where the share decides.
    pub fn aim(&self, fields: &Fields<'_>, draw: impl FnOnce() -> u64) -> Aim {
        let token = self.token.expose().as_bytes();
        if fields(CANDIDATE_HEADER, &mut |value| same(value, token)) {
            Aim::CandidateOnly
        } else if self.allow.iter().any(|allow| matches(allow, fields))
            || (self.share_permille > 0 && is_drawn(draw(), self.share_permille))
        {
            Aim::CandidateFirst
        } else {
            Aim::Others
        }
    }

    pub(crate) fn check(&self, service: &ServiceId) -> Result<(), SnapshotError> {
        if self.share_permille > SHARE_PERMILLE_MAX {
            return Err(SnapshotError::Share {
                service: service.clone(),
                share_permille: self.share_permille,
            });
        }
        let token = self.token.expose();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SnapshotError::Token {
                service: service.clone(),
            });
        }
        match self.allow.iter().find(|allow| !is_name(allow)) {
            Some(allow) => Err(SnapshotError::AllowName {
                service: service.clone(),
                name: allow.name.clone(),
            }),
            None => Ok(()),
        }
    }
}

/// Says whether the name of an entry is a token of HTTP (RFC 9110, 5.6.2); a header's must be in lower case, as fields are looked up.
fn is_name(allow: &Allow) -> bool {
    let lower = allow.place == AllowPlace::Header;
    let allowed = |byte: u8| {
        (byte.is_ascii_alphanumeric() && !(lower && byte.is_ascii_uppercase())) || b"!#$%&'*+-.^_`|~".contains(&byte)
    };
    !allow.name.is_empty() && allow.name.bytes().all(allowed)
}

fn matches(allow: &Allow, fields: &Fields<'_>) -> bool {
    let wanted = allow.value.as_bytes();
    match allow.place {
        AllowPlace::Header => fields(&allow.name, &mut |value| value == wanted),
        AllowPlace::Cookie => fields("cookie", &mut |pairs| has_cookie(pairs, allow.name.as_bytes(), wanted)),
    }
}

/// Says whether a `Cookie` field has the pair.
fn has_cookie(pairs: &[u8], name: &[u8], value: &[u8]) -> bool {
    cookies(pairs).any(|pair| pair == (name, value))
}

/// Returns the pairs of a `Cookie` field (RFC 6265, 4.2.1). The quotes a value may stand in are not part of it.
pub(crate) fn cookies(pairs: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    pairs.split(|byte| *byte == b';').filter_map(|pair| {
        let pair = pair.trim_ascii();
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (key, text) = (pair[..equals].trim_ascii_end(), pair[equals + 1..].trim_ascii_start());
        let inner = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
        Some((key, inner.unwrap_or(text)))
    })
}

/// Compares in a time that tells nothing of where two texts differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differing = one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b));
    one.len() == other.len() && std::hint::black_box(differing) == 0
}

/// Says whether the `number`-th request is among `share_permille` of a thousand.
///
/// Of any run of `n` requests in a row, `n * share_permille / 1000` are drawn, give or take less than two; from the beginning, less
/// than one. The requests are cut into stretches of `1000 / share_permille`, and of each one request is drawn at a place that looks
/// random: at the same place each time, a client that asks in a rhythm would always send the same kind of request to the candidate.
fn is_drawn(number: u64, share_permille: u32) -> bool {
    // Beyond a half the stretches would be too short to leave a choice, so those left out are drawn instead.
    if share_permille > 500 {
        return !is_drawn(number, 1000 - share_permille);
    }
    let (number, share) = (u128::from(number), u128::from(share_permille));
    let stretch = number * share / 1000;
    let first_of = |stretch: u128| (stretch * 1000).div_ceil(share);
    let (first, next) = (first_of(stretch), first_of(stretch + 1));
    // The number of a stretch is not above that of the request, which fits.
    let place = u128::from(Random::at(0, stretch as u64)) % (next - first);
    number == first + place
}
