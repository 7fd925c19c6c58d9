//! What happened, as values: events, the chain that makes a change of them visible, and questions about them.
//!
//! The journal is the spine of tend: timeline, audit trail, release history and reports are questions to it. This module says what an
//! [`Event`] is, how it is hashed onto the one before it ([`chain`]), how a chain is checked ([`Verifier`]) and how events are
//! asked for ([`Filter`]). It knows no disk, no database and no clock; `tend-store` keeps the events.
//!
//! Invariant: the hash of an event covers every field of it, and the hash of the event before it (test
//! `changing_any_field_changes_the_hash`).

mod canonical;
mod chain;
mod crash;
mod event;
mod filter;
mod kind;
mod principal;
mod statement;
mod subject;
mod verify;

pub use canonical::canonical_json;
pub use chain::{GENESIS, Hash, HashError, Row, RowError, chain};
pub use crash::{Change, CrashCard};
pub use event::{Entry, Event, EventId};
pub use filter::{Filter, KindPattern, PrincipalFilter};
pub use kind::Kind;
pub use principal::{Principal, Via};
pub use statement::{Statement, StatementError, StatementKind};
pub use subject::Subject;
pub use verify::{Finding, Verifier, VerifyReport};
