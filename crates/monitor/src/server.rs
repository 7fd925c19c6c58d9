//! HTTP/1.1 on a listener: reads requests whole, hands them to a handler, writes what it answers. Knows no API.
//!
//! Invariants: a panic in one request ends that request only; no request makes memory grow beyond [`BODY_BYTES_MAX`] for each connection, of
//! which there are [`CONNECTIONS_MAX`].

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

/// The largest body: what a sender of remote write sends at once stays well below.
const BODY_BYTES_MAX: usize = 16 << 20;

/// Connections served at once on one listener; the next one waits to be accepted.
const CONNECTIONS_MAX: usize = 64;

/// A client has this long to write its request's head, and a kept connection to bring the next one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// A client has this long to write its request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A request, read whole.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    /// What stands behind `?`; empty when nothing does.
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

/// What is answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// An answer of text alone.
    pub(crate) fn text(status: u16, text: impl Into<String>) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            headers: Vec::new(),
            body: text.into().into_bytes(),
        }
    }

    /// An answer in JSON.
    pub(crate) fn json(value: &impl serde::Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self {
                status: 200,
                content_type: "application/json",
                headers: Vec::new(),
                body,
            },
            Err(error) => Self::text(500, error.to_string()),
        }
    }
}

/// The future of an answer.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Who answers; called for several connections at once.
pub(crate) type Handler = Arc<dyn Fn(Asked) -> Answering + Send + Sync>;

/// A listening socket.
pub(crate) trait Accept {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    fn accept(&self) -> impl Future<Output = std::io::Result<Self::Stream>> + Send;
}

impl Accept for tokio::net::UnixListener {
    type Stream = tokio::net::UnixStream;
    async fn accept(&self) -> std::io::Result<Self::Stream> {
        tokio::net::UnixListener::accept(self).await.map(|(stream, _)| stream)
    }
}

impl Accept for tokio::net::TcpListener {
    type Stream = tokio::net::TcpStream;
    async fn accept(&self) -> std::io::Result<Self::Stream> {
        let (stream, _) = tokio::net::TcpListener::accept(self).await?;
        // Answers are written at once; waiting for more of them only makes clients wait.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

/// Serves until it is dropped.
pub(crate) async fn serve<A: Accept>(listener: A, handler: Handler) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok(stream) => {
                let handler = Arc::clone(&handler);
                connections.spawn(async move {
                    serve_connection(Box::new(stream), handler).await;
                    drop(place);
                });
            }
            // Out of descriptors or memory: those who are connected will leave some.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// A connection of either kind: one copy of hyper's code serves both.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

async fn serve_connection(stream: Box<dyn Stream>, handler: Handler) {
    let service = service_fn(move |request| {
        let handler = Arc::clone(&handler);
        async move { Ok::<_, Infallible>(answer(request, handler).await) }
    });
    // How a connection ended is the client's business.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(request: Request<Incoming>, handler: Handler) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let read = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect());
    let body = match read.await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return response(Answer::text(
                413,
                format!("a body has at most {BODY_BYTES_MAX} bytes\n"),
            ));
        }
        Ok(Err(error)) => return response(Answer::text(400, format!("the body could not be read: {error}\n"))),
        Err(_) => return response(Answer::text(408, "the body did not come in time\n")),
    };
    let headers = head.headers.iter();
    let asked = Asked {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: headers
            .map(|(name, value)| {
                (
                    name.as_str().to_owned(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect(),
        body,
    };
    // A task of its own, so that a panic stays in it.
    let answered = tokio::spawn(async move { handler(asked).await }).await;
    response(answered.unwrap_or_else(|_| Answer::text(500, "this request failed inside tend\n")))
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if !answer.content_type.is_empty() {
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    }
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
