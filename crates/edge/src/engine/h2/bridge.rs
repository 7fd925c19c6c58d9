//! How clients of HTTP/1 reach replicas of HTTP/2: over a connection of HTTP/1 to ourselves, on whose other end each request is
//! sent on as HTTP/2.
//!
//! The engine for HTTP/1 has connections and knows nothing else; it is given one more. It is two system calls more each way than
//! translating in place, for what is rare: clients of gRPC speak HTTP/2 themselves. Trailers of answers are not passed on this way.

use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, Version, header};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tend_routing::Failure;
use tokio::net::TcpStream;

use super::body::{RequestBody, Source};
use super::fields;
use super::link::{self, Head, Target};
use super::pour::{Broken, Piece, Pieces};
use super::request::Miss;
use crate::limits::{BUFFER_BYTES_MAX, Patience, REQUEST_HEAD_BYTES_MAX};
use crate::live::Replica;
use crate::worker::Worker;

/// A request is sent again so often when the replica says that it has not looked at it: by then it has a new connection.
const TRIES: u32 = 3;

/// Returns a connection on which the replica seems to speak HTTP/1.
///
/// # Errors
/// When there is no connection to the replica.
pub(in crate::engine) async fn bridge(
    worker: &Rc<Worker>,
    replica: &Replica,
    patience: &Patience,
) -> Result<TcpStream, Failure> {
    let target = Target::of(replica);
    // Tells whoever asks, as for any other connection, whether somebody listens.
    link::get(worker, target, false, patience).await?;
    let (ours, theirs) = pair().map_err(|_| Failure::ConnectFailed)?;
    let worker = worker.clone();
    let patience = *patience;
    tokio::task::spawn_local(async move {
        let service = service_fn(|request| cross(worker.clone(), target, patience, request));
        // Its end is seen on the other end.
        let _ = Builder::new()
            .max_buf_size(BUFFER_BYTES_MAX)
            .max_header_size(2 * REQUEST_HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(ours), service)
            .await;
    });
    Ok(theirs)
}

/// Two ends of one connection. The engine has one kind of socket, of which it only reads, writes and closes.
fn pair() -> std::io::Result<(TcpStream, TcpStream)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (one, other) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let stream = |end: OwnedFd| TcpStream::from_std(std::net::TcpStream::from(end));
    Ok((stream(one)?, stream(other)?))
}

/// The replica gave no answer: the connection ends, as it would if the replica had ended it.
#[derive(Debug, thiserror::Error)]
#[error("the replica gave no answer")]
struct NoAnswer;

async fn cross(
    worker: Rc<Worker>,
    target: Target,
    patience: Patience,
    request: Request<Incoming>,
) -> Result<Response<Crossed>, NoAnswer> {
    let (parts, incoming) = request.into_parts();
    let host = parts
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let host = if host.is_empty() {
        target.authority()
    } else {
        host.to_owned()
    };
    let body = RequestBody::incoming(incoming);
    for _ in 0..TRIES {
        let mut headers = parts.headers.clone();
        fields::remove_hop_by_hop(&mut headers);
        fields::for_linked(&mut headers, false);
        let head = Head {
            method: &parts.method,
            host: &host,
            uri: &parts.uri,
            headers,
        };
        let (place, _) = link::get(&worker, target, true, &patience)
            .await
            .map_err(|_| NoAnswer)?;
        match link::send(place, head, &body, &patience).await {
            Ok((mut head, source)) => {
                fields::remove_hop_by_hop(&mut head.headers);
                head.version = Version::HTTP_11;
                return Ok(Response::from_parts(head, Crossed(source)));
            }
            Err(Miss::Replica(failed)) if !failed.bytes_may_have_arrived && !failed.body_taken => {}
            Err(_) => break,
        }
    }
    Err(NoAnswer)
}

/// The answer's body, for hyper.
struct Crossed(Source);

impl Body for Crossed {
    type Data = Bytes;
    type Error = NoAnswer;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, NoAnswer>>> {
        self.0.poll_piece(cx).map(|piece| {
            piece.map(|piece| match piece {
                Ok(Piece::Data(data)) => Ok(Frame::data(data)),
                Ok(Piece::Trailers(trailers)) => Ok(Frame::trailers(trailers)),
                Err(Broken) => Err(NoAnswer),
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
