//! A client's connection of HTTP/2: its streams, its deadlines, and its end.
//!
//! ```text
//! serving ── draining, or idle for too long ──► leaving (GOAWAY; what is open is finished) ── last stream ──► over
//!     └────── takes nothing, or resets everything ──────────────────────────────────────────────────────────► over
//! ```

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::Builder;
use tend_base::{Mono, SystemClock};
use tokio::time::Instant;

use super::STREAM_WINDOW;
use super::calm::Calm;
use super::deferred::{Deferred, Wait};
use super::request::answer;
use crate::limits::{Patience, REQUEST_HEAD_BYTES_MAX};
use crate::tls::ClientCertificate;
use crate::worker::{Accepted, Worker};

/// Requests of one connection at once; nginx's `http2_max_concurrent_streams`.
pub(super) const STREAMS_MAX: u32 = 128;

/// Bytes of all bodies of a connection that may be under way to us: four streams at full speed, or many slow ones.
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;

/// Streams that a client may have reset before they were looked at (`h2`'s own guard against rapid reset).
const UNSEEN_RESETS_MAX: usize = 20;

/// What a connection's requests have in common.
pub(super) struct Client {
    pub(super) worker: Rc<Worker>,
    pub(super) peer: SocketAddr,
    pub(super) listener: SocketAddr,
    pub(super) secure: bool,
    pub(super) client_certificate: Option<Rc<ClientCertificate>>,
    open: Cell<u32>,
    /// Since when no request is open.
    idle: Cell<Mono>,
    calm: Calm,
    /// The client has reset too many requests.
    is_hostile: Cell<bool>,
    /// Wakes the connection.
    waker: RefCell<Option<Waker>>,
}

impl Client {
    fn begins(&self) {
        self.open.set(self.open.get() + 1);
    }

    /// Notes the end of a request.
    pub(super) fn ended(&self, reset: bool) {
        self.open.set(self.open.get() - 1);
        if self.open.get() == 0 {
            self.idle.set(SystemClock.mono());
        }
        if !reset {
            self.calm.finished();
        } else if self.calm.reset() {
            self.is_hostile.set(true);
            if let Some(waker) = self.waker.borrow().as_ref() {
                waker.wake_by_ref();
            }
        }
    }

    /// Returns when the connection is to be ended if nothing changes.
    fn deadline(&self, patience: &Patience, leaving: Option<Mono>, wait: &Wait) -> Option<Mono> {
        let idle = match (self.open.get(), leaving) {
            (0, None) => Some(self.idle.get() + patience.idle),
            (0, Some(since)) => Some(self.idle.get().max(since) + patience.drain_idle),
            _ => None,
        };
        let stalled = wait.since().map(|since| since + patience.stall);
        match (idle, stalled) {
            (Some(idle), Some(stalled)) => Some(idle.min(stalled)),
            (one, other) => one.or(other),
        }
    }
}

/// Serves a connection of which `first` was read already until it ends.
pub(crate) async fn serve(worker: Rc<Worker>, accepted: Accepted, first: Vec<u8>) {
    let _open = (accepted.open, accepted.place);
    let patience = worker.patience;
    let secure = accepted.stream.is_secure();
    let (io, wait) = Deferred::new(accepted.stream, first);
    let mut builder = Builder::new();
    builder
        .enable_connect_protocol()
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(REQUEST_HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(super::STREAM_SEND_BYTES_MAX)
        .max_pending_accept_reset_streams(UNSEEN_RESETS_MAX);
    let mut drain = pin!(worker.drain.notified());
    // A connection accepted just before draining began would not be notified of it.
    drain.as_mut().enable();
    let Ok(Ok(mut connection)) = tokio::time::timeout(patience.head, builder.handshake::<_, Bytes>(io)).await else {
        return;
    };
    let client = Rc::new(Client {
        worker: worker.clone(),
        peer: accepted.peer,
        listener: accepted.listener,
        secure,
        client_certificate: accepted.client_certificate,
        open: Cell::new(0),
        idle: Cell::new(SystemClock.mono()),
        calm: Calm::default(),
        is_hostile: Cell::new(false),
        waker: RefCell::new(None),
    });
    let mut timer = pin!(tokio::time::sleep(patience.idle));
    let mut armed = Instant::now() + patience.idle;
    let mut leaving = None;
    let mut expelled = false;
    poll_fn(|cx| {
        let mut waker = client.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        drop(waker);
        if leaving.is_none() && (worker.is_draining() || drain.as_mut().poll(cx).is_ready()) {
            leaving = Some(SystemClock.mono());
            connection.graceful_shutdown();
        }
        if client.is_hostile.get() && !expelled {
            expelled = true;
            connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        }
        loop {
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    client.begins();
                    // Boxed here: spawning moves it from place to place, and then only the box.
                    tokio::task::spawn_local(Box::pin(answer(client.clone(), request, respond)));
                }
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        loop {
            let Some(deadline) = client.deadline(&patience, leaving, &wait) else {
                // The usual case, which costs no look at a clock. The timer only brings us here to look again.
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                armed = Instant::now() + patience.idle.min(patience.stall);
                timer.as_mut().reset(armed);
                continue;
            };
            let now = SystemClock.mono();
            let wanted = match deadline {
                deadline if now < deadline => Instant::now() + deadline.since(now),
                _ if leaving.is_none() && wait.since().is_none() => {
                    // Idle: a request that crosses is still answered.
                    leaving = Some(now);
                    connection.graceful_shutdown();
                    cx.waker().wake_by_ref();
                    Instant::now() + patience.drain_idle
                }
                _ => return Poll::Ready(()),
            };
            if wanted + Duration::from_millis(1) < armed || timer.as_ref().is_elapsed() {
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
