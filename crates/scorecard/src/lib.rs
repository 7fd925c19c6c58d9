//! The scorecard: each figure of the guide's table of reference values as normal, warning, critical or unknown, with the query behind it.
//!
//! Map: [`Scorer`] is what a stack wants judged, its queries read; over a store and at a time it gives a [`Score`]. `query` has the queries of
//! the figures, `judge` the comparison with limits, `words` what is written for people in each language.
//!
//! Pure: it knows neither where series come from, nor what time it is, nor who looks. Figures and their limits are `tend-core`'s.
//!
//! Invariant: a figure for which there is nothing to say is unknown, never normal (test `what_is_not_measured_is_not_called_normal`).

mod error;
mod judge;
mod query;
mod scorer;
mod words;

pub use error::ScoreError;
pub use judge::{Level, judge};
pub use query::default_query;
pub use scorer::{Score, Scored, Scorer, Unknown};
