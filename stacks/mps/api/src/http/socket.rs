//! The WebSockets on which merchants see their payments come in.
//!
//! Owns a socket from its handshake to its end. Which payments there are comes from [`super::feed`].
//!
//! ```text
//! server: {"connected": {"merchant_id", "replica", "release", "version", "pid"}}, then {"payment": LINE OF THE STATEMENT} each
//! client: nothing but pings, pongs and close; what else it says is ignored
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::{Value as Json, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::feed::Feed;

/// Sockets of one replica; beyond, a handshake is answered 503.
pub(crate) const SOCKETS_MAX: i64 = 1000;
/// Largest message a client may send; none it sends means anything.
const MESSAGE_BYTES_MAX: usize = 4096;
/// How often a client is pinged, so that proxies do not take a quiet socket for a dead one.
const PING_EVERY: Duration = Duration::from_secs(20);
/// A client that was not heard of for this long, pongs included, has gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long a client may take to take a message.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take to answer a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a handshake is refused.
pub(super) enum NoSocket {
    /// The request does not ask for a WebSocket as RFC 6455 has it.
    NotAsked(String),
    /// There are as many as there may be.
    Full,
}

/// The open sockets of this replica.
pub(super) struct Sockets {
    /// Where payments come from.
    pub(super) feed: Feed,
    open: watch::Sender<usize>,
    going: watch::Sender<bool>,
}

impl Sockets {
    pub(super) fn new() -> Sockets {
        Sockets {
            feed: Feed::new(),
            open: watch::Sender::new(0),
            going: watch::Sender::new(false),
        }
    }

    /// Returns how many there are.
    pub(super) fn count(&self) -> usize {
        *self.open.borrow()
    }

    /// Tells every client that this replica goes away (1001); [`Sockets::gone`] waits for them.
    pub(super) fn go_away(&self) {
        self.going.send_replace(true);
    }

    /// Returns when the last socket is closed.
    pub(super) async fn gone(&self) {
        // The sender is ours, so waiting cannot fail.
        drop(self.open.subscribe().wait_for(|open| *open == 0).await);
    }

    /// Takes a request for a socket, and returns the headers to answer it with.
    pub(super) fn accept(
        self: &Arc<Self>,
        request: &mut Request<Incoming>,
        merchant: String,
        about: Json,
        max: i64,
    ) -> Result<HeaderMap, NoSocket> {
        let answer =
            create_response_with_body(request, || ()).map_err(|error| NoSocket::NotAsked(error.to_string()))?;
        if self.count() as i64 >= max {
            return Err(NoSocket::Full);
        }
        self.open.send_modify(|open| *open += 1);
        let counted = Counted(Arc::clone(self));
        tokio::spawn(serve(counted, hyper::upgrade::on(request), merchant, about));
        Ok(answer.into_parts().0.headers)
    }
}

/// One open socket, counted as long as this lives.
struct Counted(Arc<Sockets>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

async fn serve(counted: Counted, upgrade: OnUpgrade, merchant: String, about: Json) {
    // The client may go away before its answer is written; nothing is owed to it then.
    if let Ok(upgraded) = upgrade.await {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let io = TokioIo::new(upgraded);
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        talk(&counted.0, socket, &merchant, about).await;
    }
}

/// Speaks with a client until either side has enough.
async fn talk(sockets: &Sockets, mut socket: WebSocketStream<TokioIo<Upgraded>>, merchant: &str, about: Json) {
    let mut payments = sockets.feed.listen();
    let mut going = sockets.going.subscribe();
    let mut ping = tokio::time::interval(PING_EVERY);
    let mut heard = Instant::now();
    if !send(&mut socket, Message::text(json!({ "connected": about }).to_string())).await {
        return;
    }
    let (code, reason) = loop {
        tokio::select! {
            payment = payments.recv() => match payment {
                Ok(payment) if payment.merchant_id == merchant => {
                    if !send(&mut socket, Message::text(payment.text.clone())).await {
                        return;
                    }
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => break (CloseCode::Again, "too slow: read the statement and connect again"),
                Err(RecvError::Closed) => break (CloseCode::Away, "this replica is stopping"),
            },
            // Pings are answered, and a close too, by reading on.
            message = socket.next() => match message {
                Some(Ok(_)) => heard = Instant::now(),
                Some(Err(_)) | None => return,
            },
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE_MAX || !send(&mut socket, Message::Ping(Bytes::new())).await {
                    return;
                }
            }
            () = async { drop(going.wait_for(|going| *going).await) } => break (CloseCode::Away, "this replica is stopping"),
        }
    };
    let close = Message::Close(Some(CloseFrame {
        code,
        reason: reason.into(),
    }));
    if send(&mut socket, close).await {
        let answered = async { while let Some(Ok(_)) = socket.next().await {} };
        // Whoever does not answer a close is left.
        drop(tokio::time::timeout(CLOSE_TIMEOUT, answered).await);
    }
}

/// Tells whether the client took a message.
async fn send(socket: &mut WebSocketStream<TokioIo<Upgraded>>, message: Message) -> bool {
    matches!(
        tokio::time::timeout(SEND_TIMEOUT, socket.send(message)).await,
        Ok(Ok(()))
    )
}
