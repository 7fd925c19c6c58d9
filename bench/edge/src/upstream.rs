//! The servers behind all fronts: three ports, one thread, about a kilobyte of JSON for every request.
//!
//! As small as can be, so that the fronts are measured and not this: one event loop, one `write` for an answer. Reads only what the
//! fronts send: heads, and bodies with a length.

use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::event::epoll;
use rustix::thread::CpuSet;

use crate::error::{Error, Result};

/// Marks a listener in the data of an event; below it are connections by their place.
const LISTENER: u64 = 1 << 63;

/// Ports of the running upstream, and how many requests it has answered.
pub(crate) struct Upstream {
    pub(crate) ports: Vec<u16>,
    answered: Arc<AtomicU64>,
}

struct Connection {
    stream: TcpStream,
    /// What came of a head that is not whole.
    held: Vec<u8>,
    /// Bytes of a body still to come.
    body: usize,
}

impl Upstream {
    /// Starts it on a core; it ends with the process.
    pub(crate) fn start(core: usize) -> Result<Self> {
        let failed = |what| move |source| Error::Upstream { what, source };
        let listeners: Vec<TcpListener> = (0..3)
            .map(|_| TcpListener::bind("127.0.0.1:0"))
            .collect::<std::io::Result<_>>()
            .map_err(failed("listen"))?;
        let mut ports = Vec::new();
        for listener in &listeners {
            listener.set_nonblocking(true).map_err(failed("listen"))?;
            ports.push(listener.local_addr().map_err(failed("listen"))?.port());
        }
        let answered = Arc::new(AtomicU64::new(0));
        let counted = answered.clone();
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| failed("wait")(error.into()))?;
        for (place, listener) in listeners.iter().enumerate() {
            let data = epoll::EventData::new_u64(LISTENER | place as u64);
            epoll::add(&poll, listener, data, epoll::EventFlags::IN).map_err(|error| failed("wait")(error.into()))?;
        }
        std::thread::Builder::new()
            .name("upstream".to_owned())
            .spawn(move || {
                let mut cores = CpuSet::new();
                cores.set(core);
                // Elsewhere it would be slower, and the comparison still one.
                let _ = rustix::thread::sched_setaffinity(None, &cores);
                serve(&poll, &listeners, &counted);
            })
            .map_err(failed("start"))?;
        Ok(Self { ports, answered })
    }

    /// Returns how many requests were answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

/// Returns the answer to everything.
fn answer() -> Vec<u8> {
    let items: Vec<String> = (0..33)
        .map(|id| format!("{{\"id\":{id},\"name\":\"item-{id}\"}}"))
        .collect();
    let body = format!("{{\"status\":\"ok\",\"items\":[{}]}}", items.join(","));
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn serve(poll: &OwnedFd, listeners: &[TcpListener], answered: &AtomicU64) {
    let answer = answer();
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut events = [MaybeUninit::uninit(); 256];
    let mut piece = vec![0; 64 << 10];
    loop {
        let Ok((events, _)) = epoll::wait(poll, &mut events, None) else {
            continue;
        };
        for event in events.iter() {
            let data = event.data.u64();
            if data & LISTENER != 0 {
                let place = usize::try_from(data & !LISTENER).unwrap_or_default();
                while let Ok((stream, _)) = listeners[place].accept() {
                    accept(poll, stream, &mut connections, &mut free);
                }
                continue;
            }
            let place = usize::try_from(data).unwrap_or_default();
            let Some(connection) = connections[place].as_mut() else {
                continue;
            };
            if !connection.go_on(&mut piece, &answer, answered) {
                // Closing takes it out of the event loop.
                connections[place] = None;
                free.push(place);
            }
        }
    }
}

fn accept(poll: &OwnedFd, stream: TcpStream, connections: &mut Vec<Option<Connection>>, free: &mut Vec<usize>) {
    let _ = stream.set_nodelay(true);
    let _ = stream.set_nonblocking(true);
    let place = free.pop().unwrap_or_else(|| {
        connections.push(None);
        connections.len() - 1
    });
    if epoll::add(
        poll,
        &stream,
        epoll::EventData::new_u64(place as u64),
        epoll::EventFlags::IN,
    )
    .is_ok()
    {
        connections[place] = Some(Connection {
            stream,
            held: Vec::new(),
            body: 0,
        });
    }
}

impl Connection {
    /// Reads once and answers what is whole; says whether the connection goes on.
    fn go_on(&mut self, piece: &mut [u8], answer: &[u8], answered: &AtomicU64) -> bool {
        let read = match self.stream.read(piece) {
            Ok(0) => return false,
            Ok(read) => read,
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        };
        let skip = self.body.min(read);
        self.body -= skip;
        self.held.extend_from_slice(&piece[skip..read]);
        let mut done = 0;
        while let Some(end) = self.held[done..].windows(4).position(|window| window == b"\r\n\r\n") {
            let head_end = done + end + 4;
            let length = content_length(&self.held[done..head_end]);
            let here = length.min(self.held.len() - head_end);
            self.body = length - here;
            done = head_end + here;
            answered.fetch_add(1, Ordering::Relaxed);
            // An answer fits the buffer of a socket; a front that does not read is not measured.
            if self.stream.write_all(answer).is_err() {
                return false;
            }
        }
        self.held.drain(..done);
        true
    }
}

fn content_length(head: &[u8]) -> usize {
    let lines = head.split(|byte| *byte == b'\n');
    let value = lines
        .filter_map(|line| line.split_at_checked(15))
        .find(|(name, _)| name.eq_ignore_ascii_case(b"content-length:"))
        .and_then(|(_, value)| std::str::from_utf8(value).ok()?.trim().parse().ok());
    value.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_about_a_kilobyte_and_a_length_is_found() {
        assert!((900..1300).contains(&answer().len()), "{}", answer().len());
        assert_eq!(
            content_length(b"POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 12\r\n\r\n"),
            12
        );
        assert_eq!(content_length(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
    }
}
