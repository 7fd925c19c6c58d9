//! A query that can be asked: its text, its tree, and what comes back.
//!
//! Owns the two ways of asking, at an instant and over a range, and the shape of results. Does not know how nodes are evaluated.

use std::collections::BTreeMap;

use super::grid::{Grid, Row, Steps, duplicate, is_absent};
use super::{Evaluator, Got, Shared};
use crate::annotation::{Annotation, Notes};
use crate::ast::{Expr, ValueType};
use crate::duration::Surroundings;
use crate::error::{Error, ParseError};
use crate::labels::Labels;
use crate::parser::{ParseOptions, parse_with};
use crate::sample::{Sample, Timestamp};
use crate::series::{Store, StoreError, Whole};

/// How queries are evaluated.
#[derive(Clone, Debug)]
pub struct EvalOptions {
    /// How old the latest sample may be, in milliseconds; one as old as this is too old.
    pub lookback: i64,
    /// The step of a subquery that names none, in milliseconds.
    pub subquery_step: i64,
    /// The most samples that one query may read and make.
    pub samples_max: usize,
    /// Whether names are taken away at the very end, not by each function.
    pub delayed_name_removal: bool,
}

impl Default for EvalOptions {
    /// As a Prometheus that is started without flags: 5 m, 1 m, 50 million, names removed at once.
    fn default() -> EvalOptions {
        EvalOptions {
            lookback: 300_000,
            subquery_step: 60_000,
            samples_max: 50_000_000,
            delayed_name_removal: false,
        }
    }
}

/// A query that was read.
#[derive(Clone, Debug)]
pub struct Query {
    text: String,
    expr: Expr,
}

/// A value of a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    /// Which series.
    pub labels: Labels,
    /// Its value, at the time of evaluation.
    pub sample: Sample,
}

/// Samples of a matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Which series.
    pub labels: Labels,
    /// Its samples in the order of time; at least one.
    pub samples: Vec<Sample>,
}

/// What a query gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Scalar(Sample),
    /// A text.
    Text(String),
    /// For each series a value. Sorted by labels, or in the order that `sort`, `topk` and their like make.
    Vector(Vec<VectorSample>),
    /// For each series samples, sorted by labels.
    Matrix(Vec<Series>),
}

/// A value and what to read it with.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// What the query gives.
    pub value: Value,
    /// Warnings and hints.
    pub annotations: Vec<Annotation>,
}

impl Query {
    /// Reads a query.
    pub fn new(text: &str, options: ParseOptions) -> Result<Query, ParseError> {
        Ok(Query {
            text: text.to_owned(),
            expr: parse_with(text, options)?,
        })
    }

    /// The text it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The tree.
    pub fn expr(&self) -> &Expr {
        &self.expr
    }

    /// Evaluates at one time.
    pub fn instant(&self, store: &dyn Store, time: Timestamp, options: &EvalOptions) -> Result<Outcome, Error> {
        self.at(store, time, options, None)
    }

    /// Evaluates at one time beside other queries over the same store with the same options, which have results in common.
    /// What is to be noted of a result in common, the query that worked it out notes.
    pub fn instant_shared(
        &self,
        store: &dyn Store,
        time: Timestamp,
        options: &EvalOptions,
        shared: &mut Shared,
    ) -> Result<Outcome, Error> {
        self.at(store, time, options, Some(shared))
    }

    fn at(
        &self,
        store: &dyn Store,
        time: Timestamp,
        options: &EvalOptions,
        shared: Option<&mut Shared>,
    ) -> Result<Outcome, Error> {
        let whole = Whole {
            expr: &self.expr,
            from: time,
            to: time,
            step: None,
        };
        if let Some(answer) = store.answer(&whole) {
            return answered(answer);
        }
        let steps = Steps::one(time);
        let around = Surroundings { step: 0.0, range: 0.0 };
        self.run(store, options, steps, around, shared, |evaluator| {
            match self.expr.value_type() {
                ValueType::Text => match self.expr.unwrapped() {
                    Expr::Text(text) => Ok(Value::Text(text.value.clone())),
                    _ => Err(Error::evaluate("expected a string")),
                },
                ValueType::Matrix => {
                    let sampled = evaluator.sampled(&self.expr, time)?;
                    let series = sampled.into_iter().map(|series| {
                        let pairs = series.times.into_iter().zip(series.values);
                        (series.row, pairs.map(|(time, value)| Sample { time, value }).collect())
                    });
                    matrix(series, options)
                }
                ValueType::Scalar | ValueType::Vector => match evaluator.eval(&self.expr, steps)? {
                    Got::Scalar(values) => Ok(Value::Scalar(Sample { time, value: values[0] })),
                    Got::Vector(grid) => {
                        let grid = finished(grid, options)?;
                        let grid = if makes_order(&self.expr) { grid } else { grid.sorted() };
                        Ok(vector(grid, time))
                    }
                },
            }
        })
    }

    /// Evaluates at every step from a time to another, both inclusive; all in milliseconds.
    pub fn range(
        &self,
        store: &dyn Store,
        (start, end): (Timestamp, Timestamp),
        step: i64,
        options: &EvalOptions,
    ) -> Result<Outcome, Error> {
        let times = |text: &str| Error::Times { text: text.to_owned() };
        if step <= 0 {
            return Err(times("the step must be greater than 0"));
        }
        let width = end.checked_sub(start).filter(|width| *width >= 0);
        let width = width.ok_or_else(|| times("the end must not be before the start"))?;
        if !matches!(self.expr.value_type(), ValueType::Scalar | ValueType::Vector) {
            let got = self.expr.value_type().documented();
            return Err(Error::evaluate(format!(
                "invalid expression type \"{got}\" for range query, must be Scalar or instant Vector"
            )));
        }
        let whole = Whole {
            expr: &self.expr,
            from: start,
            to: end,
            step: Some(step),
        };
        if let Some(answer) = store.answer(&whole) {
            return answered(answer);
        }
        let steps = Steps {
            start,
            step,
            count: usize::try_from(width / step + 1).unwrap_or(usize::MAX),
        };
        let around = Surroundings {
            step: step as f64 / 1000.0,
            range: width as f64 / 1000.0,
        };
        self.run(store, options, steps, around, None, |evaluator| {
            evaluator.spend(steps.count)?;
            let grid = finished(evaluator.vector(&self.expr, steps)?, options)?;
            let series = (0..grid.rows.len()).map(|at| {
                let there = grid
                    .row(at)
                    .iter()
                    .zip(steps.times())
                    .filter(|(value, _)| !is_absent(**value));
                let samples = there.map(|(value, time)| Sample { time, value: *value }).collect();
                (grid.rows[at].clone(), samples)
            });
            matrix(series, options)
        })
    }

    fn run(
        &self,
        store: &dyn Store,
        options: &EvalOptions,
        whole: Steps,
        around: Surroundings,
        shared: Option<&mut Shared>,
        evaluate: impl FnOnce(&mut Evaluator<'_>) -> Result<Value, Error>,
    ) -> Result<Outcome, Error> {
        let mut evaluator = Evaluator {
            store,
            options,
            whole,
            around,
            notes: Notes::default(),
            used: 0,
            shared,
        };
        let value = evaluate(&mut evaluator).map_err(|error| match error {
            // Durations are computed late and know no text.
            Error::Parse(error) => Error::Parse(error.in_query(&self.text)),
            other => other,
        })?;
        Ok(Outcome {
            value,
            annotations: evaluator.notes.finish(&self.text),
        })
    }
}

/// Whether the order of rows says something.
fn makes_order(expr: &Expr) -> bool {
    let mut makes = false;
    expr.visit(&mut |part| {
        makes |= match part {
            Expr::Call(call) => call.function.name.starts_with("sort"),
            Expr::Aggregate(aggregate) => aggregate.op.keeps_series(),
            _ => false,
        };
    });
    makes
}

/// What another server answered; what it notes of it is its own affair.
fn answered(answer: Result<Value, StoreError>) -> Result<Outcome, Error> {
    Ok(Outcome {
        value: answer.map_err(Error::Store)?,
        annotations: Vec::new(),
    })
}

/// Takes away the names that were kept until the end.
fn finished(mut grid: Grid, options: &EvalOptions) -> Result<Grid, Error> {
    if !options.delayed_name_removal {
        return Ok(grid);
    }
    for row in &mut grid.rows {
        strip(row);
    }
    grid.merged()
}

fn strip(row: &mut Row) {
    if row.drops_name {
        row.labels = row.labels.without_name();
    }
}

fn vector(grid: Grid, time: Timestamp) -> Value {
    let there = grid
        .rows
        .into_iter()
        .zip(grid.values)
        .filter(|(_, value)| !is_absent(*value));
    let samples = there.map(|(row, value)| VectorSample {
        labels: row.labels,
        sample: Sample { time, value },
    });
    Value::Vector(samples.collect())
}

/// Sorts series by labels; those with the same labels become one, unless both have a sample at a time.
fn matrix(series: impl Iterator<Item = (Row, Vec<Sample>)>, options: &EvalOptions) -> Result<Value, Error> {
    let mut all: BTreeMap<Labels, Vec<Sample>> = BTreeMap::new();
    for (mut row, samples) in series {
        if options.delayed_name_removal {
            strip(&mut row);
        }
        if samples.is_empty() {
            continue;
        }
        let known = all.entry(row.labels).or_default();
        if known.is_empty() {
            *known = samples;
            continue;
        }
        known.extend(samples);
        known.sort_by_key(|sample| sample.time);
        if known.windows(2).any(|pair| pair[0].time == pair[1].time) {
            return Err(duplicate());
        }
    }
    let series = all.into_iter().map(|(labels, samples)| Series { labels, samples });
    Ok(Value::Matrix(series.collect()))
}
