//! Random values. Owns how many bits become which text; the bits are the kernel's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};
use tend_base::{Secret, to_hex};
use zeroize::{Zeroize as _, Zeroizing};

use crate::SecretsError;

/// Random bytes in a value unless said otherwise: 256 bits.
pub const DRAW_BYTES: u32 = 32;

/// Random bytes a value may be made of.
const BYTES: std::ops::RangeInclusive<u32> = 16..=1024;

const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// How random bytes become a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Base64 with padding, RFC 4648 section 4.
    #[default]
    Base64,
    /// Lower-case hexadecimal.
    Hex,
    /// Letters and digits only, for what takes nothing else; as many as carry at least the bits asked for.
    Alphanumeric,
}

/// How a value is made, so that the next one can be made alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// Random bytes, 16 to 1024.
    pub bytes: u32,
    /// As which text.
    pub format: Format,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            bytes: DRAW_BYTES,
            format: Format::default(),
        }
    }
}

impl Recipe {
    /// Makes a value; `name` is the secret's, for errors.
    ///
    /// # Errors
    /// When so many bytes are not allowed, or the kernel gives none.
    pub fn draw(&self, name: &str) -> Result<Secret, SecretsError> {
        if !BYTES.contains(&self.bytes) {
            return Err(SecretsError::Value {
                name: name.to_owned(),
                why: "would have fewer than 16 random bytes, or more than 1024",
            });
        }
        let count = self.bytes as usize;
        Ok(Secret::new(match self.format {
            Format::Base64 => STANDARD.encode(random(count)?.as_slice()),
            Format::Hex => to_hex(random(count)?.as_slice()),
            // log2(62) is a little more than 5.954.
            Format::Alphanumeric => letters((count * 8 * 1000).div_ceil(5954))?,
        }))
    }
}

pub(crate) fn random(count: usize) -> Result<Zeroizing<Vec<u8>>, SecretsError> {
    let mut bytes = Zeroizing::new(vec![0; count]);
    let mut filled = 0;
    while filled < count {
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())
            .map_err(|errno| SecretsError::Random { source: errno.into() })?;
    }
    Ok(bytes)
}

/// Draws letters and digits, each as likely as any other: a byte that would favour some is drawn again.
fn letters(count: usize) -> Result<String, SecretsError> {
    const FAIR: u8 = (256 / LETTERS.len() * LETTERS.len()) as u8;
    let mut text = String::with_capacity(count);
    while text.len() < count {
        let mut bytes = random(count)?;
        for byte in bytes.iter().filter(|byte| **byte < FAIR).take(count - text.len()) {
            text.push(char::from(LETTERS[usize::from(*byte) % LETTERS.len()]));
        }
        bytes.zeroize();
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(bytes: u32, format: Format) -> String {
        Recipe { bytes, format }.draw("key").unwrap().expose().to_owned()
    }

    #[test]
    fn a_value_has_the_bits_and_the_letters_asked_for() {
        assert_eq!(STANDARD.decode(drawn(32, Format::Base64)).unwrap().len(), 32);
        let hex = drawn(16, Format::Hex);
        assert!(
            hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{hex}"
        );
        let plain = drawn(32, Format::Alphanumeric);
        assert!(
            plain.len() == 43 && plain.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "{plain}"
        );
        assert_ne!(drawn(32, Format::Base64), drawn(32, Format::Base64));
    }

    #[test]
    fn too_few_bytes_and_too_many_are_refused() {
        for bytes in [0, 15, 1025] {
            assert!(
                Recipe {
                    bytes,
                    format: Format::Hex
                }
                .draw("key")
                .is_err(),
                "{bytes}"
            );
        }
    }
}
