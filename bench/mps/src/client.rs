//! One keep-alive HTTP/1.1 connection after another, and what can become of a request on it.
//!
//! Owns the distinction between failures. Knows nothing of payments.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::Error;

/// Where a server listens: host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(String);

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let authority = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let valid = authority
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok());
        if valid {
            Ok(Address(authority.to_owned()))
        } else {
            Err(Error::Address(text.to_owned()))
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "http://{}", self.0)
    }
}

/// Why a request has no answer that says what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// Nobody listens.
    ConnectionRefused,
    /// The connection could not be made, or ended before the answer did.
    ConnectionLost,
    /// No answer in time.
    TimedOut,
    /// The server says that it failed.
    ServerError(u16),
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::ConnectionRefused => formatter.write_str("connection refused"),
            Failure::ConnectionLost => formatter.write_str("connection lost"),
            Failure::TimedOut => formatter.write_str("timed out"),
            Failure::ServerError(status) => write!(formatter, "status {status}"),
        }
    }
}

/// How often each failure was met.
pub(crate) type Failures = BTreeMap<Failure, u64>;

/// An answer below 500.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// A client that keeps one connection, and after a failure goes on to the next address.
pub(crate) struct Client {
    addresses: Arc<[Address]>,
    at: usize,
    timeout: Duration,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// Makes a client that begins with the address `first`, counted around.
    pub(crate) fn new(addresses: Arc<[Address]>, first: usize, timeout: Duration) -> Client {
        Client {
            at: first % addresses.len(),
            addresses,
            timeout,
            connection: None,
        }
    }

    /// Sends a request once and returns its answer. After a failure it is unknown whether the request took effect.
    pub(crate) async fn send(
        &mut self,
        method: &Method,
        path: &str,
        key: Option<&str>,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let sent = tokio::time::timeout(self.timeout, self.exchange(method, path, key, body)).await;
        let answer = sent.unwrap_or(Err(Failure::TimedOut));
        if answer.is_err() {
            self.connection = None;
            self.at = (self.at + 1) % self.addresses.len();
        }
        answer
    }

    async fn exchange(
        &mut self,
        method: &Method,
        path: &str,
        key: Option<&str>,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.addresses[self.at].0);
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let mut request = request
            .body(Full::new(body))
            .expect("paths and keys made here are valid");
        loop {
            let kept = self.connection.take().filter(|connection| !connection.is_closed());
            let fresh = kept.is_none();
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            if connection.ready().await.is_err() {
                if fresh {
                    return Err(Failure::ConnectionLost);
                }
                continue; // closed while it was idle: nothing was sent
            }
            match connection.try_send_request(request).await {
                Ok(response) => {
                    let status = response.status().as_u16();
                    let body = response
                        .into_body()
                        .collect()
                        .await
                        .map_err(|_| Failure::ConnectionLost)?
                        .to_bytes();
                    self.connection = Some(connection);
                    return if status >= 500 {
                        Err(Failure::ServerError(status))
                    } else {
                        Ok(Answer { status, body })
                    };
                }
                Err(mut error) => match error.take_message() {
                    // Closed under us before a byte of the request left: it is sent on a fresh connection.
                    Some(unsent) if !fresh => request = unsent,
                    _ => return Err(Failure::ConnectionLost),
                },
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let stream = TcpStream::connect(&self.addresses[self.at].0)
            .await
            .map_err(|error| match error.kind() {
                io::ErrorKind::ConnectionRefused => Failure::ConnectionRefused,
                _ => Failure::ConnectionLost,
            })?;
        // Small requests, each answered before the next: nothing to gather.
        drop(stream.set_nodelay(true));
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|_| Failure::ConnectionLost)?;
        // Ends with its connection; what went wrong on it is told to the sender.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn an_address_is_host_and_port() {
        for (text, address) in [
            ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("localhost:3000/", Some("http://localhost:3000")),
            ("http://127.0.0.1", None),
            (":80", None),
            ("https://pay.example:443", None),
        ] {
            assert_eq!(
                text.parse::<Address>().ok().map(|found| found.to_string()).as_deref(),
                address,
                "{text}"
            );
        }
    }
}
