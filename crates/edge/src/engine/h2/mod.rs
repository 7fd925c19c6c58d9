//! HTTP/2: from clients that agreed on it in the handshake, or begin with it where there is none, and to replicas that are said to speak it.
//!
//! Map: `front` is a client's connection, `request` one of its streams on the way to a replica and back; `link` the connections to
//! replicas that speak HTTP/2, `plain` a request with one that does not, `bridge` how clients of HTTP/1 reach the former; `body`,
//! `inlet` and `pour` move bodies and trailers, `coded` compresses them, `fields` what is done to heads; `websocket` is a stream that
//! becomes one; `deferred` lets many streams share one write.
//!
//! It stands on the `h2` crate, which speaks the protocol and bounds what one peer can make us keep: header lists, CONTINUATION
//! frames, empty and tiny DATA frames, answers to PING and SETTINGS (none is read while one cannot be written), streams that are reset
//! before they are looked at. What is left to us is a client that lets us look and then resets: see [`calm`].
//!
//! Invariant: nothing is read that cannot be passed on: a body waits in the windows of HTTP/2, which are never larger than
//! `STREAM_WINDOW` for each stream (test `a_response_that_is_not_read_is_not_collected`).

mod body;
mod bridge;
mod calm;
mod coded;
mod deferred;
pub(super) mod fields;
mod front;
mod inlet;
mod link;
mod plain;
mod pour;
mod request;
mod websocket;
mod within;

use crate::live::Live;

pub(super) use bridge::bridge;
pub(crate) use front::serve;

/// What a client of HTTP/2 says first (RFC 9113, 3.4). As HTTP/1 it is a request that nobody makes.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of one stream's body that may be under way to us.
const STREAM_WINDOW: u32 = 256 << 10;

/// Bytes of one stream's body that may wait to be sent by us.
const STREAM_SEND_BYTES_MAX: usize = crate::limits::BUFFER_BYTES_MAX;

/// The connections of one thread to replicas of HTTP/2.
#[derive(Default)]
pub(crate) struct Upstreams {
    links: link::Links,
}

impl Upstreams {
    /// Leaves the replicas that get no more requests; what is open there is finished.
    pub(crate) fn keep_only(&self, live: &Live) {
        let ready: std::collections::HashSet<u64> = live.ready().map(|replica| replica.number).collect();
        self.links.keep_only(&ready);
    }
}
