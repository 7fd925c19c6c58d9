//! What SQL migrations do to the code that runs and to who waits: their class, their long locks, and the way back.
//!
//! Map: [`class`] whether the release before can live with a migration, [`lint`] what it makes clients wait for on PostgreSQL,
//! [`rollback`] whether an earlier release can run on the database as it is, [`held`] which migrations must wait.
//! Inside, `token` reads SQL as PostgreSQL's lexer does, `statement` what each statement does, `rule` holds the rules.
//!
//! Opens no file and no database. Nothing here fails: whatever the bytes are, something is said of them.
//!
//! Invariant: no input makes it panic (tests `no_bytes_make_it_panic`, `fuzz_corpus_sql`).

mod class;
mod cursor;
mod file;
mod finding;
mod lint;
mod rule;
mod scope;
mod statement;
mod table;
mod token;
mod way_back;

pub use class::class;
pub use file::is_forward;
pub use finding::{Finding, Severity};
pub use lint::lint;
pub use rule::Rule;
pub use way_back::{Applied, Reason, Verdict, held, rollback, secrets};
