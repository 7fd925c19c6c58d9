//! Who is counted as one: the hash of an address, a header, or a claim of a token.
//!
//! A claim is read without verifying its token. It only tells clients apart that the service would refuse anyhow, so a forged one
//! gains nothing but a bucket of its own. Owns the little of base64url and JWT that takes; allocates nothing for the usual token.

use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use tend_core::model::LimitKey;

use crate::Fields;

/// A token's claims may take so many bytes; of a longer one the client's address counts.
const CLAIMS_BYTES_MAX: usize = 6 << 10;

/// Returns the hash under which a request is counted; none when it is not.
///
/// The hasher has to be keyed by a secret of the process, or clients could choose keys that collide.
pub fn limit_key(
    key: &LimitKey,
    client: IpAddr,
    fields: &Fields<'_>,
    hasher: &impl BuildHasher<Hasher: Clone>,
) -> Option<u64> {
    match key {
        LimitKey::Route => Some(hasher.hash_one(0u8)),
        LimitKey::Client => Some(hasher.hash_one((1u8, network_of(client)))),
        LimitKey::Header(name) => {
            let mut hash = None;
            fields(name, &mut |value| {
                if !value.is_empty() {
                    hash = Some(hasher.hash_one((2u8, value)));
                }
                true
            });
            hash
        }
        LimitKey::Claim(name) => {
            let mut hash = None;
            fields("authorization", &mut |value| {
                hash = bearer(value).and_then(|token| claim(token, name, hasher));
                true
            });
            hash.or_else(|| limit_key(&LimitKey::Client, client, fields, hasher))
        }
    }
}

/// Returns what one client has: an IPv4 address, or the /64 of an IPv6 address.
#[must_use]
pub fn network_of(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Returns the hash of a claim of a JSON Web Token: a text, a number or a truth; none when there is no such claim.
fn claim(token: &[u8], name: &str, hasher: &impl BuildHasher<Hasher: Clone>) -> Option<u64> {
    let mut parts = token.split(|byte| *byte == b'.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let mut room = [0; CLAIMS_BYTES_MAX];
    let json = decode(claims, &mut room)?;
    let mut reader = serde_json::Deserializer::from_slice(json);
    let mut hash = hasher.build_hasher();
    hash.write_u8(3);
    let found = Claims { name, hash: &mut hash }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    found.then(|| hash.finish())
}

/// Decodes base64url without padding (RFC 7515, 2) into `room`; none when it is malformed or does not fit.
fn decode<'a>(text: &[u8], room: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut length = 0;
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in text {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            *room.get_mut(length)? = (bits >> held) as u8;
            bits &= (1 << held) - 1;
            length += 1;
        }
    }
    // A lone character holds no byte, and what is left over has to be zero.
    (held < 6 && bits == 0).then(|| &room[..length])
}

/// Looks through an object for one member and hashes its value; of several with the name the last one counts, as most parsers have it.
struct Claims<'a, H> {
    name: &'a str,
    hash: &'a mut H,
}

impl<'de, H: Hasher + Clone> DeserializeSeed<'de> for Claims<'_, H> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, H: Hasher + Clone> Visitor<'de> for Claims<'_, H> {
    type Value = bool;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object of claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        let fresh = self.hash.clone();
        let mut found = false;
        while let Some(wanted) = members.next_key_seed(Is(self.name))? {
            if wanted {
                *self.hash = fresh.clone();
                found = members.next_value_seed(Scalar(self.hash))?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Says whether a member has this name.
struct Is<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

/// Hashes a value that is not made of others; false for one that is, or is null.
struct Scalar<'a, H>(&'a mut H);

impl<'de, H: Hasher> DeserializeSeed<'de> for Scalar<'_, H> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, H: Hasher> Visitor<'de> for Scalar<'_, H> {
    type Value = bool;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
        self.0.write(&[b'b', u8::from(value)]);
        Ok(true)
    }

    fn visit_u64<E>(self, value: u64) -> Result<bool, E> {
        self.0.write_u8(b'u');
        self.0.write_u64(value);
        Ok(true)
    }

    fn visit_i64<E>(self, value: i64) -> Result<bool, E> {
        self.0.write_u8(b'i');
        self.0.write_i64(value);
        Ok(true)
    }

    fn visit_f64<E>(self, value: f64) -> Result<bool, E> {
        self.0.write_u8(b'f');
        self.0.write_u64(value.to_bits());
        Ok(true)
    }

    fn visit_str<E>(self, value: &str) -> Result<bool, E> {
        self.0.write_u8(b's');
        self.0.write(value.as_bytes());
        // An empty text tells nobody from anybody.
        Ok(!value.is_empty())
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        while members.next_element::<IgnoredAny>()?.is_some() {}
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_is_decoded_strictly() {
        let mut room = [0; 8];
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("Zg", Some(b"f")),
            ("Zm8", Some(b"fo")),
            ("Zm9v", Some(b"foo")),
            ("-_8", Some(b"\xfb\xff")),
            ("Z", None),
            ("Zh", None),
            ("Zg==", None),
            ("Z g", None),
            ("+/8", None),
            ("Zm9vZm9vZm9v", None),
        ] {
            assert_eq!(decode(text.as_bytes(), &mut room), bytes, "{text}");
        }
    }
}
