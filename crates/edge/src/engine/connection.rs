//! A client's connection: hyper serves it; the deadlines of heads, idleness and stalled reading are kept here, with one timer.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tend_base::{Clock, Mono, SystemClock};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::forward::{Client, forward};
use crate::limits::{BUFFER_BYTES_MAX, Patience, REQUEST_HEAD_BYTES_MAX};
use crate::stream::Stream;
use crate::worker::{Accepted, Worker};

/// What a connection is doing.
///
/// ```text
/// head ──request──► busy ──response ended──► idle ──first byte──► head
/// ```
const HEAD: u8 = 0;
const BUSY: u8 = 1;
const IDLE: u8 = 2;

/// Since when a connection is doing what. Atomic only because hyper wants upgradable streams to be `Send`.
pub(super) struct ConnectionClock {
    state: AtomicU8,
    since: AtomicU64,
    /// When writing to the client began to wait; 0 when it does not.
    stalled: AtomicU64,
    draining: AtomicBool,
    /// The bytes of the head being read, which hyper does not show: see [`super::headers::check`].
    raw_head: Mutex<Vec<u8>>,
}

impl ConnectionClock {
    fn new() -> Self {
        Self {
            state: AtomicU8::new(HEAD),
            since: AtomicU64::new(SystemClock.now().mono.0),
            stalled: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            raw_head: Mutex::new(Vec::new()),
        }
    }

    fn enter(&self, state: u8) {
        self.state.store(state, Ordering::Relaxed);
        self.since.store(SystemClock.now().mono.0, Ordering::Relaxed);
    }

    pub(super) fn response_ended(&self) {
        self.enter(IDLE);
    }

    fn bytes_came(&self, bytes: &[u8]) {
        match self.state.load(Ordering::Relaxed) {
            BUSY => return,
            IDLE => self.enter(HEAD),
            _ => {}
        }
        let mut raw = self.raw_head.lock().unwrap_or_else(PoisonError::into_inner);
        if raw.len() <= REQUEST_HEAD_BYTES_MAX {
            raw.extend_from_slice(bytes);
        }
    }

    /// Takes the bytes that were read while a head was expected; empty for a request that was pipelined behind another.
    pub(super) fn take_raw_head(&self) -> Vec<u8> {
        std::mem::take(&mut *self.raw_head.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns when the connection is to be closed if nothing changes.
    fn deadline(&self, patience: &Patience) -> Option<Mono> {
        let since = Mono(self.since.load(Ordering::Relaxed));
        let idle = if self.draining.load(Ordering::Relaxed) {
            patience.drain_idle
        } else {
            patience.idle
        };
        match self.state.load(Ordering::Relaxed) {
            HEAD => Some(since + patience.head),
            IDLE => Some(since + idle),
            _ => match self.stalled.load(Ordering::Relaxed) {
                0 => None,
                stalled => Some(Mono(stalled) + patience.stall),
            },
        }
    }
}

/// Serves a connection until it ends.
pub(crate) async fn serve(worker: Rc<Worker>, accepted: Accepted) {
    let _open = accepted.open;
    let clock = Arc::new(ConnectionClock::new());
    let client = Client {
        worker: worker.clone(),
        peer: accepted.peer,
        listener: accepted.listener,
        secure: accepted.stream.is_secure(),
        client_certificate: accepted.client_certificate,
        clock: clock.clone(),
    };
    let service = service_fn(|request| {
        client.clock.enter(BUSY);
        // Boxed, so that a connection that idles does not keep room for a request.
        Box::pin(forward(client.clone(), request))
    });
    let io = TokioIo::new(Watched {
        stream: accepted.stream,
        clock: clock.clone(),
    });
    let mut connection = pin!(
        Builder::new()
            .keep_alive(true)
            .max_buf_size(BUFFER_BYTES_MAX)
            .max_header_size(REQUEST_HEAD_BYTES_MAX)
            .serve_connection(io, service)
            .with_upgrades()
    );
    let patience = worker.patience;
    let mut timer = pin!(tokio::time::sleep(patience.head));
    let mut armed = Instant::now() + patience.head;
    let mut drain = pin!(worker.drain.notified());
    // A connection accepted just before draining began would not be notified of it.
    drain.as_mut().enable();
    clock.draining.store(worker.is_draining(), Ordering::Relaxed);
    poll_fn(|cx| {
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if !clock.draining.load(Ordering::Relaxed) && drain.as_mut().poll(cx).is_ready() {
            clock.draining.store(true, Ordering::Relaxed);
            if clock.state.load(Ordering::Relaxed) == IDLE {
                clock.enter(IDLE);
            }
        }
        loop {
            // With nothing to wait for, the timer may be late: it only brings us here to look again.
            let wanted = match clock.deadline(&patience) {
                None => Instant::now() + patience.head,
                Some(deadline) => {
                    let now = SystemClock.now().mono;
                    if now >= deadline {
                        return Poll::Ready(());
                    }
                    Instant::now() + deadline.since(now)
                }
            };
            if wanted < armed || timer.as_ref().is_elapsed() {
                timer.as_mut().reset(wanted);
                armed = wanted;
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}

/// The stream under hyper: tells the clock what happens on it.
struct Watched {
    stream: Stream,
    clock: Arc<ConnectionClock>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.clock.bytes_came(&buffer.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl Watched {
    fn note(&self, outcome: &Poll<io::Result<usize>>) {
        let stalled = &self.clock.stalled;
        if outcome.is_ready() {
            stalled.store(0, Ordering::Relaxed);
        } else if stalled.load(Ordering::Relaxed) == 0 {
            stalled.store(SystemClock.now().mono.0, Ordering::Relaxed);
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
