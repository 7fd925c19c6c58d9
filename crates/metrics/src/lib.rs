//! The store of metrics: samples in memory, a log of what is not yet in a block, blocks on disk. It does not know who is scraped, nor what
//! a query means; `tend-promql` asks it through its trait `Store`.
//!
//! Map: [`MetricStore`] is the whole, [`Feed`] what one target sends. `chunk`, `group`, `record` and `index` are bytes and values and could be
//! anywhere; `head` is one target in memory, `catalog` all of them by name; `wal` and `block` own files; `feed`, `select`, `upkeep` and
//! `replay` are what is done with it all: samples come in, are asked for, grow old, and are found again.
//!
//! The form of the files stands in `docs/reference/format-metrics.md`, why all is as it is in `docs/design/0410-metrics-store.md`.
//!
//! Invariants: whatever kills the process, the next one opens the store, and has all that was synced (test `kills`); a full disk loses
//! nothing that is served, and the store comes back by itself (`full_disk`); no bytes on the disk make it panic
//! (`no_bytes_on_the_disk_make_it_panic`); a value comes back bit by bit, but for NaNs (`each_value_comes_back_bit_by_bit`).

mod bits;
mod block;
mod catalog;
mod chunk;
mod error;
mod feed;
mod group;
mod head;
mod index;
mod lock;
mod record;
mod replay;
mod select;
mod store;
mod upkeep;
mod varint;
mod wal;

pub use error::{Error, Refusal};
pub use feed::{Committed, Feed, Scraped};
pub use replay::Recovered;
pub use store::{MetricStore, Options, Status};
pub use upkeep::Maintained;
