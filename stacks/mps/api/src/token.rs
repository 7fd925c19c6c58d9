//! Makes identifiers and QR codes, and hashes what must not be stored in the clear.

use std::fmt::Write;

use ring::digest::{Context, SHA256};
use ring::rand::{SecureRandom, SystemRandom};

/// Bytes of randomness in a QR code: 192 bits, beyond guessing within any lifetime a code can have.
const QR_RANDOM_BYTES: usize = 24;

/// Returns a new identifier that sorts by time: twelve hex digits of milliseconds, then eighty random bits.
///
/// # Panics
/// Where the operating system gives no randomness: going on would hand out guessable codes.
pub(crate) fn new_id(prefix: &str, now_ms: i64) -> String {
    let mut id = format!("{prefix}_{now_ms:012x}");
    push_random_hex(&mut id, 10);
    id
}

/// Returns a new QR code in the clear. It is shown once to the caller and stored only as its [`hash`].
///
/// # Panics
/// As [`new_id`].
pub(crate) fn new_qr() -> String {
    let mut qr = String::from("mps1");
    push_random_hex(&mut qr, QR_RANDOM_BYTES);
    qr
}

/// Returns the SHA-256 of the parts in lower-case hex. Each part is preceded by its length, so parts cannot run together.
pub(crate) fn hash(parts: &[&[u8]]) -> String {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    let mut hex = String::with_capacity(64);
    push_hex(&mut hex, context.finish().as_ref());
    hex
}

fn push_random_hex(text: &mut String, bytes: usize) {
    let mut random = [0_u8; QR_RANDOM_BYTES];
    let random = &mut random[..bytes];
    SystemRandom::new()
        .fill(random)
        .expect("the operating system gives random bytes");
    push_hex(text, random);
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a String does not fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_sort_by_time_and_differ_within_a_millisecond() {
        let (earlier, later) = (new_id("tx", 999), new_id("tx", 1000));
        assert!(earlier < later);
        assert_ne!(new_id("tx", 1000), later);
        assert_eq!(later.len(), 3 + 12 + 20);
    }

    #[test]
    fn parts_do_not_run_together_in_a_hash() {
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        assert_eq!(hash(&[b"ab"]).len(), 64);
    }
}
