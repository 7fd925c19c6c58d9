//! What people write, read so that whatever is wrong with it can be told with its place.
//!
//! Map: [`Sources`] holds the texts of one piece of work and every [`Place`] in them; [`read`] makes a tree of YAML in which each
//! [`Node`] knows where it was written; [`parse_dotenv`] reads files of variables; [`fill`] replaces `${NAME}`; [`nearest`] finds
//! the word that was meant. What is wrong is noted in [`Findings`] and told as a [`Report`]: what, where, the line itself, what
//! to write instead. [`Shows`] says how much of a text's lines may be shown.
//!
//! What one reader takes and another does not is a parameter: [`Dialect`] for YAML, [`Shows`] for lines, what `fill` leaves as it
//! stands. This crate knows no key, no stack and no configuration, and what it reads is handed in.
//!
//! Invariant: nothing here reads a disk, a clock or the environment of the process.
//! Invariant: whatever the text, reading ends, in bounded memory, without a panic (the tests `bounds`, and the fuzz targets
//! `stack_file` and `config_*` of the crates above).
//! Invariant: of a text whose values may be secret, nothing is shown behind a name (test
//! `no_value_of_a_file_of_variables_is_ever_shown`).

mod dotenv;
mod findings;
mod interpolate;
mod nearest;
mod node;
mod report;
mod shown;
mod source;
mod yaml;

pub use dotenv::{Variable, parse as parse_dotenv};
pub use findings::{Findings, Noted};
pub use interpolate::{Fault, Filled, VALUE_BYTES_MAX, fill, is_bare_variable};
pub use nearest::{did_you_mean, nearest, nearest_name};
pub use node::{Entry, Kind, Map, Node, Scalar, Tag, Value, parse_bool};
pub use report::{Diagnostic, Location, Report, Severity};
pub use shown::{Shows, masked};
pub use source::{Place, Source, SourceId, Sources};
pub use yaml::{Dialect, read};
