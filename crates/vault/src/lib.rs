//! Vault's KV v2 as a source of secrets, and OpenBao's, which speaks the same.
//!
//! Owns how one logs in (a token, AppRole), keeps a token alive, reads, writes and lists, and what is told while the server is sealed,
//! away or refuses. Knows no stack file, no store of secrets and no replica: what becomes of a value that was read is the daemon's to say.
//!
//! Map: [`Session`] what to ask next, given the time and the last answer (pure); `wire` requests and answers as values (pure);
//! [`Client`] one request over hyper and rustls; [`Filled`] the first fill of a path; [`Credential`] where a token or an id is; [`Address`] and [`KvPath`] what people write;
//! `error` what can go wrong.
//!
//! Invariants: a server that is sealed, away or refuses never makes a value that was read go away (test
//! `nothing_but_a_new_version_is_news`); no value and no token is in any error or `Debug` (test `nothing_prints_a_value`); what a server
//! answers is bounded in size, depth and time (module `limits` of the tests).
//!
//! Tried on OpenBao 2.7 (`cargo xtask conformance vault`), and in every test run on a server of our own that answers as that one was
//! seen to. **HashiCorp's Vault itself has not been used**: what it does is taken from its documentation, and from OpenBao being its
//! continuation.

mod address;
mod client;
mod credential;
mod error;
mod exchange;
mod fields;
mod fill;
mod path;
mod session;
mod standing;
mod wire;

pub use address::{Address, Namespace};
pub use client::{Client, Login};
pub use credential::Credential;
pub use error::{Failure, Trouble, VaultError};
pub use fields::{Field, Fields};
pub use fill::Filled;
pub use path::KvPath;
pub use session::{Answer, Ask, EVERY, Method, News, Next, Session};
pub use standing::{Condition, Freshness, PathStanding, Standing};
pub use wire::{Lease, Metadata, Reading, Token, Version};
