//! Quantiles and shares from the buckets of classic histograms.
//!
//! Owns how buckets are gathered by their label `le`, put in order, corrected and read. Native histograms are not known.

use std::collections::HashMap;

use super::grid::{ABSENT, Grid, Row, Steps};
use super::instant::texts;
use super::{Evaluated, Evaluator};
use crate::ast::{Call, Expr};
use crate::error::Error;
use crate::labels::{Labels, METRIC_NAME};
use crate::text::number;

/// The label with a bucket's upper bound.
const BOUND: &str = "le";

/// Two counts that differ by less than this share are the same but for rounding.
const SAME_WITHIN: f64 = 1e-12;

/// Everything up to a bound.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bucket {
    bound: f64,
    count: f64,
}

/// The buckets of one histogram: where in the grid each is, sorted by bound.
struct Histogram {
    metric: String,
    row: Row,
    buckets: Vec<(f64, usize)>,
}

/// What was changed so that counts rise.
struct Forced {
    bounds: (f64, f64),
    difference: f64,
}

impl Evaluator<'_> {
    /// `histogram_quantile`, `histogram_quantiles`, `histogram_fraction`.
    pub(crate) fn over_buckets(&mut self, call: &Call, steps: Steps) -> Evaluated<Grid> {
        let arguments = &call.arguments;
        match call.function.name {
            "histogram_fraction" => {
                let (lower, upper) = (self.scalar(&arguments[0], steps)?, self.scalar(&arguments[1], steps)?);
                self.each_histogram(&arguments[2], steps, |_, step, buckets, _| {
                    fraction(lower[step], upper[step], buckets)
                })
            }
            "histogram_quantile" => {
                let quantiles = self.quantiles(&arguments[0], steps)?;
                self.each_histogram(&arguments[1], steps, quantile_of(&quantiles, &arguments[1], steps))
            }
            _ => {
                let labels = texts(&arguments[1..2])?;
                let label = labels.first().ok_or_else(|| Error::evaluate("expected a label"))?;
                let mut all = Grid::new(steps.count);
                for argument in &arguments[2..] {
                    let quantiles = self.quantiles(argument, steps)?;
                    let with = quantile_of(&quantiles, &arguments[0], steps);
                    let mut grid = self.each_histogram(&arguments[0], steps, with)?;
                    let share = quantiles.first().copied().unwrap_or(f64::NAN);
                    for row in &mut grid.rows {
                        row.labels = row.labels.with(label, &open_metrics(share));
                    }
                    all.rows.append(&mut grid.rows);
                    all.values.append(&mut grid.values);
                }
                all.merged()
            }
        }
    }

    fn quantiles(&mut self, argument: &Expr, steps: Steps) -> Evaluated<Vec<f64>> {
        let quantiles = self.scalar(argument, steps)?;
        for quantile in &quantiles {
            if !(0.0..=1.0).contains(quantile) {
                self.notes.bad_quantile(*quantile, argument.span());
            }
        }
        Ok(quantiles)
    }

    /// Calls a function with the buckets of each histogram at each step.
    fn each_histogram(
        &mut self,
        argument: &Expr,
        steps: Steps,
        mut value: impl FnMut(&mut Self, usize, &mut Vec<Bucket>, &str) -> f64,
    ) -> Evaluated<Grid> {
        let grid = self.vector(argument, steps)?;
        let mut result = Grid::new(steps.count);
        let mut buckets = Vec::new();
        for histogram in self.histograms(&grid, argument) {
            for step in 0..steps.count {
                buckets.clear();
                let there = histogram.buckets.iter();
                buckets.extend(there.filter_map(|(bound, row)| {
                    let count = grid.get(*row, step)?;
                    Some(Bucket { bound: *bound, count })
                }));
                result.values.push(match buckets.is_empty() {
                    true => ABSENT,
                    false => value(self, step, &mut buckets, &histogram.metric),
                });
            }
            result.close_row(|| histogram.row);
        }
        match self.options.delayed_name_removal {
            true => Ok(result),
            false => result.merged(),
        }
    }

    fn histograms(&mut self, grid: &Grid, argument: &Expr) -> Vec<Histogram> {
        let mut positions: HashMap<Labels, usize> = HashMap::new();
        let mut histograms: Vec<Histogram> = Vec::new();
        let mut before: Option<(&Labels, usize)> = None;
        for (at, row) in grid.rows.iter().enumerate() {
            let text = row.labels.get(BOUND);
            // With names already gone nothing is said of the metric.
            let metric = match self.options.delayed_name_removal {
                true => row.labels.metric_name(),
                false => "",
            };
            let Ok(bound) = text.parse::<f64>() else {
                self.notes.bad_bucket(text, metric, argument.span());
                continue;
            };
            // Exporters write the buckets of one histogram in a row.
            if let Some((labels, position)) = before
                && row.labels.is_same_but_for(labels, BOUND)
            {
                histograms[position].buckets.push((bound, at));
                continue;
            }
            let key = row.labels.retain(|name| name != BOUND);
            let position = *positions.entry(key).or_insert_with_key(|key| {
                histograms.push(Histogram {
                    metric: metric.to_owned(),
                    row: Row {
                        labels: match self.options.delayed_name_removal {
                            true => key.clone(),
                            false => key.retain(|name| name != METRIC_NAME),
                        },
                        drops_name: true,
                    },
                    buckets: Vec::new(),
                });
                histograms.len() - 1
            });
            histograms[position].buckets.push((bound, at));
            before = Some((&row.labels, position));
        }
        for histogram in &mut histograms {
            histogram.buckets.sort_by(|one, two| one.0.total_cmp(&two.0));
        }
        histograms
    }
}

/// The quantile of buckets at a step, which says what it had to change.
fn quantile_of<'q>(
    quantiles: &'q [f64],
    argument: &'q Expr,
    steps: Steps,
) -> impl FnMut(&mut Evaluator<'_>, usize, &mut Vec<Bucket>, &str) -> f64 + use<'q> {
    move |evaluator, step, buckets, metric| {
        let (value, forced) = quantile(quantiles[step], buckets);
        if let Some(Forced { bounds, difference }) = forced {
            let (time, span) = (steps.time(step), argument.span());
            evaluator.notes.forced_buckets(metric, time, bounds, difference, span);
        }
        value
    }
}

/// A number as OpenMetrics writes it in a label: never without a point.
fn open_metrics(value: f64) -> String {
    let text = number(value);
    match text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        true => format!("{text}.0"),
        false => text,
    }
}

/// The value below which a share of all observations lies, as if they were spread evenly within each bucket.
///
/// The lowest bucket begins at 0, or has no width when its bound is 0 or less. In the highest, which has no end, it is the bound
/// before. NaN when there is nothing observed, no bucket without bound, or no other.
fn quantile(share: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Forced>) {
    if share.is_nan() {
        return (f64::NAN, None);
    }
    if share < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if share > 1.0 {
        return (f64::INFINITY, None);
    }
    if buckets.last().is_none_or(|bucket| bucket.bound != f64::INFINITY) {
        return (f64::NAN, None);
    }
    coalesce(buckets);
    let forced = make_rise(buckets);
    let [.., second, highest] = &buckets[..] else {
        return (f64::NAN, forced);
    };
    if highest.count == 0.0 {
        return (f64::NAN, forced);
    }
    let rank = share * highest.count;
    let reaches = |bucket: &Bucket| bucket.count >= rank;
    let at = buckets[..buckets.len() - 1].partition_point(|bucket| !reaches(bucket));
    let value = if at == buckets.len() - 1 {
        second.bound
    } else if at == 0 && buckets[0].bound <= 0.0 {
        buckets[0].bound
    } else {
        let (start, below) = match at.checked_sub(1) {
            Some(before) => (buckets[before].bound, buckets[before].count),
            None => (0.0, 0.0),
        };
        start + (buckets[at].bound - start) * ((rank - below) / (buckets[at].count - below))
    };
    (value, forced)
}

/// The share of observations between two values, as if they were spread evenly within each bucket.
fn fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if buckets.last().is_none_or(|bucket| bucket.bound != f64::INFINITY) {
        return f64::NAN;
    }
    coalesce(buckets);
    let count = buckets.last().map_or(0.0, |bucket| bucket.count);
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let (below, to) = (rank_of(lower, buckets), rank_of(upper, buckets));
    let within = |rank: Option<f64>| rank.filter(|rank| *rank <= count).unwrap_or(count);
    (within(to) - within(below)) / count
}

/// How many observations lie below a value; `None` when it is above all buckets.
fn rank_of(value: f64, buckets: &[Bucket]) -> Option<f64> {
    let mut rank = 0.0;
    let mut start = if buckets.first()?.bound <= 0.0 {
        f64::NEG_INFINITY
    } else {
        0.0
    };
    for bucket in buckets {
        if start >= value {
            return Some(rank);
        }
        if bucket.bound > value {
            // Nothing can be spread over a bucket without a beginning.
            return Some(match start == f64::NEG_INFINITY {
                true => bucket.count,
                false => rank + (bucket.count - rank) * (value - start) / (bucket.bound - start),
            });
        }
        (rank, start) = (bucket.count, bucket.bound);
    }
    None
}

/// Adds up buckets that have the same bound, written differently.
fn coalesce(buckets: &mut Vec<Bucket>) {
    buckets.dedup_by(|next, kept| {
        let same = next.bound == kept.bound;
        if same {
            kept.count += next.count;
        }
        same
    });
}

/// Takes away what falls from bucket to bucket: differences by rounding in silence, others are told.
fn make_rise(buckets: &mut [Bucket]) -> Option<Forced> {
    let mut forced: Option<Forced> = None;
    let mut before = buckets.first()?.count;
    for bucket in buckets.iter_mut().skip(1) {
        let count = bucket.count;
        if count == before {
            continue;
        }
        if is_same(before, count) {
            bucket.count = before;
        } else if count < before {
            bucket.count = before;
            let so_far = forced.get_or_insert(Forced {
                bounds: (f64::INFINITY, f64::NEG_INFINITY),
                difference: 0.0,
            });
            so_far.bounds = (so_far.bounds.0.min(bucket.bound), so_far.bounds.1.max(bucket.bound));
            so_far.difference = so_far.difference.max(before - count);
        } else {
            before = count;
        }
    }
    forced
}

/// Whether two numbers differ by rounding only.
fn is_same(one: f64, two: f64) -> bool {
    if one == two || (one.is_nan() && two.is_nan()) {
        return true;
    }
    let (sum, difference) = (one.abs() + two.abs(), (one - two).abs());
    if one == 0.0 || two == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SAME_WITHIN * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < SAME_WITHIN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<Bucket> {
        pairs
            .iter()
            .map(|(bound, count)| Bucket {
                bound: *bound,
                count: *count,
            })
            .collect()
    }

    #[test]
    fn what_falls_is_made_to_rise_and_told() {
        let (value, forced) = quantile(0.5, &mut buckets(&[(1.0, 10.0), (2.0, 8.0), (f64::INFINITY, 10.0)]));
        assert_eq!(value, 0.5);
        assert_eq!(
            forced.map(|forced| (forced.bounds, forced.difference)),
            Some(((2.0, 2.0), 2.0))
        );
        let (_, forced) = quantile(
            0.5,
            &mut buckets(&[(1.0, 10.0), (2.0, 10.0 - 1e-13), (f64::INFINITY, 10.0)]),
        );
        assert!(forced.is_none());
    }

    #[test]
    fn nothing_to_tell_is_nan() {
        assert!(quantile(0.5, &mut buckets(&[(1.0, 1.0)])).0.is_nan());
        assert!(quantile(0.5, &mut buckets(&[(f64::INFINITY, 1.0)])).0.is_nan());
        assert!(
            quantile(0.5, &mut buckets(&[(1.0, 0.0), (f64::INFINITY, 0.0)]))
                .0
                .is_nan()
        );
    }
}
