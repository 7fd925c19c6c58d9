//! Frames on the control socket: a JSON text and file descriptors in one message of a `SOCK_SEQPACKET` Unix socket.
//!
//! A text too long for one packet travels in a memfd that comes first among the descriptors, announced by
//! `{"v":1,"type":"memfd","bytes":N}`. Knows nothing of what the texts mean.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

/// Texts longer than this go into a memfd; well below the smallest send buffer a kernel gives a Unix socket.
pub(crate) const INLINE_BYTES_MAX: usize = 32 << 10;

/// No text is longer: about 100 000 replicas.
pub(crate) const TEXT_BYTES_MAX: u64 = 64 << 20;

/// Descriptors in one frame, the memfd not counted; the kernel's limit is 253 (`SCM_MAX_FD`).
pub(crate) const DESCRIPTORS_MAX: usize = 200;

const SLOTS: usize = DESCRIPTORS_MAX + 1;

#[derive(Serialize, Deserialize)]
struct InMemfd {
    v: u32,
    r#type: String,
    bytes: u64,
}

/// Sends one frame without waiting.
///
/// # Errors
/// `WouldBlock` when the other side is behind and the socket is non-blocking; otherwise what the kernel says.
pub(crate) fn send(socket: impl AsFd, text: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if descriptors.len() > DESCRIPTORS_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if text.len() <= INLINE_BYTES_MAX {
        return send_packet(socket, text, descriptors);
    }
    let memfd = rustix::fs::memfd_create("tend-frame", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut rest = text;
    while !rest.is_empty() {
        let written = rustix::io::write(&memfd, rest)?;
        rest = &rest[written..];
    }
    rustix::fs::fcntl_add_seals(&memfd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    let announcement = serde_json::to_vec(&InMemfd {
        v: 1,
        r#type: "memfd".to_owned(),
        bytes: text.len() as u64,
    })?;
    let mut all = Vec::with_capacity(descriptors.len() + 1);
    all.push(memfd.as_fd());
    all.extend_from_slice(descriptors);
    send_packet(socket, &announcement, &all)
}

fn send_packet(socket: impl AsFd, text: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SLOTS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(socket, &[IoSlice::new(text)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one frame; none when the other side has closed.
///
/// # Errors
/// `WouldBlock` when there is none yet and the socket is non-blocking; `InvalidData` when a frame was cut or announces more than it
/// has; otherwise what the kernel says.
pub(crate) fn receive(socket: impl AsFd) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut text = vec![0; INLINE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SLOTS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut text)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            descriptors.extend(some);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    let cut = rustix::net::ReturnFlags::TRUNC | rustix::net::ReturnFlags::CTRUNC;
    if received.flags.intersects(cut) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the frame was cut"));
    }
    text.truncate(received.bytes);
    match serde_json::from_slice::<InMemfd>(&text) {
        Ok(announced) if announced.r#type == "memfd" => {
            if descriptors.is_empty() || announced.bytes > TEXT_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let memfd = descriptors.remove(0);
            Ok(Some((read_memfd(&memfd, announced.bytes)?, descriptors)))
        }
        _ => Ok(Some((text, descriptors))),
    }
}

fn read_memfd(memfd: &OwnedFd, bytes: u64) -> io::Result<Vec<u8>> {
    let wanted = usize::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let mut text = vec![0; wanted];
    let mut filled = 0;
    while filled < wanted {
        match rustix::io::pread(memfd, &mut text[filled..], filled as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => filled += more,
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
    }

    #[test]
    fn a_frame_arrives_as_it_was_sent_whatever_its_length() {
        for length in [1, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, 3 << 20] {
            let (one, other) = pair();
            let text: Vec<u8> = (0..length).map(|i| b'a' + (i % 26) as u8).collect();
            let file = std::fs::File::open("/dev/null").unwrap();
            send(&one, &text, &[file.as_fd(), other.as_fd()]).unwrap();
            let (received, descriptors) = receive(&other).unwrap().unwrap();
            assert!(received == text, "{length} bytes");
            assert_eq!(descriptors.len(), 2);
        }
    }

    #[test]
    fn the_end_of_the_other_side_is_no_frame() {
        let (one, other) = pair();
        drop(other);
        assert!(receive(&one).unwrap().is_none());
    }

    #[test]
    fn an_announcement_without_its_memfd_or_of_more_than_it_holds_is_an_error() {
        let (one, other) = pair();
        send(&one, br#"{"v":1,"type":"memfd","bytes":5}"#, &[]).unwrap();
        assert!(receive(&other).is_err());
        let empty = rustix::fs::memfd_create("empty", MemfdFlags::CLOEXEC).unwrap();
        send(&one, br#"{"v":1,"type":"memfd","bytes":5}"#, &[empty.as_fd()]).unwrap();
        assert!(receive(&other).is_err());
    }
}
