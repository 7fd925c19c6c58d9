//! What is wrong with a stack file, said all at once: the shapes are `tend_text`'s, which say it of any text.

pub use tend_text::{Diagnostic, Location, Report, Severity};
pub(crate) use tend_text::{Findings, Noted};
