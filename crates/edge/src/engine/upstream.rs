//! Connections to replicas: kept between requests, checked before they are used again, made anew otherwise.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use rustix::net::RecvFlags;
use tend_base::{Clock, Mono, SystemClock};
use tend_core::model::Protocol;
use tend_routing::Failure;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::body::RequestBody;
use super::h2::bridge;
use crate::answer::ErrorCode;
use crate::exchange::Failed;
use crate::limits::{BUFFER_BYTES_MAX, Patience, RESPONSE_HEAD_BYTES_MAX};
use crate::live::{Live, Replica};
use crate::worker::Worker;

/// Idle connections kept to each replica by each thread; the guides' `keepalive 32`.
const IDLE_MAX: usize = 32;

/// How often idle connections are looked over while there are any.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The idle connections of one thread, by [`Replica::number`].
#[derive(Default)]
pub(crate) struct Pool {
    idle: RefCell<HashMap<u64, Vec<Idle>>>,
    sweeping: std::cell::Cell<bool>,
}

struct Idle {
    link: Link,
    since: Mono,
}

/// One connection to a replica.
struct Link {
    sender: SendRequest<RequestBody>,
    stream: Arc<TcpStream>,
    /// Bytes written so far.
    written: Arc<AtomicU64>,
}

/// Why a request got no response.
pub(super) enum Miss {
    /// The client did not send what it announced: nobody else is to blame.
    Client(ErrorCode),
    /// The replica failed.
    Replica(Failed),
}

/// A connection while a request uses it; closed when dropped instead of given back.
pub(super) struct Lease {
    link: Link,
    replica: u64,
    worker: Rc<Worker>,
    reused: bool,
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

    fn take(&self, replica: &Replica, certain: bool) -> Option<Link> {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(&replica.number)?;
        // The latest used is the least likely to be closed.
        while let Some(Idle { link, .. }) = kept.pop() {
            if link.sender.is_ready() && (!certain || link.is_open()) {
                return Some(link);
            }
        }
        None
    }

    fn sweep(&self, now: Mono, idle_max: Duration) -> bool {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|_, kept| {
            kept.retain(|idle| !idle.link.sender.is_closed() && now.since(idle.since) < idle_max);
            !kept.is_empty()
        });
        !idle.is_empty()
    }
}

impl Link {
    /// Asks the kernel whether the replica has closed it. hyper notices by itself, but only after the event loop's next turn.
    fn is_open(&self) -> bool {
        let mut byte = [0u8; 1];
        let peeked = rustix::net::recv(&*self.stream, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        // Bytes nobody asked for are as bad as the end.
        matches!(peeked, Err(rustix::io::Errno::AGAIN))
    }
}

impl Lease {
    /// Gets a connection to the replica, and says how long that took.
    ///
    /// `certain` asks the kernel that a kept one is still open, for requests that cannot be repeated.
    pub(super) async fn get(
        worker: &Rc<Worker>,
        replica: &Replica,
        certain: bool,
        patience: &Patience,
    ) -> Result<(Self, Duration), Failure> {
        let lease = |link, reused| Self {
            link,
            replica: replica.number,
            worker: worker.clone(),
            reused,
        };
        if let Some(link) = worker.pool.take(replica, certain) {
            return Ok((lease(link, true), Duration::ZERO));
        }
        let began = SystemClock.now().mono;
        let stream = match replica.protocol {
            Protocol::Http2 => bridge(worker, replica, patience).await?,
            Protocol::Http1 => tokio::time::timeout(patience.connect, TcpStream::connect(replica.address))
                .await
                .map_err(|_| Failure::ConnectTimeout)?
                .map_err(|error| match error.kind() {
                    io::ErrorKind::ConnectionRefused => Failure::ConnectRefused,
                    io::ErrorKind::TimedOut => Failure::ConnectTimeout,
                    _ => Failure::ConnectFailed,
                })?,
        };
        let _ = stream.set_nodelay(true);
        let stream = Arc::new(stream);
        let written = Arc::new(AtomicU64::new(0));
        let io = TokioIo::new(Counted {
            stream: stream.clone(),
            written: written.clone(),
        });
        let (sender, connection) = Builder::new()
            .max_buf_size(BUFFER_BYTES_MAX)
            .max_header_size(RESPONSE_HEAD_BYTES_MAX)
            .handshake::<_, RequestBody>(io)
            .await
            .map_err(|_| Failure::ConnectFailed)?;
        // Its errors reach whoever waits for the response.
        tokio::task::spawn_local(async move {
            let _ = connection.with_upgrades().await;
        });
        let link = Link {
            sender,
            stream,
            written,
        };
        Ok((lease(link, false), SystemClock.now().mono.since(began)))
    }

    /// Sends the request and waits for the head of the response.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
        body: &RequestBody,
        patience: &Patience,
    ) -> Result<Response<Incoming>, Miss> {
        let before = self.link.written.load(Ordering::Relaxed);
        let mut answer = pin!(self.link.sender.send_request(request));
        let began = SystemClock.now().mono;
        let look = patience.body.min(patience.answer);
        let mut wait = look;
        let why = loop {
            match tokio::time::timeout(wait, &mut answer).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(_)) if body.has_failed() => return Err(Miss::Client(ErrorCode::BadRequest)),
                Ok(Err(error)) if error.is_parse() => break Failure::Malformed,
                Ok(Err(_)) => break Failure::Closed,
                Err(_) => {
                    // An upload may take as long as it takes, while it moves; when it does not, it is one side's fault.
                    let moved = body.moved().map_or(began, |moved| moved.max(began));
                    let quiet = SystemClock.now().mono.since(moved);
                    let (limit, clients_turn) = if body.is_awaited() {
                        (patience.body, true)
                    } else {
                        (patience.answer, false)
                    };
                    if quiet < limit {
                        wait = (limit - quiet).min(look);
                    } else if clients_turn {
                        return Err(Miss::Client(ErrorCode::RequestTimeout));
                    } else {
                        break Failure::HeadTimeout;
                    }
                }
            }
        };
        Err(Miss::Replica(Failed {
            why,
            bytes_may_have_arrived: self.link.written.load(Ordering::Relaxed) > before,
            body_taken: body.is_taken(),
            reused: self.reused,
        }))
    }

    /// Keeps the connection for another request.
    pub(super) fn give_back(self) {
        let pool = &self.worker.pool;
        if self.link.sender.is_closed() {
            return;
        }
        let mut idle = pool.idle.borrow_mut();
        let kept = idle.entry(self.replica).or_default();
        if kept.len() >= IDLE_MAX {
            return;
        }
        kept.push(Idle {
            link: self.link,
            since: SystemClock.now().mono,
        });
        drop(idle);
        if !pool.sweeping.replace(true) {
            let worker = self.worker;
            tokio::task::spawn_local(async move {
                loop {
                    tokio::time::sleep(SWEEP_EVERY).await;
                    if !worker.pool.sweep(SystemClock.now().mono, worker.patience.upstream_idle) {
                        break;
                    }
                }
                worker.pool.sweeping.set(false);
            });
        }
    }
}

/// The stream under hyper: counts what is written, and stays within reach for [`Link::is_open`].
struct Counted {
    stream: Arc<TcpStream>,
    written: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match self.stream.try_read_buf(buffer) {
                Ok(_) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Counted {
    fn poll_counted(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            match write(&self.stream) {
                Ok(bytes) => {
                    self.written.fetch_add(bytes as u64, Ordering::Relaxed);
                    return Poll::Ready(Ok(bytes));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_counted(cx, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_counted(cx, |stream| stream.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = rustix::net::shutdown(&*self.stream, rustix::net::Shutdown::Write);
        Poll::Ready(outcome.map_err(io::Error::from))
    }
}
