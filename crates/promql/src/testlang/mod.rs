//! The language in which Prometheus writes its PromQL acceptance cases, and ours are written too.
//!
//! Owns reading a script, loading its series, asking its queries and judging the answers. Does not know where scripts are kept:
//! texts come in, cases go out.
//!
//! - `script` reads commands, `values` the samples of a series, `judge` compares, `run` does it all in order.
//!
//! Each instant case is also asked over a range around its time, and with `@` fixed to its time at other times.

mod judge;
mod run;
mod script;
mod values;

pub use run::{Case, Class, LoadStore, eval_options, run, run_over};
pub use script::ScriptError;
