//! One HTTPS request to the authority, from the connection to the last byte of the answer. Knows nothing of what is asked.
//!
//! A connection for each request: a certificate takes a dozen of them every two months, and what is not kept cannot be stale.

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::header::{CONNECTION, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{HeaderMap, Request, Uri};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tend_base::{Clock, SystemClock, Wall};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::AcmeError;

/// For the whole of a request. Authorities answer within a second; the rest is for slow networks.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);

/// Bytes of an answer; a certificate chain has a few thousand.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// What an authority sees of us.
const USER_AGENT_TEXT: &str = concat!("tend/", env!("CARGO_PKG_VERSION"));

/// Makes requests, each over a connection of its own.
#[derive(Clone)]
pub(crate) struct Connection {
    tls: TlsConnector,
    /// What the last answer that put us off said about coming back.
    put_off: Arc<Mutex<Option<Wall>>>,
}

impl Connection {
    pub(crate) fn new(roots: RootCertStore) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("invariant: ring has the suites of TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self {
            tls: TlsConnector::from(Arc::new(config)),
            put_off: Arc::default(),
        }
    }

    /// Returns, once, until when the authority put us off.
    pub(crate) fn take_put_off(&self) -> Option<Wall> {
        self.put_off.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn send(self, mut request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, AcmeError> {
        let (host, port, authority) = place(request.uri())?;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_TEXT));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if let Ok(value) = HeaderValue::from_str(&authority) {
            headers.insert(HOST, value);
        }
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = Uri::try_from(path).unwrap_or_default();
        let within = REQUEST_WITHIN;
        match tokio::time::timeout(within, self.exchange(&host, port, &authority, request)).await {
            Ok(answered) => answered,
            Err(_) => Err(AcmeError::Silent {
                host: authority,
                within,
            }),
        }
    }

    async fn exchange(
        &self,
        host: &str,
        port: u16,
        authority: &str,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<BytesResponse, AcmeError> {
        let unreachable = |source: io::Error| AcmeError::Unreachable {
            host: authority.to_owned(),
            source,
        };
        let broken = |source: Box<dyn StdError + Send + Sync>| AcmeError::Broken {
            host: authority.to_owned(),
            source,
        };
        let name = ServerName::try_from(host.to_owned()).map_err(|error| broken(error.into()))?;
        let stream = TcpStream::connect((host, port)).await.map_err(unreachable)?;
        let stream = self
            .tls
            .connect(name, stream)
            .await
            .map_err(|error| broken(error.into()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(error.into()))?;
        let answer = async {
            let (parts, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
            Ok::<_, Box<dyn StdError + Send + Sync>>((parts, body))
        };
        // Both at once: the connection moves the bytes, the answer waits for them. The connection may end first, having read them all.
        let moving = async {
            let _ = connection.await;
            std::future::pending::<()>().await;
        };
        let (parts, body) = tokio::select! {
            answered = answer => answered.map_err(broken)?,
            () = moving => unreachable!("the connection is waited for without an end"),
        };
        if matches!(parts.status.as_u16(), 429 | 503) {
            let now = SystemClock.now().wall;
            *self.put_off.lock().unwrap_or_else(PoisonError::into_inner) = retry_after(&parts.headers, now);
        }
        if !parts.status.is_success() && serde_json::from_slice::<serde_json::Map<_, serde_json::Value>>(&body).is_err()
        {
            return Err(AcmeError::NotAcme {
                host: authority.to_owned(),
                status: parts.status.as_u16(),
            });
        }
        Ok(BytesResponse {
            parts,
            body: Box::new(body),
        })
    }
}

impl HttpClient for Connection {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let sent = self.clone().send(request);
        Box::pin(async { sent.await.map_err(|error| Error::Other(Box::new(error))) })
    }
}

/// Returns host, port, and both as people write them.
pub(crate) fn place(uri: &Uri) -> Result<(String, u16, String), AcmeError> {
    let wrong = || AcmeError::Address { url: uri.to_string() };
    let authority = uri.authority().ok_or_else(wrong)?;
    if uri.scheme_str() != Some("https") || authority.host().is_empty() {
        return Err(wrong());
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    Ok((
        host.to_owned(),
        authority.port_u16().unwrap_or(443),
        authority.as_str().to_owned(),
    ))
}

/// Reads `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: Wall) -> Option<Wall> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Wall(now.0.saturating_add(seconds.saturating_mul(1000))));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Wall(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_reached_by_https_alone() {
        let of = |text: &str| place(&Uri::try_from(text).unwrap()).ok();
        let found = |host: &str, port, authority: &str| Some((host.to_owned(), port, authority.to_owned()));
        assert_eq!(of("https://ca.example/dir"), found("ca.example", 443, "ca.example"));
        assert_eq!(
            of("https://127.0.0.1:14000/dir"),
            found("127.0.0.1", 14000, "127.0.0.1:14000")
        );
        assert_eq!(of("https://[::1]:14000/dir"), found("::1", 14000, "[::1]:14000"));
        for text in ["http://ca.example/dir", "/dir", "ca.example"] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            retry_after(&headers, Wall(1_000_000))
        };
        assert_eq!(of("120"), Some(Wall(1_120_000)));
        assert_eq!(of("Sat, 21 Nov 2026 20:30:00 GMT"), Some(Wall(1_795_293_000_000)));
        assert_eq!(of("soon"), None);
        assert_eq!(of("99999999999999999999"), None);
        assert_eq!(of("18446744073709551615"), Some(Wall(u64::MAX)));
    }
}
