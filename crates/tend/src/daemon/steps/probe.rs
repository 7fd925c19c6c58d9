//! Asking a replica, or the edge for it, one question. Knows nothing of what the answer means.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tend_base::without_os_numbers;
use tend_core::model::ReplicaId;
use tokio::net::TcpStream;

/// The header by which the edge says which replica answered.
const REPLICA_HEADER: &str = "x-tend-replica";

/// The header by which it says which of that replica's lives it was.
const INCARNATION_HEADER: &str = "x-tend-incarnation";

/// How long the whole exchange through the edge may take.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(5);

/// An answer longer than this is not read on: its head has told all.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Asks `GET path`; any status from 200 to 399 is a success.
pub(super) async fn http(port: u16, path: &str, timeout: Duration) -> Result<(), String> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let response = within(timeout, get(address, &format!("127.0.0.1:{port}"), path, None)).await?;
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
    pub(super) address: SocketAddr,
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
        address,
        host,
        path,
        header,
        timeout,
    } = *question;
    let response = within(timeout, get(address, host, path, header)).await;
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
pub(super) async fn through_edge(address: SocketAddr, host: Option<&str>, path: &str) -> Result<ReplicaId, String> {
    let reached = if address.ip().is_unspecified() {
        SocketAddr::from(([127, 0, 0, 1], address.port()))
    } else {
        address
    };
    let host = host.map_or_else(|| reached.to_string(), str::to_owned);
    let response = within(VERIFY_TIMEOUT, get(reached, &host, path, None)).await?;
    let replica = response
        .headers()
        .get(REPLICA_HEADER)
        .and_then(|value| value.to_str().ok());
    let parsed = replica.and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| format!("the edge answered {} and no replica did", response.status()))
}

async fn get(
    address: SocketAddr,
    host: &str,
    path: &str,
    header: Option<(&'static str, &str)>,
) -> Result<Response<Vec<u8>>, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| format!("{address}: {error}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    // The connection is driven beside the request and ends with it.
    let driver = tokio::spawn(connection);
    let mut request = Request::get(path);
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
            .map_err(|error| format!("GET {path}: {error}"))?;
        let (parts, mut body) = response.into_parts();
        let mut read = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            if let Some(data) = frame.data_ref() {
                read.extend_from_slice(data);
            }
            if read.len() > BODY_BYTES_MAX {
                break;
            }
        }
        Ok(Response::from_parts(parts, read))
    }
    .await;
    driver.abort();
    answer
}

async fn within<T>(timeout: Duration, what: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = || format!("no answer within {}", tend_base::format_duration(timeout));
    tokio::time::timeout(timeout, what)
        .await
        .unwrap_or_else(|_| Err(late()))
        .map_err(|why| without_os_numbers(&why))
}
