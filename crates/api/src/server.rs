//! The daemon's end of the socket: reads calls, hands them to a [`Handler`], writes what it replies.
//!
//! Knows nothing of what a call means. Invariants: a panic in one call ends that call only (test
//! `a_panic_in_one_call_ends_that_call_only`); when the client leaves, the receiver of its lines is dropped (test
//! `a_client_that_leaves_ends_its_stream`); no request makes memory grow beyond [`BODY_BYTES_MAX`].

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::{ApiError, Call, Caller, Class, Reply};

/// Version of the protocol. Grows only when an old client would misunderstand; new calls and fields do not change it.
pub const PROTOCOL_VERSION: u32 = 1;

/// Header of every answer, with [`PROTOCOL_VERSION`] as its value.
pub const PROTOCOL_HEADER: &str = "tend-api";

/// Largest body of a request. A stack file of a thousand services stays well below.
pub const BODY_BYTES_MAX: usize = 8 << 20;

/// Connections served at once; the next one waits to be accepted. Enough for a person and a console, too few to exhaust descriptors.
const CONNECTIONS_MAX: usize = 256;

/// A client has this long to write its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls under way have this long to end once the server is told to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Lines written at once when several are waiting.
const LINES_AT_ONCE_MAX: usize = 64;

/// Answers calls. Called concurrently; a call is carried through even when its client leaves.
pub trait Handler: Send + Sync + 'static {
    /// Answers one call. Decides by itself whether `caller` may make it ([`crate::Endpoint::access`] says what right it needs).
    ///
    /// For an answer in lines, returns as soon as the call is accepted and sends the lines from a task of its own.
    fn handle(&self, caller: Caller, call: Call) -> impl Future<Output = Reply> + Send;
}

/// Serves the API on `listener` until `stop` is ready, then lets calls under way end, for two seconds at most.
///
/// Who may connect at all is decided by the socket's permissions. Dropping the future ends every connection at once; calls that were
/// accepted are still carried through.
pub async fn serve<H: Handler>(listener: UnixListener, handler: Arc<H>, stop: impl Future<Output = ()>) {
    let mut connections = JoinSet::new();
    let (stopping, stopped) = watch::channel(false);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            _ = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, Arc::clone(&handler), stopped.clone()));
                }
                // Out of descriptors or memory: those who are connected will leave some.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
        }
    }
    drop(listener);
    // Fails only when no connection is left to hear it.
    let _ = stopping.send(true);
    let _ = tokio::time::timeout(STOP_TIMEOUT, async { while connections.join_next().await.is_some() {} }).await;
}

async fn serve_connection<H: Handler>(stream: UnixStream, handler: Arc<H>, mut stopped: watch::Receiver<bool>) {
    // A client whose identity the kernel does not tell is nobody: it is not served.
    let Ok(credentials) = stream.peer_cred() else {
        return;
    };
    let caller = Caller {
        uid: credentials.uid(),
        gid: credentials.gid(),
        pid: credentials.pid(),
    };
    let service = service_fn(move |request| {
        let handler = Arc::clone(&handler);
        async move { Ok::<_, Infallible>(answer(caller, request, handler).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // How a connection ended is the client's business; what was asked is in the journal.
        _ = connection.as_mut() => {}
        () = told_to_stop(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    // An error means that the server itself is gone, which is the same to a connection.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn answer<H: Handler>(caller: Caller, request: Request<Incoming>, handler: Arc<H>) -> Response<ReplyBody> {
    let call = match read(request).await {
        Ok(call) => call,
        Err(refused) => return response(Reply::Refused(refused)),
    };
    let name = call.name();
    // A task of its own, so that a panic stays in it and a client that leaves does not stop work half done.
    let reply = tokio::spawn(async move { handler.handle(caller, call).await }).await;
    response(reply.unwrap_or_else(|failed| {
        let what = if failed.is_panic() {
            "failed inside tend"
        } else {
            "was given up because the daemon is ending"
        };
        let class = if failed.is_panic() {
            Class::Bug
        } else {
            Class::Unavailable
        };
        Reply::Refused(ApiError::new(class, format!("the call {name:?} {what}")))
    }))
}

async fn read(request: Request<Incoming>) -> Result<Call, ApiError> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            return Err(ApiError::new(
                Class::Usage,
                format!("the request is larger than {BODY_BYTES_MAX} bytes"),
            ));
        }
        Err(error) => {
            return Err(ApiError::new(Class::Usage, "the request ended early").detail(error.to_string()));
        }
    };
    Call::decode(
        head.method.as_str(),
        head.uri.path(),
        head.uri.query().unwrap_or_default(),
        &body,
    )
}

fn response(reply: Reply) -> Response<ReplyBody> {
    let (status, kind, body) = match reply {
        Reply::Json(text) => (200, "application/json", ReplyBody::once(text)),
        Reply::Lines(lines) => (200, "application/x-ndjson", ReplyBody::Lines(lines.receiver)),
        Reply::Refused(error) => {
            let text = serde_json::to_vec(&error).expect("invariant: an error is made of texts, which JSON can hold");
            (error.class.http_status(), "application/json", ReplyBody::once(text))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(PROTOCOL_HEADER, HeaderValue::from(PROTOCOL_VERSION));
    response
}

/// The body of an answer.
enum ReplyBody {
    Once(Option<Bytes>),
    Lines(mpsc::Receiver<Bytes>),
}

impl ReplyBody {
    fn once(mut text: Vec<u8>) -> Self {
        // For a person who asks with curl.
        text.push(b'\n');
        Self::Once(Some(Bytes::from(text)))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match &mut *self {
            ReplyBody::Once(body) => body.take(),
            ReplyBody::Lines(receiver) => match receiver.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => None,
                Poll::Ready(Some(first)) => Some(with_waiting_lines(first, receiver)),
            },
        };
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, ReplyBody::Once(None))
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            ReplyBody::Once(body) => {
                hyper::body::SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64))
            }
            ReplyBody::Lines(_) => hyper::body::SizeHint::default(),
        }
    }
}

/// Joins a line with those already waiting behind it: one write for many lines of log.
fn with_waiting_lines(first: Bytes, receiver: &mut mpsc::Receiver<Bytes>) -> Bytes {
    let Ok(second) = receiver.try_recv() else {
        return first;
    };
    let mut joined = BytesMut::from(first);
    joined.extend_from_slice(&second);
    for _ in 2..LINES_AT_ONCE_MAX {
        match receiver.try_recv() {
            Ok(line) => joined.extend_from_slice(&line),
            Err(_) => break,
        }
    }
    joined.freeze()
}
