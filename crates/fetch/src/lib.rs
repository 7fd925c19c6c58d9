//! A small HTTP/1.1 client: one request, one answer, with limits on time and size.
//!
//! Map: an [`Address`] is where to, a [`Request`] what is asked and how long and how much, a [`Client`] asks and may keep connections, an
//! [`Answer`] is what came. [`Tls`] and [`dial`] are beneath it and serve other protocols, too.
//!
//! It does not know what is asked, nor what an answer means: a status of 500 is an answer. It spawns no task and starts no thread but for
//! reading files: who drops a request ends it, connection and all.
//!
//! Invariant: nothing of a header, a password or an address beyond its host and port can be printed, by errors or `Debug` (test `nothing_secret_is_shown`).
//! Invariant: a request that may have reached the other side is sent a second time only where its method says that this does no harm (test
//! `a_kept_connection_that_is_dead`).

mod address;
mod answer;
mod client;
mod dial;
mod error;
mod proxy;
mod request;
mod tls;

pub use address::Address;
pub use answer::{Answer, Body};
pub use client::Client;
pub use dial::{Stream, dial, dial_unix};
pub use error::FetchError;
pub use request::{Auth, Request};
pub use tls::{Identity, Prepared, Tls, TlsSettings};
