//! The key with which the daemon's state is sealed at rest. Knows no document: it seals texts under names.
//!
//! Random, and itself sealed for the store's public keys in the file `state.age`: what opens the secrets opens it. Texts are sealed with
//! ChaCha20-Poly1305; age would write two hundred bytes and compute two points of the curve for each.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::SecretsError;
use crate::cipher::{self, Closed};
use crate::draw::random;
use crate::key::{Keys, read_error, write};

/// Its file in the store's folder.
pub(crate) const FILE: &str = "state.age";

/// Bytes of the key.
const KEY_BYTES: usize = 32;

/// Seals texts and opens them. Nonces are drawn at random: a key is good for 2^32 texts, ten in each second for thirteen years.
pub struct StateKey {
    key: LessSafeKey,
}

impl fmt::Debug for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StateKey(***)")
    }
}

impl StateKey {
    /// Opens the key in a folder, or makes one there.
    pub(crate) fn open(folder: &Path, keys: &Keys) -> Result<Self, SecretsError> {
        let path = folder.join(FILE);
        let text = match std::fs::read(&path) {
            Ok(sealed) => cipher::open(&sealed, keys.machine()).map_err(|closed| match closed {
                Closed::WrongKey => SecretsError::WrongKey {
                    path: path.clone(),
                    key: keys.path(),
                },
                Closed::Damaged(source) => SecretsError::Damaged {
                    path: path.clone(),
                    source,
                },
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let text = Zeroizing::new(format!("{}\n", STANDARD.encode(random(KEY_BYTES)?.as_slice())));
                let text = Zeroizing::new(text.as_bytes().to_vec());
                store(&path, &text, keys)?;
                text
            }
            Err(source) => return Err(read_error(&path, source)),
        };
        let damaged = |why: &str| SecretsError::Damaged {
            path: path.clone(),
            source: why.into(),
        };
        let bytes = STANDARD.decode(text.trim_ascii()).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| damaged("it is no base64"))?;
        let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes).map_err(|_| damaged("it is no key of 32 bytes"))?;
        Ok(Self {
            key: LessSafeKey::new(key),
        })
    }

    /// Seals the key in a folder for the public keys of now; nothing where there is none.
    pub(crate) fn reseal(folder: &Path, keys: &Keys) -> Result<(), SecretsError> {
        let path = folder.join(FILE);
        let sealed = match std::fs::read(&path) {
            Ok(sealed) => sealed,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(read_error(&path, source)),
        };
        let text = cipher::open(&sealed, keys.machine()).map_err(|_| SecretsError::WrongKey {
            path: path.clone(),
            key: keys.path(),
        })?;
        store(&path, &text, keys)
    }

    /// Seals a text under a name, as base64.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn seal(&self, name: &str, text: &str) -> Result<String, SecretsError> {
        let nonce = random(NONCE_LEN)?;
        let mut bytes = Vec::with_capacity(NONCE_LEN + text.len() + CHACHA20_POLY1305.tag_len());
        bytes.extend_from_slice(text.as_bytes());
        let unique = Nonce::try_assume_unique_for_key(&nonce).map_err(|_| not_sealed(name))?;
        self.key
            .seal_in_place_append_tag(unique, Aad::from(name.as_bytes()), &mut bytes)
            .map_err(|_| not_sealed(name))?;
        bytes.splice(0..0, nonce.iter().copied());
        Ok(STANDARD.encode(&bytes))
    }

    /// Opens what was sealed under a name.
    ///
    /// # Errors
    /// When it was sealed with another key, under another name, or is not what was sealed.
    pub fn open_text(&self, name: &str, sealed: &str) -> Result<String, SecretsError> {
        let closed = || SecretsError::NotSealed { name: name.to_owned() };
        let mut bytes = STANDARD.decode(sealed).map_err(|_| closed())?;
        if bytes.len() < NONCE_LEN {
            return Err(closed());
        }
        let mut text = bytes.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).map_err(|_| closed())?;
        let length = self
            .key
            .open_in_place(nonce, Aad::from(name.as_bytes()), &mut text)
            .map_err(|_| closed())?
            .len();
        text.truncate(length);
        String::from_utf8(text).map_err(|_| closed())
    }
}

fn store(path: &Path, text: &[u8], keys: &Keys) -> Result<(), SecretsError> {
    let sealed = cipher::seal(text, keys.recipients()).map_err(|source| SecretsError::Encrypt {
        path: path.to_owned(),
        source,
    })?;
    write(path, &sealed, 0o600)
}

fn not_sealed(name: &str) -> SecretsError {
    SecretsError::Encrypt {
        path: name.into(),
        source: "the cipher refused it".into(),
    }
}
