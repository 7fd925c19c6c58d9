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
use tend_base::{Clock, Mono, SystemClock};

use super::super::pace::Pace;
use super::bridge::Asking;
use super::fields;
use super::link::LinkGuard;
use super::plain::Plain;
use super::pour::{Broken, Cut, Piece, Pieces};
use crate::answer::{ErrorCode, OwnBody};
use crate::limits::BUFFER_BYTES_MAX;
use crate::live::Replica;
use crate::live::UploadRule;

/// How often it is looked whether a client sends fast enough while its body is collected.
const PACE_LOOK: Duration = Duration::from_secs(1);

/// A request's body on its way to a replica; several tries share it until one takes the first piece.
#[derive(Clone)]
pub(super) struct RequestBody(Rc<Shared>);

struct Shared {
    inbound: RefCell<Inbound>,
    /// What was passed on already, while it is so little that it can be passed on again.
    kept: RefCell<Kept>,
    bytes_max: u64,
    taken: Cell<bool>,
    bytes: Cell<u64>,
    failed: Cell<Option<ErrorCode>>,
    /// The replica would take more and the client has not sent it.
    awaited: Cell<bool>,
    /// How fast the client sends, where its route minds.
    pace: RefCell<Pace>,
}

/// The first pieces of a body, for another try.
#[derive(Default)]
struct Kept {
    pieces: Vec<Bytes>,
    /// So many of them were passed on in this try.
    at: usize,
    bytes: usize,
}

/// A body that is no larger is kept until the answer comes; as for clients of HTTP/1.
const KEPT_BYTES_MAX: usize = 16 << 10;

/// What a client sends.
enum Inbound {
    Received(Received),
    /// Over a bridge, from one of HTTP/1.
    Bridged(Rc<RefCell<Asking>>),
    Nothing,
}

impl Inbound {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, Broken>>> {
        match self {
            Self::Received(received) => received.poll_piece(cx),
            Self::Bridged(asking) => asking.borrow_mut().poll_piece(cx),
            Self::Nothing => Poll::Ready(None),
        }
    }

    fn is_end(&self) -> bool {
        match self {
            Self::Received(received) => received.is_end(),
            Self::Bridged(asking) => asking.borrow().is_end(),
            Self::Nothing => true,
        }
    }
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
    pub(super) fn bridged(asking: Rc<RefCell<Asking>>) -> Self {
        Self::new(Inbound::Bridged(asking), u64::MAX)
    }

    /// Returns the body of a request that has none.
    pub(super) fn none() -> Self {
        Self::new(Inbound::Nothing, 0)
    }

    fn new(inbound: Inbound, bytes_max: u64) -> Self {
        Self(Rc::new(Shared {
            inbound: RefCell::new(inbound),
            kept: RefCell::default(),
            bytes_max,
            taken: Cell::new(false),
            bytes: Cell::new(0),
            failed: Cell::new(None),
            awaited: Cell::new(false),
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

    /// Returns when the client is too slow if nothing more comes; never where nobody minds.
    pub(super) fn slow_at(&self) -> Option<Mono> {
        self.0.pace.borrow().until(self.bytes())
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

    /// Begins again with what was kept, for another try. To be asked only while nothing is taken.
    pub(super) fn rewind(&self) {
        self.0.kept.borrow_mut().at = 0;
    }

    /// Drops what was kept: it will not be sent again.
    pub(super) fn settle(&self) {
        let mut kept = self.0.kept.borrow_mut();
        self.0.taken.set(self.0.taken.get() || !kept.pieces.is_empty());
        *kept = Kept::default();
    }
}

impl Shared {
    fn keep(&self, data: &Bytes) {
        let mut kept = self.kept.borrow_mut();
        kept.bytes += data.len();
        if self.taken.get() || kept.bytes > KEPT_BYTES_MAX {
            self.taken.set(true);
            *kept = Kept::default();
        } else {
            kept.pieces.push(data.clone());
            kept.at += 1;
        }
    }

    /// Returns the next piece of those that are passed on again.
    fn again(&self) -> Option<Bytes> {
        let mut kept = self.kept.borrow_mut();
        let piece = kept.pieces.get(kept.at)?.clone();
        kept.at += 1;
        Some(piece)
    }
}

impl Pieces for RequestBody {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, Broken>>> {
        let shared = &self.0;
        if let Some(piece) = shared.again() {
            return Poll::Ready(Some(Ok(Piece::Data(piece))));
        }
        shared.awaited.set(true);
        self.note_turn(true);
        let piece = ready!(shared.inbound.borrow_mut().poll_piece(cx));
        shared.awaited.set(false);
        self.note_turn(false);
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
                shared.keep(&data);
                Poll::Ready(Some(Ok(Piece::Data(data))))
            }
            Some(Ok(Piece::Trailers(mut trailers))) => {
                shared.taken.set(true);
                fields::clean_request_trailers(&mut trailers);
                Poll::Ready(Some(Ok(Piece::Trailers(trailers))))
            }
            Some(Err(Broken)) => broken(ErrorCode::BadRequest),
            None => Poll::Ready(None),
        }
    }

    fn is_end(&self) -> bool {
        let kept = self.0.kept.borrow();
        kept.at == kept.pieces.len() && self.0.inbound.borrow().is_end()
    }
}

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
    Plain(Box<Plain>),
    /// From a replica of HTTP/2.
    Linked(LinkedBody),
}

/// What a replica of HTTP/2 sends.
pub(super) struct LinkedBody {
    received: Received,
    /// None once its end was seen.
    upload: Option<Upload>,
    /// The client broke the request off.
    is_broken: bool,
    /// The stream counts on its connection until here.
    _guard: LinkGuard,
}

impl LinkedBody {
    pub(super) fn new(stream: RecvStream, upload: Option<Upload>, guard: LinkGuard) -> Self {
        Self {
            received: Received::new(stream),
            upload,
            is_broken: false,
            _guard: guard,
        }
    }
}

impl Pieces for LinkedBody {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, Broken>>> {
        self.poll_aside(cx);
        if self.is_broken {
            return Poll::Ready(Some(Err(Broken)));
        }
        let mut piece = ready!(self.received.poll_piece(cx));
        if let Some(Ok(Piece::Trailers(trailers))) = &mut piece {
            fields::clean_response_trailers(trailers);
        }
        Poll::Ready(piece)
    }

    fn poll_aside(&mut self, cx: &mut Context<'_>) {
        if let Some(sending) = &mut self.upload
            && let Poll::Ready(outcome) = sending.as_mut().poll(cx)
        {
            self.upload = None;
            // A replica may answer without the rest of the request. A client that broke it off is another matter.
            self.is_broken = outcome == Err(Cut::Source);
        }
    }

    fn is_end(&self) -> bool {
        self.received.is_end()
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
            Self::Plain(_) | Self::Linked(_) => None,
        }
    }

    /// Ends well what came from this replica: a connection that can be used again is kept.
    pub(super) fn complete(self, replica: &Replica) {
        if let Self::Plain(plain) = self {
            plain.complete(replica);
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
            Self::Plain(plain) => plain.poll_piece(cx),
            Self::Linked(linked) => linked.poll_piece(cx),
        }
    }

    fn poll_aside(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Own(_) | Self::File { .. } => {}
            Self::Plain(plain) => plain.poll_aside(cx),
            Self::Linked(linked) => linked.poll_aside(cx),
        }
    }

    fn is_end(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_empty(),
            Self::File { left, .. } => *left == 0,
            Self::Plain(plain) => plain.is_end(),
            Self::Linked(linked) => linked.is_end(),
        }
    }
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
