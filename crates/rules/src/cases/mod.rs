//! Unit tests of rules, in the files that `promtool test rules` reads.
//!
//! `file` reads them, `run` runs them and judges.

mod file;
mod run;

pub use file::{AlertCase, Case, CaseFile, ExpectedAlert, InputSeries, QueryCase};
pub use run::Failure;
