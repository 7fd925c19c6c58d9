//! A connection between being accepted and being served: who is let in, as whom, and how many of one client.
//!
//! ```text
//! accepted ── banned? ── PROXY header, where the listener asks for it ── banned? ── too many of this client? ──► engine
//!                └────────────────────┴─────────────────────────────────────┴─────────────────┴──► closed without a word
//! ```
//!
//! All of it comes before TLS and before a byte of HTTP is read, so a client that is not let in costs next to nothing. Closed without
//! a word: an answer would have to be encrypted first, and a client that keeps beyond its connections is not helped by one.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use tend_routing::{PROXY_HEADER_BYTES_MAX, ProxyHeader, proxy_header};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::engine;
use crate::stream::Stream;
use crate::tls::{self, ClientCertificate};
use crate::worker::{Accepted, OpenGuard, Worker};
use crate::zone::Going;

/// A connection that is let in, of which nothing was read but the PROXY header.
pub(crate) struct Arrived {
    pub(crate) socket: TcpStream,
    open: OpenGuard,
    peer: SocketAddr,
    listener: SocketAddr,
    place: Option<Rc<Going>>,
}

impl Arrived {
    /// Returns it as engines get it, once it is known what is spoken.
    pub(crate) fn speaking(
        self,
        stream: impl FnOnce(TcpStream) -> Stream,
        client_certificate: Option<Rc<ClientCertificate>>,
    ) -> Accepted {
        Accepted {
            stream: stream(self.socket),
            client_certificate,
            open: self.open,
            peer: self.peer,
            listener: self.listener,
            place: self.place,
        }
    }
}

/// Serves a connection that was just accepted, or closes it.
pub(crate) fn receive(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr, listener: SocketAddr) {
    let live = worker.live();
    if is_banned(worker, peer) {
        return;
    }
    match live.door(listener) {
        Some(door) if door.listener.proxy_protocol => {
            let trusted = door.trusts(peer.ip());
            let worker = worker.clone();
            tokio::task::spawn_local(async move {
                let mut stream = stream;
                let reading = source_of(&mut stream);
                let Ok(Some(source)) = tokio::time::timeout(worker.patience.head, reading).await else {
                    worker.shared.proxy_headers_bad.fetch_add(1, Ordering::Relaxed);
                    return;
                };
                // The header has to be there from anybody; who is not trusted is not believed.
                let peer = source.filter(|_| trusted).unwrap_or(peer);
                if !is_banned(&worker, peer)
                    && let Some(accepted) = count(&worker, stream, peer, listener)
                {
                    begin(&worker, accepted);
                }
            });
        }
        _ => {
            if let Some(accepted) = count(worker, stream, peer, listener) {
                begin(worker, accepted);
            }
        }
    }
}

/// Has the connection served by whoever speaks what is spoken there.
fn begin(worker: &Rc<Worker>, accepted: Arrived) {
    let tls = worker.live().tls.listener(accepted.listener);
    match tls {
        Some(config) => tokio::task::spawn_local(tls::greet(worker.clone(), accepted, config)),
        None => {
            let accepted = accepted.speaking(Stream::Plain, None);
            tokio::task::spawn_local(engine::serve(worker.clone(), accepted))
        }
    };
}

fn is_banned(worker: &Worker, peer: SocketAddr) -> bool {
    let live = worker.live();
    let banned = live.bans.as_ref().is_some_and(|bans| bans.has(peer.ip()));
    if banned {
        worker.shared.banned.fetch_add(1, Ordering::Relaxed);
    }
    banned
}

/// Counts the connection among those of its client; none when there are as many as there may be.
fn count(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr, listener: SocketAddr) -> Option<Arrived> {
    let live = worker.live();
    let place = match live.door(listener) {
        Some(door) => door.enter(peer).ok()?,
        None => None,
    };
    Some(Arrived {
        socket: stream,
        open: worker.opened(),
        peer,
        listener,
        place,
    })
}

/// Reads the PROXY header and not a byte more; none when there is none. What it gives is who connected to the proxy, where that is said.
async fn source_of(stream: &mut TcpStream) -> Option<Option<SocketAddr>> {
    let mut header = Vec::new();
    loop {
        match proxy_header(&header).ok()? {
            ProxyHeader::Complete { source, .. } => return Some(source),
            ProxyHeader::Incomplete { more } => {
                let read = header.len();
                header.resize((read + more).min(PROXY_HEADER_BYTES_MAX), 0);
                stream.read_exact(&mut header[read..]).await.ok()?;
            }
        }
    }
}
