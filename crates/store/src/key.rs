//! The machine's key, which signs the head of the journal. Knows nothing of what is signed.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use tend_base::write_atomically;

use crate::Error;

/// First word of the file with the public half.
const PUBLIC_WORD: &str = "ed25519";

/// The Ed25519 key of this machine. Never leaves the file it is in; cannot be printed.
pub struct MachineKey {
    pair: Ed25519KeyPair,
}

/// The public half of a machine's key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PublicKey(pub [u8; 32]);

impl std::fmt::Debug for MachineKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MachineKey({})", hex(&self.public().0))
    }
}

impl MachineKey {
    /// Reads the key from `path` (PKCS#8), or makes one there with mode 0600 when there is none, and keeps its public
    /// half in `public_path`, which is made anew when it is missing.
    ///
    /// # Errors
    /// When the file cannot be read or made, holds something else, or may be read by others.
    pub fn open_or_create(path: &Path, public_path: &Path) -> Result<Self, Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| Error::Key {
                path,
                source: Arc::new(source),
            }
        };
        let bytes = match fs::read(path) {
            Ok(bytes) => {
                let mode = fs::metadata(path).map_err(failed(path))?.permissions().mode() & 0o777;
                if mode & 0o077 != 0 {
                    return Err(Error::KeyExposed {
                        path: path.to_owned(),
                        mode,
                    });
                }
                bytes
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
                    .map_err(|_| failed(path)(io::Error::other("the system gave no random numbers")))?;
                write_atomically(path, document.as_ref(), 0o600).map_err(failed(path))?;
                document.as_ref().to_vec()
            }
            Err(error) => return Err(failed(path)(error)),
        };
        let pair = Ed25519KeyPair::from_pkcs8(&bytes).map_err(|_| Error::KeyMalformed { path: path.to_owned() })?;
        let key = Self { pair };
        if PublicKey::read(public_path).ok() != Some(key.public()) {
            let text = format!("{PUBLIC_WORD} {}\n", hex(&key.public().0));
            write_atomically(public_path, text.as_bytes(), 0o644).map_err(failed(public_path))?;
        }
        Ok(key)
    }

    /// Returns the public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(bytes)
    }

    /// Signs a text.
    #[must_use]
    pub fn sign(&self, text: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(text).as_ref());
        signature
    }
}

impl PublicKey {
    /// Reads a public half as [`MachineKey::open_or_create`] keeps it: `ed25519` and 64 hexadecimal digits.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|source| Error::Key {
            path: path.to_owned(),
            source: Arc::new(source),
        })?;
        text.trim_end()
            .strip_prefix(PUBLIC_WORD)
            .and_then(|rest| rest.strip_prefix(' '))
            .and_then(|digits| digits.parse::<tend_core::journal::Hash>().ok())
            .map(|bytes| Self(bytes.0))
            .ok_or_else(|| Error::KeyMalformed { path: path.to_owned() })
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    // A hash is 32 bytes as well, and is written the same way.
    tend_core::journal::Hash(*bytes).to_string()
}
