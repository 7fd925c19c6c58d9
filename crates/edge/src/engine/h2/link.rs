//! Connections to replicas that speak HTTP/2: few, each with many streams, made anew when a replica says that it is leaving.
//!
//! A stream that the replica says it has not looked at (a GOAWAY with an earlier stream, or REFUSED_STREAM) has not arrived: it may
//! be sent again, whatever its method (RFC 9113, 8.7).

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::future::{Future, poll_fn};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use rustix::net::RecvFlags;
use tend_base::{Mono, SystemClock};
use tend_routing::Failure;
use tokio::sync::Mutex;

use super::STREAM_WINDOW;
use super::body::{LinkedBody, RequestBody, Source, Upload};
use super::deferred::Deferred;
use super::pour::{Cut, Pieces, Waits, pour};
use super::request::{Answered, Miss};
use crate::answer::ErrorCode;
use crate::exchange::Failed;
use crate::limits::{Patience, RESPONSE_HEAD_BYTES_MAX};
use crate::live::Replica;
use crate::number::ByNumber;
use crate::worker::Worker;

/// Streams on one connection, unless the replica wants fewer; what gRPC servers allow by default.
const STREAMS_MAX: u32 = 100;

/// Connections to one replica from one thread. When all are full, further streams wait on one of them.
const LINKS_MAX: usize = 8;

/// Bytes of all streams of a connection that may be under way to us: one client that does not read holds up nobody else's stream.
const LINK_WINDOW: u32 = STREAM_WINDOW * STREAMS_MAX;

/// A connection without streams is closed after so long. Unlike one of HTTP/1 it says so before it is closed by the other side.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Who is asked.
#[derive(Clone, Debug)]
pub(super) struct Target(Arc<Replica>);

impl Target {
    pub(super) fn of(replica: &Arc<Replica>) -> Self {
        Self(replica.clone())
    }

    /// Returns what stands for the host where the client named none.
    pub(super) fn authority(&self) -> String {
        self.0.address.to_string()
    }
}

/// The connections of one thread, by [`Replica::number`].
#[derive(Default)]
pub(super) struct Links {
    by_replica: RefCell<HashMap<u64, Rc<ToReplica>, ByNumber>>,
}

/// The connections to one replica.
#[derive(Default)]
struct ToReplica {
    links: RefCell<Vec<Rc<Link>>>,
    /// Held while one is made: who comes meanwhile waits for it, and does not make another.
    connecting: Mutex<()>,
    /// When making one last failed, and why.
    failed: Cell<Option<(Mono, Failure)>>,
}

struct Link {
    sender: SendRequest<Bytes>,
    /// To ask the kernel.
    socket: OwnedFd,
    scheme: &'static str,
    streams: Cell<u32>,
    was_used: Cell<bool>,
    /// Since when it has no streams.
    idle: Cell<Mono>,
    is_over: Cell<bool>,
}

/// A stream counted on its connection until dropped.
pub(super) struct LinkGuard {
    link: Rc<Link>,
    is_reused: bool,
}

/// The head of a request for a replica of HTTP/2.
pub(super) struct Head<'a> {
    pub(super) method: &'a Method,
    pub(super) host: &'a str,
    pub(super) uri: &'a Uri,
    pub(super) headers: HeaderMap,
}

impl Links {
    /// Leaves all replicas but these.
    pub(super) fn keep_only(&self, ready: &HashSet<u64>) {
        // What is open holds its connection by itself.
        self.by_replica.borrow_mut().retain(|number, _| ready.contains(number));
    }

    fn of(&self, target: &Target) -> Rc<ToReplica> {
        self.by_replica.borrow_mut().entry(target.0.number).or_default().clone()
    }
}

impl ToReplica {
    /// Returns a place on a connection that has one. `certain` asks the kernel that it is still open.
    fn place(&self, certain: bool) -> Option<LinkGuard> {
        let mut links = self.links.borrow_mut();
        links.retain(|link| !link.is_over.get());
        let has_room = |link: &&Rc<Link>| {
            let allowed = u32::try_from(link.sender.current_max_send_streams()).unwrap_or(u32::MAX);
            link.streams.get() < STREAMS_MAX.min(allowed).max(1) && (!certain || link.is_open())
        };
        links.iter().find(has_room).map(|link| LinkGuard::new(link.clone()))
    }

    /// Returns a place on the connection with the fewest streams, where it waits for its turn.
    fn crowded_place(&self) -> Option<LinkGuard> {
        let links = self.links.borrow();
        if links.len() < LINKS_MAX {
            return None;
        }
        let link = links.iter().min_by_key(|link| link.streams.get())?;
        Some(LinkGuard::new(link.clone()))
    }
}

impl Link {
    /// Asks the kernel whether the replica has closed it; `h2` notices by itself, but only after the event loop's next turn.
    fn is_open(&self) -> bool {
        let mut byte = [0u8; 1];
        let peeked = rustix::net::recv(&self.socket, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        let open = match peeked {
            Ok((read, _)) => read > 0,
            Err(error) => error == rustix::io::Errno::AGAIN,
        };
        if !open {
            self.is_over.set(true);
        }
        open
    }
}

impl LinkGuard {
    fn new(link: Rc<Link>) -> Self {
        link.streams.set(link.streams.get() + 1);
        let is_reused = link.was_used.replace(true);
        Self { link, is_reused }
    }
}

impl Drop for LinkGuard {
    fn drop(&mut self) {
        self.link.streams.set(self.link.streams.get() - 1);
        self.link.idle.set(SystemClock.mono());
    }
}

/// Gets a place on a connection to the replica, and says how long that took.
pub(super) async fn get(
    worker: &Rc<Worker>,
    target: &Target,
    certain: bool,
    patience: &Patience,
) -> Result<(LinkGuard, Duration), Failure> {
    let to = worker.upstreams.links.of(target);
    if let Some(place) = to.place(certain) {
        return Ok((place, Duration::ZERO));
    }
    let began = SystemClock.mono();
    let _one_at_a_time = to.connecting.lock().await;
    let took = |place| Ok((place, SystemClock.mono().since(began)));
    if let Some(place) = to.place(certain).or_else(|| to.crowded_place()) {
        return took(place);
    }
    // Whoever was before us found it out for us as well.
    if let Some((when, why)) = to.failed.get()
        && when >= began
    {
        return Err(why);
    }
    match connect(&target.0, patience.connect).await {
        Ok(link) => {
            to.links.borrow_mut().push(link.clone());
            took(LinkGuard::new(link))
        }
        Err(why) => {
            to.failed.set(Some((SystemClock.mono(), why)));
            Err(why)
        }
    }
}

async fn connect(replica: &Replica, wait: Duration) -> Result<Rc<Link>, Failure> {
    let stream = super::super::link::connect(replica, wait).await?;
    let socket = stream
        .socket()
        .as_fd()
        .try_clone_to_owned()
        .map_err(|_| Failure::ConnectFailed)?;
    let (io, _) = Deferred::new(stream, Vec::new());
    let (sender, connection) = Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(LINK_WINDOW)
        .max_header_list_size(u32::try_from(RESPONSE_HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .max_send_buffer_size(super::STREAM_SEND_BYTES_MAX)
        .handshake::<_, Bytes>(io)
        .await
        .map_err(|_| Failure::ConnectFailed)?;
    let link = Rc::new(Link {
        sender,
        socket,
        scheme: if replica.tls.is_some() { "https" } else { "http" },
        streams: Cell::new(0),
        was_used: Cell::new(false),
        idle: Cell::new(SystemClock.mono()),
        is_over: Cell::new(false),
    });
    let watched = Rc::downgrade(&link);
    tokio::task::spawn_local(async move {
        // Ends when the replica ends it, or when nobody holds the link any more and its last stream is done.
        let mut connection = pin!(connection);
        loop {
            if tokio::time::timeout(IDLE_MAX, connection.as_mut()).await.is_ok() {
                break;
            }
            if let Some(link) = watched.upgrade() {
                let idle = SystemClock.mono().since(link.idle.get());
                if link.streams.get() == 0 && idle >= IDLE_MAX {
                    break;
                }
            }
        }
        // Before the connection is dropped, so that nobody is given a place on it.
        if let Some(link) = watched.upgrade() {
            link.is_over.set(true);
        }
    });
    Ok(link)
}

/// Who kept us waiting.
enum Late {
    Client,
    Replica,
}

/// How waiting for a head ended.
enum Waited {
    Answer(Response<RecvStream>),
    Failed(h2::Error),
    /// The client did not send the rest.
    Broken,
}

/// Sends a request and waits for the head of the answer.
pub(super) async fn send(
    worker: &Worker,
    guard: LinkGuard,
    head: Head<'_>,
    body: &RequestBody,
    patience: &Patience,
) -> Result<Answered, Miss> {
    let reused = guard.is_reused;
    let missed = |why, bytes_may_have_arrived, reused| {
        Miss::Replica(Failed {
            why,
            bytes_may_have_arrived,
            body_taken: body.is_taken(),
            reused,
        })
    };
    let uri = Uri::builder()
        .scheme(guard.link.scheme)
        .authority(head.host)
        .path_and_query(head.uri.path_and_query().map_or("/", |target| target.as_str()))
        .build()
        .map_err(|_| Miss::Client(ErrorCode::BadRequest))?;
    let mut request = Request::new(());
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = head.headers;
    let over = |_| {
        guard.link.is_over.set(true);
        missed(Failure::Closed, false, true)
    };
    let mut sender = guard.link.sender.clone().ready().await.map_err(over)?;
    let whole = body.is_end();
    let (mut response, mut taker) = sender.send_request(request, whole).map_err(over)?;
    let mut upload: Option<Upload> = (!whole).then(|| {
        let mut body = body.clone();
        let waits = Waits {
            stall: patience.answer,
            silence: None,
        };
        let sending = async move { pour(&mut body, &mut taker, waits, |_| {}).await };
        Box::pin(sending) as Upload
    });
    let waited = wait(worker, &mut response, &mut upload, body, patience).await;
    match waited {
        Ok(Waited::Answer(response)) => {
            let (head, stream) = response.into_parts();
            let source = Source::Linked(LinkedBody::new(stream, upload, guard));
            Ok((head, source))
        }
        Ok(Waited::Broken) => Err(Miss::Client(body.failed().unwrap_or(ErrorCode::BadRequest))),
        Ok(Waited::Failed(error)) => {
            if error.is_go_away() || error.is_io() {
                guard.link.is_over.set(true);
            }
            let unseen = error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM));
            Err(if unseen {
                missed(Failure::Closed, false, true)
            } else if error.is_library() {
                missed(Failure::Malformed, true, false)
            } else {
                // A connection that was in use before may just have been closed; a stream that was reset was reset on purpose.
                missed(Failure::Closed, true, reused && !error.is_reset())
            })
        }
        Err(Late::Client) => Err(Miss::Client(ErrorCode::RequestTimeout)),
        Err(Late::Replica) => Err(missed(Failure::HeadTimeout, true, false)),
    }
}

/// Waits for the head of an answer while a body is sent: that may take as long as it takes while it moves; when it does not, it is one
/// side's fault.
async fn wait(
    worker: &Worker,
    response: &mut ResponseFuture,
    upload: &mut Option<Upload>,
    body: &RequestBody,
    patience: &Patience,
) -> Result<Waited, Late> {
    let deadlines = &worker.shop.deadlines;
    let deadline = deadlines.add();
    // For whom was waited, and how much had moved by then.
    let mut waited: Option<(bool, u64)> = None;
    poll_fn(|cx| {
        if let Some(sending) = upload
            && let Poll::Ready(outcome) = sending.as_mut().poll(cx)
        {
            *upload = None;
            match outcome {
                Err(Cut::Source) => return Poll::Ready(Ok(Waited::Broken)),
                // It may answer without the rest of the request.
                Ok(()) | Err(Cut::Taker | Cut::Stalled | Cut::Silent | Cut::Overdue) => {}
            }
        }
        if let Poll::Ready(outcome) = Pin::new(&mut *response).poll(cx) {
            return Poll::Ready(Ok(match outcome {
                Ok(response) => Waited::Answer(response),
                Err(error) => Waited::Failed(error),
            }));
        }
        let clients_turn = body.is_awaited();
        let now = (clients_turn, body.bytes());
        if waited.replace(now) != Some(now) {
            let wait = if clients_turn { patience.body } else { patience.answer };
            deadline.set_until(deadlines, wait, body.slow_at());
        }
        match deadline.has_passed(cx) {
            _ if clients_turn && body.is_too_slow() => Poll::Ready(Err(Late::Client)),
            false => Poll::Pending,
            true if clients_turn => Poll::Ready(Err(Late::Client)),
            true => Poll::Ready(Err(Late::Replica)),
        }
    })
    .await
}
