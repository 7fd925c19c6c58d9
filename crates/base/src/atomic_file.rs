//! Writing a file so that a reader, or a machine that lost power, sees the old content or the new, never a mixture.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Replaces `path` by `content`, durable when this returns; `mode` is the permission of the new file, such as `0o600`.
///
/// Writes a neighbour named `.NAME.PID.tmp`, syncs it, renames it over `path` and syncs the folder.
///
/// # Errors
/// Whatever the file system refuses; `path` then holds its old content.
pub fn write_atomically(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let neighbour = folder.join(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&neighbour)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&neighbour, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        // The first error is the one to report; a neighbour left behind would be overwritten by the next try.
        let _ = std::fs::remove_file(&neighbour);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn content_is_replaced_with_its_mode_and_nothing_is_left_beside_it() {
        let folder = std::env::temp_dir().join(format!("tend-atomic-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("state");
        write_atomically(&path, b"one", 0o600).unwrap();
        write_atomically(&path, b"two", 0o600).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        assert!(write_atomically(Path::new("/nonexistent/tend/state"), b"", 0o600).is_err());
    }
}
