//! Waiting until a descriptor of somebody else's can be read. Knows nothing of what is read.

use std::io;
use std::os::fd::BorrowedFd;

use tokio::io::Interest;
use tokio::net::UnixStream;

/// Wakes when a socket can be read. Holds a duplicate, so the socket itself may go at any time.
pub(crate) struct Readiness {
    /// Any kind of Unix socket will do here: nothing is read or written through this type, it only carries the registration.
    socket: UnixStream,
}

impl Readiness {
    /// Registers a Unix socket with the event loop. The socket becomes non-blocking.
    pub(crate) fn of(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let socket = std::os::unix::net::UnixStream::from(socket.try_clone_to_owned()?);
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: UnixStream::from_std(socket)?,
        })
    }

    /// Calls `read` until it does not answer [`io::ErrorKind::WouldBlock`], waiting in between.
    pub(crate) async fn read<T>(&self, read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.socket.async_io(Interest::READABLE, read).await
    }
}
