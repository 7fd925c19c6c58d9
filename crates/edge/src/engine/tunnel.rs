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

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tend_base::{Clock, Mono, SystemClock};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::forward::Client;
use super::upstream::Lease;
use crate::exchange::{Attempt, Exchange};

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

/// Carries the bytes on a task of its own; in flight on the replica all the while.
pub(super) fn carry(
    client: &Client,
    client_side: OnUpgrade,
    replica_side: OnUpgrade,
    attempt: Attempt,
    mut exchange: Exchange,
    lease: Lease,
) {
    let guard = client.worker.opened();
    let linger = client.worker.patience.linger;
    tokio::task::spawn_local(async move {
        let _held = (guard, attempt, lease);
        let (Ok(theirs), Ok(ours)) = tokio::join!(client_side, replica_side) else {
            exchange.cut("upgrade_failed");
            return;
        };
        let (mut from_client, to_client) = tokio::io::split(TokioIo::new(theirs));
        let (mut from_replica, to_replica) = tokio::io::split(TokioIo::new(ours));
        let (mut bytes_in, mut bytes_out) = (0, 0);
        let moved = Cell::new(SystemClock.now().mono);
        let end = {
            let mut up = pin!(async {
                match pass(&mut from_client, to_replica, &mut bytes_in, &moved).await {
                    // The replica may have said something before it went, which the client is to get.
                    End::TakerGone => discard(&mut from_client).await,
                    end => end,
                }
            });
            let mut down = pin!(pass(&mut from_replica, to_client, &mut bytes_out, &moved));
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
    });
}

/// Passes on what comes until it ends, and then tells the other side so.
async fn pass(
    sender: &mut (impl AsyncRead + Unpin),
    mut taker: impl AsyncWrite + Unpin,
    bytes: &mut u64,
    moved: &Cell<Mono>,
) -> End {
    let mut buffer = vec![0; BUFFER_BYTES];
    let end = loop {
        match sender.read(&mut buffer).await {
            Ok(0) => break End::Closed,
            Ok(read) => {
                moved.set(SystemClock.now().mono);
                if taker.write_all(&buffer[..read]).await.is_err() {
                    return End::TakerGone;
                }
                *bytes += read as u64;
            }
            Err(_) => break End::SenderGone,
        }
    };
    // Whoever has closed already need not be told.
    let _ = taker.shutdown().await;
    end
}

/// Waits until nothing has come from either side for so long; for ever when there is no such time.
async fn silence(moved: &Cell<Mono>, idle: Option<Duration>) {
    let Some(idle) = idle else {
        return std::future::pending().await;
    };
    loop {
        let quiet = SystemClock.now().mono.since(moved.get());
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
