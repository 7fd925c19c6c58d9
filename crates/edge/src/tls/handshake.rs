//! How a connection of TLS begins: within a deadline, counted, and handed to the engine of the protocol that was agreed on.

use std::future::poll_fn;
use std::io::{self, Read};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use rustls::server::{AcceptedAlert, Acceptor};
use rustls::{HandshakeKind, ServerConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::ClientCertificate;
use super::counts::Failure;
use super::live::{ACME, HTTP2, ListenerConfig};
use super::stream::{Socket, TlsStream, write_out};
use crate::arrival::Arrived;
use crate::engine;
use crate::stream::Stream;
use crate::worker::Worker;

/// What a client is told that speaks plain HTTP where TLS is spoken, as nginx does with 497.
const PLAIN_HTTP: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 67\r\n\
Connection: close\r\n\r\ntend edge: this port speaks TLS. Write https:// instead of http://.\n";

/// Begins a connection and serves it.
pub(crate) async fn greet(worker: Rc<Worker>, mut arrived: Arrived, config: Arc<ListenerConfig>) {
    let wait = worker.patience.handshake;
    let handshakes = &worker.shared.handshakes;
    let shaken = tokio::time::timeout(wait, shake(&mut arrived.socket, &config)).await;
    let session = match shaken.unwrap_or_else(|_| Err(Failure::Timeout.into())) {
        Ok(session) => session,
        Err(Farewell { why, said }) => {
            handshakes.failed(why);
            let _ = tokio::time::timeout(wait, say(&mut arrived.socket, &said)).await;
            return;
        }
    };
    let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
    handshakes.done(session.protocol_version(), resumed);
    let client_certificate = ClientCertificate::of(session.peer_certificates()).map(Rc::new);
    let protocol = session.alpn_protocol().map(<[u8]>::to_vec);
    if protocol.as_deref() == Some(ACME) {
        // The authority has seen what it wanted; nothing else is said in this protocol (RFC 8737, 3).
        let mut stream = TlsStream::new(arrived.socket, session.into());
        let _ = tokio::time::timeout(wait, stream.shutdown()).await;
        return;
    }
    let secure = |socket| Stream::Tls(Box::new(TlsStream::new(socket, session.into())));
    let accepted = arrived.speaking(secure, client_certificate);
    // On a task of its own: a connection that idles does not keep room for a handshake.
    if protocol.as_deref() == Some(HTTP2) {
        tokio::task::spawn_local(engine::h2::serve(worker, accepted, Vec::new()));
    } else {
        tokio::task::spawn_local(engine::serve(worker, accepted));
    }
}

/// A handshake that came to nothing.
struct Farewell {
    why: Failure,
    /// What the client is told.
    said: Vec<u8>,
}

impl From<io::Error> for Farewell {
    fn from(_: io::Error) -> Self {
        Failure::Closed.into()
    }
}

impl From<Failure> for Farewell {
    fn from(why: Failure) -> Self {
        Self { why, said: Vec::new() }
    }
}

impl Farewell {
    fn of(error: &rustls::Error, mut alert: AcceptedAlert) -> Self {
        let mut said = Vec::new();
        // Writing to a vector does not fail.
        let _ = alert.write_all(&mut said);
        Self {
            why: Failure::of(error),
            said,
        }
    }
}

/// Shakes hands.
async fn shake(socket: &mut TcpStream, config: &ListenerConfig) -> Result<ServerConnection, Farewell> {
    let mut acceptor = Acceptor::default();
    let mut first = None;
    let hello = poll_fn(|cx| {
        loop {
            match acceptor.accept() {
                Ok(Some(hello)) => return Poll::Ready(Ok(hello)),
                Ok(None) => {}
                Err(_) if is_plain_http(first) => {
                    return Poll::Ready(Err(Farewell {
                        why: Failure::PlainHttp,
                        said: PLAIN_HTTP.to_vec(),
                    }));
                }
                Err((error, alert)) => return Poll::Ready(Err(Farewell::of(&error, alert))),
            }
            let mut reader = Noting(Socket(socket, cx), &mut first);
            match acceptor.read_tls(&mut reader) {
                Ok(read) if read > 0 => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Ok(_) | Err(_) => return Poll::Ready(Err(Failure::Closed.into())),
            }
        }
    })
    .await?;
    let asks_for_acme = hello
        .client_hello()
        .alpn()
        .is_some_and(|mut protocols| protocols.any(|protocol| protocol == ACME));
    let config = if asks_for_acme {
        Some(&config.challenges)
    } else {
        config.clients.as_ref()
    };
    let config = config.ok_or(Failure::NoCertificate)?;
    let mut session = hello
        .into_connection(config.clone())
        .map_err(|(error, alert)| Farewell::of(&error, alert))?;
    poll_fn(|cx| {
        loop {
            // What the last flight brings for the client, tickets, goes with the first response.
            if !session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if write_out(&mut session, socket, cx)?.is_pending() {
                return Poll::Pending;
            }
            match session.read_tls(&mut Socket(socket, cx)) {
                Ok(read) if read > 0 => {
                    if let Err(error) = session.process_new_packets() {
                        // Whether the alert still reaches it is its own affair.
                        let _ = write_out(&mut session, socket, cx);
                        return Poll::Ready(Err(Failure::of(&error).into()));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Ok(_) | Err(_) => return Poll::Ready(Err(Farewell::from(Failure::Closed))),
            }
        }
    })
    .await?;
    Ok(session)
}

/// Says whether the first byte is one of a method's name and not of a record of TLS.
fn is_plain_http(first: Option<u8>) -> bool {
    first.is_some_and(|byte| byte.is_ascii_uppercase())
}

/// Says a last word, and closes so that the client can still read it: a socket closed with bytes unread is reset.
async fn say(socket: &mut TcpStream, bytes: &[u8]) {
    if socket.write_all(bytes).await.is_err() || socket.shutdown().await.is_err() {
        return;
    }
    let mut unread = [0; 512];
    while socket.read(&mut unread).await.is_ok_and(|read| read > 0) {}
}

/// Notes the first byte of all.
struct Noting<'a, 'b>(Socket<'a, 'b>, &'a mut Option<u8>);

impl Read for Noting<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(bytes)?;
        if self.1.is_none() {
            *self.1 = bytes[..read].first().copied();
        }
        Ok(read)
    }
}
