//! Bodies on their way: counted, passed on frame by frame as the other side takes them, never collected.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::HeaderMap;
use tend_base::{Clock, Mono, SystemClock};

use super::connection::ConnectionClock;
use super::headers;
use super::upstream::Lease;
use crate::answer::OwnBody;
use crate::encode::Encoder;
use crate::exchange::{Attempt, Exchange};
use crate::limits::BUFFER_BYTES_MAX;

/// A request's body on its way to a replica; several tries share it until one takes the first byte.
#[derive(Clone)]
pub(super) struct RequestBody(Rc<Shared>);

struct Shared {
    incoming: RefCell<Incoming>,
    taken: Cell<bool>,
    bytes: Cell<u64>,
    /// The client sent something else than it announced, or left.
    failed: Cell<bool>,
    /// The replica would take more and the client has not sent it.
    awaited: Cell<bool>,
    moved: Cell<Option<Mono>>,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming) -> Self {
        Self(Rc::new(Shared {
            incoming: RefCell::new(incoming),
            taken: Cell::new(false),
            bytes: Cell::new(0),
            failed: Cell::new(false),
            awaited: Cell::new(false),
            moved: Cell::new(None),
        }))
    }

    /// Says whether part of it is gone and cannot be sent again.
    pub(super) fn is_taken(&self) -> bool {
        self.0.taken.get()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.bytes.get()
    }

    pub(super) fn has_failed(&self) -> bool {
        self.0.failed.get()
    }

    pub(super) fn is_awaited(&self) -> bool {
        self.0.awaited.get()
    }

    /// Returns when some of it was last passed on.
    pub(super) fn moved(&self) -> Option<Mono> {
        self.0.moved.get()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let shared = &self.0;
        let mut incoming = shared.incoming.borrow_mut();
        shared.awaited.set(true);
        let mut frame = ready!(Pin::new(&mut *incoming).poll_frame(cx));
        if let Some(trailers) = trailers_of(&mut frame) {
            headers::clean_request_trailers(trailers);
        }
        shared.awaited.set(false);
        shared.taken.set(true);
        match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                shared.bytes.set(shared.bytes.get() + length as u64);
                shared.moved.set(Some(SystemClock.now().mono));
            }
            Some(Err(_)) => shared.failed.set(true),
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.incoming.borrow().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.incoming.borrow().size_hint()
    }
}

/// A response's body on its way to the client. Dropping it ends the exchange, complete or not.
pub(super) struct ResponseBody {
    source: Source,
    exchange: Option<Exchange>,
    request: Option<RequestBody>,
    clock: std::sync::Arc<ConnectionClock>,
}

enum Source {
    Own(Full<Bytes>),
    File {
        file: File,
        offset: u64,
        left: u64,
    },
    Replica {
        incoming: Incoming,
        lease: Option<Lease>,
        attempt: Option<Attempt>,
        coded: Option<Coded>,
    },
}

/// A replica's body on its way through an encoder.
struct Coded {
    encoder: Box<Encoder>,
    /// The replica had nothing more for one turn of the event loop; at the second, what is held back goes out.
    paused: bool,
    stage: Stage,
}

/// ```text
/// passing ── the replica's end, or its trailers ──► ending ── the encoder's end was given ──► ended
/// ```
enum Stage {
    Passing,
    Ending(Option<HeaderMap>),
    Ended,
}

impl Coded {
    fn poll_frame(
        &mut self,
        incoming: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut out = Vec::new();
        while out.is_empty() {
            match &mut self.stage {
                Stage::Ended => return Poll::Ready(None),
                Stage::Ending(trailers) => {
                    let trailers = trailers.take();
                    self.stage = Stage::Ended;
                    return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                }
                Stage::Passing => {}
            }
            match Pin::new(&mut *incoming).poll_frame(cx) {
                Poll::Pending if !self.encoder.is_dirty() => return Poll::Pending,
                Poll::Pending if !self.paused => {
                    // What is on its way may come before the next turn, and is better compressed together.
                    self.paused = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Pending => self.encoder.flush(&mut out),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Some(Ok(frame))) => {
                    self.paused = false;
                    match frame.into_data() {
                        Ok(data) => self.encoder.push(&data, &mut out),
                        Err(frame) => self.end(frame.into_trailers().ok(), &mut out),
                    }
                }
                Poll::Ready(None) => self.end(None, &mut out),
            }
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(out)))))
    }

    fn end(&mut self, trailers: Option<HeaderMap>, out: &mut Vec<u8>) {
        self.encoder.finish(out);
        self.stage = Stage::Ending(trailers);
    }

    fn is_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended | Stage::Ending(None))
    }
}

impl ResponseBody {
    /// Returns a body of the edge itself.
    pub(super) fn own(body: OwnBody, exchange: Option<Exchange>, clock: std::sync::Arc<ConnectionClock>) -> Self {
        let source = match body {
            OwnBody::Bytes(bytes) => Source::Own(Full::new(bytes)),
            OwnBody::File { file, offset, bytes } => Source::File {
                file,
                offset,
                left: bytes,
            },
        };
        Self {
            source,
            exchange,
            request: None,
            clock,
        }
    }

    /// Returns what a replica sends. The connection goes back to its pool at the end.
    pub(super) fn replica(
        incoming: Incoming,
        lease: Lease,
        attempt: Attempt,
        exchange: Exchange,
        request: RequestBody,
        clock: std::sync::Arc<ConnectionClock>,
        encoder: Option<Box<Encoder>>,
    ) -> Self {
        Self {
            source: Source::Replica {
                incoming,
                lease: Some(lease),
                attempt: Some(attempt),
                coded: encoder.map(|encoder| Coded {
                    encoder,
                    paused: false,
                    stage: Stage::Passing,
                }),
            },
            exchange: Some(exchange),
            request: Some(request),
            clock,
        }
    }

    fn complete(&mut self) {
        if let Source::Replica { lease, attempt, .. } = &mut self.source {
            // A replica that is about to stop is not kept waiting for a connection that nobody will use.
            let last = attempt.take().is_none_or(|attempt| attempt.replica.is_emptying());
            if let Some(lease) = lease.take().filter(|_| !last) {
                lease.give_back();
            }
        }
        self.end();
    }

    fn end(&mut self) {
        if let Some(mut exchange) = self.exchange.take() {
            if let Some(request) = self.request.take() {
                exchange.passed(request.bytes(), 0);
            }
            drop(exchange);
            self.clock.response_ended();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let mut frame = match &mut this.source {
            Source::Own(full) => ready!(Pin::new(full).poll_frame(cx)).map(|frame| frame.map_err(impossible)),
            Source::File { file, offset, left } => read_piece(file, offset, left).map(|piece| Ok(Frame::data(piece))),
            Source::Replica {
                incoming,
                coded: Some(coded),
                ..
            } => ready!(coded.poll_frame(incoming, cx)),
            Source::Replica { incoming, .. } => ready!(Pin::new(incoming).poll_frame(cx)),
        };
        if let Some(trailers) = trailers_of(&mut frame) {
            headers::clean_response_trailers(trailers);
        }
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(data), Some(exchange)) = (frame.data_ref(), &mut this.exchange) {
                    exchange.passed(0, data.len() as u64);
                }
                if this.is_end_stream() {
                    this.complete();
                }
            }
            Some(Err(_)) => {
                if let (Some(exchange), Source::Replica { attempt, .. }) = (&mut this.exchange, &this.source) {
                    match attempt {
                        Some(attempt) if !this.request.as_ref().is_some_and(RequestBody::has_failed) => {
                            exchange.cut_by(&attempt.replica);
                        }
                        // The client broke off its request in the middle, and the exchange with it.
                        _ => exchange.cut("client_cut"),
                    }
                }
                this.end();
            }
            None => this.complete(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(full) => full.is_end_stream(),
            Source::File { left, .. } => *left == 0,
            Source::Replica { coded: Some(coded), .. } => coded.is_ended(),
            Source::Replica { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(full) => full.size_hint(),
            Source::File { left, .. } => SizeHint::with_exact(*left),
            Source::Replica { coded: Some(_), .. } => SizeHint::default(),
            Source::Replica { incoming, .. } => incoming.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // hyper never polls a body that says beforehand that it is empty, such as that of a 304 or an answer to HEAD.
        if self.is_end_stream() {
            self.complete();
        } else if let Some(exchange) = &mut self.exchange {
            if matches!(self.source, Source::Replica { .. }) {
                exchange.cut("client_cut");
            }
            self.end();
        }
    }
}

fn trailers_of(frame: &mut Option<Result<Frame<Bytes>, hyper::Error>>) -> Option<&mut HeaderMap> {
    frame.as_mut()?.as_mut().ok()?.trailers_mut()
}

/// Reads the next piece of a file. One that became shorter gives less than was announced, and hyper cuts the connection then.
fn read_piece(file: &File, offset: &mut u64, left: &mut u64) -> Option<Bytes> {
    let size = (BUFFER_BYTES_MAX as u64).min(*left);
    let mut piece = vec![0; usize::try_from(size).unwrap_or(BUFFER_BYTES_MAX)];
    let read = file.read_at(&mut piece, *offset).ok().filter(|read| *read > 0)?;
    piece.truncate(read);
    *offset += read as u64;
    *left -= read as u64;
    Some(Bytes::from(piece))
}

fn impossible(never: Infallible) -> hyper::Error {
    match never {}
}
