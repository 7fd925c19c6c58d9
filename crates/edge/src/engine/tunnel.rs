//! A connection that has changed its protocol, such as a WebSocket: bytes both ways until client and replica have both ended.
//!
//! Knows nothing of what the bytes mean, nor of snapshots: what is open stays open, wherever new requests go.
//!
//! ```text
//! both open ── client ends ──► replica is told (FIN), sends on as long as it likes ── replica ends ──► over
//!     └─────── replica ends ─► client is told (FIN), is listened to for a while ───── client ends ──► over
//! ```
//!
//! Listened to, because a socket that is closed with bytes unread, or is still sent to, answers with a reset, and that may take from
//! the client what the replica said last: a WebSocket's close frame. A side that resets ends both at once, except that a client is
//! always left what was sent to it before.

use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

use tend_base::{Mono, SystemClock};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::desk::Things;
use super::link::Link;
use crate::exchange::{Attempt, Exchange};
use crate::stream::Stream;

/// What is read at once, each way.
const BUFFER_BYTES: usize = 8 << 10;

/// How one way ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Whoever sends has closed, and the other was told.
    Closed,
    /// Whoever sends has reset the connection.
    SenderGone,
    /// Whoever should have taken it does not any more.
    TakerGone,
    /// Neither side said anything for as long as the route waits.
    Silent,
}

/// A connection that changes its protocol; in flight on the replica until it has ended.
pub(super) struct Tunnel {
    replica: Stream,
    attempt: Attempt,
    exchange: Exchange,
    linger: Duration,
    /// What the edge says to the client before anything else: the head of the response.
    head: Vec<u8>,
    /// What came behind the heads.
    from_client: Vec<u8>,
    from_replica: Vec<u8>,
}

impl Tunnel {
    /// Takes over what lies on the desk.
    pub(super) fn new(desk: &Things, link: Link, attempt: Attempt, exchange: Exchange, linger: Duration) -> Self {
        Self {
            replica: link.into_stream(),
            attempt,
            exchange,
            linger,
            head: desk.to_client.left().to_vec(),
            from_client: desk.from_client.filled().to_vec(),
            from_replica: desk.from_replica.filled().to_vec(),
        }
    }

    /// Carries the bytes until both sides have ended.
    pub(super) async fn run(self, client: impl AsyncRead + AsyncWrite + Unpin) {
        let Self {
            replica,
            attempt: _attempt,
            mut exchange,
            linger,
            head,
            from_client: first_in,
            from_replica: first_out,
        } = self;
        let (mut from_client, mut to_client) = tokio::io::split(client);
        let (mut from_replica, to_replica) = tokio::io::split(replica);
        let (mut bytes_in, mut bytes_out) = (0, 0);
        if write(&mut to_client, &head).await.is_err() {
            exchange.cut("upgrade_failed");
            return;
        }
        drop(head);
        let moved = Cell::new(SystemClock.mono());
        let end = {
            let mut up = pin!(async {
                match pass(first_in, &mut from_client, to_replica, &mut bytes_in, &moved).await {
                    // The replica may have said something before it went, which the client is to get.
                    End::TakerGone => discard(&mut from_client).await,
                    end => end,
                }
            });
            let mut down = pin!(pass(first_out, &mut from_replica, to_client, &mut bytes_out, &moved));
            let both = async {
                tokio::select! {
                    end = &mut down => {
                        if end != End::TakerGone {
                            // However it ends, the replica has ended before.
                            let _ = tokio::time::timeout(linger, up).await;
                        }
                        end
                    }
                    end = &mut up => if end == End::Closed { down.await } else { end },
                }
            };
            tokio::select! {
                end = both => end,
                () = silence(&moved, exchange.upgraded_idle()) => End::Silent,
            }
        };
        exchange.passed(bytes_in, bytes_out);
        match end {
            End::Closed => {}
            End::Silent => exchange.cut("tunnel_idle"),
            End::SenderGone | End::TakerGone => exchange.cut("tunnel_cut"),
        }
    }
}

/// Passes on `first` and then what comes until it ends, and tells the other side so.
async fn pass(
    first: Vec<u8>,
    sender: &mut (impl AsyncRead + Unpin),
    mut taker: impl AsyncWrite + Unpin,
    bytes: &mut u64,
    moved: &Cell<Mono>,
) -> End {
    let mut buffer = first;
    let mut read = buffer.len();
    let end = loop {
        if read > 0 {
            if write(&mut taker, &buffer[..read]).await.is_err() {
                return End::TakerGone;
            }
            *bytes += read as u64;
        }
        buffer.resize(BUFFER_BYTES.max(read), 0);
        match sender.read(&mut buffer).await {
            Ok(0) => break End::Closed,
            Ok(more) => {
                moved.set(SystemClock.mono());
                read = more;
            }
            Err(_) => break End::SenderGone,
        }
    };
    // Whoever has closed already need not be told.
    let _ = taker.shutdown().await;
    end
}

/// Writes all of it, also out of a stream that encrypts.
async fn write(taker: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    taker.write_all(bytes).await?;
    taker.flush().await
}

/// Waits until nothing has come from either side for so long; for ever when there is no such time.
async fn silence(moved: &Cell<Mono>, idle: Option<Duration>) {
    let Some(idle) = idle else {
        return std::future::pending().await;
    };
    loop {
        let quiet = SystemClock.mono().since(moved.get());
        if quiet >= idle {
            return;
        }
        tokio::time::sleep(idle - quiet).await;
    }
}

/// Takes what comes until it ends.
async fn discard(sender: &mut (impl AsyncRead + Unpin)) -> End {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match sender.read(&mut buffer).await {
            Ok(0) => return End::Closed,
            Ok(_) => {}
            Err(_) => return End::SenderGone,
        }
    }
}
