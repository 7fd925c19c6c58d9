//! Slides windows over samples and calls a function on each.
//!
//! Owns where a window begins and ends, open at its left, and that each series is walked once. Does not know what the functions
//! do.

use super::grid::{ABSENT, Grid, Row, Steps, is_absent};
use super::over_time::{self, OverTime};
use super::{Evaluated, Evaluator, Shift};
use crate::ast::{Call, Expr, RangeSelector, Subquery, ValueType};
use crate::error::Error;
use crate::labels::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher};
use crate::sample::{Samples, Timestamp, is_stale};
use crate::series::Selection;

/// A window and what is within; never empty, without stale markers.
#[derive(Clone, Copy)]
pub(crate) struct Window<'a> {
    pub(crate) samples: Samples<'a>,
    /// The left end, which is not within.
    pub(crate) start: Timestamp,
    /// The right end, which is within.
    pub(crate) end: Timestamp,
    /// The time of evaluation, which `@` and `offset` do not change.
    pub(crate) time: Timestamp,
}

impl Window<'_> {
    /// The width in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        (self.end - self.start) as f64 / 1000.0
    }
}

/// What is called on which windows.
struct Slide<'a> {
    steps: Steps,
    shift: Shift,
    range: i64,
    function: OverTime,
    /// The other arguments, at each step.
    parameters: &'a [Vec<f64>],
}

impl Slide<'_> {
    /// Appends a value for each step.
    fn over(&self, samples: Samples<'_>, into: &mut Vec<f64>) {
        let stamps = samples.times();
        let (mut from, mut to) = (0, 0);
        let mut parameters = vec![0.0; self.parameters.len()];
        for (step, time) in self.steps.times().enumerate() {
            let end = self.shift.apply(time);
            let start = end.saturating_sub(self.range);
            // In the last window, which is the only one of an instant query, all is read.
            if stamps.last().is_some_and(|last| *last <= end) {
                to = stamps.len();
            }
            while to < stamps.len() && stamps[to] <= end {
                to += 1;
            }
            while from < to && stamps[from] <= start {
                from += 1;
            }
            if from == to {
                into.push(ABSENT);
                continue;
            }
            for (parameter, values) in parameters.iter_mut().zip(self.parameters) {
                *parameter = values[step];
            }
            let window = Window {
                samples: samples.slice(from, to),
                start,
                end,
                time,
            };
            into.push((self.function)(&window, &parameters).unwrap_or(ABSENT));
        }
    }
}

/// The samples of a range vector, as they are.
pub(crate) struct Sampled {
    pub(crate) row: Row,
    pub(crate) times: Vec<Timestamp>,
    pub(crate) values: Vec<f64>,
}

impl Evaluator<'_> {
    /// Evaluates a function of a range vector.
    pub(crate) fn over_window(&mut self, call: &Call, steps: Steps) -> Evaluated<Grid> {
        let name = call.function.name;
        let unknown = || Error::evaluate(format!("function {name} takes no range vector"));
        let function = over_time::find(name).ok_or_else(unknown)?;
        let (mut matrix, mut parameters) = (None, Vec::new());
        for argument in &call.arguments {
            match argument.value_type() {
                ValueType::Matrix => matrix = Some(argument),
                _ => parameters.push(self.scalar(argument, steps)?),
            }
        }
        let matrix = matrix.ok_or_else(unknown)?;
        over_time::check_parameters(name, &parameters)?;
        if name == "quantile_over_time" {
            let wrong = |quantile: &&f64| !(0.0..=1.0).contains(*quantile);
            let wrong: Vec<f64> = parameters.iter().flatten().filter(wrong).copied().collect();
            let span = call.arguments[0].span();
            // Said only when there is something to say it about, below.
            let grid = self.slide(name, function, matrix, &parameters, steps)?;
            if !grid.rows.is_empty() {
                wrong
                    .into_iter()
                    .for_each(|quantile| self.notes.bad_quantile(quantile, span));
            }
            return self.without_names(grid);
        }
        let grid = self.slide(name, function, matrix, &parameters, steps)?;
        match name {
            "absent_over_time" => Ok(absent(grid, matrix, steps)),
            "first_over_time" | "last_over_time" => Ok(grid),
            _ => {
                if matches!(name, "rate" | "increase") {
                    self.doubt_counters(&grid, matrix);
                }
                self.without_names(grid)
            }
        }
    }

    fn slide(
        &mut self,
        name: &str,
        function: OverTime,
        matrix: &Expr,
        parameters: &[Vec<f64>],
        steps: Steps,
    ) -> Evaluated<Grid> {
        match matrix.unwrapped() {
            Expr::Range(range) => {
                let slide = Slide {
                    steps,
                    shift: self.modifiers(range.selector.at, range.selector.offset.as_ref())?,
                    range: self.period(&range.range, false)?,
                    function,
                    parameters,
                };
                self.slide_selector(name, range, &slide)
            }
            Expr::Subquery(subquery) => {
                let slide = Slide {
                    steps,
                    shift: self.modifiers(subquery.at, subquery.offset.as_ref())?,
                    range: self.period(&subquery.range, false)?,
                    function,
                    parameters,
                };
                let mut grid = Grid::new(steps.count);
                let sampled = self.subquery(subquery, slide.shift, slide.range, steps)?;
                for series in sampled {
                    slide.over(Samples::new(&series.times, &series.values), &mut grid.values);
                    grid.close_row(|| series.row);
                }
                Ok(grid)
            }
            _ => Err(Error::evaluate("expected a range vector")),
        }
    }

    fn slide_selector(&mut self, name: &str, range: &RangeSelector, slide: &Slide<'_>) -> Evaluated<Grid> {
        let steps = slide.steps;
        let mut grid = Grid::new(steps.count);
        let from = slide.shift.apply(steps.start).saturating_sub(slide.range - 1);
        let to = slide.shift.apply(steps.last());
        let selection = Selection::new(&range.selector.matchers, from, to).with_hints(name, steps.step, slide.range);
        let (mut stamps, mut values) = (Vec::new(), Vec::new());
        self.read(&selection, &mut |_, labels, samples| {
            if samples.has_stale() {
                stamps.clear();
                values.clear();
                for sample in samples.iter().filter(|sample| !is_stale(sample.value)) {
                    stamps.push(sample.time);
                    values.push(sample.value);
                }
                slide.over(Samples::new(&stamps, &values), &mut grid.values);
            } else {
                slide.over(samples, &mut grid.values);
            }
            grid.close_row(|| Row {
                labels: labels.clone(),
                drops_name: false,
            });
            Ok(())
        })?;
        Ok(grid)
    }

    /// Evaluates a subquery over all that the windows of the steps need.
    fn subquery(&mut self, subquery: &Subquery, shift: Shift, range: i64, steps: Steps) -> Evaluated<Vec<Sampled>> {
        let step = match &subquery.step {
            Some(step) => self.period(step, false)?,
            None => self.options.subquery_step,
        };
        let step = step.max(1);
        let behind = shift.apply(steps.start).saturating_sub(range);
        // The first multiple of the step that is within the first window.
        let start = (behind.div_euclid(step) + 1).saturating_mul(step);
        let end = shift.apply(steps.last());
        if end < start {
            return Ok(Vec::new());
        }
        let count = usize::try_from(end.saturating_sub(start) / step + 1).unwrap_or(usize::MAX);
        self.spend(count)?;
        let inner = Steps { start, step, count };
        let grid = self.vector(&subquery.expr, inner)?;
        let rows = grid.rows.iter().enumerate().map(|(at, row)| {
            let there = grid.row(at).iter().enumerate().filter(|(_, value)| !is_absent(**value));
            let (times, values) = there.map(|(step, value)| (inner.time(step), *value)).unzip();
            Sampled {
                row: row.clone(),
                times,
                values,
            }
        });
        Ok(rows.collect())
    }

    /// The samples of a range vector at one time, sorted by labels.
    pub(crate) fn sampled(&mut self, matrix: &Expr, time: Timestamp) -> Evaluated<Vec<Sampled>> {
        let mut all = match matrix.unwrapped() {
            Expr::Subquery(subquery) => {
                let shift = self.modifiers(subquery.at, subquery.offset.as_ref())?;
                let range = self.period(&subquery.range, false)?;
                self.subquery(subquery, shift, range, Steps::one(time))?
            }
            Expr::Range(node) => {
                let shift = self.modifiers(node.selector.at, node.selector.offset.as_ref())?;
                let range = self.period(&node.range, false)?;
                let (to, mut all) = (shift.apply(time), Vec::new());
                let from = to.saturating_sub(range - 1);
                let selection = Selection::new(&node.selector.matchers, from, to).with_hints("", 0, range);
                self.read(&selection, &mut |_, labels, samples| {
                    let within = samples.iter().filter(|sample| (from..=to).contains(&sample.time));
                    let (times, values): (Vec<_>, Vec<_>) = within
                        .filter(|sample| !is_stale(sample.value))
                        .map(|sample| (sample.time, sample.value))
                        .unzip();
                    if !times.is_empty() {
                        let row = Row {
                            labels: labels.clone(),
                            drops_name: false,
                        };
                        all.push(Sampled { row, times, values });
                    }
                    Ok(())
                })?;
                all
            }
            _ => return Err(Error::evaluate("expected a range vector")),
        };
        all.sort_by(|one, two| one.row.labels.cmp(&two.row.labels));
        Ok(all)
    }

    /// Says of which metrics a rate was taken that are hardly counters.
    fn doubt_counters(&mut self, grid: &Grid, matrix: &Expr) {
        const ENDINGS: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];
        let mut before = "";
        for row in &grid.rows {
            let name = row.labels.metric_name();
            if name != before && !ENDINGS.iter().any(|ending| name.ends_with(ending)) {
                self.notes.maybe_no_counter(name, matrix.span());
            }
            before = name;
        }
    }
}

/// One where no series has a sample in the window.
fn absent(grid: Grid, matrix: &Expr, steps: Steps) -> Grid {
    let labels = match matrix.unwrapped() {
        Expr::Range(range) => labels_of(&range.selector.matchers),
        _ => Labels::EMPTY,
    };
    missing(&grid, labels, steps)
}

/// One at each step at which no row has a value.
pub(crate) fn missing(grid: &Grid, labels: Labels, steps: Steps) -> Grid {
    let mut result = Grid::new(steps.count);
    for step in 0..steps.count {
        let there = (0..grid.rows.len()).any(|row| grid.get(row, step).is_some());
        result.values.push(if there { ABSENT } else { 1.0 });
    }
    result.close_row(|| Row {
        labels,
        drops_name: false,
    });
    result
}

/// The labels that a selector asks for by `=`; one it asks for in a second way too is left out.
pub(crate) fn labels_of(matchers: &[Matcher]) -> Labels {
    let (mut labels, mut seen) = (LabelsBuilder::default(), Vec::new());
    for matcher in matchers.iter().filter(|matcher| matcher.name() != METRIC_NAME) {
        if matcher.op() == MatchOp::Equal && !seen.contains(&matcher.name()) {
            labels.set(matcher.name(), matcher.value());
            seen.push(matcher.name());
        } else {
            labels.remove(matcher.name());
        }
    }
    labels.finish()
}
