//! How clients of HTTP/1 reach replicas of HTTP/2: over a connection of HTTP/1 to ourselves, on whose other end each request is
//! sent on as HTTP/2.
//!
//! The engine for HTTP/1 has connections and knows nothing else; it is given one more. It is two system calls more each way than
//! translating in place, for what is rare: clients of gRPC speak HTTP/2 themselves.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Uri, response};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tend_http1::{Fields, HeadWriter, Length, Limits, RequestHead, Scan, write_chunk_size};
use tend_routing::Failure;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::super::buffer::{Buffer, Outgoing};
use super::super::head;
use super::body::{RequestBody, Source};
use super::fields;
use super::inlet::{From, Inlet};
use super::link::{self, Head, Target};
use super::pour::{Broken, Piece, Pieces};
use super::request::Miss;
use crate::limits::{Patience, REQUEST_HEAD_BYTES_MAX, REQUEST_TARGET_BYTES_MAX};
use crate::live::Replica;
use crate::worker::Worker;

/// A request is sent again so often when the replica says that it has not looked at it: by then it has a new connection.
const TRIES: u32 = 3;

/// The engine writes a head with a few more fields than it has read.
const LIMITS: Limits = Limits {
    head_bytes_max: 2 * REQUEST_HEAD_BYTES_MAX,
    target_bytes_max: 2 * REQUEST_TARGET_BYTES_MAX,
};

/// Returns a connection on which the replica seems to speak HTTP/1.
///
/// # Errors
/// When there is no connection to the replica.
pub(in crate::engine) async fn bridge(
    worker: &Rc<Worker>,
    replica: &Arc<Replica>,
    patience: &Patience,
) -> Result<TcpStream, Failure> {
    let target = Target::of(replica);
    // Tells whoever asks, as for any other connection, whether somebody listens; a connection that was closed just now says nothing.
    link::get(worker, &target, true, patience).await?;
    let (ours, theirs) = pair().map_err(|_| Failure::ConnectFailed)?;
    let worker = worker.clone();
    let patience = *patience;
    tokio::task::spawn_local(async move { serve(&worker, &target, &patience, ours).await });
    Ok(theirs)
}

/// Two ends of one connection. The engine has one kind of socket, of which it only reads, writes and closes.
fn pair() -> std::io::Result<(TcpStream, TcpStream)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (one, other) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let stream = |end: OwnedFd| TcpStream::from_std(std::net::TcpStream::from(end));
    Ok((stream(one)?, stream(other)?))
}

/// What the engine for HTTP/1 sends.
pub(super) struct Asking {
    stream: OwnedReadHalf,
    buffer: Buffer,
    body: Inlet,
    trailers: Fields,
}

impl Asking {
    /// Reads the head of the next request; none at the end of the connection.
    fn poll_head(&mut self, cx: &mut Context<'_>, scan: &mut Scan, head: &mut RequestHead) -> Poll<Option<()>> {
        loop {
            match head.read(scan, self.buffer.filled(), &LIMITS) {
                Ok(None) => self.buffer.grow(LIMITS.head_bytes_max + 1),
                Ok(Some(bytes)) => {
                    self.buffer.consume(bytes);
                    self.body = Inlet::new(head.length(), &[]);
                    self.trailers.clear();
                    return Poll::Ready(Some(()));
                }
                // It was written by ourselves.
                Err(_) => return Poll::Ready(None),
            }
            match self.buffer.poll_fill(cx, &mut self.stream) {
                Poll::Ready(Ok(read)) if read > 0 => {}
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Says whether whoever asked does not wait for the answer any more.
    fn has_left(&mut self, cx: &mut Context<'_>) -> bool {
        // A body that breaks off is noticed where it is sent on.
        self.body.is_end()
            && !self.buffer.is_full()
            && matches!(self.buffer.poll_fill(cx, &mut self.stream), Poll::Ready(Ok(0) | Err(_)))
    }

    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, Broken>>> {
        let stream = &mut self.stream;
        let from = From {
            buffer: &mut self.buffer,
            trailers: &mut self.trailers,
            fill: |cx: &mut Context<'_>, buffer: &mut Buffer| buffer.poll_fill(cx, stream),
        };
        self.body.poll_piece(cx, from)
    }

    pub(super) fn is_end(&self) -> bool {
        self.body.is_end()
    }
}

/// Serves the connection until either side ends it. Where there is no answer it ends, as it would if the replica had ended it.
async fn serve(worker: &Rc<Worker>, target: &Target, patience: &Patience, stream: TcpStream) {
    let (reading, mut writing) = stream.into_split();
    let asking = Rc::new(RefCell::new(Asking {
        stream: reading,
        buffer: Buffer::default(),
        body: Inlet::new(Length::None, &[]),
        trailers: Fields::default(),
    }));
    let mut head = RequestHead::default();
    loop {
        let mut scan = Scan::default();
        let read = poll_fn(|cx| asking.borrow_mut().poll_head(cx, &mut scan, &mut head));
        if read.await.is_none() {
            return;
        }
        let mut crossing = pin!(cross(worker, target, patience, &head, &asking));
        let crossed = poll_fn(|cx| match crossing.as_mut().poll(cx) {
            Poll::Pending if asking.borrow_mut().has_left(cx) => Poll::Ready(None),
            other => other,
        });
        let Some((answer, source)) = crossed.await else {
            return;
        };
        let to_head = head.method() == "HEAD";
        if !give(&asking, &mut writing, answer, source, to_head).await || !asking.borrow().is_end() {
            return;
        }
    }
}

async fn cross(
    worker: &Rc<Worker>,
    target: &Target,
    patience: &Patience,
    head: &RequestHead,
    asking: &Rc<RefCell<Asking>>,
) -> Option<(response::Parts, Source)> {
    let method = Method::from_bytes(head.method().as_bytes()).ok()?;
    let uri: Uri = head.target().parse().ok()?;
    // The engine has written the one that the server knows.
    let host = match head.host() {
        "" => target.authority(),
        host => host.to_owned(),
    };
    let body = RequestBody::bridged(asking.clone());
    for _ in 0..TRIES {
        let mut headers = HeaderMap::new();
        fields::add_end_to_end(&mut headers, head.fields());
        if let Length::Bytes(bytes) = head.length() {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
        }
        let head = Head {
            method: &method,
            host: &host,
            uri: &uri,
            headers,
        };
        let (place, _) = link::get(worker, target, true, patience).await.ok()?;
        match link::send(worker, place, head, &body, patience).await {
            Ok(answered) => return Some(answered),
            Err(Miss::Replica(failed)) if !failed.bytes_may_have_arrived && !failed.body_taken => body.rewind(),
            Err(_) => return None,
        }
    }
    None
}

/// Passes an answer on; says whether all of it was.
async fn give(
    asking: &Rc<RefCell<Asking>>,
    writing: &mut OwnedWriteHalf,
    answer: response::Parts,
    mut source: Source,
    to_head: bool,
) -> bool {
    let mut out = Outgoing::default();
    let bodyless = to_head || matches!(answer.status.as_u16(), 204 | 304);
    let in_chunks = !bodyless && !answer.headers.contains_key(header::CONTENT_LENGTH);
    write_head(out.end(), &answer, in_chunks);
    let mut is_over = source.is_end() && !in_chunks;
    let mut is_flushing = false;
    poll_fn(|cx| {
        loop {
            // The head and what has come of the body go in one call.
            while !is_flushing && !is_over && !out.is_full() {
                match source.poll_piece(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Some(Err(Broken))) => return Poll::Ready(false),
                    Poll::Ready(Some(Ok(Piece::Data(data)))) if in_chunks && !data.is_empty() => {
                        write_chunk_size(out.end(), data.len());
                        out.end().extend_from_slice(&data);
                        out.end().extend_from_slice(b"\r\n");
                    }
                    Poll::Ready(Some(Ok(Piece::Data(data)))) => out.end().extend_from_slice(&data),
                    Poll::Ready(last) => {
                        is_over = true;
                        if in_chunks {
                            let trailers = match last {
                                Some(Ok(Piece::Trailers(trailers))) => trailers,
                                _ => HeaderMap::new(),
                            };
                            head::write_trailers(out.end(), fields::to_plain_trailers(&trailers));
                        }
                    }
                }
            }
            is_flushing = !out.is_empty();
            if is_flushing {
                match out.poll_flush(cx, writing, |_| {}) {
                    Poll::Ready(Ok(())) => is_flushing = false,
                    Poll::Ready(Err(_)) => return Poll::Ready(false),
                    Poll::Pending => source.poll_aside(cx),
                }
            } else if is_over {
                return Poll::Ready(true);
            } else if asking.borrow_mut().has_left(cx) {
                return Poll::Ready(false);
            } else {
                return Poll::Pending;
            }
            if is_flushing {
                return match asking.borrow_mut().has_left(cx) {
                    true => Poll::Ready(false),
                    false => Poll::Pending,
                };
            }
        }
    })
    .await
}

fn write_head(out: &mut Vec<u8>, answer: &response::Parts, in_chunks: bool) {
    let mut writer = HeadWriter::response(out, answer.status.as_u16(), b"");
    for (name, value) in &answer.headers {
        if fields::is_end_to_end(name) || *name == header::CONTENT_LENGTH {
            writer.field(name.as_str(), value.as_bytes());
        }
    }
    if in_chunks {
        head::write_length(&mut writer, Length::Chunked);
    }
    writer.end();
}
