//! Puts the series of a vector together in groups, step by step.
//!
//! Owns grouping and every aggregation. Does not know where the vector comes from.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use super::grid::{ABSENT, Grid, Row, Steps, is_absent};
use super::sum::{Mean, Sum, quantile};
use super::{Evaluated, Evaluator};
use crate::ast::{Aggregate, AggregateOp, Expr};
use crate::error::Error;
use crate::labels::{Labels, METRIC_NAME};
use crate::text::{number, quoted};

/// One group at one step.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    count: f64,
    sum: Sum,
    mean: Mean,
    /// The extreme so far, or Welford's mean.
    value: f64,
    squares: f64,
}

impl Group {
    fn add(&mut self, op: AggregateOp, value: f64) {
        self.count += 1.0;
        let first = self.count == 1.0;
        match op {
            AggregateOp::Sum => self.sum.add(value),
            AggregateOp::Avg => self.mean.add(value),
            AggregateOp::Min if first || self.value > value || self.value.is_nan() => self.value = value,
            AggregateOp::Max if first || self.value < value || self.value.is_nan() => self.value = value,
            AggregateOp::Stddev | AggregateOp::Stdvar if first => {
                self.value = value;
                self.squares = if value.is_finite() { 0.0 } else { f64::NAN };
            }
            AggregateOp::Stddev | AggregateOp::Stdvar => {
                let delta = value - self.value;
                self.value += delta / self.count;
                self.squares += delta * (value - self.value);
            }
            _ => {}
        }
    }

    fn result(&self, op: AggregateOp) -> f64 {
        if self.count == 0.0 {
            return ABSENT;
        }
        match op {
            AggregateOp::Sum => self.sum.total(),
            AggregateOp::Avg => self.mean.mean(),
            AggregateOp::Count => self.count,
            AggregateOp::Stdvar => self.squares / self.count,
            AggregateOp::Stddev => (self.squares / self.count).sqrt(),
            AggregateOp::Group => 1.0,
            _ => self.value,
        }
    }
}

/// Which group each row belongs to.
struct Grouping {
    /// The row of each group, in the order they appeared.
    rows: Vec<Row>,
    /// The group of each row.
    of: Vec<usize>,
}

fn group_labels(labels: &Labels, names: &[String], without: bool) -> Labels {
    let listed = |name: &str| names.iter().any(|listed| listed == name);
    match without {
        true => labels.retain(|name| !listed(name) && name != METRIC_NAME),
        false if names.is_empty() => Labels::EMPTY,
        false => labels.retain(listed),
    }
}

fn grouping(grid: &Grid, names: &[String], without: bool) -> Grouping {
    let mut known: HashMap<Labels, usize> = HashMap::new();
    let mut grouping = Grouping {
        rows: Vec::new(),
        of: Vec::with_capacity(grid.rows.len()),
    };
    for row in &grid.rows {
        let labels = group_labels(&row.labels, names, without);
        let group = *known.entry(labels).or_insert_with_key(|labels| {
            grouping.rows.push(Row {
                labels: labels.clone(),
                drops_name: false,
            });
            grouping.rows.len() - 1
        });
        grouping.rows[group].drops_name |= row.drops_name;
        grouping.of.push(group);
    }
    grouping
}

impl Evaluator<'_> {
    pub(crate) fn aggregate(&mut self, node: &Aggregate, steps: Steps) -> Evaluated<Grid> {
        if node.op == AggregateOp::CountValues {
            return self.count_values(node, steps);
        }
        let parameters = match &node.parameter {
            Some(parameter) => self.scalar(parameter, steps)?,
            None => Vec::new(),
        };
        let grid = self.vector(&node.expr, steps)?;
        if node.op.keeps_series() {
            // Of equals the first by labels is chosen, in whatever order the store has them.
            return self.choose(node, grid.sorted(), &parameters);
        }
        let grouping = grouping(&grid, &node.grouping, node.without);
        if node.op == AggregateOp::Quantile {
            self.doubt_quantiles(node, &parameters);
            return Ok(quantiles(&grid, grouping, &parameters));
        }
        self.spend(grouping.rows.len() * steps.count)?;
        let mut groups = vec![Group::default(); grouping.rows.len() * steps.count];
        for (row, group) in grouping.of.iter().enumerate() {
            let groups = &mut groups[group * steps.count..(group + 1) * steps.count];
            for (group, value) in groups.iter_mut().zip(grid.row(row)) {
                if !is_absent(*value) {
                    group.add(node.op, *value);
                }
            }
        }
        Ok(Grid {
            rows: grouping.rows,
            values: groups.iter().map(|group| group.result(node.op)).collect(),
            steps: steps.count,
        }
        .without_empty())
    }

    fn doubt_quantiles(&mut self, node: &Aggregate, parameters: &[f64]) {
        let span = node.parameter.as_ref().map(Expr::span).unwrap_or_default();
        for parameter in parameters {
            if !(0.0..=1.0).contains(parameter) {
                self.notes.bad_quantile(*parameter, span);
            }
        }
    }

    fn count_values(&mut self, node: &Aggregate, steps: Steps) -> Evaluated<Grid> {
        let label = match node.parameter.as_ref().map(Expr::unwrapped) {
            Some(Expr::Text(text)) if !text.value.is_empty() => &text.value,
            other => {
                let shown = other.map(ToString::to_string).unwrap_or_else(|| quoted(""));
                return Err(Error::evaluate(format!("invalid label name {shown}")));
            }
        };
        let grid = self.vector(&node.expr, steps)?;
        let mut names = node.grouping.clone();
        if !node.without {
            names.push(label.clone());
        }
        let mut known: HashMap<Labels, usize> = HashMap::new();
        let mut counts = Grid::new(steps.count);
        for (at, row) in grid.rows.iter().enumerate() {
            for step in 0..steps.count {
                let Some(value) = grid.get(at, step) else { continue };
                let labels = group_labels(&row.labels.with(label, &number(value)), &names, node.without);
                let group = *known.entry(labels).or_insert_with_key(|labels| {
                    counts.push_absent(Row {
                        labels: labels.clone(),
                        drops_name: false,
                    })
                });
                let count = &mut counts.row_mut(group)[step];
                *count = if is_absent(*count) { 1.0 } else { *count + 1.0 };
            }
            self.spend(steps.count)?;
        }
        Ok(counts)
    }

    /// `topk`, `bottomk`, `limitk`, `limit_ratio`.
    fn choose(&mut self, node: &Aggregate, grid: Grid, parameters: &[f64]) -> Evaluated<Grid> {
        let is_ratio = node.op == AggregateOp::LimitRatio;
        if parameters.iter().any(|parameter| parameter.is_nan()) {
            let what = if is_ratio { "Ratio" } else { "Parameter" };
            return Err(Error::evaluate(format!("{what} value is NaN")));
        }
        let span = node.parameter.as_ref().map(Expr::span).unwrap_or_default();
        let most = parameters.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for parameter in parameters {
            if is_ratio && parameter.abs() > 1.0 {
                self.notes.bad_ratio(*parameter, parameter.signum(), span);
            } else if !is_ratio && most >= 1.0 && parameter.abs() >= i64::MAX as f64 {
                let way = if *parameter > 0.0 { "overflows" } else { "underflows" };
                let text = format!("Scalar value {} {way} int64", number(*parameter));
                return Err(Error::evaluate(text));
            }
        }
        let grouping = grouping(&grid, &node.grouping, node.without);
        let mut chosen = Grid {
            rows: grid.rows.clone(),
            values: vec![ABSENT; grid.values.len()],
            steps: grid.steps,
        };
        let mut order = Vec::new();
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); grouping.rows.len()];
        for (step, parameter) in parameters.iter().enumerate() {
            members.iter_mut().for_each(Vec::clear);
            order.clear();
            for (row, group) in grouping.of.iter().enumerate() {
                if grid.get(row, step).is_some() {
                    members[*group].push(row);
                }
            }
            for rows in &mut members {
                narrow(node.op, *parameter, &grid, step, rows);
                for row in rows.iter() {
                    chosen.row_mut(*row)[step] = grid.row(*row)[step];
                }
                order.extend_from_slice(rows);
            }
        }
        // One step may be an instant, whose order shows.
        Ok(if grid.steps == 1 {
            chosen.pick(&order)
        } else {
            chosen.without_empty()
        })
    }
}

/// Leaves the rows that are chosen, best first.
fn narrow(op: AggregateOp, parameter: f64, grid: &Grid, step: usize, rows: &mut Vec<usize>) {
    let count = parameter.max(0.0) as usize;
    let value = |row: &usize| grid.row(*row)[step];
    match op {
        AggregateOp::Topk | AggregateOp::Bottomk if count > 0 => {
            // NaN is worse than any value, and of equals the earlier is better.
            rows.sort_by(|one, two| {
                let (one, two) = (value(one), value(two));
                match one.partial_cmp(&two) {
                    Some(order) if op == AggregateOp::Topk => order.reverse(),
                    Some(order) => order,
                    None => one.is_nan().cmp(&two.is_nan()),
                }
            });
            rows.truncate(count);
        }
        AggregateOp::LimitRatio => {
            let ratio = parameter.clamp(-1.0, 1.0);
            rows.retain(|row| {
                let place = place_of(&grid.rows[*row].labels);
                if ratio >= 0.0 {
                    place < ratio
                } else {
                    place >= 1.0 + ratio
                }
            });
        }
        _ => rows.truncate(count),
    }
}

/// Where between 0 and 1 a label set stands, always the same.
fn place_of(labels: &Labels) -> f64 {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(labels);
    hash as f64 / u64::MAX as f64
}

fn quantiles(grid: &Grid, grouping: Grouping, parameters: &[f64]) -> Grid {
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); grouping.rows.len()];
    for (row, group) in grouping.of.iter().enumerate() {
        members[*group].push(row);
    }
    let mut result = Grid::new(grid.steps);
    let mut values = Vec::new();
    for (row, members) in grouping.rows.into_iter().zip(members) {
        for (step, parameter) in parameters.iter().enumerate() {
            values.clear();
            values.extend(members.iter().filter_map(|member| grid.get(*member, step)));
            result.values.push(match values.is_empty() {
                true => ABSENT,
                false => quantile(*parameter, &mut values),
            });
        }
        result.close_row(|| row);
    }
    result
}
