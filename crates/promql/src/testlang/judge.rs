//! Compares what a query gave with what a script expects of it.
//!
//! Owns when two values are the same, and the text that says what is not.

use super::script::{Eval, Expected, Text, When};
use super::values::Item;
use crate::annotation::{Annotation, Severity};
use crate::eval::{Series, Value, VectorSample};
use crate::sample::is_stale;
use crate::text::number;

/// Values may differ by this share.
const DIFFERENCE_MAX: f64 = 1e-6;

/// Whether two values are the same but for rounding. NaN is the same as NaN.
pub(crate) fn is_same(one: f64, two: f64) -> bool {
    if is_stale(one) || is_stale(two) {
        return is_stale(one) && is_stale(two);
    }
    if one == two || (one.is_nan() && two.is_nan()) {
        return true;
    }
    let (sum, difference) = (one.abs() + two.abs(), (one - two).abs());
    if one == 0.0 || two == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < DIFFERENCE_MAX * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < DIFFERENCE_MAX
}

/// What is wrong with an answer; nothing when it is as expected.
pub(crate) type Judgement = Result<(), String>;

/// Compares warnings and hints.
pub(crate) fn annotations(eval: &Eval, got: &[Annotation]) -> Judgement {
    let kinds = [
        ("warning", Severity::Warning, &eval.warnings, eval.no_warning),
        ("info", Severity::Info, &eval.infos, eval.no_info),
    ];
    for (name, severity, wanted, none) in kinds {
        let texts: Vec<&str> = got
            .iter()
            .filter(|annotation| annotation.severity == severity)
            .map(|annotation| annotation.text.as_str())
            .collect();
        if none && !texts.is_empty() {
            return Err(format!("expected no {name}, got {texts:?}"));
        }
        if let Some(missing) = wanted.iter().find(|text| !texts.iter().any(|got| text.matches(got))) {
            return Err(format!("expected {name} {missing:?}, got {texts:?}"));
        }
        let known = |text: &&&str| wanted.iter().any(|wanted: &Text| wanted.matches(text));
        if !wanted.is_empty() && !texts.iter().all(|text| known(&text)) {
            return Err(format!("got a {name} that is not expected: {texts:?}"));
        }
    }
    Ok(())
}

/// Compares a value.
pub(crate) fn value(eval: &Eval, got: &Value) -> Judgement {
    match got {
        Value::Text(text) => match &eval.text {
            Some(wanted) if wanted == text => Ok(()),
            wanted => Err(format!("expected {wanted:?}, got the text {text:?}")),
        },
        Value::Scalar(sample) => match eval.scalar {
            Some(Item::Float(wanted)) if is_same(wanted, sample.value) => Ok(()),
            wanted => Err(format!("expected {wanted:?}, got the scalar {}", number(sample.value))),
        },
        _ if eval.scalar.is_some() || eval.text.is_some() => Err(format!("expected no vector, got {got:?}")),
        Value::Vector(samples) => vector(eval, samples),
        Value::Matrix(series) => matrix(eval, series),
    }
}

/// Compares a vector.
pub(crate) fn vector(eval: &Eval, got: &[VectorSample]) -> Judgement {
    for (at, sample) in got.iter().enumerate() {
        let (labels, value) = (&sample.labels, sample.sample.value);
        let Some(expected) = find(eval, |expected| expected.labels == *labels) else {
            return Err(format!("got {labels} {}, which is not expected", number(value)));
        };
        if eval.is_ordered && expected.position != at {
            return Err(format!(
                "expected {labels} at position {}, got it at {at}",
                expected.position
            ));
        }
        match expected.items.first() {
            Some(Item::Float(wanted)) if is_same(*wanted, value) => {}
            wanted => return Err(format!("expected {labels} {wanted:?}, got {}", number(value))),
        }
    }
    all_there(eval, |expected| {
        got.iter().any(|sample| sample.labels == expected.labels)
    })
}

fn matrix(eval: &Eval, got: &[Series]) -> Judgement {
    if eval.is_ordered {
        return Err("a matrix has no order".to_owned());
    }
    let Some(When::Range { start, step, .. }) = eval.matrix.or(match eval.when {
        When::At(_) => None,
        range => Some(range),
    }) else {
        return Err("got a matrix at an instant without `expect range vector`".to_owned());
    };
    for series in got {
        let labels = &series.labels;
        let Some(expected) = find(eval, |expected| expected.labels == *labels) else {
            return Err(format!("got {labels}, which is not expected"));
        };
        let items = expected.items.iter().enumerate();
        let mut wanted = items
            .filter(|(_, item)| **item != Item::Gap)
            .map(|(at, item)| (start + step * at as i64, item));
        for sample in &series.samples {
            let (time, value) = (sample.time, number(sample.value));
            match wanted.next() {
                Some((at, Item::Float(wanted))) if at == time && is_same(*wanted, sample.value) => {}
                wanted => {
                    return Err(format!(
                        "expected {labels} to have {wanted:?}, got {value} at {time} ms"
                    ));
                }
            }
        }
        if let Some((at, item)) = wanted.next() {
            return Err(format!(
                "expected {labels} to have {item:?} at {at} ms, got nothing more"
            ));
        }
    }
    all_there(eval, |expected| {
        got.iter().any(|series| series.labels == expected.labels)
    })
}

/// Of two lines with the same labels the later counts.
fn find(eval: &Eval, is: impl Fn(&Expected) -> bool) -> Option<&Expected> {
    eval.series.iter().rev().find(|expected| is(expected))
}

fn all_there(eval: &Eval, is_there: impl Fn(&Expected) -> bool) -> Judgement {
    match eval.series.iter().find(|expected| !is_there(expected)) {
        Some(missing) => Err(format!("expected {}, which is not there", missing.labels)),
        None => Ok(()),
    }
}
