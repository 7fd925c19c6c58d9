//! A rendered file: what a replica reads instead of asking, replaced as a whole, for its user's eyes.
//!
//! Beside `tend_base::write_atomically` this gives the file to another user, leaves an unchanged one alone so that no reader
//! wakes for nothing, and trusts no name in the folder: the replica's user may write there while tend is root. What is in the
//! text, and the signal that follows, are the caller's.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::error::{Error, Result};
use crate::socket::Owner;

/// Where a rendered file goes and who may read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The file. Its folder is there.
    pub path: PathBuf,
    /// To whom it is given; stays this process's user's where none is named.
    pub owner: Option<Owner>,
    /// Its permissions, such as `0o640`.
    pub mode: u32,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It holds the text now, durably: whoever is to read it may be signalled.
    Changed,
    /// It held the text already, with this owner and mode, and was not touched.
    Unchanged,
}

/// Writes `text` to its file: beside it, synced, renamed over it, the folder synced. A link in its place is replaced, not followed.
///
/// # Errors
/// [`Error::Render`]; the file then holds what it held.
pub fn write_rendered(file: &Rendered, text: &[u8]) -> Result<Written> {
    if holds(file, text) {
        return Ok(Written::Unchanged);
    }
    let path = file.path.as_path();
    let (folder, name) = match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) if !folder.as_os_str().is_empty() => (folder, name),
        _ => return Err(Error::RelativePath { path: path.to_owned() }),
    };
    let beside = folder.join(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
    let made = make(&beside).map_err(Error::render("make a file beside", path))?;
    let placed = fill(made, file, text)
        .map_err(Error::render("write", path))
        .and_then(|()| {
            fs::rename(&beside, path).map_err(Error::render("replace", path))?;
            let synced = File::open(folder).and_then(|folder| folder.sync_all());
            synced.map_err(Error::render("make durable", path))
        });
    if placed.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&beside);
    }
    placed.map(|()| Written::Changed)
}

/// Makes a file that is surely ours: one that was left by a process of the same id is taken away first, never opened.
fn make(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            options.open(path)
        }
        made => made,
    }
}

fn fill(mut made: File, file: &Rendered, text: &[u8]) -> io::Result<()> {
    made.write_all(text)?;
    if let Some(owner) = file.owner {
        fchown(&made, Some(owner.uid), Some(owner.gid))?;
    }
    // After the owner, whose change takes bits of the mode away; and whatever the umask is.
    made.set_permissions(Permissions::from_mode(file.mode))?;
    made.sync_all()
}

/// Tells whether nothing needs to be done; any doubt means that something does.
fn holds(file: &Rendered, text: &[u8]) -> bool {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let Ok(flags) = i32::try_from(flags.bits()) else {
        return false;
    };
    let Ok(mut there) = OpenOptions::new().read(true).custom_flags(flags).open(&file.path) else {
        return false;
    };
    let Ok(found) = there.metadata() else {
        return false;
    };
    let fits = found.is_file()
        && found.len() == text.len() as u64
        && found.mode() & 0o7777 == file.mode & 0o7777
        && file
            .owner
            .is_none_or(|owner| (owner.uid, owner.gid) == (found.uid(), found.gid()));
    let mut content = Vec::new();
    fits && Read::by_ref(&mut there)
        .take(text.len() as u64 + 1)
        .read_to_end(&mut content)
        .is_ok()
        && content == text
}
