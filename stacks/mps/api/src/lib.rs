//! The API of the member payment system `mps`.
//!
//! A request goes [`http`] → [`worker`] (one database thread, or a pool) → [`ledger`] (the rules) → [`db`] (statements on
//! SQLite or PostgreSQL), and is answered when what it changed is durable. The service stands alone: it knows nothing of
//! `tend` but the environment variables a replica gets.
//!
//! Invariant: a request answered 2xx is in the books after kill -9 and power loss (tests `tests/durability.rs`).

mod breakage;
mod clock;
mod config;
pub mod db;
mod error;
pub mod http;
pub mod ledger;
pub mod live;
mod log;
mod metrics;
pub mod migrate;
mod money;
mod token;
pub mod worker;

pub use breakage::Breakage;
pub use config::{Config, DatabaseUrl};
pub use error::Error;
pub use live::Live;
pub use log::Log;
pub use metrics::{Metrics, Now};
