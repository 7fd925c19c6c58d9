//! The one test program of the crate; each module is a file beside this one.

mod conformance;
mod evaluation;
mod parsing;
mod store;
