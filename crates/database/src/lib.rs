//! Users' databases: a table of configuration as a source, and the two users that a password is rotated between.
//!
//! Map: [`Address`] where a database is, as users write it; [`Settings`] which table and which queries; [`Source`] tells their rows and
//! each change of them ([`Event`]); `link` is one connection of it, with `postgres`, `mysql` and `sqlite` below; [`install`] announces
//! changes on PostgreSQL; [`TwoUsers`] are the acts of rotating a password; [`Session`] asks a server statements of somebody else.
//!
//! It does not know what a key means, which value wins, or when to rotate: rows and facts go out, acts come in.
//!
//! Invariants: rows are always those of one moment, whole (test `many_changes_are_told_as_whole_states`); a database that is away and a
//! table that is gone are never told as an empty table; no password stands in an error, an event or the text of an address (test
//! `no_password_is_shown`).

mod address;
mod error;
mod install;
mod link;
mod mysql;
mod postgres;
mod row;
mod session;
mod settings;
mod source;
mod sqlite;
mod tls;
mod users;

pub use address::{Address, Engine, Tls};
pub use error::DatabaseError;
pub use install::{CHANNEL, install, install_sql, uninstall, uninstall_sql};
pub use row::{Fault, Row, Rows};
pub use session::{Answer, Session};
pub use settings::{Columns, Query, Settings, Table};
pub use source::{Event, Source};
pub use users::{Login, Obstacle, TwoUsers, UserPair};
