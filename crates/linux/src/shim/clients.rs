//! Those who are connected to a shim: the socket, and sending frames to all of them without ever waiting for one.

use std::fs;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, accept_with, bind, listen, recvmsg, send, socket_with,
};

use crate::host::SOCKET_FILE;
use crate::wire::Frame;

/// More would be a mistake: the daemon is one, a person looking is another.
const CLIENTS_MAX: usize = 8;
/// Every command fits; a longer frame is cut and so refused.
const FRAME_BYTES: usize = 2048;

/// One frame of a client.
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    /// What came along.
    pub(super) descriptor: Option<OwnedFd>,
}

pub(super) struct Clients {
    pub(super) listener: OwnedFd,
    pub(super) connected: Vec<OwnedFd>,
}

impl Clients {
    /// Listens in the current folder; `first` is the connection the daemon handed over at the start.
    pub(super) fn new(first: Option<OwnedFd>) -> io::Result<Self> {
        let listener = socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        // Left by a shim that was killed: this one holds the lock, so nobody listens there.
        match fs::remove_file(SOCKET_FILE) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        bind(&listener, &SocketAddrUnix::new(Path::new(SOCKET_FILE))?)?;
        listen(&listener, 8)?;
        Ok(Self {
            listener,
            connected: first.into_iter().collect(),
        })
    }

    /// Takes in who is waiting. Returns whether somebody was, who is then the last of `connected`.
    pub(super) fn accept(&mut self) -> bool {
        let Ok(client) = accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) else {
            return false;
        };
        // The folder keeps others out; this is for a socket that was made accessible by mistake.
        let allowed = rustix::net::sockopt::socket_peercred(&client)
            .is_ok_and(|peer| peer.uid.is_root() || peer.uid == rustix::process::geteuid());
        if allowed && self.connected.len() < CLIENTS_MAX {
            self.connected.push(client);
        }
        allowed
    }

    /// Reads one frame of a client, with the descriptor that came along; `Err` means that the client is gone.
    pub(super) fn receive(&self, at: usize) -> Result<Option<Received>, Errno> {
        let mut bytes = [0u8; FRAME_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            &self.connected[at],
            &mut [IoSliceMut::new(&mut bytes)],
            &mut ancillary,
            RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC,
        );
        let read = match received {
            Ok(received) if received.bytes > 0 => received.bytes,
            Ok(_) => return Err(Errno::CONNRESET),
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let descriptor = ancillary
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
                _ => None,
            })
            .next();
        Ok(Some(Received {
            bytes: bytes[..read].to_vec(),
            descriptor,
        }))
    }

    /// Sends to one client, who is dropped when his socket is full: he does not read, and can connect again.
    pub(super) fn send(&mut self, at: usize, frame: &Frame) {
        if send_frame(&self.connected[at], frame).is_err() {
            // Closed for him at once; the loop takes him out when it sees that.
            let _ = rustix::net::shutdown(&self.connected[at], rustix::net::Shutdown::Both);
        }
    }

    /// Sends to all.
    pub(super) fn send_all(&mut self, frame: &Frame) {
        self.connected.retain(|client| send_frame(client, frame).is_ok());
    }
}

fn send_frame(client: &OwnedFd, frame: &Frame) -> Result<(), Errno> {
    send(client, &frame.encode(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL).map(|_| ())
}
