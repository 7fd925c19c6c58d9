//! Which edge lives: each holds a lock on a file of its own for as long as it does. Knows nothing of what it began.
//!
//! A process id would not do: it is given again. A lock ends with the process, however that ended.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use tend_base::to_hex;

use crate::Error;

/// This process, as long as it is held.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) name: String,
    path: PathBuf,
    _lock: File,
}

fn path_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("instance-{name}.lock"))
}

/// Returns digits nobody else has.
pub(crate) fn random_digits() -> io::Result<String> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(to_hex(&bytes))
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

impl Instance {
    /// Begins to live.
    pub(crate) fn begin(folder: &Path) -> Result<Self, Error> {
        let attempt = || -> io::Result<Self> {
            loop {
                let name = random_digits()?;
                let path = path_of(folder, &name);
                let file = open(&path)?;
                flock(&file, FlockOperation::LockExclusive)?;
                // Somebody who looked in between took it for dead and removed it: nobody would find the lock we hold.
                let named = std::fs::metadata(&path).map(|named| named.ino());
                if named.is_ok_and(|named| file.metadata().is_ok_and(|held| held.ino() == named)) {
                    return Ok(Self {
                        name,
                        path,
                        _lock: file,
                    });
                }
            }
        };
        attempt().map_err(|source| Error::Lock {
            path: folder.to_owned(),
            source: Arc::new(source),
        })
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // What it left unanswered is in doubt either way.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Says whether the edge of this name lives. One that is not there, or does not hold its lock, has died and never comes back.
///
/// What cannot be looked at counts as living: its requests are waited for, and not judged.
pub(crate) fn lives(folder: &Path, name: &str) -> bool {
    let path = path_of(folder, name);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) => return error.kind() != io::ErrorKind::NotFound,
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            let _ = std::fs::remove_file(&path);
            false
        }
        Err(_) => true,
    }
}

/// Removes the files of edges that have died.
pub(crate) fn sweep(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let file = entry.file_name();
        let name = file
            .to_str()
            .and_then(|file| file.strip_prefix("instance-")?.strip_suffix(".lock"));
        if let Some(name) = name {
            lives(folder, name);
        }
    }
}

/// Takes a lock that one process may hold; none while another does.
pub(crate) fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let file = open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
