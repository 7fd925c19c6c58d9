//! The two releases that are deployed in turn: the same program, told apart by its bytes and by the version it answers with.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::folder::{Folder, file};

/// One release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Release {
    /// What `/api/version` answers.
    pub(crate) version: &'static str,
    /// Its `mps-api`.
    pub(crate) program: PathBuf,
}

/// Writes both releases into a folder. What follows the end of an ELF file is never loaded, and makes it another file.
pub(crate) fn make(folder: &Folder, program: &Path) -> Result<[Release; 2]> {
    let one = |version: &'static str| -> Result<Release> {
        let path = folder.join(&format!("releases/{version}/mps-api"));
        let written = fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))
            .and_then(|()| fs::copy(program, &path))
            .and_then(|_| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
            .and_then(|()| fs::File::options().append(true).open(&path))
            .and_then(|mut file| file.write_all(version.as_bytes()));
        written.map_err(|source| file("write", &path, source))?;
        Ok(Release { version, program: path })
    };
    Ok([one("release-a")?, one("release-b")?])
}

/// Returns an error where a program is missing.
pub(crate) fn there(path: &Path, hint: &'static str) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    Err(Error::Missing {
        path: path.to_path_buf(),
        hint,
    })
}
