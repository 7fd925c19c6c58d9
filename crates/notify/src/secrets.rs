//! Secrets that stand in files, read when something is sent. Knows nothing of what they are for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tend_alert::Integration;
use tend_base::{Exposed, Secret, read_owned};

use crate::NotifierError;

/// Bytes of a secret. Keys of services have less than a hundred; an address with a key in it a few hundred.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// The word that stands before the name of a secret of tend's store where a file would be named.
const STORED: &str = "secret:";

/// Where the secrets of a means are.
#[derive(Clone, Copy, Debug)]
pub struct SecretPlaces<'a> {
    /// What a path that is relative is below.
    pub folder: &'a Path,
    /// Where an owner is named, what is somebody else's is not read: a configuration of some user may name any file, and what is in it goes out.
    pub owner: Option<u32>,
    /// Values for `secret:NAME`, by name.
    pub stored: &'a BTreeMap<String, Exposed>,
}

/// Reads the files that the settings of a means name with `*_file`, by the key that the secret would stand under.
///
/// # Errors
/// When one of them cannot be read, or holds nothing.
pub async fn read_secrets(
    integration: &Integration,
    places: SecretPlaces<'_>,
) -> Result<BTreeMap<String, Secret>, NotifierError> {
    let mut out = BTreeMap::new();
    for (setting, place) in integration.secret_files() {
        let setting = setting.to_owned();
        if let Some(name) = place.strip_prefix(STORED) {
            let Some(value) = places.stored.get(name) else {
                return Err(NotifierError::SecretMissing {
                    setting,
                    name: name.to_owned(),
                });
            };
            out.insert(setting, value.0.clone());
            continue;
        }
        let (path, owner) = (places.folder.join(place), places.owner);
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
