//! The functions of a window of samples.
//!
//! Owns each function: a window and numbers in, a number or nothing out. Does not know where a window comes from.

use super::Evaluated;
use super::sum::{Mean, Sum, add, quantile};
use super::window::Window;
use crate::error::Error;

/// Takes a window and the other arguments at its step.
pub(crate) type OverTime = fn(&Window<'_>, &[f64]) -> Option<f64>;

/// Finds a function by its name.
pub(crate) fn find(name: &str) -> Option<OverTime> {
    Some(match name {
        "rate" => |window, _| extrapolated(window, true).map(|increase| increase / window.seconds()),
        "increase" => |window, _| extrapolated(window, true),
        "delta" => |window, _| extrapolated(window, false),
        "irate" => |window, _| last_two(window, true),
        "idelta" => |window, _| last_two(window, false),
        "avg_over_time" => |window, _| {
            let mut mean = Mean::default();
            values(window).for_each(|value| mean.add(value));
            Some(mean.mean())
        },
        "sum_over_time" => |window, _| Some(Sum::of(values(window))),
        "count_over_time" => |window, _| Some(window.samples.len() as f64),
        "present_over_time" | "absent_over_time" => |_, _| Some(1.0),
        "min_over_time" => |window, _| extreme(window, |value, so_far| value < so_far).map(|(_, value)| value),
        "max_over_time" => |window, _| extreme(window, |value, so_far| value > so_far).map(|(_, value)| value),
        "ts_of_min_over_time" => |window, _| extreme(window, |value, so_far| value <= so_far).map(|(time, _)| time),
        "ts_of_max_over_time" => |window, _| extreme(window, |value, so_far| value >= so_far).map(|(time, _)| time),
        "first_over_time" => |window, _| window.samples.values().first().copied(),
        "last_over_time" => |window, _| window.samples.values().last().copied(),
        "ts_of_first_over_time" => |window, _| window.samples.times().first().map(|time| *time as f64 / 1000.0),
        "ts_of_last_over_time" => |window, _| window.samples.times().last().map(|time| *time as f64 / 1000.0),
        "stddev_over_time" => |window, _| Some(variance(window).sqrt()),
        "stdvar_over_time" => |window, _| Some(variance(window)),
        "quantile_over_time" => {
            |window, parameters| Some(quantile(*parameters.first()?, &mut window.samples.values().to_vec()))
        }
        "mad_over_time" => |window, _| Some(median_deviation(window)),
        "changes" => |window, _| Some(pairs(window, |one, two| one != two && !(one.is_nan() && two.is_nan()))),
        "resets" => |window, _| Some(pairs(window, |one, two| two < one)),
        "deriv" => |window, _| {
            let (slope, _) = regression(window, *window.samples.times().first()?)?;
            Some(slope)
        },
        "predict_linear" => |window, parameters| {
            let (slope, intercept) = regression(window, window.time)?;
            Some(slope * parameters.first()? + intercept)
        },
        "double_exponential_smoothing" => smoothed,
        _ => return None,
    })
}

/// Refuses arguments that a function cannot take at all.
pub(crate) fn check_parameters(name: &str, parameters: &[Vec<f64>]) -> Evaluated<()> {
    if name != "double_exponential_smoothing" {
        return Ok(());
    }
    for (what, short, values) in [
        ("smoothing", "sf", parameters.first()),
        ("trend", "tf", parameters.get(1)),
    ] {
        let mut wrong = values
            .into_iter()
            .flatten()
            .filter(|value| **value <= 0.0 || **value >= 1.0);
        if let Some(value) = wrong.next() {
            let text = format!("invalid {what} factor. Expected: 0 < {short} < 1, got: {value:.6}");
            return Err(Error::evaluate(text));
        }
    }
    Ok(())
}

fn values<'a>(window: &Window<'a>) -> impl Iterator<Item = f64> + use<'a> {
    window.samples.values().iter().copied()
}

/// How many neighbours are so.
fn pairs(window: &Window<'_>, so: fn(f64, f64) -> bool) -> f64 {
    let pairs = window.samples.values().windows(2);
    pairs.filter(|pair| so(pair[0], pair[1])).count() as f64
}

/// The value that no other is better than, and its time in seconds; NaN only when there is nothing else.
fn extreme(window: &Window<'_>, is_better: fn(f64, f64) -> bool) -> Option<(f64, f64)> {
    let best = window.samples.iter().reduce(|best, sample| {
        if is_better(sample.value, best.value) || best.value.is_nan() {
            sample
        } else {
            best
        }
    });
    best.map(|sample| (sample.time as f64 / 1000.0, sample.value))
}

/// How much the value changed over the whole window, guessed from the samples within.
///
/// The samples rarely reach the ends. Where the distance to an end is no more than a tenth above their usual distance, the change
/// goes on to the end; otherwise half a usual distance is added, as the series will have begun or ended there. A counter is never
/// taken to have been below zero.
fn extrapolated(window: &Window<'_>, is_counter: bool) -> Option<f64> {
    let (times, values) = (window.samples.times(), window.samples.values());
    let ([first, .., last], [from, .., to]) = (times, values) else {
        return None;
    };
    let mut change = to - from;
    // Whether a counter was reset at all is seen several values at a time.
    let falls = |pair: &&[f64]| pair[1] < pair[0];
    if is_counter && values.windows(2).fold(false, |any, pair| any | falls(&pair)) {
        let resets = values.windows(2).filter(falls);
        change += resets.map(|pair| pair[0]).sum::<f64>();
    }
    let mut to_start = (first - window.start) as f64 / 1000.0;
    let mut to_end = (window.end - last) as f64 / 1000.0;
    let sampled = (last - first) as f64 / 1000.0;
    let usual = sampled / (times.len() - 1) as f64;
    let near = usual * 1.1;
    if to_start >= near {
        to_start = usual / 2.0;
    }
    if is_counter && change > 0.0 && *from >= 0.0 {
        // When the counter was zero, were it to have grown steadily.
        to_start = to_start.min(sampled * (from / change));
    }
    if to_end >= near {
        to_end = usual / 2.0;
    }
    Some(change * ((sampled + to_start + to_end) / sampled))
}

/// The change between the last two samples, by second when it is a rate.
fn last_two(window: &Window<'_>, is_rate: bool) -> Option<f64> {
    let ([.., before, last], [.., from, to]) = (window.samples.times(), window.samples.values()) else {
        return None;
    };
    if !is_rate {
        return Some(to - from);
    }
    let change = if to < from { *to } else { to - from };
    Some(change / ((last - before) as f64 / 1000.0))
}

/// Welford's, with what rounding cost added back.
fn variance(window: &Window<'_>) -> f64 {
    let (mut count, mut mean, mut mean_lost, mut squares, mut squares_lost) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for value in values(window) {
        count += 1.0;
        let delta = value - (mean + mean_lost);
        (mean, mean_lost) = add(delta / count, mean, mean_lost);
        (squares, squares_lost) = add(delta * (value - (mean + mean_lost)), squares, squares_lost);
    }
    (squares + squares_lost) / count
}

fn median_deviation(window: &Window<'_>) -> f64 {
    let mut values = window.samples.values().to_vec();
    if values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let median = quantile(0.5, &mut values);
    for value in &mut values {
        *value = (*value - median).abs();
    }
    quantile(0.5, &mut values)
}

/// The line through the samples: its slope by second, and its value at a time. Needs two samples.
fn regression(window: &Window<'_>, at: i64) -> Option<(f64, f64)> {
    let values = window.samples.values();
    let first = *values.first()?;
    if values.len() < 2 {
        return None;
    }
    if values.iter().all(|value| *value == first) {
        return Some(if first.is_infinite() {
            (f64::NAN, f64::NAN)
        } else {
            (0.0, first)
        });
    }
    let (mut x_sum, mut y_sum, mut xy_sum, mut xx_sum) = <(Sum, Sum, Sum, Sum)>::default();
    for sample in window.samples.iter() {
        let x = sample.time.saturating_sub(at) as f64 / 1000.0;
        x_sum.add(x);
        y_sum.add(sample.value);
        xy_sum.add(x * sample.value);
        xx_sum.add(x * x);
    }
    let count = values.len() as f64;
    let (x, y) = (x_sum.total(), y_sum.total());
    let covariance = xy_sum.total() - x * y / count;
    let variance = xx_sum.total() - x * x / count;
    let slope = covariance / variance;
    Some((slope, y / count - slope * x / count))
}

/// Holt's smoothing with a trend.
fn smoothed(window: &Window<'_>, parameters: &[f64]) -> Option<f64> {
    let (values, [smoothing, trend]) = (window.samples.values(), parameters) else {
        return None;
    };
    let [first, second, ..] = values else { return None };
    let (mut before, mut level, mut slope) = (0.0, *first, second - first);
    for (at, value) in values.iter().enumerate().skip(1) {
        if at > 1 {
            slope = trend * (level - before) + (1.0 - trend) * slope;
        }
        let next = smoothing * value + (1.0 - smoothing) * (level + slope);
        (before, level) = (level, next);
    }
    Some(level)
}
