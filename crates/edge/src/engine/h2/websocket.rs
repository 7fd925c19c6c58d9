//! WebSockets over HTTP/2 (RFC 8441): a stream of the client's that becomes one, and a connection to a replica that is upgraded for it.
//!
//! ```text
//! CONNECT, :protocol websocket ──► GET with Upgrade (HTTP/1) ── 101 ──► 200, and bytes both ways until both have ended
//!                                                             └─ other ► that answer; 502 where it reads as a success
//! ```
//!
//! To routes, limits, logs and replicas it is the same request that a client of HTTP/1 makes. Knows nothing of what the bytes mean.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};
use h2::ext::Protocol;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};
use ring::digest;
use tend_http1::HeadWriter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::body::Source;
use super::fields;
use super::plain::Plain;
use super::request::refusal;
use crate::answer::ErrorCode;
use crate::content::Shape;
use crate::exchange::{Attempt, Exchange};
use crate::gate::Admission;

/// What a server mixes into the key (RFC 6455, 1.3).
const MIXED_IN: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const WEBSOCKET: &str = "websocket";

/// What makes a request to a replica of HTTP/1 one for a WebSocket.
#[derive(Clone, Debug)]
pub(super) struct Opening {
    /// `Sec-WebSocket-Key`: HTTP/2 has none, for its clients know by the answer alone that it was understood.
    key: String,
}

impl Opening {
    /// Writes what a client of HTTP/1 would have written.
    pub(super) fn write(&self, writer: &mut HeadWriter<'_>) {
        writer
            .field("connection", b"upgrade")
            .field("upgrade", WEBSOCKET.as_bytes())
            .field("sec-websocket-key", self.key.as_bytes());
    }

    /// Says whether a replica has understood what it was asked.
    fn is_accepted(&self, headers: &HeaderMap) -> bool {
        let mixed = format!("{}{MIXED_IN}", self.key);
        // No secret hangs on it: the protocol has it so.
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, mixed.as_bytes());
        let wanted = STANDARD.encode(digest);
        headers
            .get(header::SEC_WEBSOCKET_ACCEPT)
            .is_some_and(|said| said.as_bytes() == wanted.as_bytes())
    }
}

/// Says whether a request opens a WebSocket, and makes it what it would be over HTTP/1, so that the same rules hold. `random` gives numbers
/// that nothing depends on being secret.
pub(super) fn opens(parts: &mut Parts, random: impl Fn() -> u64) -> bool {
    if parts.method != Method::CONNECT {
        return false;
    }
    let protocol = parts.extensions.get::<Protocol>();
    if protocol.is_none_or(|protocol| protocol.as_str() != WEBSOCKET) {
        return false;
    }
    parts.method = Method::GET;
    parts.extensions.remove::<Protocol>();
    let mut key = [0; 16];
    key[..8].copy_from_slice(&random().to_le_bytes());
    key[8..].copy_from_slice(&random().to_le_bytes());
    parts.extensions.insert(Opening {
        key: STANDARD.encode(key),
    });
    let headers = &mut parts.headers;
    headers.remove(header::SEC_WEBSOCKET_KEY);
    // There is no body before the answer, whatever a client says.
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::EXPECT);
    // For whoever asks for them; they do not go on to a replica.
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(WEBSOCKET));
    true
}

/// Says what becomes of a request for a WebSocket.
pub(super) fn admission(decided: Admission) -> Admission {
    match decided {
        // A WebSocket is not read whole.
        Admission::Collect { .. } => refusal(ErrorCode::MethodNotAllowed),
        // Anything that is a success would mean that the WebSocket is open: such as a file.
        Admission::Answer(own) if (200..300).contains(&own.status) => refusal(ErrorCode::MethodNotAllowed),
        other => other,
    }
}

/// What a replica made of a request for a WebSocket.
pub(super) enum Verdict {
    /// It is open.
    Open(Box<Plain>),
    /// It is not, and the client would think so.
    Mistakable,
    /// It is not: the body of an answer that says so.
    Refused(Source),
}

/// Returns what an answer means.
pub(super) fn verdict(head: &http::response::Parts, source: Source, parts: &Parts) -> Verdict {
    let switched = head.status == StatusCode::SWITCHING_PROTOCOLS;
    let opening = parts.extensions.get::<Opening>();
    match source {
        Source::Plain(plain) if switched && opening.is_some_and(|opening| opening.is_accepted(&head.headers)) => {
            Verdict::Open(plain)
        }
        _ if switched || head.status.is_success() => Verdict::Mistakable,
        source => Verdict::Refused(source),
    }
}

/// Tells the client that the WebSocket is open, and carries its bytes until both sides have ended.
pub(super) async fn begin(
    mut head: http::response::Parts,
    plain: Plain,
    (attempt, mut exchange): (Attempt, Exchange),
    stream: RecvStream,
    respond: &mut SendResponse<Bytes>,
) {
    head.status = StatusCode::OK;
    head.version = Version::HTTP_2;
    head.headers.remove(header::SEC_WEBSOCKET_ACCEPT);
    fields::to_client(&mut head.headers, &attempt.replica, &exchange, &Shape::default());
    fields::date(&mut head.headers, exchange.began());
    let Ok(taker) = respond.send_response(Response::from_parts(head, ()), false) else {
        exchange.cut("upgrade_failed");
        return;
    };
    let socket = Socket {
        taker,
        stream,
        come: Bytes::new(),
    };
    plain.into_tunnel(attempt, exchange).run(socket).await;
}

/// A stream of HTTP/2 as a connection: its end is that of one side, its reset the end of both.
struct Socket {
    taker: SendStream<Bytes>,
    stream: RecvStream,
    /// What has come and was not read yet; the window is opened again as it is read.
    come: Bytes,
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.come.is_empty() {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => self.come = data,
                Some(Err(error)) => return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let read = self.come.len().min(buffer.remaining());
        buffer.put_slice(&self.come[..read]);
        self.come.advance(read);
        // It fails only for more than was received.
        let _ = self.stream.flow_control().release_capacity(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let taker = &mut self.taker;
        taker.reserve_capacity(bytes.len());
        while taker.capacity() == 0 && !bytes.is_empty() {
            match ready!(taker.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let taken = taker.capacity().min(bytes.len());
        let sent = taker.send_data(Bytes::copy_from_slice(&bytes[..taken]), false);
        Poll::Ready(
            sent.map(|()| taken)
                .map_err(|error| io::Error::new(io::ErrorKind::BrokenPipe, error)),
        )
    }

    /// What was given to the connection is written by it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.taker.send_data(Bytes::new(), true);
        Poll::Ready(sent.map_err(|error| io::Error::new(io::ErrorKind::BrokenPipe, error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_key_is_that_of_the_standard() {
        let opening = Opening {
            key: "dGhlIHNhbXBsZSBub25jZQ==".to_owned(),
        };
        let mut headers = HeaderMap::new();
        assert!(!opening.is_accepted(&headers));
        headers.insert(
            header::SEC_WEBSOCKET_ACCEPT,
            HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        );
        assert!(opening.is_accepted(&headers));
    }
}
