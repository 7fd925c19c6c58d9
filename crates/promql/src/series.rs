//! What holds series, as the evaluator sees it.
//!
//! Owns the one trait a store implements, and what it is asked. Knows no storage; `memory` has the plain implementation that
//! tests use.

use std::ops::ControlFlow;

use crate::ast::Expr;
use crate::eval::Value;
use crate::labels::{Labels, Matcher};
use crate::sample::{Samples, Timestamp};

/// Which series, and of which time.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Selection<'a> {
    /// All must be true of a series. A matcher on `__name__` is one like any other.
    pub matchers: &'a [Matcher],
    /// The earliest time wanted, inclusive, in milliseconds.
    pub from: Timestamp,
    /// The latest time wanted, inclusive, in milliseconds.
    pub to: Timestamp,
    /// What the samples are for; a store may ignore it.
    pub hints: Hints<'a>,
}

/// What samples are wanted for. Nothing may depend on them but speed.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Hints<'a> {
    /// The function or aggregation the samples go to, as `rate`; empty when there is none.
    pub function: &'a str,
    /// The distance of evaluations, in milliseconds; 0 for one instant.
    pub step: i64,
    /// The width of the window of a range selector, in milliseconds; 0 for an instant selector.
    pub range: i64,
}

impl<'a> Selection<'a> {
    /// Selects by matchers, from and to a time, both inclusive.
    pub fn new(matchers: &'a [Matcher], from: Timestamp, to: Timestamp) -> Selection<'a> {
        Selection {
            matchers,
            from,
            to,
            hints: Hints::default(),
        }
    }

    /// The same, with what the samples are for.
    #[must_use]
    pub fn with_hints(mut self, function: &'a str, step: i64, range: i64) -> Selection<'a> {
        self.hints = Hints { function, step, range };
        self
    }
}

/// A whole query, for a store that answers such itself.
#[derive(Clone, Copy, Debug)]
pub struct Whole<'a> {
    /// Its tree; as text it is what any PromQL server reads.
    pub expr: &'a Expr,
    /// The first time it is wanted for, in milliseconds.
    pub from: Timestamp,
    /// The last one; the same where it is wanted for one instant.
    pub to: Timestamp,
    /// The distance of times, in milliseconds; nothing where it is wanted for one instant.
    pub step: Option<i64>,
}

/// Why a store could not answer; its text is shown to who asked.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct StoreError(Box<dyn std::error::Error + Send + Sync + 'static>);

impl StoreError {
    /// Takes the store's own error.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>) -> StoreError {
        StoreError(error.into())
    }
}

/// Something that holds series.
///
/// Implemented by the embedded store and by `memory::MemoryStore`; `testlang` runs over either, which is the contract's suite.
pub trait Store {
    /// Hands each series that satisfies all matchers and has a sample in the time asked for to `each`, once, with all of those
    /// samples in the order of time; stale markers among them.
    ///
    /// - The slices are the store's own and are looked at only during the call: one buffer may serve all series.
    /// - Samples outside the time asked for may be handed over too when that is cheaper; they are skipped.
    /// - The order of series is free, but the same each time: sums of floats depend on it. The buckets of a histogram in a row are
    ///   quickest.
    /// - When `each` breaks, no further series is read and `Ok` is returned.
    /// - All is of one moment: what is appended during the call shows for all series or for none, as far as the store can.
    fn select(
        &self,
        selection: &Selection<'_>,
        each: &mut dyn FnMut(&Labels, Samples<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Answers a whole query, where the store is another server that does this better than by handing out its series.
    ///
    /// Nothing: it is to be evaluated here, over what [`Store::select`] hands out. A store that is laid over another passes this on, and only
    /// where what it adds or hides does not show in the query.
    fn answer(&self, whole: &Whole<'_>) -> Option<Result<Value, StoreError>> {
        let _ = whole;
        None
    }
}
