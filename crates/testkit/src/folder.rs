//! A folder for one test, removed when the test passes and kept, and named, when it fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

static LAST: AtomicU32 = AtomicU32::new(0);

/// A private folder. Its path is short, because sockets in it may not have paths of more than 107 bytes.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes an empty folder that only this user can enter.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tend-{}-{number}", std::process::id()));
        // Left by an earlier process of the same id, if by anybody.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("cannot make `{}`: {error}", path.display()));
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&path, private)
            .unwrap_or_else(|error| panic!("cannot close `{}`: {error}", path.display()));
        Self(path)
    }

    /// Returns where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file in it, with the folders on the way, and returns its path.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        let folder = path.parent().unwrap_or(&self.0);
        fs::create_dir_all(folder).unwrap_or_else(|error| panic!("cannot make `{}`: {error}", folder.display()));
        fs::write(&path, content).unwrap_or_else(|error| panic!("cannot write `{}`: {error}", path.display()));
        path
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The harness shows this with the failure.
            #[expect(clippy::print_stderr, reason = "said to whoever reads why the test failed")]
            {
                eprintln!("kept: {}", self.0.display());
            }
        } else {
            // A process that is just ending may still write; the folder is temporary in any case.
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
