//! Connections to replicas that speak HTTP/1: kept between requests, checked before they are used again, made anew otherwise.
//!
//! hyper speaks the protocol. It is the same care as for clients of HTTP/1, whose engine has connections of its own kind.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustix::net::RecvFlags;
use tend_base::{Clock, Mono, SystemClock};
use tend_routing::Failure;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::body::RequestBody;
use super::request::{Late, Miss, wait_for};
use crate::answer::ErrorCode;
use crate::exchange::Failed;
use crate::limits::{BUFFER_BYTES_MAX, Patience, RESPONSE_HEAD_BYTES_MAX};
use crate::live::Replica;
use crate::worker::Worker;

/// Idle connections kept to each replica by each thread: as many as one client of HTTP/2 may use at once.
const IDLE_MAX: usize = 128;

/// How often idle connections are looked over while there are any.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The idle connections of one thread, by [`Replica::number`].
#[derive(Default)]
pub(super) struct Pool {
    idle: RefCell<HashMap<u64, Vec<Idle>>>,
    sweeping: Cell<bool>,
}

struct Idle {
    link: Link,
    since: Mono,
}

/// One connection to a replica.
struct Link {
    sender: SendRequest<RequestBody>,
    /// To ask the kernel.
    socket: OwnedFd,
    /// Bytes written so far.
    written: Rc<Cell<u64>>,
}

/// A connection while a request uses it; closed when dropped instead of given back.
pub(super) struct Lease {
    link: Link,
    replica: u64,
    worker: Rc<Worker>,
    reused: bool,
}

impl Pool {
    /// Closes the idle connections to all replicas but these.
    pub(super) fn keep_only(&self, ready: &HashSet<u64>) {
        self.idle.borrow_mut().retain(|number, _| ready.contains(number));
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
        let peeked = rustix::net::recv(&self.socket, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
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
        if let Some(link) = worker.upstreams.plain.take(replica, certain) {
            return Ok((lease(link, true), Duration::ZERO));
        }
        let began = SystemClock.now().mono;
        let stream = super::super::link::connect(replica.address, patience.connect).await?;
        let socket = stream
            .as_fd()
            .try_clone_to_owned()
            .map_err(|_| Failure::ConnectFailed)?;
        let written = Rc::new(Cell::new(0));
        let io = TokioIo::new(Counted {
            stream,
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
            let _ = connection.await;
        });
        let link = Link {
            sender,
            socket,
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
        let before = self.link.written.get();
        let mut answer = pin!(self.link.sender.send_request(request));
        let why = match wait_for(answer.as_mut(), body, patience).await {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(error)) => match body.failed() {
                Some(code) => return Err(Miss::Client(code)),
                None if error.is_parse() => Failure::Malformed,
                None => Failure::Closed,
            },
            Err(Late::Client) => return Err(Miss::Client(ErrorCode::RequestTimeout)),
            Err(Late::Replica) => Failure::HeadTimeout,
        };
        Err(Miss::Replica(Failed {
            why,
            bytes_may_have_arrived: self.link.written.get() > before,
            body_taken: body.is_taken(),
            reused: self.reused,
        }))
    }

    /// Keeps the connection for another request.
    pub(super) fn give_back(self) {
        let pool = &self.worker.upstreams.plain;
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
                let pool = &worker.upstreams.plain;
                loop {
                    tokio::time::sleep(SWEEP_EVERY).await;
                    if !pool.sweep(SystemClock.now().mono, worker.patience.upstream_idle) {
                        break;
                    }
                }
                pool.sweeping.set(false);
            });
        }
    }
}

/// The stream under hyper: counts what is written.
struct Counted {
    stream: TcpStream,
    written: Rc<Cell<u64>>,
}

impl Counted {
    fn note(&self, outcome: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = outcome {
            self.written.set(self.written.get() + *bytes as u64);
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
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
