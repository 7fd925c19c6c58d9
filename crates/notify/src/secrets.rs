//! Secrets that stand in files, read when something is sent. Knows nothing of what they are for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tend_alert::Integration;
use tend_base::{Secret, read_owned};

use crate::NotifierError;

/// Bytes of a secret. Keys of services have less than a hundred; an address with a key in it a few hundred.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Reads the files that the settings of a means name with `*_file`, by the key that the secret would stand under. Where an owner is named, what is
/// somebody else's is not read: a configuration of some user may name any file, and what is in it goes out.
///
/// # Errors
/// When one of them cannot be read, or holds nothing.
pub async fn read_secrets(
    integration: &Integration,
    owner: Option<u32>,
) -> Result<BTreeMap<String, Secret>, NotifierError> {
    let files: Vec<(String, PathBuf)> = integration
        .secret_files()
        .map(|(key, file)| (key.to_owned(), PathBuf::from(file)))
        .collect();
    if files.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut out = BTreeMap::new();
    for (setting, path) in files {
        let (name, place) = (setting.clone(), path.clone());
        // A file may lie on a disk that hangs: not on a thread that others wait for.
        let read = tokio::task::spawn_blocking(move || read(name, place, owner)).await;
        let secret = read.unwrap_or_else(|error| {
            Err(NotifierError::Secret {
                setting: setting.clone(),
                path,
                source: error.into(),
            })
        })?;
        out.insert(setting, secret);
    }
    Ok(out)
}

fn read(setting: String, path: PathBuf, owner: Option<u32>) -> Result<Secret, NotifierError> {
    let text = match read_owned(&path, owner, SECRET_BYTES_MAX) {
        Ok(bytes) => String::from_utf8(bytes).map(Secret::new),
        Err(source) => return Err(NotifierError::Secret { setting, path, source }),
    };
    let why = match &text {
        Err(_) => "is no text",
        Ok(text) if text.expose().trim().is_empty() => "is empty",
        // An editor leaves a line end behind it.
        Ok(text) => return Ok(Secret::new(text.expose().trim().to_owned())),
    };
    Err(NotifierError::SecretUnusable { setting, path, why })
}
