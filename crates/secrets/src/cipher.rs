//! The age format, version 1: texts sealed for public keys or by a passphrase, and opened again. Knows no file.

use std::io::{self, Read, Write};
use std::iter;

use age::secrecy::{ExposeSecret, SecretString};
use age::x25519;
use age::{DecryptError, Decryptor, Encryptor};
use zeroize::Zeroizing;

/// log2 of scrypt's cost: the value of age itself, about a second of one core, paid once at the start of the daemon.
const WORK: u8 = 18;

/// Why something was not opened.
#[derive(Debug)]
pub(crate) enum Closed {
    /// It is for other keys, or the passphrase is another.
    WrongKey,
    /// It is not what was sealed.
    Damaged(Box<dyn std::error::Error + Send + Sync>),
}

/// Seals a text for all of these keys: each of them opens it.
pub(crate) fn seal(
    text: &[u8],
    recipients: &[x25519::Recipient],
) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let each = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
    Ok(write(Encryptor::with_recipients(each)?, text)?)
}

/// Seals a text by a passphrase.
pub(crate) fn seal_by_passphrase(
    text: &[u8],
    passphrase: &SecretString,
) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let mut recipient = age::scrypt::Recipient::new(passphrase.clone());
    recipient.set_work_factor(WORK);
    Ok(write(Encryptor::with_recipients(iter::once(&recipient as _))?, text)?)
}

fn write(encryptor: Encryptor, text: &[u8]) -> io::Result<Vec<u8>> {
    let mut sealed = Vec::new();
    let mut writer = encryptor.wrap_output(&mut sealed)?;
    writer.write_all(text)?;
    writer.finish()?;
    Ok(sealed)
}

/// Opens what was sealed for a key.
pub(crate) fn open(sealed: &[u8], key: &x25519::Identity) -> Result<Zeroizing<Vec<u8>>, Closed> {
    read(sealed, key)
}

/// Opens what was sealed by a passphrase.
pub(crate) fn open_by_passphrase(sealed: &[u8], passphrase: &SecretString) -> Result<Zeroizing<Vec<u8>>, Closed> {
    let mut key = age::scrypt::Identity::new(passphrase.clone());
    // Whoever can write the file may not make the daemon compute for ever; twice the cost we write ourselves is enough.
    key.set_max_work_factor(WORK + 1);
    read(sealed, &key)
}

fn read(sealed: &[u8], key: &dyn age::Identity) -> Result<Zeroizing<Vec<u8>>, Closed> {
    let decryptor = Decryptor::new(sealed).map_err(closed)?;
    let mut reader = decryptor.decrypt(iter::once(key)).map_err(closed)?;
    // It never grows, so that no piece of it is left behind elsewhere.
    let mut text = Zeroizing::new(Vec::with_capacity(sealed.len()));
    reader
        .read_to_end(&mut text)
        .map_err(|error| Closed::Damaged(error.into()))?;
    Ok(text)
}

fn closed(error: DecryptError) -> Closed {
    match error {
        DecryptError::NoMatchingKeys | DecryptError::KeyDecryptionFailed | DecryptError::DecryptionFailed => {
            Closed::WrongKey
        }
        other => Closed::Damaged(other.into()),
    }
}

/// Returns a key as age writes it into a file.
pub(crate) fn key_text(key: &x25519::Identity) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "# public key: {}\n{}\n",
        key.to_public(),
        key.to_string().expose_secret()
    ))
}
