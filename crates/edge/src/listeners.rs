//! The listening sockets: those handed over, and those the edge binds itself when nobody handed any over.
//!
//! Keeps one duplicate of each, in the order of the threads, so that they can be given on. Does not accept.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::EdgeError;
use crate::message::HandedSocket;

/// Connections that may wait to be accepted on one socket; the kernel cuts it to `net.core.somaxconn` (4096).
const BACKLOG: i32 = 4096;

/// All listening sockets by address.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    sockets: BTreeMap<SocketAddr, Vec<Held>>,
}

#[derive(Debug)]
struct Held {
    socket: OwnedFd,
    /// Tells sockets apart whatever descriptor they have.
    inode: u64,
    thread: usize,
}

impl Listeners {
    /// Takes a socket that was handed over; false when it was held already.
    ///
    /// # Errors
    /// When the descriptor is not a listening socket.
    pub(crate) fn take(&mut self, handed: HandedSocket, socket: OwnedFd) -> io::Result<bool> {
        if !sockopt::socket_acceptconn(&socket)? {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the descriptor is not a listening socket",
            ));
        }
        rustix::io::ioctl_fionbio(&socket, true)?;
        let inode = rustix::fs::fstat(&socket)?.st_ino;
        let held = self.sockets.entry(handed.address).or_default();
        if held.iter().any(|held| held.inode == inode) {
            return Ok(false);
        }
        held.push(Held {
            socket,
            inode,
            thread: handed.thread,
        });
        held.sort_by_key(|held| held.thread);
        Ok(true)
    }

    /// Binds `threads` sockets to the address unless some are held for it.
    ///
    /// # Errors
    /// When the address cannot be listened on; nothing is held for it then.
    pub(crate) fn bind(&mut self, address: SocketAddr, threads: usize) -> Result<(), EdgeError> {
        if self.sockets.contains_key(&address) {
            return Ok(());
        }
        let bound: io::Result<Vec<OwnedFd>> = (0..threads).map(|_| listen(address)).collect();
        let bound = bound.map_err(|source| EdgeError::Listen { address, source })?;
        for (thread, socket) in bound.into_iter().enumerate() {
            self.take(HandedSocket { address, thread }, socket)
                .map_err(|source| EdgeError::Listen { address, source })?;
        }
        Ok(())
    }

    pub(crate) fn has(&self, address: SocketAddr) -> bool {
        self.sockets.contains_key(&address)
    }

    /// Closes the sockets of all addresses that are not wanted.
    pub(crate) fn keep_only(&mut self, wanted: &[SocketAddr]) {
        self.sockets.retain(|address, _| wanted.contains(address));
    }

    /// Returns duplicates of the sockets a thread accepts on.
    pub(crate) fn of_thread(
        &self,
        thread: usize,
        threads: usize,
        wanted: &[SocketAddr],
    ) -> io::Result<Vec<(SocketAddr, TcpListener)>> {
        self.sockets
            .iter()
            .filter(|(address, _)| wanted.contains(address))
            .flat_map(|(address, held)| held.iter().map(move |held| (address, held)))
            .filter(|(_, held)| held.thread % threads == thread)
            .map(|(address, held)| Ok((*address, TcpListener::from(held.socket.try_clone()?))))
            .collect()
    }

    /// Returns every socket, for handing on.
    pub(crate) fn all(&self) -> Vec<(HandedSocket, BorrowedFd<'_>)> {
        self.sockets
            .iter()
            .flat_map(|(address, held)| held.iter().map(move |held| (*address, held)))
            .map(|(address, held)| {
                let handed = HandedSocket {
                    address,
                    thread: held.thread,
                };
                (handed, held.socket.as_fd())
            })
            .collect()
    }
}

fn listen(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = rustix::net::socket_with(
        family,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    // The sockets of one edge share the address; the kernel spreads connections over them.
    sockopt::set_socket_reuseport(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}
