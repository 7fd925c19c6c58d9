//! Asking a replica, or the edge for it, one question. Knows nothing of what the answer means.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tend_base::without_os_numbers;
use tend_core::model::ReplicaId;
use tokio::net::TcpStream;

use crate::daemon::way::Way;

/// The header by which the edge says which replica answered.
const REPLICA_HEADER: &str = "x-tend-replica";

/// The header by which it says which of that replica's lives it was.
const INCARNATION_HEADER: &str = "x-tend-incarnation";

/// How long the whole exchange through the edge may take.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(5);

/// An answer longer than this is not read on: its head has told all.
const BODY_BYTES_MAX: usize = 64 << 10;

/// The most that is read of an answer that is wanted whole: far more than a page of metrics has.
const WHOLE_BYTES_MAX: usize = 4 << 20;

/// Asks `GET path`; any status from 200 to 399 is a success.
pub(super) async fn http(port: u16, path: &str, timeout: Duration) -> Result<(), String> {
    let way = Way::plain(SocketAddr::from(([127, 0, 0, 1], port)));
    let response = within(
        timeout,
        request(Method::GET, way, &format!("127.0.0.1:{port}"), path, None, Body::Begin),
    )
    .await?;
    let status = response.status();
    if status.is_success() || status.is_redirection() {
        Ok(())
    } else {
        Err(format!("GET {path} answered {status}"))
    }
}

/// Asks for a connection.
pub(super) async fn tcp(port: u16, timeout: Duration) -> Result<(), String> {
    let connect = async {
        TcpStream::connect(("127.0.0.1", port))
            .await
            .map_err(|error| format!("port {port}: {error}"))
    };
    within(timeout, connect).await.map(drop)
}

/// A question asked through the edge.
pub(super) struct Question<'a> {
    pub(super) way: Way,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    /// One header more.
    pub(super) header: Option<(&'static str, &'a str)>,
    pub(super) timeout: Duration,
}

/// What was answered, and by whom as the edge says.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) replica: Option<String>,
    pub(super) incarnation: Option<u64>,
    pub(super) body: Vec<u8>,
}

/// Asks a question and returns the whole answer, as much of its body as is read.
pub(super) async fn ask(question: &Question<'_>) -> Result<Answer, String> {
    let Question {
        way,
        host,
        path,
        header,
        timeout,
    } = *question;
    let response = within(timeout, request(Method::GET, way, host, path, header, Body::Begin)).await;
    let response = response.map_err(|why| match why.starts_with("GET ") {
        true => why,
        false => format!("GET {path}: {why}"),
    })?;
    let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    Ok(Answer {
        status: response.status().as_u16(),
        replica: text(REPLICA_HEADER).map(str::to_owned),
        incarnation: text(INCARNATION_HEADER).and_then(|text| text.parse().ok()),
        body: response.into_body(),
    })
}

/// Asks through the edge as a client would, and returns the replica that answered.
pub(super) async fn through_edge(way: Way, host: Option<&str>, path: &str) -> Result<ReplicaId, String> {
    let host = host.map_or_else(|| way.address.to_string(), str::to_owned);
    let response = within(
        VERIFY_TIMEOUT,
        request(Method::GET, way, &host, path, None, Body::Begin),
    )
    .await?;
    let replica = response
        .headers()
        .get(REPLICA_HEADER)
        .and_then(|value| value.to_str().ok());
    let parsed = replica.and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| format!("the edge answered {} and no replica did", response.status()))
}

/// How much of an answer's body is wanted.
#[derive(Clone, Copy)]
pub(super) enum Body {
    /// As much as tells; that it broke off does not matter.
    Begin,
    /// All of it, since a part would mean something else.
    Whole,
}

/// Makes a request without a body and reads the answer, as much of its body as is read.
pub(super) async fn request(
    method: Method,
    way: Way,
    host: &str,
    path: &str,
    header: Option<(&'static str, &str)>,
    wanted: Body,
) -> Result<Response<Vec<u8>>, String> {
    let stream = way.open(host).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    // The connection is driven beside the request and ends with it.
    let driver = tokio::spawn(connection);
    let mut request = Request::builder().method(&method).uri(path);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let request = request
        .header(HOST, host)
        .header(CONNECTION, "close")
        .header(USER_AGENT, concat!("tend/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| format!("{method} {path}: {error}"))?;
        let (parts, mut body) = response.into_parts();
        let mut read = Vec::new();
        while let Some(frame) = body.frame().await {
            match (frame, wanted) {
                (Ok(frame), _) => read.extend(frame.data_ref().into_iter().flatten()),
                (Err(_), Body::Begin) => break,
                (Err(error), Body::Whole) => return Err(format!("the answer to {method} {path} broke off: {error}")),
            }
            match wanted {
                Body::Begin if read.len() > BODY_BYTES_MAX => break,
                Body::Whole if read.len() > WHOLE_BYTES_MAX => {
                    return Err(format!("the answer to {method} {path} is longer than 4 MiB"));
                }
                _ => {}
            }
        }
        Ok(Response::from_parts(parts, read))
    }
    .await;
    driver.abort();
    answer
}

/// Ends what takes too long, and words its failure for a person.
pub(super) async fn within<T>(timeout: Duration, what: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = || format!("no answer within {}", tend_base::format_duration(timeout));
    tokio::time::timeout(timeout, what)
        .await
        .unwrap_or_else(|_| Err(late()))
        .map_err(|why| without_os_numbers(&why))
}
