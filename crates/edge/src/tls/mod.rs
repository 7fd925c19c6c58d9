//! TLS towards clients: which certificate is shown, who is asked for one, and how a connection begins; and towards servers that tend does not
//! run.
//!
//! Map: `live` is what a snapshot says, made ready; `certificate` reads files;
//! `shown` chooses by the name a client asks for; `ticket` lets clients come back cheaply; `handshake` begins a connection and
//! hands it on as a [`TlsStream`]; `counts` what became of it. `server` is the other side. Knows no HTTP but the protocol's name.
//!
//! Invariant: a ticket is good only where the same is asked of clients as where it was given out
//! (test `a_ticket_of_a_listener_that_asks_no_certificate_opens_no_other`).

mod certificate;
mod client;
mod counts;
mod handshake;
mod live;
mod server;
mod shown;
mod stream;
mod ticket;

pub(crate) use client::{CLIENT_FIELDS, ClientCertificate, SUBJECT_FIELD, VERIFY_FIELD};
pub(crate) use counts::Handshakes;
pub(crate) use handshake::greet;
pub(crate) use live::LiveTls;
pub use server::check_authorities;
pub(crate) use server::{ServerSide, Toward};
pub(crate) use stream::TlsStream;
pub(crate) use ticket::{TicketKeys, keep_turning};
