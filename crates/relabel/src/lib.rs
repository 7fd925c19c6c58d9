//! Prometheus' relabelling: rules that change or drop a set of labels. Pure; it reads no YAML and does not know what the labels are of: a
//! target, a scraped series, an alert.
//!
//! [`RuleText`] is a rule as it is written, with Prometheus' defaults; [`Rule::new`] judges it as Prometheus does; [`relabel`] goes through
//! rules in order. Patterns are those of the crate `regex`, anchored on both sides, where `.` takes a line's end too, as in the matchers of
//! `tend-promql`.

mod error;
mod rule;

pub use error::Error;
pub use rule::{Action, Rule, RuleText, relabel};
