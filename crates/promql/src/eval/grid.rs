//! What an expression gives at every step: rows of labels with a value, or none, at each.
//!
//! Owns the layout, one column of values row by row, and that rows with the same labels become one or are an error. Knows no
//! function or operator.
//!
//! Rows stand in the store's order, which is the same each time but means nothing; what shows an order, or chooses by it, sorts
//! first. To sort all that is read was half of a query over buckets, of which one row in twelve is left at the end.

use std::collections::HashMap;

use crate::error::Error;
use crate::labels::{Labels, METRIC_NAME};
use crate::sample::{STALE, Timestamp, is_stale};

/// The times an expression is evaluated at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    pub(crate) start: Timestamp,
    /// Milliseconds between two; at least 1.
    pub(crate) step: i64,
    pub(crate) count: usize,
}

impl Steps {
    pub(crate) fn one(time: Timestamp) -> Steps {
        Steps {
            start: time,
            step: 1,
            count: 1,
        }
    }

    pub(crate) fn time(&self, at: usize) -> Timestamp {
        self.start + self.step * at as i64
    }

    pub(crate) fn last(&self) -> Timestamp {
        self.time(self.count.saturating_sub(1))
    }

    pub(crate) fn times(self) -> impl Iterator<Item = Timestamp> {
        (0..self.count).map(move |at| self.time(at))
    }
}

/// Stands where there is no value. No function gives it: selectors leave the marker out, arithmetic never makes it.
pub(crate) const ABSENT: f64 = STALE;

pub(crate) fn is_absent(value: f64) -> bool {
    is_stale(value)
}

/// The labels of a row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) labels: Labels,
    /// Whether the name goes away at the very end; used with delayed name removal only.
    pub(crate) drops_name: bool,
}

/// A vector at every step.
#[derive(Clone, Debug)]
pub(crate) struct Grid {
    pub(crate) rows: Vec<Row>,
    /// `steps` values for each row.
    pub(crate) values: Vec<f64>,
    pub(crate) steps: usize,
}

impl Grid {
    pub(crate) fn new(steps: usize) -> Grid {
        Grid {
            rows: Vec::new(),
            values: Vec::new(),
            steps,
        }
    }

    pub(crate) fn row(&self, at: usize) -> &[f64] {
        &self.values[at * self.steps..(at + 1) * self.steps]
    }

    pub(crate) fn row_mut(&mut self, at: usize) -> &mut [f64] {
        &mut self.values[at * self.steps..(at + 1) * self.steps]
    }

    pub(crate) fn get(&self, row: usize, step: usize) -> Option<f64> {
        let value = self.values[row * self.steps + step];
        (!is_absent(value)).then_some(value)
    }

    /// Adds a row without values and says at which position.
    pub(crate) fn push_absent(&mut self, row: Row) -> usize {
        self.rows.push(row);
        self.values.resize(self.rows.len() * self.steps, ABSENT);
        self.rows.len() - 1
    }

    /// Adds a row whose values were appended already; takes them off again when there is none.
    pub(crate) fn close_row(&mut self, row: impl FnOnce() -> Row) {
        let from = self.rows.len() * self.steps;
        if self.values[from..].iter().all(|value| is_absent(*value)) {
            self.values.truncate(from);
        } else {
            self.rows.push(row());
        }
    }

    /// Puts the rows into the order of positions given, which may leave some out.
    pub(crate) fn pick(self, order: &[usize]) -> Grid {
        let mut picked = Grid {
            rows: Vec::with_capacity(order.len()),
            values: Vec::with_capacity(order.len() * self.steps),
            steps: self.steps,
        };
        for at in order {
            picked.rows.push(self.rows[*at].clone());
            picked.values.extend_from_slice(self.row(*at));
        }
        picked
    }

    /// Takes away rows that have no value at any step.
    pub(crate) fn without_empty(self) -> Grid {
        let keep: Vec<usize> = (0..self.rows.len())
            .filter(|at| self.row(*at).iter().any(|value| !is_absent(*value)))
            .collect();
        if keep.len() == self.rows.len() {
            self
        } else {
            self.pick(&keep)
        }
    }

    /// Sorts the rows by labels.
    pub(crate) fn sorted(self) -> Grid {
        if self.rows.is_sorted_by(|one, two| one.labels <= two.labels) {
            return self;
        }
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by(|one, two| self.rows[*one].labels.cmp(&self.rows[*two].labels));
        self.pick(&order)
    }

    /// Repeats the values of one step at so many.
    pub(crate) fn repeated(self, steps: usize) -> Grid {
        let values = self
            .values
            .iter()
            .flat_map(|value| std::iter::repeat_n(*value, steps))
            .collect();
        Grid {
            rows: self.rows,
            values,
            steps,
        }
    }

    /// Makes rows with the same labels one; an error when two have a value at the same step.
    pub(crate) fn merged(self) -> Result<Grid, Error> {
        let mut first: HashMap<&Labels, usize> = HashMap::with_capacity(self.rows.len());
        let mut same: Vec<(usize, usize)> = Vec::new();
        for (at, row) in self.rows.iter().enumerate() {
            match first.get(&row.labels) {
                Some(before) => same.push((*before, at)),
                None => {
                    first.insert(&row.labels, at);
                }
            }
        }
        drop(first);
        if same.is_empty() {
            return Ok(self);
        }
        let mut merged = self;
        let mut gone = vec![false; merged.rows.len()];
        for (into, from) in same {
            gone[from] = true;
            for step in 0..merged.steps {
                let Some(value) = merged.get(from, step) else { continue };
                if merged.get(into, step).is_some() {
                    return Err(duplicate());
                }
                merged.row_mut(into)[step] = value;
            }
        }
        let keep: Vec<usize> = (0..gone.len()).filter(|at| !gone[*at]).collect();
        Ok(merged.pick(&keep))
    }

    /// Takes the name off every row now, and makes rows that are the same then one.
    pub(crate) fn nameless(mut self) -> Result<Grid, Error> {
        if self.rows.iter().all(|row| row.labels.metadata() == 0) {
            return Ok(self);
        }
        // Rows of one name stay as different as they were.
        let first = self.rows.first().map(|row| row.labels.clone()).unwrap_or_default();
        let alike = |row: &Row| row.labels.metric_name() == first.metric_name() && row.labels.metadata() <= 1;
        let one_name = first.has(METRIC_NAME) && self.rows.iter().all(alike);
        for row in &mut self.rows {
            row.labels = row.labels.without_name();
        }
        if one_name { Ok(self) } else { self.merged() }
    }
}

/// Two results that nothing tells apart.
pub(crate) fn duplicate() -> Error {
    Error::evaluate("vector cannot contain metrics with the same labelset")
}
