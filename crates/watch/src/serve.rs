//! Connections and requests of one replica's socket.
//!
//! hyper reads and writes HTTP here as it does for the daemon's API: keeping connections alive, chunks and holding back for a
//! slow reader are its trade, while `tend-http1` is made for forwarding heads. What is answered is in `protocol`.

use std::convert::Infallible;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tend_base::{Clock, SystemClock};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::board::Board;
use crate::endpoint::{Ack, EndpointSettings, Notice, Outcome};
use crate::events::{Connected, Subscription, stream};
use crate::protocol::{self, Query, Said};
use crate::revision::{Revision, Selection};

/// Connections of one replica; the next waits to be accepted. A replica of many processes has one for each.
const CONNECTIONS_MAX: usize = 64;
/// Of these, how many may be waiting for something: acknowledgements always find a way.
const WAITING_MAX: usize = 48;
/// A client has this long to write its request's head, and as long for its body.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest acknowledgement.
const BODY_BYTES_MAX: usize = 64 << 10;
/// How long an acknowledgement waits for the daemon to take it, before the replica is asked to say it again.
const TAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// What hyper may buffer for a reader that is slow, beside the one event it is given at a time.
const BUFFER_BYTES_MAX: usize = 64 << 10;
/// Wait of a long poll that names none.
const LONG_POLL: Duration = Duration::from_secs(30);

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What all requests of one socket share. The board goes when the replica is removed, whoever is still connected.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) replica: Arc<str>,
    pub(crate) board: Weak<Board>,
    pub(crate) notices: mpsc::Sender<Notice>,
    pub(crate) settings: EndpointSettings,
}

/// Serves a socket until dropped, which ends its connections.
pub(crate) async fn accept(listener: UnixListener, shared: Shared) {
    // It is a socket and does not block, so this fails only outside of the runtime.
    let Ok(listener) = tokio::net::UnixListener::from_std(listener) else {
        return;
    };
    let waiting = Arc::new(Semaphore::new(WAITING_MAX));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, shared.clone(), Arc::clone(&waiting)));
                }
                // Out of descriptors or memory: those who are connected will leave some.
                Err(_) => sleep(Duration::from_millis(50)).await,
            },
        }
    }
}

async fn connection(stream: UnixStream, shared: Shared, waiting: Arc<Semaphore>) {
    let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
    let service = service_fn(move |request| {
        let (shared, waiting) = (shared.clone(), Arc::clone(&waiting));
        async move { Ok::<_, Infallible>(answer(request, shared, pid, waiting).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // How a connection ended is the client's business; a stream that ended with it has been told of.
    let _ = served.await;
}

async fn answer(
    request: Request<Incoming>,
    shared: Shared,
    pid: Option<i32>,
    waiting: Arc<Semaphore>,
) -> Response<Body> {
    let Some(board) = shared.board.upgrade() else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "this replica is being taken away");
    };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let allowed = match path.as_str() {
        "/v1/config" | "/v1/config/events" => Method::GET,
        "/v1/config/ack" => Method::POST,
        _ => {
            let text = "there are /v1/config, /v1/config/events and /v1/config/ack";
            return refusal(StatusCode::NOT_FOUND, text);
        }
    };
    if method != allowed {
        let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, &format!("{path} takes {allowed}"));
        let allow = HeaderValue::from_str(allowed.as_str());
        allow
            .into_iter()
            .for_each(|allow| drop(response.headers_mut().insert(ALLOW, allow)));
        return response;
    }
    if path == "/v1/config/ack" {
        return acknowledge(request, &shared, board, pid).await;
    }
    let query = match Query::parse(request.uri().query().unwrap_or_default()) {
        Ok(query) => query,
        Err(why) => return refusal(StatusCode::BAD_REQUEST, &why),
    };
    if path == "/v1/config" && query.after.is_none() {
        return now(&request, &board, &query.chosen);
    }
    let Ok(permit) = waiting.try_acquire_owned() else {
        return refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            &format!("{WAITING_MAX} requests of this replica are waiting already; share one among its parts"),
        );
    };
    if path == "/v1/config" {
        // Held while it waits.
        let _permit = permit;
        return later(board, query, shared.settings).await;
    }
    let last = request
        .headers()
        .get("last-event-id")
        .and_then(|id| id.to_str().ok()?.trim().parse().ok());
    let newest = board.subscribe();
    drop(board);
    let Some(connected) = Connected::tell(Arc::clone(&shared.replica), pid, shared.notices.clone()).await else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "tend is ending");
    };
    let events = stream(Subscription {
        board: shared.board.clone(),
        newest,
        sent: last,
        chosen: query.chosen,
        settings: shared.settings,
        _connected: connected,
        _permit: permit,
    });
    let frames = events.map(|text| Ok::<_, Infallible>(Frame::data(text)));
    response(
        StatusCode::OK,
        "text/event-stream",
        BodyExt::boxed_unsync(StreamBody::new(frames)),
    )
}

/// The newest set at once, unless the client has it.
fn now(request: &Request<Incoming>, board: &Board, chosen: &Selection) -> Response<Body> {
    let Some(newest) = board.newest() else {
        return nothing_yet();
    };
    let has_it = request
        .headers()
        .get(IF_NONE_MATCH)
        .is_some_and(|known| *known == tag(&newest));
    if has_it {
        let mut response = response(StatusCode::NOT_MODIFIED, "application/json", full(Bytes::new()));
        response.headers_mut().insert(ETAG, tag(&newest));
        return response;
    }
    whole(&newest, chosen)
}

/// The newest set as soon as it is another than the client has; 204 when that took too long.
async fn later(board: Arc<Board>, query: Query, settings: EndpointSettings) -> Response<Body> {
    let mut newest = board.subscribe();
    drop(board);
    let patience = query.wait.unwrap_or(LONG_POLL).min(settings.long_poll_max);
    let other = newest.wait_for(|newest| newest.as_ref().is_some_and(|newest| Some(newest.number) != query.after));
    match timeout(patience, other).await {
        Ok(Ok(newest)) => match newest.as_ref() {
            Some(newest) => whole(newest, &query.chosen),
            None => nothing_yet(),
        },
        Ok(Err(_)) => refusal(StatusCode::SERVICE_UNAVAILABLE, "this replica is being taken away"),
        Err(_) => response(StatusCode::NO_CONTENT, "application/json", full(Bytes::new())),
    }
}

async fn acknowledge(
    request: Request<Incoming>,
    shared: &Shared,
    board: Arc<Board>,
    pid: Option<i32>,
) -> Response<Body> {
    let body = timeout(
        HEAD_TIMEOUT,
        Limited::new(request.into_body(), BODY_BYTES_MAX).collect(),
    )
    .await;
    let Ok(Ok(body)) = body else {
        let text = format!("the body did not arrive whole, or has more than {BODY_BYTES_MAX} bytes");
        return refusal(StatusCode::BAD_REQUEST, &text);
    };
    let said = match Said::parse(&body.to_bytes()) {
        Ok(said) => said,
        Err(why) => return refusal(StatusCode::BAD_REQUEST, &why),
    };
    let Some(newest) = board.newest().map(|newest| newest.number) else {
        // A daemon that has just begun: it will know this revision in a moment.
        return nothing_yet();
    };
    if said.revision == 0 || said.revision > newest {
        let text = format!(
            "revision {} was never given to this replica; the newest is {newest}",
            said.revision
        );
        return refusal(StatusCode::CONFLICT, &text);
    }
    let ack = Ack {
        replica: Arc::clone(&shared.replica),
        revision: said.revision,
        outcome: said.error.map_or(Outcome::Taken, Outcome::Refused),
        at: SystemClock.now().wall,
        pid,
    };
    // Answered only when it will be read: what a replica was thanked for is not lost in a full queue.
    match timeout(TAKE_TIMEOUT, shared.notices.send(Notice::Ack(ack))).await {
        Ok(Ok(())) => response(StatusCode::NO_CONTENT, "application/json", full(Bytes::new())),
        _ => refusal(StatusCode::SERVICE_UNAVAILABLE, "tend is busy or ending; say it again"),
    }
}

fn tag(revision: &Revision) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{}\"", revision.number))
        .expect("invariant: digits and quotes are a field's value")
}

fn whole(revision: &Revision, chosen: &Selection) -> Response<Body> {
    let body = full(Bytes::from(protocol::set(revision, chosen)));
    let mut response = response(StatusCode::OK, "application/json", body);
    response.headers_mut().insert(ETAG, tag(revision));
    response
}

fn nothing_yet() -> Response<Body> {
    refusal(
        StatusCode::SERVICE_UNAVAILABLE,
        "there is no configuration for this replica yet",
    )
}

fn refusal(status: StatusCode, text: &str) -> Response<Body> {
    let body = format!("{}\n", serde_json::json!({ "error": text }));
    let mut response = response(status, "application/json", full(Bytes::from(body)));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).boxed_unsync()
}

fn response(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
