//! What an idempotency key is, whose it is, and which request it stands for. Pure.

use std::fmt;

use ring::digest::{Context, SHA256};
use tend_base::to_hex;

/// The longest key, in bytes; as Stripe takes them.
const KEY_BYTES_MAX: usize = 255;

/// Why what a client sent is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// There is nothing in it.
    Empty,
    /// It has more than 255 bytes.
    TooLong,
    /// It has a byte that is not visible ASCII, or a quotation mark inside.
    Character,
}

/// Reads the value of the header: a string in quotation marks (the draft of the IETF) or the same without them (what clients send).
///
/// # Errors
/// What is wrong with it.
pub fn read_key(value: &[u8]) -> Result<String, KeyFault> {
    let value = value.trim_ascii();
    let bare = value
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
        .unwrap_or(value);
    if bare.is_empty() {
        return Err(KeyFault::Empty);
    }
    if bare.len() > KEY_BYTES_MAX {
        return Err(KeyFault::TooLong);
    }
    if !bare
        .iter()
        .all(|byte| byte.is_ascii_graphic() && *byte != b'"' && *byte != b'\\')
    {
        return Err(KeyFault::Character);
    }
    Ok(bare.iter().map(|byte| char::from(*byte)).collect())
}

/// A key of a client, with all that tells it from the same letters elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Who answers, as `mps/api`.
    pub scope: String,
    /// Whose key it is: a digest of what tells accounts apart, since that may be a secret; empty where nothing does.
    pub account: String,
    /// Of the request.
    pub method: String,
    /// Of the request, without the query.
    pub path: String,
    /// As [`read_key`] gives it.
    pub key: String,
}

/// Stands for a [`Key`]: a digest of its parts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 32]);

/// Stands for a request: a digest of method, target and body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHash(pub [u8; 32]);

impl Key {
    /// Returns what stands for it.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let parts = [&self.scope, &self.account, &self.method, &self.path, &self.key];
        KeyId(digest(parts.into_iter().map(|part| part.as_bytes())))
    }

    /// Returns what stands for an account, given what tells accounts apart.
    #[must_use]
    pub fn account(value: &[u8]) -> String {
        to_hex(&digest([value].into_iter())[..8])
    }
}

impl RequestHash {
    /// Returns what stands for a request; `target` is path and query.
    #[must_use]
    pub fn of(method: &str, target: &str, body: &[u8]) -> Self {
        Self(digest([method.as_bytes(), target.as_bytes(), body].into_iter()))
    }
}

impl KeyId {
    /// Returns the digits people name it by.
    #[must_use]
    pub fn short(&self) -> String {
        to_hex(&self.0[..6])
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

/// Each part goes in with its length, so that no two lists of parts are the same bytes.
fn digest<'a>(parts: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_with_and_without_quotation_marks() {
        let long = "k".repeat(256);
        let cases: [(&str, Result<&str, KeyFault>); 10] = [
            ("\"8e03978e\"", Ok("8e03978e")),
            ("8e03978e", Ok("8e03978e")),
            ("  a-b_c.d:1  ", Ok("a-b_c.d:1")),
            ("", Err(KeyFault::Empty)),
            ("\"\"", Err(KeyFault::Empty)),
            (&long, Err(KeyFault::TooLong)),
            ("two words", Err(KeyFault::Character)),
            ("\"open", Err(KeyFault::Character)),
            ("käse", Err(KeyFault::Character)),
            ("a\\b", Err(KeyFault::Character)),
        ];
        for (value, wanted) in cases {
            assert_eq!(read_key(value.as_bytes()), wanted.map(str::to_owned), "{value}");
        }
    }

    #[test]
    fn every_part_tells_keys_apart_and_none_runs_into_the_next() {
        let key = |parts: [&str; 5]| {
            let [scope, account, method, path, key] = parts.map(str::to_owned);
            let key = Key {
                scope,
                account,
                method,
                path,
                key,
            };
            key.id()
        };
        let base = ["mps/api", "a1", "POST", "/pay", "k"];
        for index in 0..5 {
            let mut other = base;
            other[index] = "other";
            assert_ne!(key(base), key(other), "part {index}");
        }
        assert_ne!(key(["ab", "c", "d", "e", "f"]), key(["a", "bc", "d", "e", "f"]));
    }
}
