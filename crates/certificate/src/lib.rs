//! A TLS certificate as a value: what its files say, and when it is due to be replaced.
//!
//! Map: [`Certificate::read`] reads a chain and its key, `der` the few fields no library hands out, [`Facts`] for whom it is; [`next`] decides when another is
//! asked for, by what is kept of earlier tries ([`History`]), and [`Warning`] when people have to hear of it.
//!
//! Opens no file and no connection, and reads no clock: who calls it brings the bytes and the time.
//!
//! Invariant: no input makes it panic (test `no_bytes_make_it_panic`); a key cannot be formatted, for none is kept.

mod certificate;
mod der;
mod error;
mod history;
mod names;
mod renewal;
mod subject;

pub use certificate::Certificate;
pub use error::CertificateError;
pub use history::{History, Outcome, Try};
pub use names::{Names, covers, is_name};
pub use renewal::{Asked, Due, Held, Reason, Warning, next, renew_at};
pub use subject::Facts;
