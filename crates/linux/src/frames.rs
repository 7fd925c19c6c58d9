//! Frames with descriptors over unix sockets, and who is on the other side of one.
//!
//! A frame is one message of a SOCK_SEQPACKET socket: a byte that says how it travels, then the content. Content up to
//! 64 KiB goes in the message itself, more in a memory file whose descriptor goes along. Knows nothing of what is in it.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, listen, recvmsg, sendmsg,
    socket_with, socketpair,
};

use crate::error::Error;

/// Content up to this size travels in the message itself.
const INLINE_BYTES_MAX: usize = 64 << 10;
/// The kernel passes no more at once (SCM_MAX_FD is 253; one may be needed for the content).
pub const FRAME_DESCRIPTORS_MAX: usize = 252;
/// A frame beyond this is refused on receipt: nothing we send is near it.
const FRAME_BYTES_MAX: u64 = 256 << 20;

const INLINE: u8 = 0;
const IN_MEMORY_FILE: u8 = 1;

/// One frame as it was received.
#[derive(Debug)]
pub struct ReceivedFrame {
    /// Its content.
    pub bytes: Vec<u8>,
    /// The descriptors that came along, close-on-exec, in the order in which they were sent.
    pub descriptors: Vec<OwnedFd>,
}

/// Sends one frame whole. The socket may be non-blocking; `WouldBlock` in the source means that nothing was sent.
///
/// # Errors
/// [`Error::SendFrame`]; with `InvalidInput` for more than [`FRAME_DESCRIPTORS_MAX`] descriptors.
pub fn send_frame(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Error> {
    let failed = |source: io::Error| Error::SendFrame { source };
    if descriptors.len() > FRAME_DESCRIPTORS_MAX {
        return Err(failed(io::Error::from(io::ErrorKind::InvalidInput)));
    }
    let memory = if bytes.len() > INLINE_BYTES_MAX {
        Some(memory_file(bytes).map_err(failed)?)
    } else {
        None
    };
    let mut all: Vec<BorrowedFd<'_>> = Vec::with_capacity(descriptors.len() + 1);
    all.extend(memory.as_ref().map(AsFd::as_fd));
    all.extend_from_slice(descriptors);
    let (kind, content) = match memory {
        Some(_) => (IN_MEMORY_FILE, &[][..]),
        None => (INLINE, bytes),
    };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FRAME_DESCRIPTORS_MAX + 1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !all.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&all)) {
        return Err(failed(io::Error::from(io::ErrorKind::InvalidInput)));
    }
    loop {
        match sendmsg(
            &socket,
            &[IoSlice::new(&[kind]), IoSlice::new(content)],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        ) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed(errno.into())),
        }
    }
}

/// Receives one frame; nothing when the other side has closed. `WouldBlock` in the source means that none has come yet.
///
/// # Errors
/// [`Error::ReceiveFrame`].
pub fn recv_frame(socket: impl AsFd) -> Result<Option<ReceivedFrame>, Error> {
    let failed = |source: io::Error| Error::ReceiveFrame { source };
    let malformed = || failed(io::Error::from(io::ErrorKind::InvalidData));
    let mut bytes = vec![0u8; INLINE_BYTES_MAX + 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FRAME_DESCRIPTORS_MAX + 1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(
            &socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Err(Errno::INTR) => {}
            other => break other.map_err(|errno| failed(errno.into()))?,
        }
    };
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(malformed());
    }
    bytes.truncate(received.bytes);
    match bytes.remove(0) {
        INLINE => {}
        IN_MEMORY_FILE if !descriptors.is_empty() => {
            let memory = File::from(descriptors.remove(0));
            if memory.metadata().map_err(failed)?.len() > FRAME_BYTES_MAX {
                return Err(malformed());
            }
            bytes = Vec::new();
            memory.take(FRAME_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
        }
        _ => return Err(malformed()),
    }
    Ok(Some(ReceivedFrame { bytes, descriptors }))
}

fn memory_file(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(rustix::fs::memfd_create("tend-frame", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    // The receiver shares the offset and reads from where it stands.
    std::io::Seek::rewind(&mut file)?;
    Ok(file.into())
}

/// Returns two connected sockets for frames, close-on-exec and non-blocking.
///
/// # Errors
/// [`Error::SendFrame`] when no descriptor is left.
pub fn frame_pair() -> Result<(OwnedFd, OwnedFd), Error> {
    socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )
    .map_err(|errno| Error::SendFrame { source: errno.into() })
}

/// Listens for frames at a path, mode 0600; a socket left there by a process that is gone is replaced.
///
/// The caller makes sure that no living process listens there, see `SingleInstance`.
///
/// # Errors
/// [`Error::BindSocket`].
pub fn listen_frames(path: &Path) -> Result<OwnedFd, Error> {
    let failed = |source: io::Error| Error::BindSocket {
        path: path.to_path_buf(),
        source,
    };
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )
    .map_err(|errno| failed(errno.into()))?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let address = SocketAddrUnix::new(path).map_err(|errno| failed(errno.into()))?;
    bind(&socket, &address)
        .and_then(|()| rustix::fs::chmod(path, rustix::fs::Mode::from_raw_mode(0o600)))
        .and_then(|()| listen(&socket, 64))
        .map_err(|errno| failed(errno.into()))?;
    Ok(socket)
}

/// Who is on the other side of a unix socket, as the kernel noted when it was connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its process.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
}

/// Returns who is on the other side of a connected unix socket.
///
/// # Errors
/// [`Error::Peer`] when it is no unix socket.
pub fn peer_of(socket: impl AsFd) -> Result<Peer, Error> {
    let peer = rustix::net::sockopt::socket_peercred(socket).map_err(|errno| Error::Peer { source: errno.into() })?;
    Ok(Peer {
        pid: peer.pid.as_raw_nonzero().get(),
        uid: peer.uid.as_raw(),
        gid: peer.gid.as_raw(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_and_descriptors_arrive_whole_and_in_order() {
        let (one, other) = frame_pair().unwrap();
        for size in [0, 1, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, 3 << 20] {
            let content: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let (reader, writer) = rustix::pipe::pipe().unwrap();
            let null = File::open("/dev/null").unwrap();
            send_frame(&one, &content, &[null.as_fd(), writer.as_fd()]).unwrap();
            drop(writer);
            let mut frame = recv_frame(&other).unwrap().unwrap();
            assert!(frame.bytes == content, "{size} bytes changed on the way");
            assert_eq!(frame.descriptors.len(), 2);
            let mut writer = File::from(frame.descriptors.remove(1));
            writer.write_all(b"x").unwrap();
            drop(writer);
            let mut text = String::new();
            File::from(reader).read_to_string(&mut text).unwrap();
            assert_eq!(text, "x");
        }
    }

    #[test]
    fn many_descriptors_travel_at_once_and_too_many_are_refused() {
        let (one, other) = frame_pair().unwrap();
        let null = File::open("/dev/null").unwrap();
        let many = vec![null.as_fd(); FRAME_DESCRIPTORS_MAX];
        send_frame(&one, b"many", &many).unwrap();
        let frame = recv_frame(&other).unwrap().unwrap();
        assert_eq!(frame.descriptors.len(), FRAME_DESCRIPTORS_MAX);
        let too_many = vec![null.as_fd(); FRAME_DESCRIPTORS_MAX + 1];
        assert!(send_frame(&one, b"too many", &too_many).is_err());
    }

    #[test]
    fn nothing_yet_and_closed_are_told_apart() {
        let (one, other) = frame_pair().unwrap();
        match recv_frame(&other).unwrap_err() {
            Error::ReceiveFrame { source } => assert_eq!(source.kind(), io::ErrorKind::WouldBlock),
            error => panic!("{error}"),
        }
        drop(one);
        assert!(recv_frame(&other).unwrap().is_none());
    }

    #[test]
    fn the_other_side_is_this_process() {
        let (one, _other) = frame_pair().unwrap();
        let peer = peer_of(&one).unwrap();
        assert_eq!(peer.pid.unsigned_abs(), std::process::id());
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
        assert!(peer_of(File::open("/dev/null").unwrap()).is_err());
    }
}
