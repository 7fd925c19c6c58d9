//! Rules: their files, and what they are in from one evaluation to the next.

pub(crate) mod alerting;
pub(crate) mod expand;
pub(crate) mod file;
pub(crate) mod recording;
