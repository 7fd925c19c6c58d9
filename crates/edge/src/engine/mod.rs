//! The HTTP/1 engine: reads requests from clients, carries them to replicas and the answers back.
//!
//! This module is the seam behind which the engine can be exchanged. What stands on the other side is [`crate::exchange::Exchange`],
//! which decides and remembers, and [`crate::worker::Worker`], which has the thread's pool of connections and log. An engine owes:
//! one `Exchange` for each request; `next` before each try, then `answered` or `failed`; the `Attempt` kept until the last byte;
//! `bytes_in` and `bytes_out`; and [`serve`] and [`Pool`] as below. This one stands on hyper; its own tasks carry the bytes.
//!
//! Smuggling: hyper parses strictly (no obs-fold, no bare CR, no signed or differing lengths), and the head is always written anew
//! from what was parsed. `Content-Length` beside `Transfer-Encoding` is refused with 400; only behind another request in one
//! packet, where hyper hides it, is the former dropped and the connection closed after the response (RFC 9112, 6.3 allows both).
//!
//! HTTP/2 is the business of [`h2`], which owes and is owed the same.

mod body;
mod connection;
mod forward;
pub(crate) mod h2;
mod headers;
mod tunnel;
mod upstream;

pub(crate) use connection::serve;
pub(crate) use upstream::Pool;
