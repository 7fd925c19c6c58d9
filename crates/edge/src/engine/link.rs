//! Connections to replicas: kept between requests, checked before they are used again, made anew otherwise.
//!
//! Knows bytes and not what they mean: whoever holds a [`Link`] says when it may be used again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::net::RecvFlags;
use tend_base::Mono;
use tend_core::model::Protocol;
use tend_routing::Failure;
use tokio::net::TcpStream;

use super::buffer::{Buffer, Outgoing};
use super::h2;
use crate::limits::Patience;
use crate::live::{Live, Replica};
use crate::number::ByNumber;
use crate::stream::Stream;
use crate::worker::Worker;

/// The idle connections of one thread, by [`Replica::number`].
#[derive(Default)]
pub(crate) struct Pool {
    idle: RefCell<HashMap<u64, Vec<Idle>, ByNumber>>,
}

struct Idle {
    link: Link,
    since: Mono,
}

/// One connection to a replica; closed when dropped.
#[derive(Debug)]
pub(super) struct Link {
    stream: Stream,
    /// Bytes written for the request it is used for.
    written: u64,
    is_reused: bool,
}

impl Pool {
    /// Closes the idle connections to replicas that get no more requests.
    pub(crate) fn keep_only(&self, live: &Live) {
        let ready: std::collections::HashSet<u64> = live.ready().map(|replica| replica.number).collect();
        self.idle.borrow_mut().retain(|replica, _| ready.contains(replica));
    }

    /// Closes the idle connections to one replica: one of them turned out to be dead.
    pub(super) fn forget(&self, replica: &Replica) {
        self.idle.borrow_mut().remove(&replica.number);
    }

    /// Returns a kept connection. `certain` asks the kernel that it is still open, for requests that cannot be repeated.
    pub(super) fn take(&self, replica: &Replica, certain: bool) -> Option<Link> {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(&replica.number)?;
        // The latest used is the least likely to be closed.
        while let Some(Idle { mut link, .. }) = kept.pop() {
            if link.seems_open() && (!certain || link.is_open()) {
                link.written = 0;
                link.is_reused = true;
                return Some(link);
            }
        }
        None
    }

    /// Keeps a connection for another request. Nothing may be left to read or write on it.
    pub(super) fn give_back(&self, replica: &Replica, link: Link, now: Mono) {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.entry(replica.number).or_default();
        if kept.len() < replica.keepalive() {
            kept.push(Idle { link, since: now });
        }
    }

    /// Closes what idles for too long or was closed by the replica; says whether any are left.
    pub(super) fn sweep(&self, now: Mono, idle_max: Duration) -> bool {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|_, kept| {
            kept.retain_mut(|idle| now.since(idle.since) < idle_max && idle.link.seems_open());
            !kept.is_empty()
        });
        !idle.is_empty()
    }
}

/// Connects to a replica, whatever is spoken there; with TLS, where that is spoken, within the same time.
pub(crate) async fn connect(replica: &Replica, wait: Duration) -> Result<Stream, Failure> {
    tokio::time::timeout(wait, connected(replica))
        .await
        .map_err(|_| Failure::ConnectTimeout)?
}

async fn connected(replica: &Replica) -> Result<Stream, Failure> {
    let stream = TcpStream::connect(replica.address)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => Failure::ConnectRefused,
            io::ErrorKind::TimedOut => Failure::ConnectTimeout,
            _ => Failure::ConnectFailed,
        })?;
    // Without it what is sent in two writes waits for the replica's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let Some(toward) = &replica.tls else {
        return Ok(Stream::Plain(stream));
    };
    match toward.shake(stream).await {
        Ok(stream) => {
            replica.notes_trouble(None);
            Ok(Stream::Tls(Box::new(stream)))
        }
        Err(untold) => {
            replica.notes_trouble(Some(untold.text));
            Err(untold.why)
        }
    }
}

impl Link {
    /// Connects to a replica.
    pub(super) async fn connect(
        worker: &Rc<Worker>,
        replica: &Arc<Replica>,
        patience: Patience,
    ) -> Result<Self, Failure> {
        let stream = match replica.protocol {
            Protocol::Http1 => connect(replica, patience.connect).await?,
            Protocol::Http2 => Stream::Plain(h2::bridge(worker, replica, &patience).await?),
        };
        Ok(Self {
            stream,
            written: 0,
            is_reused: false,
        })
    }

    /// Says whether the event loop has heard nothing of its end; costs no system call, and may be behind by one turn of the loop.
    fn seems_open(&mut self) -> bool {
        if !self.stream.is_quiet() {
            return false;
        }
        match self
            .stream
            .socket()
            .poll_read_ready(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Pending => true,
            // A read that happened to fill its buffer leaves it unknown whether there is more.
            Poll::Ready(Ok(())) => self.is_open(),
            Poll::Ready(Err(_)) => false,
        }
    }

    /// Asks the kernel whether the replica has closed it.
    fn is_open(&self) -> bool {
        let mut byte = [0u8; 1];
        let peeked = rustix::net::recv(
            self.stream.socket(),
            &mut byte[..],
            RecvFlags::PEEK | RecvFlags::DONTWAIT,
        );
        // Bytes nobody asked for are as bad as the end.
        matches!(peeked, Err(rustix::io::Errno::AGAIN))
    }

    /// Says whether it was kept from an earlier request, so that its end says nothing about the replica.
    pub(super) fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// Returns how many bytes the kernel took since the request began.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Writes all of `out`.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>, out: &mut Outgoing) -> Poll<io::Result<()>> {
        let written = &mut self.written;
        out.poll_flush(cx, &mut self.stream, |bytes| *written += bytes as u64)
    }

    /// Writes some of `bytes`.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = tokio::io::AsyncWrite::poll_write(std::pin::Pin::new(&mut self.stream), cx, bytes);
        if let Poll::Ready(Ok(bytes)) = outcome {
            self.written += bytes as u64;
        }
        outcome
    }

    /// Reads more into `buffer`; 0 at the end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<io::Result<usize>> {
        buffer.poll_fill(cx, &mut self.stream)
    }

    /// Returns the connection, for something that is not HTTP.
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }
}
