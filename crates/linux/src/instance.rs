//! At most one daemon for a state folder: a lock file that the kernel gives back whatever way the daemon ends.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use tend_base::{Clock as _, SystemClock};

use crate::error::Error;

/// The right to be the only one; given back when dropped, and by the kernel when the process ends.
#[derive(Debug)]
pub struct SingleInstance {
    _file: File,
}

impl SingleInstance {
    /// Takes the lock at `path`, and writes pid and time into the file for whoever comes second.
    ///
    /// The file stays when the lock is given back: removing it would let a third party lock a file nobody else sees.
    ///
    /// # Errors
    /// [`Error::AlreadyRunning`] with who has it, or [`Error::Lock`].
    pub fn acquire(path: &Path) -> Result<Self, Error> {
        let failed = |source: io::Error| Error::Lock {
            path: path.to_path_buf(),
            source,
        };
        // The standard library opens with O_CLOEXEC: no child keeps the lock.
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(path)
            .map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::AGAIN) => {
                let mut text = String::new();
                file.read_to_string(&mut text).map_err(failed)?;
                let mut words = text.split_whitespace();
                return Err(Error::AlreadyRunning {
                    pid: words.next().and_then(|pid| pid.parse().ok()).unwrap_or(0),
                    since: words.next().map(str::to_owned),
                    path: path.to_path_buf(),
                });
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        let text = format!("{} {}\n", std::process::id(), SystemClock.now().wall);
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(text.as_bytes()))
            .map_err(failed)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_instance_is_told_who_the_first_is() {
        let path = std::env::temp_dir().join(format!("tend-instance-{}", std::process::id()));
        let first = SingleInstance::acquire(&path).unwrap();
        let error = SingleInstance::acquire(&path).unwrap_err();
        let text = error.to_string();
        let start = format!("tend is already running with pid {} since 2", std::process::id());
        assert!(text.starts_with(&start), "{text}");
        assert!(error.hint().is_some());
        drop(first);
        SingleInstance::acquire(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}
