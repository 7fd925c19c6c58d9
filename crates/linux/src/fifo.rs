//! The FIFOs through which a replica's output reaches its shim.
//!
//! Shim and replica both hold them open for reading *and* writing: neither end ever sees the other go, so a write of the
//! replica never fails because its shim was killed. As long as anybody holds a FIFO open, what is in it stays.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::spec::Credentials;

pub(crate) const STDOUT: &str = "stdout.fifo";
pub(crate) const STDERR: &str = "stderr.fifo";

/// Makes a FIFO unless it is there, and gives it to the replica's user, so that programs which open `/dev/stdout` can.
pub(crate) fn make(path: &Path, owner: Option<&Credentials>) -> io::Result<()> {
    match rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    if let Some(owner) = owner
        && rustix::process::geteuid().is_root()
    {
        rustix::fs::chown(path, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    }
    Ok(())
}

/// Opens a FIFO for both directions.
pub(crate) fn open(path: &Path, nonblocking: bool) -> io::Result<OwnedFd> {
    let mut flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    if nonblocking {
        flags |= OFlags::NONBLOCK;
    }
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::Fifo {
        return Err(io::Error::from(io::ErrorKind::AlreadyExists));
    }
    Ok(file)
}
