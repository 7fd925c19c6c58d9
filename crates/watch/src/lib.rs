//! How a configuration that changed reaches a replica that runs.
//!
//! Three parts that know nothing of each other, joined by the daemon: [`FileWatch`] tells when files of configuration have
//! changed, [`Endpoint`] serves each replica its revisions and hears what became of them, [`write_rendered`] puts a text where
//! a replica reads it. What a value means, which revision is right and who gets what is decided elsewhere.
//!
//! Map: `revision` what is served, what differs between two, what a subscriber chose; `board` the newest revision of one
//! replica and those before; `protocol` texts on the wire; `socket` a unix socket of one owner; `endpoint` the handle and the
//! thread; `serve` requests; `events` the stream; `files` watching files; `rendered` files for replicas.
//!
//! Invariants: no reader makes memory grow (test `a_reader_that_stands_still_costs_nothing_and_then_gets_the_newest`); what
//! [`FileWatch`] gives was read whole, and after the last change it is the last text (test
//! `a_thousand_changes_a_second_end_with_the_last_text`). Secrets cannot get in: their type does not become JSON.

mod board;
mod endpoint;
mod error;
mod events;
mod files;
mod protocol;
mod rendered;
mod revision;
mod serve;
mod socket;

pub use endpoint::{Ack, Endpoint, EndpointSettings, Notice, Outcome, Publisher};
pub use error::{Error, Result};
pub use files::{Change, Content, FileWatch, FileWatchSettings, Seen, Waker};
pub use rendered::{Rendered, Written, write_rendered};
pub use revision::{Revision, Values};
pub use socket::Owner;
