//! A client's connection: waits for requests, one after the other, and ends.
//!
//! ```text
//! idle ──first byte──► head ──all of it──► carried ──answered──► idle, or ended
//!  └── the preface of HTTP/2, as the first bytes of a connection without TLS ──► engine::h2
//! ```

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use tend_http1::{Http1Error, Limits, Scan};
use tokio::io::AsyncWrite;

use super::buffer::Buffer;
use super::carry::carry;
use super::deadline::Deadline;
use super::desk::Desk;
use super::{h2, tunnel, watch};
use crate::limits::{REQUEST_HEAD_BYTES_MAX, REQUEST_TARGET_BYTES_MAX};
use crate::stream::Stream;
use crate::tls::ClientCertificate;
use crate::worker::{Accepted, Worker};

const LIMITS: Limits = Limits {
    head_bytes_max: REQUEST_HEAD_BYTES_MAX,
    target_bytes_max: REQUEST_TARGET_BYTES_MAX,
};

/// What is read and dropped of a client that goes on sending after its answer: more than lies in the buffers of both kernels at most (Linux:
/// `tcp_wmem` 4 MiB, `tcp_rmem` 6 MiB), so that a client that looks has seen the answer by then.
const LINGER_BYTES_MAX: usize = 16 << 20;

/// A client's connection and what its requests have in common.
pub(super) struct Client {
    pub(super) worker: Rc<Worker>,
    pub(super) stream: Stream,
    pub(super) deadline: Deadline,
    pub(super) peer: SocketAddr,
    pub(super) listener: SocketAddr,
    pub(super) client_certificate: Option<Rc<ClientCertificate>>,
}

/// What becomes of a connection after a request.
pub(super) enum After {
    /// The next request.
    Next,
    /// Nothing more is to be said or heard.
    Close,
    /// The client may still be sending: what it was told would be lost if the connection were just closed.
    Linger,
    /// It is not HTTP any more.
    Tunnel(Box<tunnel::Tunnel>),
}

/// What a connection has become.
enum Became {
    Nothing,
    /// Something else than HTTP.
    Tunnel(Box<tunnel::Tunnel>),
    /// HTTP/2, of which these bytes were read.
    Http2(Vec<u8>),
}

/// Serves a connection until it ends. Not an `async fn`: what it is given would keep room beside what is made of it.
pub(crate) fn serve(worker: Rc<Worker>, accepted: Accepted) -> impl Future<Output = ()> {
    let open = (accepted.open, accepted.place);
    let mut client = Client {
        deadline: worker.shop.deadlines.add(),
        worker,
        stream: accepted.stream,
        peer: accepted.peer,
        listener: accepted.listener,
        client_certificate: accepted.client_certificate,
    };
    watch(&client.worker);
    async move {
        match client.requests().await {
            // Boxed, so that connections that are none have no room for it.
            Became::Tunnel(tunnel) => Box::pin(tunnel.run(client.stream)).await,
            // On a task of its own, for the same reason.
            Became::Http2(first) => {
                tokio::task::spawn_local(h2::serve(
                    client.worker,
                    Accepted {
                        stream: client.stream,
                        client_certificate: client.client_certificate,
                        open: open.0,
                        peer: client.peer,
                        listener: client.listener,
                        place: open.1,
                    },
                    first,
                ));
                return;
            }
            Became::Nothing => client.stream.farewell(),
        }
        drop(open);
    }
}

impl Client {
    /// Answers one request after the other; returns what the connection has become.
    async fn requests(&mut self) -> Became {
        // From connecting to the first head a client has as long as for a head.
        let patience = self.worker.patience;
        self.deadline.set(&self.worker.shop.deadlines, patience.head);
        // With TLS the version is agreed on in the handshake (RFC 9113, 3.3), and no other is spoken.
        let mut may_be_http2 = !self.stream.is_secure();
        loop {
            let Some(mut desk) = self.first_bytes().await else {
                return Became::Nothing;
            };
            if std::mem::take(&mut may_be_http2) && desk.from_client.filled().starts_with(b"P") {
                match self.is_http2(&mut desk).await {
                    Some(false) => {}
                    Some(true) => {
                        let first = desk.from_client.filled().to_vec();
                        self.worker.shop.desks.give(desk);
                        return Became::Http2(first);
                    }
                    None => return Became::Nothing,
                }
            }
            loop {
                let Some(read) = self.head(&mut desk).await else {
                    return Became::Nothing;
                };
                self.deadline.clear();
                let after = carry(self, &mut desk, read).await;
                self.deadline.bind(None);
                match after {
                    After::Next => {}
                    After::Close => {
                        self.worker.shop.desks.give(desk);
                        return Became::Nothing;
                    }
                    After::Linger => {
                        self.linger(&mut desk).await;
                        return Became::Nothing;
                    }
                    After::Tunnel(tunnel) => {
                        self.worker.shop.desks.give(desk);
                        return Became::Tunnel(tunnel);
                    }
                }
                if desk.from_client.is_empty() {
                    break;
                }
            }
            self.worker.shop.desks.give(desk);
            let idle = if self.worker.is_draining() {
                patience.drain_idle
            } else {
                patience.idle
            };
            self.deadline.set_idle(&self.worker.shop.deadlines, idle);
        }
    }

    /// Waits for the first bytes of a request; none when the connection ended. Nothing but the connection itself is held meanwhile.
    async fn first_bytes(&mut self) -> Option<Desk> {
        poll_fn(|cx| {
            let mut first = Buffer::default();
            match first.poll_fill(cx, &mut self.stream) {
                Poll::Ready(Ok(read)) if read > 0 => {
                    let mut desk = self.worker.shop.desks.take();
                    desk.from_client = first;
                    return Poll::Ready(Some(desk));
                }
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => {}
            }
            if self.deadline.has_passed(cx) {
                return Poll::Ready(None);
            }
            Poll::Pending
        })
        .await
    }

    /// Says whether the client speaks HTTP/2, as soon as the bytes tell; nothing when the connection ended or took too long before. Still
    /// within the time for the first head.
    async fn is_http2(&mut self, desk: &mut Desk) -> Option<bool> {
        poll_fn(|cx| {
            loop {
                let come = desk.from_client.filled();
                let looked_at = come.len().min(h2::PREFACE.len());
                if come[..looked_at] != h2::PREFACE[..looked_at] {
                    return Poll::Ready(Some(false));
                }
                if looked_at == h2::PREFACE.len() {
                    return Poll::Ready(Some(true));
                }
                match desk.from_client.poll_fill(cx, &mut self.stream) {
                    Poll::Ready(Ok(read)) if read > 0 => {}
                    Poll::Ready(_) => return Poll::Ready(None),
                    Poll::Pending if self.deadline.has_passed(cx) => return Poll::Ready(None),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Reads the head of a request, or why there is none; nothing when the connection ended or took too long.
    async fn head(&mut self, desk: &mut Desk) -> Option<Result<(), Http1Error>> {
        desk.scan = Scan::default();
        let mut is_slow = false;
        poll_fn(|cx| {
            let desk = &mut **desk;
            loop {
                let outcome = desk.request.read(&mut desk.scan, desk.from_client.filled(), &LIMITS);
                match outcome {
                    Ok(None) => {}
                    Ok(Some(bytes)) => {
                        desk.from_client.consume(bytes);
                        return Poll::Ready(Some(Ok(())));
                    }
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
                // The usual head comes in one piece and never gets here.
                if !is_slow {
                    is_slow = true;
                    let head = self.worker.patience.head;
                    self.deadline.set(&self.worker.shop.deadlines, head);
                }
                desk.from_client.grow(REQUEST_HEAD_BYTES_MAX + 1);
                match desk.from_client.poll_fill(cx, &mut self.stream) {
                    Poll::Ready(Ok(read)) if read > 0 => {}
                    Poll::Ready(_) => return Poll::Ready(None),
                    Poll::Pending if self.deadline.has_passed(cx) => return Poll::Ready(None),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Says that nothing more comes, and drops what the client still sends, for a while and so much: closed with bytes unread, the kernel
    /// would reset the connection and the client might never see its answer.
    async fn linger(&mut self, desk: &mut Desk) {
        let patience = self.worker.patience;
        let wait = if self.worker.is_draining() {
            patience.linger.min(patience.drain_idle)
        } else {
            patience.linger
        };
        self.deadline.set_idle(&self.worker.shop.deadlines, wait);
        let mut dropped = 0;
        poll_fn(|cx| {
            // Whoever has closed already need not be told.
            let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
            loop {
                desk.from_client.clear();
                match desk.from_client.poll_fill(cx, &mut self.stream) {
                    Poll::Ready(Ok(read)) if read > 0 && dropped < LINGER_BYTES_MAX => dropped += read,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending if self.deadline.has_passed(cx) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how much room a connection's task needs.
    fn size_of_future<F>(_: impl FnOnce(Rc<Worker>, Accepted) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_that_idles_takes_little_room() {
        // Measured when it was written, with some room: what a request needs is on its desk. A field more is fine; a buffer or a
        // second future in it is not.
        let size = size_of_future(serve);
        assert!(size <= 1800, "{size} bytes");
    }
}
