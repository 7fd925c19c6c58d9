//! Secrets that stand in files, read when something is sent. Knows nothing of what they are for.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use tend_alert::Integration;
use tend_base::Secret;

use crate::NotifierError;

/// Bytes of a secret. Keys of services have less than a hundred; an address with a key in it a few hundred.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Reads the files that the settings of a means name with `*_file`, by the key that the secret would stand under.
///
/// # Errors
/// When one of them cannot be read, or holds nothing.
pub async fn read_secrets(integration: &Integration) -> Result<BTreeMap<String, Secret>, NotifierError> {
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
        let read = tokio::task::spawn_blocking(move || read(name, place)).await;
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

fn read(setting: String, path: PathBuf) -> Result<Secret, NotifierError> {
    let mut text = String::new();
    let read = std::fs::File::open(&path).and_then(|file| file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text));
    let mut text = Secret::new(text);
    if let Err(source) = read {
        return Err(NotifierError::Secret { setting, path, source });
    }
    let why = match text.expose() {
        long if long.len() as u64 > SECRET_BYTES_MAX => Some("is too long for a secret"),
        blank if blank.trim().is_empty() => Some("is empty"),
        _ => None,
    };
    if let Some(why) = why {
        return Err(NotifierError::SecretUnusable { setting, path, why });
    }
    // An editor leaves a line end behind it.
    text = Secret::new(text.expose().trim().to_owned());
    Ok(text)
}
