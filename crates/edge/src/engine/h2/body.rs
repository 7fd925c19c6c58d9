//! Bodies on their way: a client's request, which several tries share, and what answers it.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::future::{Future, poll_fn};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tend_base::{Clock, Mono, SystemClock};

use super::super::pace::Pace;
use super::fields;
use super::link::LinkGuard;
use super::plain::Lease;
use super::pour::{Broken, Cut, Piece, Pieces};
use crate::answer::{ErrorCode, OwnBody};
use crate::limits::BUFFER_BYTES_MAX;
use crate::live::UploadRule;

/// How often it is looked whether a client sends fast enough.
pub(super) const PACE_LOOK: Duration = Duration::from_secs(1);

/// A request's body on its way to a replica; several tries share it until one takes the first piece.
#[derive(Clone)]
pub(super) struct RequestBody(Rc<Shared>);

struct Shared {
    inbound: RefCell<Inbound>,
    bytes_max: u64,
    taken: Cell<bool>,
    bytes: Cell<u64>,
    failed: Cell<Option<ErrorCode>>,
    /// The replica would take more and the client has not sent it.
    awaited: Cell<bool>,
    moved: Cell<Option<Mono>>,
    /// How fast the client sends, where its route minds.
    pace: RefCell<Pace>,
}

/// What a client sends.
enum Inbound {
    Received(Received),
    /// Over a bridge, from one of HTTP/1.
    Incoming(Incoming),
}

impl Inbound {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, Broken>>> {
        match self {
            Self::Received(received) => received.poll_piece(cx),
            Self::Incoming(incoming) => poll_incoming(incoming, cx),
        }
    }

    fn is_end(&self) -> bool {
        match self {
            Self::Received(received) => received.is_end(),
            Self::Incoming(incoming) => incoming.is_end_stream(),
        }
    }
}

/// Returns the next piece of what hyper received.
fn poll_incoming(incoming: &mut Incoming, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, Broken>>> {
    let frame = ready!(Pin::new(incoming).poll_frame(cx));
    Poll::Ready(frame.map(|frame| {
        Ok(match frame.map_err(|_| Broken)?.into_data() {
            Ok(data) => Piece::Data(data),
            Err(other) => Piece::Trailers(other.into_trailers().unwrap_or_default()),
        })
    }))
}

/// What comes in a stream of HTTP/2. The window is opened again for a piece when the next is asked for.
struct Received {
    stream: RecvStream,
    unacknowledged: usize,
    data_ended: bool,
}

impl Received {
    fn new(stream: RecvStream) -> Self {
        Self {
            stream,
            unacknowledged: 0,
            data_ended: false,
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, Broken>>> {
        let passed_on = std::mem::take(&mut self.unacknowledged);
        if passed_on > 0 {
            // It fails only for more than was received.
            let _ = self.stream.flow_control().release_capacity(passed_on);
        }
        if !self.data_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    self.unacknowledged = data.len();
                    return Poll::Ready(Some(Ok(Piece::Data(data))));
                }
                Some(Err(_)) => return Poll::Ready(Some(Err(Broken))),
                None => self.data_ended = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(
            trailers
                .transpose()
                .map(|trailers| trailers.map(Piece::Trailers).map_err(|_| Broken)),
        )
    }

    fn is_end(&self) -> bool {
        self.stream.is_end_stream()
    }
}

impl RequestBody {
    /// Returns the body of a request of HTTP/2; more than `bytes_max` is an error of the client.
    pub(super) fn received(stream: RecvStream, bytes_max: u64) -> Self {
        Self::new(Inbound::Received(Received::new(stream)), bytes_max)
    }

    /// Returns the body of a request that came over a bridge, and was looked at before.
    pub(super) fn incoming(incoming: Incoming) -> Self {
        Self::new(Inbound::Incoming(incoming), u64::MAX)
    }

    fn new(inbound: Inbound, bytes_max: u64) -> Self {
        Self(Rc::new(Shared {
            inbound: RefCell::new(inbound),
            bytes_max,
            taken: Cell::new(false),
            bytes: Cell::new(0),
            failed: Cell::new(None),
            awaited: Cell::new(false),
            moved: Cell::new(None),
            pace: RefCell::default(),
        }))
    }

    /// Has it watched that the client sends fast enough.
    pub(super) fn watch(&self, rule: Option<Arc<UploadRule>>) {
        *self.0.pace.borrow_mut() = Pace::new(rule);
    }

    /// Says whether [`Self::is_too_slow`] has to be asked from time to time.
    pub(super) fn is_watched(&self) -> bool {
        self.0.pace.borrow().is_watched()
    }

    /// Says whether the client has been sending too slowly.
    pub(super) fn is_too_slow(&self) -> bool {
        self.is_watched() && {
            let mut pace = self.0.pace.borrow_mut();
            pace.is_too_slow(self.bytes(), SystemClock.now().mono)
        }
    }

    fn note_turn(&self, clients_turn: bool) {
        if self.is_watched() {
            self.0.pace.borrow_mut().note(clients_turn, SystemClock.now().mono);
        }
    }

    /// Reads it to its end; what trails is dropped. The error is the code to answer with.
    pub(super) async fn collect(&mut self, patience: Duration) -> Result<Bytes, ErrorCode> {
        let mut all = Vec::new();
        let look = if self.is_watched() {
            patience.min(PACE_LOOK)
        } else {
            patience
        };
        let mut last = SystemClock.now().mono;
        loop {
            let piece = poll_fn(|cx| self.poll_piece(cx));
            let coming = tokio::time::timeout(look, piece).await;
            if self.is_too_slow() {
                return Err(ErrorCode::RequestTimeout);
            }
            match coming {
                Err(_) if look < patience && SystemClock.now().mono.since(last) < patience => continue,
                Err(_) => return Err(ErrorCode::RequestTimeout),
                Ok(Some(Ok(Piece::Data(data)))) => all.extend_from_slice(&data),
                Ok(None | Some(Ok(Piece::Trailers(_)))) => return Ok(Bytes::from(all)),
                Ok(Some(Err(Broken))) => return Err(self.failed().unwrap_or(ErrorCode::BadRequest)),
            }
            last = SystemClock.now().mono;
        }
    }

    /// Says whether part of it is gone and cannot be sent again.
    pub(super) fn is_taken(&self) -> bool {
        self.0.taken.get()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.bytes.get()
    }

    /// Returns why it broke off, where the client is the reason.
    pub(super) fn failed(&self) -> Option<ErrorCode> {
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

impl Pieces for RequestBody {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, Broken>>> {
        let shared = &self.0;
        shared.awaited.set(true);
        self.note_turn(true);
        let piece = ready!(shared.inbound.borrow_mut().poll_piece(cx));
        shared.awaited.set(false);
        self.note_turn(false);
        shared.taken.set(true);
        let broken = |code| {
            shared.failed.set(Some(code));
            Poll::Ready(Some(Err(Broken)))
        };
        match piece {
            Some(Ok(Piece::Data(data))) => {
                let bytes = shared.bytes.get() + data.len() as u64;
                if bytes > shared.bytes_max {
                    return broken(ErrorCode::BodyTooLarge);
                }
                shared.bytes.set(bytes);
                shared.moved.set(Some(SystemClock.now().mono));
                Poll::Ready(Some(Ok(Piece::Data(data))))
            }
            Some(Ok(Piece::Trailers(mut trailers))) => {
                fields::clean_request_trailers(&mut trailers);
                Poll::Ready(Some(Ok(Piece::Trailers(trailers))))
            }
            Some(Err(Broken)) => broken(ErrorCode::BadRequest),
            None => Poll::Ready(None),
        }
    }

    fn is_end(&self) -> bool {
        self.0.inbound.borrow().is_end()
    }
}

/// For hyper, which sends it to replicas of HTTP/1.
impl Body for RequestBody {
    type Data = Bytes;
    type Error = BrokenRequest;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenRequest>>> {
        self.poll_piece(cx).map(|piece| {
            piece.map(|piece| match piece {
                Ok(Piece::Data(data)) => Ok(Frame::data(data)),
                Ok(Piece::Trailers(trailers)) => Ok(Frame::trailers(trailers)),
                Err(Broken) => Err(BrokenRequest),
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// The client did not send the rest of its request.
#[derive(Debug, thiserror::Error)]
#[error("the client did not send the rest of its request")]
pub(super) struct BrokenRequest;

/// A request's body being sent to a replica of HTTP/2 while the answer comes.
pub(super) type Upload = Pin<Box<dyn Future<Output = Result<(), Cut>>>>;

/// The body of an answer.
pub(super) enum Source {
    Own(Bytes),
    File {
        file: File,
        offset: u64,
        left: u64,
    },
    /// From a replica of HTTP/1.
    Plain {
        incoming: Incoming,
        lease: Lease,
    },
    /// From a replica of HTTP/2.
    Linked {
        received: LinkedBody,
        upload: Option<Upload>,
        /// The stream counts on its connection until here.
        _guard: LinkGuard,
    },
}

/// What a replica of HTTP/2 sends.
pub(super) struct LinkedBody(Received);

impl LinkedBody {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self(Received::new(stream))
    }
}

impl Source {
    pub(super) fn own(body: OwnBody) -> Self {
        match body {
            OwnBody::Bytes(bytes) => Self::Own(bytes),
            OwnBody::File { file, offset, bytes } => Self::File {
                file,
                offset,
                left: bytes,
            },
        }
    }

    /// Returns how long a body of the edge's own is.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Own(bytes) => Some(bytes.len() as u64),
            Self::File { left, .. } => Some(*left),
            Self::Plain { .. } | Self::Linked { .. } => None,
        }
    }

    /// Ends it well: a connection that can be used again is kept, unless the replica is about to stop.
    pub(super) fn complete(self, keep: bool) {
        if let Self::Plain { lease, .. } = self
            && keep
        {
            lease.give_back();
        }
    }
}

impl Pieces for Source {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, Broken>>> {
        match self {
            Self::Own(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then_some(Ok(Piece::Data(bytes))))
            }
            Self::File { left: 0, .. } => Poll::Ready(None),
            Self::File { file, offset, left } => {
                Poll::Ready(Some(read_piece(file, offset, left).map(Piece::Data).ok_or(Broken)))
            }
            Self::Plain { incoming, .. } => {
                let piece = ready!(poll_incoming(incoming, cx));
                Poll::Ready(piece.map(|piece| piece.map(cleaned)))
            }
            Self::Linked { received, upload, .. } => {
                if let Some(sending) = upload
                    && let Poll::Ready(outcome) = sending.as_mut().poll(cx)
                {
                    *upload = None;
                    // A replica may answer without the rest of the request. A client that broke it off is another matter.
                    if outcome == Err(Cut::Source) {
                        return Poll::Ready(Some(Err(Broken)));
                    }
                }
                let piece = ready!(received.0.poll_piece(cx));
                Poll::Ready(piece.map(|piece| piece.map(cleaned)))
            }
        }
    }

    fn is_end(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_empty(),
            Self::File { left, .. } => *left == 0,
            Self::Plain { incoming, .. } => incoming.is_end_stream(),
            Self::Linked { received, .. } => received.0.is_end(),
        }
    }
}

/// Takes out of a replica's trailers what clients believe of the edge.
fn cleaned(mut piece: Piece) -> Piece {
    if let Piece::Trailers(trailers) = &mut piece {
        fields::clean_response_trailers(trailers);
    }
    piece
}

/// Reads the next piece of a file; none when it became shorter than was announced.
fn read_piece(file: &File, offset: &mut u64, left: &mut u64) -> Option<Bytes> {
    let size = (BUFFER_BYTES_MAX as u64).min(*left);
    let mut piece = vec![0; usize::try_from(size).unwrap_or(BUFFER_BYTES_MAX)];
    let read = file.read_at(&mut piece, *offset).ok().filter(|read| *read > 0)?;
    piece.truncate(read);
    *offset += read as u64;
    *left -= read as u64;
    Some(Bytes::from(piece))
}
