//! Queries: at an instant, over a range, printed, taken apart.

use std::cell::Cell;
use std::ops::ControlFlow;

use tend_promql::{
    EvalOptions, Expr, Labels, Outcome, ParseOptions, Query, Samples, Selection, Severity, Store, StoreError,
    Timestamp, Value, ValueType, Whole,
};

use super::Answered;
use super::pretty::pretty;
use super::tree::tree;
use crate::backend::Backend;
use crate::error::DoorError;
use crate::json::{Notes, push_labels, push_sample, push_text, push_time, push_value, success, success_of};
use crate::params::{ALWAYS, Params, duration};
use crate::request::Response;

/// The most steps of a range query, as in Prometheus.
const POINTS_MAX: i64 = 11_000;
/// The most notes of a kind that are told.
const NOTES_MAX: usize = 10;
/// The clock is looked at once in so many series.
const SERIES_PER_LOOK: u32 = 256;

/// `query`: at one time.
pub(super) fn instant(params: &Params<'_>, backend: &dyn Backend) -> Answered {
    let limit = params.limit()?;
    let time = params.time("time", backend.now())?;
    let (options, until) = asked(params, backend)?;
    let query = read(params)?;
    let outcome = within(backend, until, &|store| query.instant(store, time, &options))?;
    Ok(result(outcome, time, limit))
}

/// `query_range`: at steps.
pub(super) fn range(params: &Params<'_>, backend: &dyn Backend) -> Answered {
    let limit = params.limit()?;
    let (start, end) = (params.needed_time("start")?, params.needed_time("end")?);
    if end < start {
        return Err(DoorError::parameter(
            "end",
            "end timestamp must not be before start time",
        ));
    }
    let step = duration(params.first("step")).map_err(|what| DoorError::parameter("step", what))?;
    if step <= 0 {
        let text = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(DoorError::parameter("step", text));
    }
    if (end - start) / step > POINTS_MAX {
        let text = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
        return Err(DoorError::BadData(text.to_owned()));
    }
    let (options, until) = asked(params, backend)?;
    let query = read(params)?;
    let kind = query.expr().value_type();
    if !matches!(kind, ValueType::Scalar | ValueType::Vector) {
        let text = format!(
            "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
            kind.documented()
        );
        return Err(DoorError::parameter("query", text));
    }
    let outcome = within(backend, until, &|store| {
        query.range(store, (start, end), step, &options)
    })?;
    Ok(result(outcome, end, limit))
}

/// `query_exemplars`: there are none.
pub(super) fn exemplars(params: &Params<'_>) -> Answered {
    let (start, end) = (params.time("start", ALWAYS.0)?, params.time("end", ALWAYS.1)?);
    if end < start {
        return Err(DoorError::BadData(
            "end timestamp must not be before start timestamp".to_owned(),
        ));
    }
    let query = tend_promql::parse(params.first("query")).map_err(|error| DoorError::BadData(error.to_string()))?;
    let mut selects = false;
    query.visit(&mut |node| selects |= matches!(node, Expr::Selector(_) | Expr::Range(_)));
    Ok(if selects {
        success_of("[]", &Notes::default())
    } else {
        Response::empty(204)
    })
}

/// `format_query`: printed for people.
pub(super) fn format(params: &Params<'_>) -> Answered {
    Ok(success(&pretty(read(params)?.expr())))
}

/// `parse_query`: taken apart.
pub(super) fn parsed(params: &Params<'_>) -> Answered {
    Ok(success(&tree(read(params)?.expr())))
}

fn read(params: &Params<'_>) -> Result<Query, DoorError> {
    Query::new(params.first("query"), ParseOptions::default())
        .map_err(|source| DoorError::Query { name: "query", source })
}

/// How it is evaluated, and until when.
fn asked(params: &Params<'_>, backend: &dyn Backend) -> Result<(EvalOptions, Timestamp), DoorError> {
    let mut longest = backend.query_timeout();
    let timeout = params.first("timeout");
    if !timeout.is_empty() {
        let timeout = duration(timeout).map_err(|what| DoorError::parameter("timeout", what))?;
        longest = longest.min(timeout);
    }
    let mut options = backend.eval_options();
    let lookback = params.first("lookback_delta");
    if !lookback.is_empty() {
        let wrong = |what| DoorError::BadData(format!("error parsing lookback delta duration: {what}"));
        // Nothing, and less, is the usual one, as in Prometheus.
        options.lookback = Some(duration(lookback).map_err(wrong)?)
            .filter(|lookback| *lookback > 0)
            .unwrap_or(options.lookback);
    }
    Ok((options, backend.now().saturating_add(longest)))
}

/// Evaluates over a store that ends when the time is over.
fn within(
    backend: &dyn Backend,
    until: Timestamp,
    evaluate: &dyn Fn(&dyn Store) -> Result<Outcome, tend_promql::Error>,
) -> Result<Outcome, DoorError> {
    if backend.now() >= until {
        let during = "query execution";
        return Err(DoorError::Timeout { during });
    }
    let timed = Timed {
        backend,
        until,
        over: Cell::new(false),
        seen: Cell::new(0),
    };
    evaluate(&timed).map_err(|error| match timed.over.get() {
        true => DoorError::Timeout {
            during: "expression evaluation",
        },
        false => DoorError::evaluating(error),
    })
}

/// A store that looks at the clock now and then.
struct Timed<'a> {
    backend: &'a dyn Backend,
    until: Timestamp,
    over: Cell<bool>,
    seen: Cell<u32>,
}

impl Timed<'_> {
    fn is_over(&self) -> bool {
        if self.backend.now() >= self.until {
            self.over.set(true);
        }
        self.over.get()
    }
}

impl Store for Timed<'_> {
    fn select(
        &self,
        selection: &Selection<'_>,
        each: &mut dyn FnMut(&Labels, Samples<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let late = || StoreError::new("query timed out");
        if self.is_over() {
            return Err(late());
        }
        self.backend.store().select(selection, &mut |labels, samples| {
            let seen = self.seen.get().wrapping_add(1);
            self.seen.set(seen);
            if seen.is_multiple_of(SERIES_PER_LOOK) && self.is_over() {
                return ControlFlow::Break(());
            }
            each(labels, samples)
        })?;
        if self.over.get() { Err(late()) } else { Ok(()) }
    }

    fn answer(&self, whole: &Whole<'_>) -> Option<Result<Value, StoreError>> {
        self.backend.store().answer(whole)
    }
}

fn result(outcome: Outcome, time: Timestamp, limit: Option<usize>) -> Response {
    let mut notes = Notes::default();
    for (severity, of) in [
        (Severity::Warning, &mut notes.warnings),
        (Severity::Info, &mut notes.infos),
    ] {
        let told = outcome.annotations.iter().filter(|note| note.severity == severity);
        let mut texts: Vec<String> = told.map(|note| note.text.clone()).collect();
        if texts.len() > NOTES_MAX {
            let more = texts.len() - NOTES_MAX;
            texts.truncate(NOTES_MAX);
            let kind = if severity == Severity::Warning {
                "warning"
            } else {
                "info"
            };
            texts.push(format!("{more} more {kind} annotations omitted"));
        }
        *of = texts;
    }
    let limit = limit.unwrap_or(usize::MAX);
    let mut out = String::from("{\"resultType\":");
    let mut cut = false;
    match outcome.value {
        Value::Scalar(sample) => {
            out.push_str("\"scalar\",\"result\":");
            push_sample(&mut out, sample);
        }
        Value::Text(text) => {
            out.push_str("\"string\",\"result\":[");
            push_time(&mut out, time);
            out.push(',');
            push_text(&mut out, &text);
            out.push(']');
        }
        Value::Vector(samples) => {
            out.push_str("\"vector\",\"result\":[");
            cut = samples.len() > limit;
            for (at, one) in samples.iter().take(limit).enumerate() {
                out.push_str(if at > 0 { ",{\"metric\":" } else { "{\"metric\":" });
                push_labels(&mut out, &one.labels);
                out.push_str(",\"value\":[");
                // A value is of the time of evaluation.
                push_time(&mut out, one.sample.time);
                out.push(',');
                push_value(&mut out, one.sample.value);
                out.push_str("]}");
            }
            out.push(']');
        }
        Value::Matrix(series) => {
            out.push_str("\"matrix\",\"result\":[");
            cut = series.len() > limit;
            for (at, one) in series.iter().take(limit).enumerate() {
                out.push_str(if at > 0 { ",{\"metric\":" } else { "{\"metric\":" });
                push_labels(&mut out, &one.labels);
                out.push_str(",\"values\":[");
                for (at, sample) in one.samples.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    push_sample(&mut out, *sample);
                }
                out.push_str("]}");
            }
            out.push(']');
        }
    }
    out.push('}');
    if cut {
        notes.warnings.extend(Notes::truncated().warnings);
    }
    success_of(&out, &notes)
}
