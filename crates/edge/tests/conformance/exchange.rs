//! Sends the bytes of a case to a proxy and waits until all that comes of them has come.
//!
//! Owns when a case is over: the proxy has closed the client's connection, has served another one, and the upstream has read all.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::recorder::{Heard, Recorder};
use super::strict::Request;
use crate::fixture::PATIENCE;

/// Follows every case that does not stand alone, in the same bytes.
pub(crate) const NEXT: &str = "GET /next HTTP/1.1\r\nHost: edge.test\r\nConnection: close\r\n\r\n";

/// Sent on another connection when a case is over.
const FENCE: &str = "GET /fence HTTP/1.1\r\nHost: edge.test\r\nConnection: close\r\n\r\n";

/// Where a proxy is reached.
#[derive(Clone, Copy)]
pub(crate) enum Front<'a> {
    Tcp(SocketAddr),
    Unix(&'a Path),
}

trait Stream: Read + Write {
    fn half_close(&self);
}

impl Stream for TcpStream {
    fn half_close(&self) {
        // The proxy may have closed it all.
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Stream for UnixStream {
    fn half_close(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

fn connect(front: Front<'_>) -> Box<dyn Stream> {
    match front {
        Front::Tcp(address) => {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
            stream.set_nodelay(true).unwrap();
            Box::new(stream)
        }
        Front::Unix(path) => {
            let stream = UnixStream::connect(path).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
            Box::new(stream)
        }
    }
}

/// Sends bytes in pieces of at most `piece` and returns what is answered until the proxy closes.
pub(crate) fn send(front: Front<'_>, bytes: &[u8], piece: usize, alone: bool) -> Vec<u8> {
    let mut stream = connect(front);
    for piece in bytes.chunks(piece) {
        // A proxy that refuses closes before it has read everything.
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    if alone {
        stream.half_close();
    }
    let mut answered = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return answered,
            Ok(read) => answered.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return answered,
            Err(error) => panic!(
                "the proxy neither answers nor closes: {error}; so far {}",
                answered.escape_ascii()
            ),
        }
    }
}

/// Sends bytes as [`send`] does; returns what the client and the upstream got of it.
pub(crate) fn run(front: Front<'_>, recorder: &Recorder, bytes: &[u8], piece: usize, alone: bool) -> (Vec<u8>, Heard) {
    let answered = send(front, bytes, piece, alone);
    send(front, FENCE.as_bytes(), FENCE.len(), false);
    let mut heard = recorder.take();
    heard.requests.retain(|(request, _)| request.target != "/fence");
    (answered, heard)
}

/// Returns the status of the last answer, 0 when there is none.
pub(crate) fn last_status(answered: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(answered);
    let status = text
        .rsplit_once("HTTP/1.")
        .and_then(|(_, rest)| rest.get(2..5)?.parse().ok());
    status.unwrap_or(0)
}

/// Returns the path and query of a target that may be absolute.
pub(crate) fn path(request: &Request) -> &str {
    match request
        .target
        .split_once("://")
        .filter(|_| !request.target.starts_with('/'))
    {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => &request.target,
    }
}
