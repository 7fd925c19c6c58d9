//! Evaluates a tree at the steps of a query.
//!
//! Owns the walk over the tree and what becomes of each node; the parts own their kinds of node. Every node is evaluated once for
//! all steps of the query, and a series is read once per selector.
//!
//! - `grid` is what a node gives; `select` reads it from the store; `window` slides windows over samples.
//! - `over_time` has the functions of windows, `instant` those of vectors, `histogram` those of buckets.
//! - `binary` and `aggregate` put vectors together; `query` is the door.

mod aggregate;
mod binary;
mod grid;
mod histogram;
mod instant;
mod labelling;
mod over_time;
mod query;
mod select;
mod sum;
mod window;

pub use query::{EvalOptions, Outcome, Query, Series, Value, VectorSample};

use crate::annotation::Notes;
use crate::ast::{At, Call, Expr, Period, ValueType};
use crate::duration::{Surroundings, compute};
use crate::error::Error;
use crate::labels::Labels;
use crate::sample::Timestamp;
use crate::series::Store;
use grid::{Grid, Row, Steps, is_absent};

/// What a node gives.
pub(crate) enum Got {
    /// A number at each step.
    Scalar(Vec<f64>),
    Vector(Grid),
}

/// One evaluation of one query.
pub(crate) struct Evaluator<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) options: &'a EvalOptions,
    /// The query's own steps; a subquery has others.
    pub(crate) whole: Steps,
    /// The query's step and range in seconds; both 0 for an instant.
    pub(crate) around: Surroundings,
    pub(crate) notes: Notes,
    /// Samples read and made so far.
    pub(crate) used: usize,
}

type Evaluated<T> = Result<T, Error>;

impl Evaluator<'_> {
    /// Counts samples against the limit.
    pub(crate) fn spend(&mut self, samples: usize) -> Evaluated<()> {
        self.used = self.used.saturating_add(samples);
        match self.used > self.options.samples_max {
            true => Err(Error::TooManySamples {
                max: self.options.samples_max,
            }),
            false => Ok(()),
        }
    }

    pub(crate) fn eval(&mut self, expr: &Expr, steps: Steps) -> Evaluated<Got> {
        if steps.count > 1 && !matches!(expr, Expr::Number(_) | Expr::Paren(_)) && is_the_same_at_any_time(expr) {
            // Evaluated once, whatever it costs.
            return Ok(match self.eval(expr, Steps { count: 1, ..steps })? {
                Got::Scalar(values) => Got::Scalar(vec![values[0]; steps.count]),
                Got::Vector(grid) => {
                    self.spend(grid.rows.len() * steps.count)?;
                    Got::Vector(grid.repeated(steps.count))
                }
            });
        }
        let got = match expr {
            Expr::Number(number) => Got::Scalar(vec![number.value; steps.count]),
            Expr::Paren(paren) => return self.eval(&paren.expr, steps),
            Expr::Selector(selector) => Got::Vector(self.select_latest(selector, steps, false)?),
            Expr::Call(call) => self.call(call, steps)?,
            Expr::Aggregate(aggregate) => Got::Vector(self.aggregate(aggregate, steps)?),
            Expr::Binary(binary) => self.binary(binary, steps)?,
            Expr::Unary(unary) => match (self.eval(&unary.expr, steps)?, unary.negative) {
                (got, false) => got,
                (Got::Scalar(values), true) => Got::Scalar(values.into_iter().map(|value| -value).collect()),
                (Got::Vector(grid), true) => Got::Vector(self.without_names(map(grid, |value| -value))?),
            },
            Expr::Text(_) | Expr::Range(_) | Expr::Subquery(_) => {
                // The check of types leaves these to the functions that take them.
                return Err(Error::evaluate(format!(
                    "a {} has no value here",
                    expr.value_type().documented()
                )));
            }
        };
        if let Got::Vector(grid) = &got {
            self.spend(grid.values.len())?;
        }
        Ok(got)
    }

    pub(crate) fn vector(&mut self, expr: &Expr, steps: Steps) -> Evaluated<Grid> {
        Ok(match self.eval(expr, steps)? {
            Got::Vector(grid) => grid,
            Got::Scalar(values) => Grid {
                rows: vec![Row {
                    labels: Labels::EMPTY,
                    drops_name: false,
                }],
                values,
                steps: steps.count,
            },
        })
    }

    pub(crate) fn scalar(&mut self, expr: &Expr, steps: Steps) -> Evaluated<Vec<f64>> {
        match self.eval(expr, steps)? {
            Got::Scalar(values) => Ok(values),
            Got::Vector(_) => Err(Error::evaluate("a vector has no single value")),
        }
    }

    fn call(&mut self, call: &Call, steps: Steps) -> Evaluated<Got> {
        if call
            .arguments
            .iter()
            .any(|argument| argument.value_type() == ValueType::Matrix)
        {
            return Ok(Got::Vector(self.over_window(call, steps)?));
        }
        match call.function.name {
            "label_replace" => Ok(Got::Vector(self.label_replace(call, steps)?)),
            "label_join" => Ok(Got::Vector(self.label_join(call, steps)?)),
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => {
                Ok(Got::Vector(self.over_buckets(call, steps)?))
            }
            _ => self.instant_function(call, steps),
        }
    }

    /// Takes names away: at once, or at the very end when that is what was asked for.
    pub(crate) fn without_names(&self, mut grid: Grid) -> Evaluated<Grid> {
        if self.options.delayed_name_removal {
            for row in &mut grid.rows {
                row.drops_name = true;
            }
            return Ok(grid);
        }
        grid.nameless()
    }

    /// A length of time in milliseconds.
    pub(crate) fn period(&self, period: &Period, may_be_negative: bool) -> Evaluated<i64> {
        match period {
            Period::Fixed(milliseconds) => Ok(*milliseconds),
            Period::Computed(expr) => Ok(compute(expr, self.around, may_be_negative)?),
        }
    }

    /// What a selector's time is fixed to, and how much earlier it looks.
    pub(crate) fn modifiers(&self, at: Option<At>, offset: Option<&Period>) -> Evaluated<Shift> {
        let at = at.map(|at| match at {
            At::Time(time) => time,
            At::Start => self.whole.start,
            At::End => self.whole.last(),
        });
        let offset = offset.map_or(Ok(0), |offset| self.period(offset, true))?;
        Ok(Shift { at, offset })
    }
}

/// Where a selector looks instead of at the time of evaluation.
#[derive(Clone, Copy)]
pub(crate) struct Shift {
    at: Option<Timestamp>,
    offset: i64,
}

impl Shift {
    pub(crate) fn apply(self, time: Timestamp) -> Timestamp {
        self.at.unwrap_or(time).saturating_sub(self.offset)
    }
}

/// Changes every value that is there.
pub(crate) fn map(mut grid: Grid, change: impl Fn(f64) -> f64) -> Grid {
    for value in &mut grid.values {
        if !is_absent(*value) {
            *value = change(*value);
        }
    }
    grid
}

/// Whether the value does not depend on the time of evaluation.
fn is_the_same_at_any_time(expr: &Expr) -> bool {
    match expr {
        Expr::Number(_) | Expr::Text(_) => true,
        Expr::Selector(selector) => selector.at.is_some(),
        Expr::Range(range) => range.selector.at.is_some(),
        Expr::Subquery(subquery) => subquery.at.is_some(),
        Expr::Call(call) => !call.function.depends_on_time() && call.arguments.iter().all(is_the_same_at_any_time),
        other => other.children().into_iter().all(is_the_same_at_any_time),
    }
}
