//! A service's configuration while it runs, from tend's watch endpoint.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tend_config_client::Client;
//! let client = Client::from_environment() // TEND_CONFIG_SOCKET; none outside of tend
//!     .map(|client| {
//!         client
//!             .check(|set| set.get("limits.orders").map_or(Ok(()), |max| max.as_u64().map(drop).ok_or("not a number".into())))
//!             .on("limits.*", |change| Ok(println!("{} is {:?} now", change.key, change.new)))
//!             .start()
//!     })
//!     .transpose()?;
//! # drop(client); Ok(()) }
//! ```
//!
//! One blocking thread reads the stream, reconnects, and keeps what was last known good. The protocol is in
//! `docs/reference/config-watch.md`. Knows nothing of where a value comes from; depends on no crate of tend.
//!
//! Invariants: a set is held whole or not at all (test `a_set_that_fails_its_check_is_not_held`); one callback that fails, or
//! panics, does not keep the others from running (test `one_callback_that_panics_does_not_stop_the_rest`).

mod client;
mod error;
mod set;
mod wire;

pub use client::{Builder, Client, Verdict};
pub use error::Error;
pub use set::{Change, Set};
