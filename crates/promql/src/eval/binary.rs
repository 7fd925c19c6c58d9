//! Operators between scalars and vectors, and which series of two vectors belong together.
//!
//! Owns arithmetic, comparison, the set operators and matching. Does not know how its sides came about.

use std::collections::{HashMap, HashSet};

use super::grid::{ABSENT, Grid, Row, Steps, duplicate, is_absent};
use super::{Evaluated, Evaluator, Got};
use crate::ast::{Binary, BinaryOp, Cardinality, Matching};
use crate::error::Error;
use crate::labels::{Labels, LabelsBuilder, METRIC_NAME, is_metadata};

/// What an operator makes of two numbers; for a comparison the left one.
fn compute(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Subtract => left - right,
        BinaryOp::Multiply => left * right,
        BinaryOp::Divide => left / right,
        BinaryOp::Modulo => left % right,
        BinaryOp::Power => left.powf(right),
        BinaryOp::Atan2 => left.atan2(right),
        _ => left,
    }
}

/// Whether a comparison is true; any other operator is.
fn holds(op: BinaryOp, left: f64, right: f64) -> bool {
    match op {
        BinaryOp::Equal => left == right,
        BinaryOp::NotEqual => left != right,
        BinaryOp::Less => left < right,
        BinaryOp::LessOrEqual => left <= right,
        BinaryOp::Greater => left > right,
        BinaryOp::GreaterOrEqual => left >= right,
        _ => true,
    }
}

fn as_number(truth: bool) -> f64 {
    if truth { 1.0 } else { 0.0 }
}

impl Evaluator<'_> {
    pub(crate) fn binary(&mut self, node: &Binary, steps: Steps) -> Evaluated<Got> {
        let (left, right) = (self.eval(&node.left, steps)?, self.eval(&node.right, steps)?);
        Ok(match (left, right) {
            (Got::Scalar(left), Got::Scalar(right)) => {
                let both = left.into_iter().zip(right);
                Got::Scalar(both.map(|(left, right)| scalars(node.op, left, right)).collect())
            }
            (Got::Vector(grid), Got::Scalar(values)) => Got::Vector(self.with_scalar(node, grid, &values, false)?),
            (Got::Scalar(values), Got::Vector(grid)) => Got::Vector(self.with_scalar(node, grid, &values, true)?),
            (Got::Vector(left), Got::Vector(right)) => {
                let (of_left, of_right, count) = signatures(&node.matching, &left, &right);
                let sides = Sides {
                    left,
                    right,
                    of_left,
                    of_right,
                    count,
                };
                Got::Vector(match node.op.is_set() {
                    true => sides.set(node.op)?,
                    false => self.matched(node, sides)?,
                })
            }
        })
    }

    fn with_scalar(&self, node: &Binary, mut grid: Grid, scalars: &[f64], scalar_is_left: bool) -> Evaluated<Grid> {
        let op = node.op;
        for row in 0..grid.rows.len() {
            for (value, scalar) in grid.row_mut(row).iter_mut().zip(scalars) {
                if is_absent(*value) {
                    continue;
                }
                let (left, right) = if scalar_is_left {
                    (*scalar, *value)
                } else {
                    (*value, *scalar)
                };
                let held = holds(op, left, right);
                *value = if node.returns_bool {
                    as_number(held)
                } else if !op.is_comparison() {
                    compute(op, left, right)
                } else if held {
                    *value
                } else {
                    ABSENT
                };
            }
        }
        if !op.is_comparison() || node.returns_bool {
            return self.without_names(grid);
        }
        Ok(grid.without_empty())
    }

    /// Arithmetic and comparison between series that belong together.
    fn matched(&mut self, node: &Binary, sides: Sides) -> Evaluated<Grid> {
        let mut matched = Matched::new(self, node, sides);
        for step in 0..matched.result.steps {
            matched.step(step)?;
        }
        Ok(matched.result.without_empty())
    }
}

fn scalars(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op.is_comparison() {
        true => as_number(holds(op, left, right)),
        false => compute(op, left, right),
    }
}

/// Two vectors and the group of each row.
struct Sides {
    left: Grid,
    right: Grid,
    of_left: Vec<usize>,
    of_right: Vec<usize>,
    /// How many groups there are.
    count: usize,
}

/// The labels that two series must share to belong together.
fn signature(matching: &Matching, labels: &Labels) -> Labels {
    let listed = |name: &str| matching.labels.iter().any(|listed| listed == name);
    match matching.on {
        true if matching.labels.is_empty() => Labels::EMPTY,
        true => labels.retain(listed),
        false => labels.retain(|name| name != METRIC_NAME && !listed(name)),
    }
}

fn signatures(matching: &Matching, left: &Grid, right: &Grid) -> (Vec<usize>, Vec<usize>, usize) {
    let mut known: HashMap<Labels, usize> = HashMap::with_capacity(right.rows.len());
    let mut of = |grid: &Grid| -> Vec<usize> {
        let groups = grid.rows.iter().map(|row| {
            let next = known.len();
            *known.entry(signature(matching, &row.labels)).or_insert(next)
        });
        groups.collect()
    };
    let (of_left, of_right) = (of(left), of(right));
    (of_left, of_right, known.len())
}

impl Sides {
    fn set(mut self, op: BinaryOp) -> Evaluated<Grid> {
        for step in 0..self.left.steps {
            let mut there = vec![false; self.count];
            let (seen, of_seen) = match op {
                BinaryOp::Or => (&self.left, &self.of_left),
                _ => (&self.right, &self.of_right),
            };
            for (row, group) in of_seen.iter().enumerate() {
                there[*group] |= seen.get(row, step).is_some();
            }
            let (changed, of_changed, wanted) = match op {
                BinaryOp::Or => (&mut self.right, &self.of_right, false),
                BinaryOp::And => (&mut self.left, &self.of_left, true),
                _ => (&mut self.left, &self.of_left, false),
            };
            for (row, group) in of_changed.iter().enumerate() {
                if there[*group] != wanted {
                    changed.row_mut(row)[step] = ABSENT;
                }
            }
        }
        if op != BinaryOp::Or {
            return Ok(self.left.without_empty());
        }
        let mut all = self.left;
        let mut right = self.right.without_empty();
        all.rows.append(&mut right.rows);
        all.values.append(&mut right.values);
        all.merged()
    }
}

/// A matching that is under way. The side of the many comes first; with `group_right` that is the right one.
struct Matched<'a> {
    node: &'a Binary,
    many: Grid,
    one: Grid,
    of_many: Vec<usize>,
    of_one: Vec<usize>,
    is_swapped: bool,
    drops_name_now: bool,
    result: Grid,
    /// Rows of the result by their labels.
    by_labels: HashMap<Labels, usize>,
    /// Rows of the result by the rows they came from; the one side may be filled in.
    by_rows: HashMap<(Option<usize>, Option<usize>), usize>,
    /// The row of the one side of each group, at this step.
    one_of: Vec<Option<usize>>,
    /// Which groups had a match, at this step.
    matched: Vec<bool>,
    /// Which rows of the result each group gave, at this step.
    given: HashSet<(usize, usize)>,
}

impl<'a> Matched<'a> {
    fn new(evaluator: &Evaluator<'_>, node: &'a Binary, sides: Sides) -> Matched<'a> {
        let steps = sides.left.steps;
        let is_swapped = node.matching.cardinality == Cardinality::OneToMany;
        let (many, one, of_many, of_one) = match is_swapped {
            true => (sides.right, sides.left, sides.of_right, sides.of_left),
            false => (sides.left, sides.right, sides.of_left, sides.of_right),
        };
        Matched {
            node,
            many,
            one,
            of_many,
            of_one,
            is_swapped,
            drops_name_now: !node.op.is_comparison() || (node.returns_bool && !evaluator.options.delayed_name_removal),
            result: Grid::new(steps),
            by_labels: HashMap::new(),
            by_rows: HashMap::new(),
            one_of: vec![None; sides.count],
            matched: vec![false; sides.count],
            given: HashSet::new(),
        }
    }

    /// The values to fill in for a series that the side of the one, and of the many, lacks.
    fn fills(&self) -> (Option<f64>, Option<f64>) {
        let matching = &self.node.matching;
        match self.is_swapped {
            true => (matching.fill_left, matching.fill_right),
            false => (matching.fill_right, matching.fill_left),
        }
    }

    fn step(&mut self, step: usize) -> Evaluated<()> {
        let (fill_one, fill_many) = self.fills();
        let any = |grid: &Grid| (0..grid.rows.len()).any(|row| grid.get(row, step).is_some());
        let fills = fill_one.is_some() || fill_many.is_some();
        if !(fills || any(&self.many) && any(&self.one)) {
            return Ok(());
        }
        self.one_of.fill(None);
        self.matched.fill(false);
        self.given.clear();
        for row in 0..self.one.rows.len() {
            if self.one.get(row, step).is_none() {
                continue;
            }
            if let Some(before) = self.one_of[self.of_one[row]].replace(row) {
                return Err(self.not_one(before, row));
            }
        }
        for row in 0..self.many.rows.len() {
            let Some(many) = self.many.get(row, step) else { continue };
            let group = self.of_many[row];
            let other = self.one_of[group];
            let Some(one) = other.map_or(fill_one, |other| self.one.get(other, step)) else {
                continue;
            };
            self.pair(step, group, (Some(row), many), (other, one))?;
        }
        if let Some(many) = fill_many {
            for row in 0..self.one.rows.len() {
                let Some(one) = self.one.get(row, step) else { continue };
                let group = self.of_one[row];
                if !self.matched[group] {
                    self.pair(step, group, (None, many), (Some(row), one))?;
                }
            }
        }
        Ok(())
    }

    fn pair(
        &mut self,
        step: usize,
        group: usize,
        (many_row, many): (Option<usize>, f64),
        (one_row, one): (Option<usize>, f64),
    ) -> Evaluated<()> {
        let op = self.node.op;
        let (left, right) = if self.is_swapped { (one, many) } else { (many, one) };
        let row = self.result_row(many_row, one_row);
        let was_matched = std::mem::replace(&mut self.matched[group], true);
        if self.node.matching.cardinality == Cardinality::OneToOne {
            if was_matched {
                return Err(Error::evaluate(
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
                ));
            }
        } else if !self.given.insert((group, row)) {
            return Err(Error::evaluate(
                "multiple matches for labels: grouping labels must ensure unique matches",
            ));
        }
        let held = holds(op, left, right);
        let value = match self.node.returns_bool {
            true => as_number(held),
            false if held => compute(op, left, right),
            false => return Ok(()),
        };
        let place = &mut self.result.row_mut(row)[step];
        if !is_absent(*place) {
            return Err(duplicate());
        }
        *place = value;
        Ok(())
    }

    fn result_row(&mut self, many: Option<usize>, one: Option<usize>) -> usize {
        if let Some(known) = self.by_rows.get(&(many, one)) {
            return *known;
        }
        let matching = &self.node.matching;
        let labels_of = |grid: &Grid, row: Option<usize>| row.map(|row| grid.rows[row].labels.clone());
        let (of_many, of_one) = (labels_of(&self.many, many), labels_of(&self.one, one));
        let shared = |labels: &Option<Labels>| labels.as_ref().map(|labels| signature(matching, labels));
        let of_one = of_one.or_else(|| shared(&of_many)).unwrap_or_default();
        let of_many = of_many.unwrap_or_else(|| signature(matching, &of_one));
        let labels = result_labels(&of_many, &of_one, matching, self.drops_name_now);
        let drops_name = self.node.returns_bool || many.is_some_and(|row| self.many.rows[row].drops_name);
        let result = &mut self.result;
        let row = *self.by_labels.entry(labels).or_insert_with_key(|labels| {
            result.push_absent(Row {
                labels: labels.clone(),
                drops_name,
            })
        });
        self.by_rows.insert((many, one), row);
        row
    }

    /// Says that the side of the one has two.
    fn not_one(&self, before: usize, row: usize) -> Error {
        let side = if self.is_swapped { "left" } else { "right" };
        let mut two = [before, row].map(|row| self.one.rows[row].labels.in_braces());
        two.sort();
        let matching = &self.node.matching;
        let shared = signature(matching, &self.one.rows[row].labels).in_braces();
        Error::evaluate(format!(
            "found duplicate series for the match group {shared} on the {side} hand-side of the operation: [{}, \
             {}];many-to-many matching not allowed: matching labels must be unique on one side",
            two[0], two[1]
        ))
    }
}

/// The labels of a result: those of the many, fewer or more as the matching says.
fn result_labels(many: &Labels, one: &Labels, matching: &Matching, drops_name: bool) -> Labels {
    let listed = |name: &str| matching.labels.iter().any(|listed| listed == name);
    let one_to_one = matching.cardinality == Cardinality::OneToOne;
    let kept = many.retain(|name| !(drops_name && is_metadata(name) || one_to_one && listed(name) != matching.on));
    if matching.include.is_empty() {
        return kept;
    }
    let mut builder = LabelsBuilder::from(&kept);
    for name in &matching.include {
        builder.set(name, one.get(name));
    }
    builder.finish()
}
