//! Moves a body into a stream of HTTP/2, as fast as the other side takes it and no faster.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;

/// A piece of a body.
pub(super) enum Piece {
    Data(Bytes),
    /// What follows the body; nothing comes after.
    Trailers(HeaderMap),
}

/// A body as it comes.
pub(super) trait Pieces {
    /// Returns the next piece; none after the last. Asking again says that the piece before was passed on.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, Broken>>>;

    /// Moves what has to move beside it while nobody asks for the next piece, such as the rest of the request.
    fn poll_aside(&mut self, cx: &mut Context<'_>) {
        let _ = cx;
    }

    /// Says whether it is known that nothing follows.
    fn is_end(&self) -> bool;
}

/// A body ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// Why a body did not pass whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// It broke off where it came from.
    Source,
    /// Whoever should have got it does not want it any more.
    Taker,
    /// Whoever should have got it takes nothing for too long.
    Stalled,
    /// Nothing came from where it comes from for too long.
    Silent,
    /// It took too long as a whole.
    Overdue,
}

/// How long each side of a body is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    /// For whoever gets it to take some.
    pub(super) stall: Duration,
    /// For its next piece; for ever when absent.
    pub(super) silence: Option<Duration>,
}

/// Passes a body on to its end. `passed` is told of each piece's bytes.
pub(super) async fn pour(
    source: &mut impl Pieces,
    taker: &mut SendStream<Bytes>,
    Waits { stall, silence }: Waits,
    mut passed: impl FnMut(u64),
) -> Result<(), Cut> {
    loop {
        let mut coming = poll_fn(|cx| match source.poll_piece(cx) {
            Poll::Ready(piece) => Poll::Ready(piece.transpose().map_err(|Broken| Cut::Source)),
            // Nobody else would notice that it was reset while there is nothing to send.
            Poll::Pending => taker.poll_reset(cx).map(|_| Err(Cut::Taker)),
        });
        let piece = match silence {
            None => (&mut coming).await,
            // Boxed, for a timer is large and most have none.
            Some(wait) => Box::pin(tokio::time::timeout(wait, &mut coming))
                .await
                .unwrap_or(Err(Cut::Silent)),
        };
        match piece? {
            None => return taker.send_data(Bytes::new(), true).map_err(|_| Cut::Taker),
            Some(Piece::Trailers(trailers)) => return taker.send_trailers(trailers).map_err(|_| Cut::Taker),
            // What only says that the body ends here.
            Some(Piece::Data(bytes)) if bytes.is_empty() && source.is_end() => {
                return taker.send_data(bytes, true).map_err(|_| Cut::Taker);
            }
            Some(Piece::Data(bytes)) => {
                let length = bytes.len() as u64;
                let last = source.is_end();
                send(source, taker, bytes, last, stall).await?;
                passed(length);
                if last {
                    return Ok(());
                }
            }
        }
    }
}

async fn send(
    source: &mut impl Pieces,
    taker: &mut SendStream<Bytes>,
    mut bytes: Bytes,
    last: bool,
    stall: Duration,
) -> Result<(), Cut> {
    while !bytes.is_empty() {
        taker.reserve_capacity(bytes.len());
        if taker.capacity() == 0 {
            // Boxed, for it is rare, and a timer is large.
            // A replica may give no more of its answer before it has got more of the request, nor take more before it has given some.
            let room = poll_fn(|cx| {
                source.poll_aside(cx);
                taker.poll_capacity(cx)
            });
            match Box::pin(tokio::time::timeout(stall, room)).await {
                Ok(Some(Ok(_))) => {}
                Ok(_) => return Err(Cut::Taker),
                Err(_) => {
                    taker.send_reset(Reason::CANCEL);
                    return Err(Cut::Stalled);
                }
            }
        }
        let part = bytes.split_to(taker.capacity().min(bytes.len()));
        if !part.is_empty() {
            taker
                .send_data(part, last && bytes.is_empty())
                .map_err(|_| Cut::Taker)?;
        }
    }
    Ok(())
}
