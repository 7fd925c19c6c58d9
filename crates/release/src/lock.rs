//! A file or folder held against other processes; the kernel gives it back when its holder dies. Knows not what it stands for.

use std::fs::{File, TryLockError};
use std::io;
use std::time::{Duration, Instant};

/// How long a lock is tried for that nobody should have: a child that a killed holder had just forked has it until it executes its
/// program.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Between two tries.
const AGAIN: Duration = Duration::from_millis(5);

/// A lock, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Takes the lock of a file; none when somebody else has it and still has it after `patience`.
    pub(crate) fn take(file: File, patience: Duration) -> io::Result<Option<Self>> {
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self(file))),
                Err(TryLockError::WouldBlock) if begun.elapsed() < patience => std::thread::sleep(AGAIN),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(source)) => return Err(source),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child that another thread has just forked holds the same open file until it executes its program.
        // It cannot fail on a file that is locked.
        let _ = self.0.unlock();
    }
}
