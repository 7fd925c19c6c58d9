//! Reading files for the tests: from the disk, and from memory.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tend_stackfile::{Files, Owner};

/// The disk.
pub(crate) struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn is_file(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn owner(&self, path: &Path) -> io::Result<Owner> {
        let metadata = std::fs::metadata(path)?;
        Ok(Owner {
            uid: metadata.uid(),
            gid: metadata.gid(),
        })
    }
}

/// Files that are nowhere but here.
#[derive(Default)]
pub(crate) struct Memory(pub(crate) BTreeMap<PathBuf, Vec<u8>>);

impl Memory {
    /// Makes one file.
    pub(crate) fn one(path: &str, text: impl Into<Vec<u8>>) -> Self {
        Self([(PathBuf::from(path), text.into())].into())
    }
}

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0
            .get(path)
            .cloned()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn is_file(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    fn owner(&self, _: &Path) -> io::Result<Owner> {
        Ok(Owner { uid: 1000, gid: 1000 })
    }
}

/// Returns the root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the crate is two folders down")
        .to_path_buf()
}

/// Compares a text with a file; `UPDATE=1` writes the file instead.
pub(crate) fn compare(path: &Path, text: &str) -> Result<(), String> {
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        return Ok(());
    }
    let wanted = std::fs::read_to_string(path).unwrap_or_default();
    if wanted == text {
        return Ok(());
    }
    let line = wanted
        .lines()
        .zip(text.lines())
        .position(|(one, other)| one != other)
        .unwrap_or_else(|| wanted.lines().count().min(text.lines().count()));
    Err(format!(
        "{} differs from line {} on (UPDATE=1 rewrites it)\n--- wanted\n{}\n--- got\n{}",
        path.display(),
        line + 1,
        wanted.lines().skip(line).take(12).collect::<Vec<_>>().join("\n"),
        text.lines().skip(line).take(12).collect::<Vec<_>>().join("\n"),
    ))
}
