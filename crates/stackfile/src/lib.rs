//! The stack file, a superset of the Compose file, and its errors.
//!
//! Map: [`load`] goes from paths to a [`tend_core::model::Stack`] and is the order of everything else: `yaml` reads a file into a
//! tree that knows its places, `interpolate` replaces variables, `schema` is the table of keys that checks it (and gives the JSON
//! Schema and the manual page), `canonical` writes short forms out, `extends`, `merge`, `include` and `profiles` make one tree of
//! several files, `references` finds names that stand for nothing, and `lower` makes the model. `error` is how all of it is told.
//!
//! Invariant: nothing here reads a disk, a clock or the environment of the process; all of it comes in with [`Input`].
//! Invariant: no text, however broken, makes it panic or run away, and every error has a place (the tests `malformed`, `mutation`
//! and the fuzz target `stack_file`).

mod canonical;
mod dotenv;
mod error;
mod extends;
mod include;
mod input;
mod interpolate;
mod load;
mod lower;
mod mask;
mod merge;
mod profiles;
mod references;
mod schema;
mod source;
mod stack_name;
mod words;
mod yaml;

pub use dotenv::variables;
pub use error::{Diagnostic, Location, Report, Severity};
pub use input::{FILE_NAMES, Files, Input, Owner, find};
pub use load::{Document, Environments, Loaded, load};
pub use schema::{pages, schema};
