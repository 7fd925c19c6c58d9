//! The encrypted store of secrets: what each stack keeps secret, by version, on disk in the age format.
//!
//! Owns the versions and what may become of each, the keys the store opens with, and its files. Knows no stack file, no process
//! and no journal: who is given which version is the daemon's decision.
//!
//! Map: `book` the secrets of one stack as a value; `draw` random values; `cipher` the age format; `key` the keys; `store` the
//! files; `state_key` what seals the daemon's state; `error` what can go wrong.
//!
//! Invariants: a file of the store is the old one or the new one, whatever is killed (tests of module `killed`); a retired value is
//! given to nobody (test `a_retired_version_is_given_to_nobody`); no value is in any error or `Debug` (test `nothing_prints_a_value`).

mod book;
mod cipher;
mod draw;
mod error;
mod key;
mod state_key;
mod store;

pub use book::{Book, Class, DUE_DAYS, Kept, Origin, State, Stored, VALUE_BYTES_MAX, Version};
pub use draw::{DRAW_BYTES, Format, Recipe};
pub use error::SecretsError;
pub use key::{PASSPHRASE_CREDENTIAL, Passphrase, RecoveryKey};
pub use state_key::StateKey;
pub use store::Store;
