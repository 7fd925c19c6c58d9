//! Certificates that somebody else renews: read when they change, checked, and copied to a path that is never written again.
//!
//! The edge is given the copy: whoever replaces two files one after the other would otherwise have it read one of each. What cannot
//! be served is not taken, and the copy of before is shown on, also after a restart.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use tend_base::{fnv64, with_causes, without_os_numbers, write_atomically};
use tend_certificate::Certificate;
use tend_core::model::CertificateFiles;

use super::shelf::Shown;

/// What tells a changed file from an unchanged one without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark([(u64, i64, i64, u64); 2]);

impl Mark {
    /// Returns the mark of two files; none when one cannot be looked at.
    pub(crate) fn of(files: &CertificateFiles) -> Option<Self> {
        let of = |path: &Path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.size()))
        };
        Some(Self([of(&files.chain)?, of(&files.key)?]))
    }
}

/// Why files were not taken: what, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotTaken {
    pub(crate) why: String,
    pub(crate) hint: String,
}

/// Returns the base of the names of all copies of two files.
fn base(files: &CertificateFiles) -> String {
    let mut both = files.chain.as_os_str().as_encoded_bytes().to_vec();
    both.push(0);
    both.extend(files.key.as_os_str().as_encoded_bytes());
    format!("{:016x}", fnv64(&both))
}

impl NotTaken {
    /// Says that a file could not be read.
    pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self {
            why: without_os_numbers(&format!("could not read `{}`: {error}", path.display())),
            hint: "the daemon's user must be able to read it; is the path right?".to_owned(),
        }
    }
}

/// Two files that fit together.
pub(crate) struct Fitting {
    chain: Vec<u8>,
    key: Vec<u8>,
    certificate: Certificate,
}

/// Returns whose file the key of a stack has to be: nobody may have a daemon of root show a key that is not his.
pub(crate) fn key_owner(daemon_uid: u32, owner_uid: u32) -> Option<u32> {
    (daemon_uid == 0 && owner_uid != 0).then_some(owner_uid)
}

/// Reads the two files, and returns them where they can be served; `owner` is the user whose key it has to be.
pub(crate) fn can_be_served(files: &CertificateFiles, owner: Option<u32>) -> Result<Fitting, NotTaken> {
    let (chain, key) = (read(&files.chain)?, read(&files.key)?);
    if let Some(owner) = owner {
        let held = fs::metadata(&files.key).map(|metadata| metadata.uid());
        if held.ok() != Some(owner) {
            return Err(NotTaken {
                why: format!(
                    "the key `{}` is not a file of user {owner}, whose stack it is",
                    files.key.display()
                ),
                hint: "make it that user's own, mode 0600".to_owned(),
            });
        }
    }
    let certificate = Certificate::read(&chain, &key).map_err(|error| NotTaken {
        why: format!(
            "{} with {}: {}",
            files.chain.display(),
            files.key.display(),
            with_causes(&error)
        ),
        hint: error.hint().to_owned(),
    })?;
    Ok(Fitting {
        chain,
        key,
        certificate,
    })
}

/// Reads the two files and copies them, where they can be served; `owner` is the user whose key it has to be.
pub(crate) fn take(folder: &Path, files: &CertificateFiles, owner: Option<u32>) -> Result<Shown, NotTaken> {
    let Fitting {
        chain,
        key,
        certificate,
    } = can_be_served(files, owner)?;
    let hash = digest(&SHA256, &[chain.as_slice(), key.as_slice()].concat());
    let hash = tend_base::to_hex(&hash.as_ref()[..8]);
    let base = base(files);
    let copy = copies(folder, &base, &hash);
    let written = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .and_then(|()| write_atomically(&copy.0, &chain, 0o600))
        .and_then(|()| write_atomically(&copy.1, &key, 0o600))
        // From here on this one is shown after a restart.
        .and_then(|()| write_atomically(&folder.join(format!("{base}.current")), hash.as_bytes(), 0o600));
    written.map_err(|error| NotTaken {
        why: without_os_numbers(&format!("they could not be copied to `{}`: {error}", folder.display())),
        hint: "look at the owner, the mode and the free space of that folder".to_owned(),
    })?;
    Ok(Shown {
        certificate,
        chain: copy.0,
        key: copy.1,
    })
}

/// Returns the copy that was taken last.
pub(crate) fn last_good(folder: &Path, files: &CertificateFiles) -> Option<Shown> {
    let base = base(files);
    let hash = fs::read_to_string(folder.join(format!("{base}.current"))).ok()?;
    let (chain, key) = copies(folder, &base, hash.trim());
    let certificate = Certificate::read(&fs::read(&chain).ok()?, &fs::read(&key).ok()?).ok()?;
    Some(Shown {
        certificate,
        chain,
        key,
    })
}

/// Removes the copies that are neither shown nor shown after a restart.
pub(crate) fn sweep(folder: &Path, shown: &[PathBuf]) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some((base, rest)) = name.split_once('.') else {
            continue;
        };
        let current = fs::read_to_string(folder.join(format!("{base}.current"))).unwrap_or_default();
        let named = !current.is_empty() && rest.starts_with(current.trim());
        if name.ends_with(".pem") && !named && !shown.contains(&path) {
            // It is looked at again when the next is taken.
            let _ = fs::remove_file(&path);
        }
    }
}

fn copies(folder: &Path, base: &str, hash: &str) -> (PathBuf, PathBuf) {
    let path = |what: &str| folder.join(format!("{base}.{hash}.{what}.pem"));
    (path("chain"), path("key"))
}

fn read(path: &Path) -> Result<Vec<u8>, NotTaken> {
    fs::read(path).map_err(|error| NotTaken::unreadable(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use std::os::unix::fs::PermissionsExt;

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tend-given-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn files(&self) -> CertificateFiles {
            CertificateFiles {
                chain: self.0.join("chain.pem"),
                key: self.0.join("key.pem"),
            }
        }

        fn copies(&self) -> usize {
            let entries = fs::read_dir(self.0.join("given")).unwrap();
            entries
                .flatten()
                .filter(|entry| entry.path().extension().is_some_and(|e| e == "pem"))
                .count()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn made() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["pay.example.com".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn two_files_are_taken_together_or_not_at_all() {
        let place = Place::new("together");
        let (files, folder) = (place.files(), place.0.join("given"));
        let missing = take(&folder, &files, None).unwrap_err();
        assert!(
            missing.why.starts_with("could not read `") && missing.why.contains("chain.pem"),
            "{missing:?}"
        );
        let (chain, key) = made();
        fs::write(&files.chain, &chain).unwrap();
        fs::write(&files.key, &key).unwrap();
        let first = take(&folder, &files, None).unwrap();
        assert_eq!(fs::read_to_string(&first.chain).unwrap(), chain);
        assert_eq!(fs::metadata(&first.key).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        // Half of a renewal: the chain is another's, the key is not yet.
        let (chain, key) = made();
        let before = Mark::of(&files).unwrap();
        fs::write(&files.chain, &chain).unwrap();
        assert_ne!(Mark::of(&files), Some(before));
        let half = take(&folder, &files, None).unwrap_err();
        assert!(
            half.why.contains("the private key is not the key of this certificate"),
            "{half:?}"
        );
        assert_eq!(last_good(&folder, &files), Some(first.clone()));
        fs::write(&files.key, &key).unwrap();
        let second = take(&folder, &files, None).unwrap();
        assert_ne!(second.chain, first.chain, "a swap is a new path");
        assert_eq!(last_good(&folder, &files), Some(second.clone()));
        assert_eq!(place.copies(), 4);
        sweep(&folder, std::slice::from_ref(&first.chain));
        assert_eq!(place.copies(), 3, "what is shown stays");
        sweep(&folder, &[]);
        assert_eq!(place.copies(), 2);
        assert_eq!(last_good(&folder, &files), Some(second));
    }

    #[test]
    fn nobody_shows_a_key_of_somebody_else() {
        let place = Place::new("owner");
        let (files, folder) = (place.files(), place.0.join("given"));
        let (chain, key) = made();
        fs::write(&files.chain, chain).unwrap();
        fs::write(&files.key, key).unwrap();
        let own = fs::metadata(&files.key).unwrap().uid();
        let refused = take(&folder, &files, Some(own + 1)).unwrap_err();
        assert!(refused.why.contains("is not a file of user"), "{refused:?}");
        assert!(!folder.exists(), "nothing of it was copied");
        take(&folder, &files, Some(own)).unwrap();
    }
}
