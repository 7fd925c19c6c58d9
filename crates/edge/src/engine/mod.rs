//! The HTTP/1 engine: reads requests from clients, carries them to replicas and the answers back.
//!
//! This module is the seam behind which the engine can be exchanged. What stands on the other side is [`crate::exchange::Exchange`],
//! which decides and remembers, and [`crate::worker::Worker`], which has the thread's pool of connections and log. An engine owes:
//! one `Exchange` for each request; `next` before each try, then `answered` or `failed`; the `Attempt` kept until the last byte;
//! `bytes_in` and `bytes_out`; and [`serve`] and [`Pool`] as below. This one stands on hyper; its own tasks carry the bytes.
//!
//! Smuggling: hyper parses strictly (no obs-fold, no bare CR, no signed or differing lengths), and the head is always written anew
//! from what was parsed. Of `Content-Length` beside `Transfer-Encoding` hyper keeps the latter only and closes the connection after
//! the response, which RFC 9112, 6.3 allows.

mod body;
mod connection;
mod forward;
mod headers;
mod upstream;

use std::time::Duration;

pub(crate) use connection::serve;
pub(crate) use upstream::Pool;

/// A client has so long to send the head of a request, counted from its first byte, or from connecting.
pub(crate) const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

/// A client's connection may be idle so long between requests.
pub(crate) const IDLE_TIME_MAX: Duration = Duration::from_secs(60);

/// A client may stop reading its response for so long.
pub(crate) const STALL_TIME_MAX: Duration = Duration::from_secs(60);

/// Once the edge drains, a connection without a request is closed after this; until then a request that crosses is still answered.
pub(crate) const DRAIN_IDLE: Duration = Duration::from_secs(2);

/// Bytes of a request's head, and of a response's: more is 431, or counts as malformed. nginx allows 32 KiB (`4 8k`).
pub(crate) const HEAD_BYTES_MAX: usize = 64 << 10;

/// A replica has so long to accept a connection: on this machine it takes microseconds, or the accept queue is full.
pub(crate) const CONNECT_TIME_MAX: Duration = Duration::from_secs(1);

/// A replica has so long to send the head of its response; nginx's `proxy_read_timeout`.
pub(crate) const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);
