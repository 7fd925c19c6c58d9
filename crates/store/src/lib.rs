//! The journal and the daemon's state in SQLite.
//!
//! Map: [`Store`] is the one writer (its thread commits what many callers hand in at once), [`Reader`] asks, [`verify`] checks a journal
//! offline or while it is written, [`MachineKey`] signs its head, [`Anchors`] is the file outside the database where the head is
//! kept; [`Seal`] keeps documents unreadable for who has the database alone. The events themselves are values of `tend_core::journal`; the bytes are described in `docs/reference/format-journal.md`.
//!
//! Invariant: what was acknowledged is in the journal, whatever is killed afterwards (test `nothing_acknowledged_is_lost_by_kill_9`).
//! Invariant: what could not be written is said, to whoever waits or by an event `journal.gap` (tests of `full_disk`).
//! Invariant: one writer at a time (tests of `lease`).

mod anchoring;
mod anchors;
mod batch;
mod error;
mod key;
mod lease;
mod queue;
mod reader;
mod schema;
mod sealing;
mod select;
mod store;
mod transaction;
mod verify;
mod writer;

pub use anchors::Anchors;
pub use batch::{Batch, Committed, Document, Pruned};
pub use error::Error;
pub use key::{MachineKey, PublicKey};
pub use lease::Holder;
pub use reader::{Reader, RowName, Tail};
pub use sealing::Seal;
pub use store::{Files, Options, Status, Store, Ticket};
pub use tend_core::controller::DocumentKind;
pub use verify::verify;
