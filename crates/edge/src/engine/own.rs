//! Writes what the edge answers by itself, and gets the rest of the request out of the way.

use std::fs::File;
use std::future::poll_fn;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tend_http1::Version;
use tokio::io::AsyncWrite;

use super::buffer::{BUFFER_BYTES, Outgoing};
use super::desk::{Desk, Things};
use super::head;
use super::serve::{After, Client};
use super::upload::{Upload, Way};
use crate::answer::{OwnAnswer, OwnBody};
use crate::exchange::Exchange;

/// A body of no more bytes goes into one call with its head.
const JOINED_BYTES_MAX: usize = 16 << 10;

/// What is left to be written of a body.
enum Rest {
    Bytes(Bytes),
    File { file: File, offset: u64, left: u64 },
}

/// Answers, and says what becomes of the connection.
pub(super) async fn answer(
    client: &mut Client,
    desk: &mut Desk,
    exchange: &mut Exchange,
    upload: &mut Upload,
    mut answer: Box<OwnAnswer>,
) -> After {
    let things = &mut **desk;
    exchange.answered_by_edge(&mut answer, &head::asked_fields(things.request.fields()));
    upload.settle(&mut things.from_client);
    // Who waits to be told to go on may send the body or may not.
    let is_in_doubt = things.request.expects_continue() && !upload.is_over();
    let is_certain = !answer.close;
    let keeps =
        is_certain && !client.worker.is_draining() && things.request.keeps() && upload.can_be_dropped() && !is_in_doubt;
    let connection = match (keeps, things.request.version()) {
        (false, _) => Some("close"),
        (true, Version::Http10) => Some("keep-alive"),
        (true, Version::Http11) => None,
    };
    let length = match &answer.body {
        OwnBody::Bytes(bytes) => bytes.len() as u64,
        OwnBody::File { bytes, .. } => *bytes,
    };
    let date = &client.worker.shop.date;
    head::own(things.to_client.end(), &answer, exchange, length, connection, date);
    let mut rest = if things.request.method() == "HEAD" {
        Rest::Bytes(Bytes::new())
    } else {
        match answer.body {
            OwnBody::Bytes(bytes) => Rest::Bytes(bytes),
            OwnBody::File { file, offset, bytes } => Rest::File {
                file,
                offset,
                left: bytes,
            },
        }
    };
    // Whatever is late is still told so; what takes its time is a file.
    if matches!(rest, Rest::Bytes(_)) {
        client.deadline.bind(None);
    }
    let stall = exchange.patience().stall;
    let mut stalled: Option<u64> = None;
    let mut written: u64 = 0;
    client.deadline.clear();
    let sent = poll_fn(|cx| {
        let outcome = rest.poll(cx, &mut client.stream, &mut desk.to_client, &mut written);
        if let Poll::Ready(outcome) = outcome {
            return Poll::Ready(outcome);
        }
        if stalled.replace(written) != Some(written) {
            client.deadline.set(&client.worker.shop.deadlines, stall);
        }
        if client.deadline.has_passed(cx) {
            return Poll::Ready(Err(()));
        }
        Poll::Pending
    })
    .await;
    exchange.passed(upload.bytes(), length - rest.left());
    if sent.is_err() {
        let is_overdue = client.deadline.is_overdue(&client.worker.shop.deadlines);
        exchange.cut(if is_overdue { "request_overdue" } else { "client_cut" });
        return After::Close;
    }
    if !keeps {
        // Whoever has said all it had to say is not listened to any more.
        let is_done = is_certain && upload.is_over() && desk.from_client.is_empty();
        return if is_done { After::Close } else { After::Linger };
    }
    if upload.is_over() {
        return After::Next;
    }
    let mut bytes_dropped = 0;
    client
        .deadline
        .set(&client.worker.shop.deadlines, exchange.patience().body);
    let dropped = poll_fn(|cx| {
        let Things {
            from_client, trailers, ..
        } = &mut **desk;
        let mut way = Way {
            client: &mut client.stream,
            from_client,
            trailers,
        };
        match upload.poll_drop(cx, &mut way, &mut bytes_dropped) {
            Poll::Ready(outcome) => Poll::Ready(outcome.is_ok()),
            Poll::Pending if client.deadline.has_passed(cx) => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    if dropped { After::Next } else { After::Linger }
}

impl Rest {
    fn left(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { left, .. } => *left,
        }
    }

    /// Writes `out` and then the body.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut (impl AsyncWrite + Unpin),
        out: &mut Outgoing,
        written: &mut u64,
    ) -> Poll<Result<(), ()>> {
        loop {
            match self {
                Self::Bytes(bytes) => {
                    if !out.is_empty() && bytes.len() <= JOINED_BYTES_MAX {
                        out.end().extend_from_slice(bytes);
                        bytes.clear();
                    }
                }
                Self::File { file, offset, left } => {
                    if *left > 0 && !out.is_full() {
                        let begin = out.end().len();
                        let piece = usize::try_from(*left).unwrap_or(usize::MAX).min(BUFFER_BYTES);
                        out.end().resize(begin + piece, 0);
                        // What the file lacks by now cuts the response.
                        let read = file.read_at(&mut out.end()[begin..], *offset).unwrap_or(0);
                        out.end().truncate(begin + read);
                        if read == 0 {
                            return Poll::Ready(Err(()));
                        }
                        *offset += read as u64;
                        *left -= read as u64;
                    }
                }
            }
            if !out.is_empty() {
                ready!(out.poll_flush(cx, client, |bytes| *written += bytes as u64)).map_err(|_| ())?;
                continue;
            }
            match self {
                Self::Bytes(bytes) if !bytes.is_empty() => match ready!(Pin::new(&mut *client).poll_write(cx, bytes)) {
                    Ok(count) if count > 0 => {
                        bytes.advance(count);
                        *written += count as u64;
                    }
                    _ => return Poll::Ready(Err(())),
                },
                Self::File { left, .. } if *left > 0 => {}
                _ => return Pin::new(client).poll_flush(cx).map_err(|_| ()),
            }
        }
    }
}
