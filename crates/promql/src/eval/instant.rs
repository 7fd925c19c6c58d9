//! The functions of vectors and scalars at one step.
//!
//! Owns each function that looks at no window and no bucket. Does not know how its arguments came about.

use super::grid::{ABSENT, Grid, Row, Steps};
use super::window::{labels_of, missing};
use super::{Evaluated, Evaluator, Got, map};
use crate::ast::{Call, Expr};
use crate::calendar::{Date, days_in_month};
use crate::error::Error;
use crate::labels::Labels;

/// A function of one number.
fn of_number(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "acos" => f64::acos,
        "acosh" => f64::acosh,
        "asin" => f64::asin,
        "asinh" => f64::asinh,
        "atan" => f64::atan,
        "atanh" => f64::atanh,
        "ceil" => f64::ceil,
        "cos" => f64::cos,
        "cosh" => f64::cosh,
        "deg" => |value| value * 180.0 / std::f64::consts::PI,
        "exp" => f64::exp,
        "floor" => f64::floor,
        "ln" => f64::ln,
        "log10" => f64::log10,
        "log2" => f64::log2,
        "rad" => |value| value * std::f64::consts::PI / 180.0,
        "sgn" => |value| {
            if value > 0.0 {
                1.0
            } else if value < 0.0 {
                -1.0
            } else {
                value
            }
        },
        "sin" => f64::sin,
        "sinh" => f64::sinh,
        "sqrt" => f64::sqrt,
        "tan" => f64::tan,
        "tanh" => f64::tanh,
        _ => return None,
    })
}

/// A function of a time.
fn of_date(name: &str) -> Option<fn(&Date) -> i64> {
    Some(match name {
        "day_of_month" => |date| date.day,
        "day_of_week" => |date| date.weekday,
        "day_of_year" => Date::day_of_year,
        "days_in_month" => |date| days_in_month(date.year, date.month),
        "hour" => |date| date.hour,
        "minute" => |date| date.minute,
        "month" => |date| date.month,
        "year" => |date| date.year,
        _ => return None,
    })
}

fn nameless_row() -> Row {
    Row {
        labels: Labels::EMPTY,
        drops_name: false,
    }
}

impl Evaluator<'_> {
    pub(crate) fn instant_function(&mut self, call: &Call, steps: Steps) -> Evaluated<Got> {
        let name = call.function.name;
        let arguments = &call.arguments;
        if let Some(function) = of_number(name) {
            let grid = self.vector(&arguments[0], steps)?;
            return Ok(Got::Vector(self.without_names(map(grid, function))?));
        }
        if let Some(function) = of_date(name) {
            return Ok(Got::Vector(self.dates(function, arguments.first(), steps)?));
        }
        Ok(match name {
            "time" => Got::Scalar(seconds(steps)),
            "pi" => Got::Scalar(vec![std::f64::consts::PI; steps.count]),
            "start" => Got::Scalar(vec![self.whole.start as f64 / 1000.0; steps.count]),
            "end" => Got::Scalar(vec![self.whole.last() as f64 / 1000.0; steps.count]),
            "range" => Got::Scalar(vec![self.around.range; steps.count]),
            "step" => Got::Scalar(vec![self.around.step; steps.count]),
            "min_of" | "max_of" => {
                let (one, two) = (self.scalar(&arguments[0], steps)?, self.scalar(&arguments[1], steps)?);
                let pick = if name == "min_of" { smaller } else { larger };
                Got::Scalar(one.into_iter().zip(two).map(|(one, two)| pick(one, two)).collect())
            }
            "scalar" => {
                let grid = self.vector(&arguments[0], steps)?;
                let only = |step| {
                    let mut there = (0..grid.rows.len()).filter_map(|row| grid.get(row, step));
                    there.next().filter(|_| there.next().is_none()).unwrap_or(f64::NAN)
                };
                Got::Scalar((0..steps.count).map(only).collect())
            }
            "vector" => {
                let values = self.scalar(&arguments[0], steps)?;
                Got::Vector(Grid {
                    rows: vec![nameless_row()],
                    values,
                    steps: steps.count,
                })
            }
            "timestamp" => Got::Vector(self.timestamp(&arguments[0], steps)?),
            "absent" => {
                let grid = self.vector(&arguments[0], steps)?;
                let labels = match arguments[0].unwrapped() {
                    Expr::Selector(selector) => labels_of(&selector.matchers),
                    _ => Labels::EMPTY,
                };
                Got::Vector(missing(&grid, labels, steps))
            }
            "round" => Got::Vector(self.round(arguments, steps)?),
            "clamp" | "clamp_min" | "clamp_max" => Got::Vector(self.clamp(name, arguments, steps)?),
            "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => Got::Vector(self.sort(name, call, steps)?),
            // These are of native histograms, of which there are none.
            "histogram_avg" | "histogram_count" | "histogram_stddev" | "histogram_stdvar" | "histogram_sum" => {
                self.vector(&arguments[0], steps)?;
                Got::Vector(Grid::new(steps.count))
            }
            other => return Err(Error::evaluate(format!("function {other} cannot be evaluated"))),
        })
    }

    fn dates(&mut self, function: fn(&Date) -> i64, argument: Option<&Expr>, steps: Steps) -> Evaluated<Grid> {
        let of = |value: f64| function(&Date::of(in_calendar(value))) as f64;
        match argument {
            Some(argument) => {
                let grid = self.vector(argument, steps)?;
                self.without_names(map(grid, of))
            }
            None => Ok(Grid {
                rows: vec![nameless_row()],
                values: steps.times().map(|time| of((time / 1000) as f64)).collect(),
                steps: steps.count,
            }),
        }
    }

    fn timestamp(&mut self, argument: &Expr, steps: Steps) -> Evaluated<Grid> {
        if let Expr::Selector(selector) = argument.unwrapped() {
            let grid = self.select_latest(selector, steps, true)?;
            return self.without_names(grid);
        }
        let mut grid = self.vector(argument, steps)?;
        let times = seconds(steps);
        for row in 0..grid.rows.len() {
            for (value, time) in grid.row_mut(row).iter_mut().zip(&times) {
                if !super::is_absent(*value) {
                    *value = *time;
                }
            }
        }
        self.without_names(grid)
    }

    fn round(&mut self, arguments: &[Expr], steps: Steps) -> Evaluated<Grid> {
        let mut grid = self.vector(&arguments[0], steps)?;
        let nearest = match arguments.get(1) {
            Some(argument) => self.scalar(argument, steps)?,
            None => vec![1.0; steps.count],
        };
        for row in 0..grid.rows.len() {
            for (value, nearest) in grid.row_mut(row).iter_mut().zip(&nearest) {
                if !super::is_absent(*value) {
                    // Multiplied by the inverse: fewer errors show. Halves are rounded up.
                    let inverse = 1.0 / nearest;
                    *value = (*value * inverse + 0.5).floor() / inverse;
                }
            }
        }
        self.without_names(grid)
    }

    fn clamp(&mut self, name: &str, arguments: &[Expr], steps: Steps) -> Evaluated<Grid> {
        let mut grid = self.vector(&arguments[0], steps)?;
        let first = self.scalar(&arguments[1], steps)?;
        let (least, most) = match (name, arguments.get(2)) {
            ("clamp_min", _) => (first, vec![f64::INFINITY; steps.count]),
            ("clamp_max", _) => (vec![f64::NEG_INFINITY; steps.count], first),
            (_, Some(most)) => (first, self.scalar(most, steps)?),
            (_, None) => return Err(Error::evaluate("clamp needs two bounds")),
        };
        for row in 0..grid.rows.len() {
            for (step, value) in grid.row_mut(row).iter_mut().enumerate() {
                if most[step] < least[step] {
                    *value = ABSENT;
                } else if !super::is_absent(*value) {
                    *value = larger(least[step], smaller(most[step], *value));
                }
            }
        }
        self.without_names(grid.without_empty())
    }

    fn sort(&mut self, name: &str, call: &Call, steps: Steps) -> Evaluated<Grid> {
        let grid = self.vector(&call.arguments[0], steps)?.sorted();
        if steps.count > 1 {
            self.notes.sorted_range(call.span);
            return Ok(grid);
        }
        let mut order: Vec<usize> = (0..grid.rows.len()).collect();
        if matches!(name, "sort" | "sort_desc") {
            // NaN is last in both.
            order.sort_by(|one, two| {
                let (one, two) = (grid.values[*one], grid.values[*two]);
                let by_value = one.partial_cmp(&two).unwrap_or_else(|| one.is_nan().cmp(&two.is_nan()));
                match name {
                    "sort" => by_value,
                    _ if one.is_nan() || two.is_nan() => by_value,
                    _ => by_value.reverse(),
                }
            });
            return Ok(grid.pick(&order));
        }
        let labels = texts(&call.arguments[1..])?;
        order.sort_by(|one, two| {
            let (one, two) = (&grid.rows[*one].labels, &grid.rows[*two].labels);
            let by_labels = labels
                .iter()
                .map(|label| natural(one.get(label), two.get(label)))
                .find(|order| order.is_ne())
                .unwrap_or_else(|| one.cmp(two));
            if name == "sort_by_label" {
                by_labels
            } else {
                by_labels.reverse()
            }
        });
        Ok(grid.pick(&order))
    }
}

/// The values of arguments that are texts.
pub(crate) fn texts(arguments: &[Expr]) -> Evaluated<Vec<&str>> {
    let texts = arguments.iter().map(|argument| match argument.unwrapped() {
        Expr::Text(text) => Ok(text.value.as_str()),
        _ => Err(Error::evaluate("expected a string")),
    });
    texts.collect()
}

fn seconds(steps: Steps) -> Vec<f64> {
    steps.times().map(|time| time as f64 / 1000.0).collect()
}

/// A number of seconds within what the calendar is computed for; what is outside has no date anywhere.
fn in_calendar(value: f64) -> i64 {
    const MOST: f64 = 1e15;
    if value.is_nan() {
        0
    } else {
        value.clamp(-MOST, MOST) as i64
    }
}

/// As Go's `math.Min`: NaN wins.
fn smaller(one: f64, two: f64) -> f64 {
    if one.is_nan() || two.is_nan() {
        f64::NAN
    } else {
        one.min(two)
    }
}

/// As Go's `math.Max`: NaN wins.
fn larger(one: f64, two: f64) -> f64 {
    if one.is_nan() || two.is_nan() {
        f64::NAN
    } else {
        one.max(two)
    }
}

/// The order in which `a2` comes before `a10`: runs of digits are compared as numbers.
fn natural(one: &str, two: &str) -> std::cmp::Ordering {
    let (mut one, mut two) = (one, two);
    loop {
        let (left, right) = (run(one), run(two));
        let ordering = match (left.parse::<u128>(), right.parse::<u128>()) {
            (Ok(left), Ok(right)) => left.cmp(&right),
            _ => left.cmp(right),
        };
        if ordering.is_ne() || left.is_empty() {
            return ordering;
        }
        (one, two) = (&one[left.len()..], &two[right.len()..]);
    }
}

/// The digits that a text begins with, or what comes before the first digit.
fn run(text: &str) -> &str {
    let digits = text.starts_with(|character: char| character.is_ascii_digit());
    let end = text.find(|character: char| character.is_ascii_digit() != digits);
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_sorted_as_numbers() {
        let mut names = ["a10", "a2", "b", "a", "a02b", "10", "9"];
        names.sort_by(|one, two| natural(one, two));
        assert_eq!(names, ["9", "10", "a", "a2", "a02b", "a10", "b"]);
    }
}
