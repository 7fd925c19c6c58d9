//! One request over one connection, from the first packet to the last byte of the answer. Knows nothing of what is asked.
//!
//! A connection for each request: a secret is looked at every half minute, and what is not kept cannot be stale.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Uri};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tend_base::Secret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::wire::{ANSWER_BYTES_MAX, Received, Request};
use crate::{Address, Namespace, VaultError};

/// For the whole of a request. Servers answer within milliseconds; the rest is for slow networks and a change of the active server.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// What a server sees of us.
const USER_AGENT_TEXT: &str = concat!("tend/", env!("CARGO_PKG_VERSION"));

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// Agents may ask for it, so that no page in a browser can use theirs.
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");

type Anything = Box<dyn StdError + Send + Sync>;

/// Makes requests to one server.
pub(crate) struct Exchange {
    pub(crate) address: Address,
    pub(crate) namespace: Option<Namespace>,
    /// The roots in its place, read at each connection: the file may be replaced.
    pub(crate) roots: Option<PathBuf>,
}

impl Exchange {
    pub(crate) async fn send(&self, request: &Request, token: Option<&Secret>) -> Result<Received, VaultError> {
        match tokio::time::timeout(REQUEST_WITHIN, self.exchange(request, token)).await {
            Ok(answered) => answered,
            Err(_) => Err(VaultError::Silent {
                at: self.address.to_string(),
                within: REQUEST_WITHIN,
            }),
        }
    }

    async fn exchange(&self, request: &Request, token: Option<&Secret>) -> Result<Received, VaultError> {
        let at = || self.address.to_string();
        let unreachable = |source: io::Error| VaultError::Unreachable { at: at(), source };
        let broken = |source: Anything| VaultError::Broken { at: at(), source };
        let composed = self.compose(request, token).map_err(broken)?;
        let tls = match self.address.is_tls() {
            true => Some(self.connector().await?),
            false => None,
        };
        let stream = TcpStream::connect((self.address.host(), self.address.port()))
            .await
            .map_err(unreachable)?;
        let received = match tls {
            None => converse(stream, composed).await,
            Some(tls) => {
                let name =
                    ServerName::try_from(self.address.host().to_owned()).map_err(|error| broken(error.into()))?;
                let stream = tls.connect(name, stream).await.map_err(|error| broken(error.into()))?;
                converse(stream, composed).await
            }
        };
        received.map_err(broken)?.ok_or_else(|| VaultError::NotVault {
            at: at(),
            what: request.what.clone(),
            why: format!("it is longer than {}", tend_base::format_bytes(ANSWER_BYTES_MAX as u64)),
        })
    }

    /// Roots are files, and reading those of a machine takes milliseconds: not on a thread that others wait for.
    async fn connector(&self) -> Result<TlsConnector, VaultError> {
        let roots = self.roots.clone();
        let read = tokio::task::spawn_blocking(move || crate::tls::connector(roots.as_deref()));
        read.await.unwrap_or_else(|error| {
            Err(VaultError::Broken {
                at: self.address.to_string(),
                source: error.into(),
            })
        })
    }

    fn compose(&self, request: &Request, token: Option<&Secret>) -> Result<hyper::Request<Full<Bytes>>, Anything> {
        let path = format!("{}/v1/{}", self.address.prefix(), request.path);
        let mut composed = hyper::Request::builder()
            .method(Method::from_bytes(request.method.as_bytes())?)
            .uri(Uri::try_from(path)?)
            .header(HOST, self.address.authority())
            .header(USER_AGENT, USER_AGENT_TEXT)
            .header(CONNECTION, "close")
            .header(REQUEST, "true")
            .body(Full::new(request.body.clone().unwrap_or_default()))?;
        let headers = composed.headers_mut();
        if request.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(request.content_type));
        }
        if let Some(namespace) = &self.namespace {
            headers.insert(NAMESPACE, HeaderValue::from_str(namespace.as_str())?);
        }
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token.expose()).map_err(|_| "the token cannot be one")?;
            value.set_sensitive(true);
            headers.insert(TOKEN, value);
        }
        Ok(composed)
    }
}

/// Sends and receives; nothing when the answer is longer than any.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: hyper::Request<Full<Bytes>>,
) -> Result<Option<Received>, Anything> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let Some(body) = collect(body).await? else {
            return Ok(None);
        };
        let text = |name| {
            parts
                .headers
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        Ok::<_, Anything>(Some(Received {
            status: parts.status.as_u16(),
            // Seconds alone: that is what both programs send.
            retry_after: text(RETRY_AFTER)
                .and_then(|text| text.trim().parse().ok())
                .map(Duration::from_secs),
            location: text(LOCATION).map(str::to_owned),
            body,
        }))
    };
    // Both at once: the connection moves the bytes, the answer waits for them. The connection may end first, having read them all.
    let moving = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answered = answer => answered,
        () = moving => unreachable!("the connection is waited for without an end"),
    }
}

/// Takes in a body of bounded size, in memory that is overwritten.
async fn collect<B>(body: B) -> Result<Option<Zeroizing<Vec<u8>>>, Anything>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Anything>,
{
    let mut body = std::pin::pin!(body);
    let told = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    // With its length told, as servers do, the memory never moves.
    let mut whole = Zeroizing::new(Vec::with_capacity(told.min(ANSWER_BYTES_MAX)));
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(Into::into)?.into_data() {
            if whole.len() + data.len() > ANSWER_BYTES_MAX {
                return Ok(None);
            }
            if whole.capacity() < whole.len() + data.len() {
                let mut larger = Zeroizing::new(Vec::with_capacity((whole.len() + data.len()) * 2));
                larger.extend_from_slice(&whole);
                whole = larger;
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(Some(whole))
}
