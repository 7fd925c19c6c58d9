//! What a result should be read with: warnings and hints that are no errors.
//!
//! Owns their texts, which are Prometheus' own, and that the same is said once. Does not decide when one is due.

use crate::ast::Span;
use crate::calendar::rfc3339;
use crate::error::line_and_column;
use crate::sample::Timestamp;
use crate::text::quoted;

/// How serious a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The result is probably not what was meant.
    Warning,
    /// The result may not be what was meant.
    Info,
}

/// A warning or a hint about a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// How serious it is.
    pub severity: Severity,
    /// What it says, with the place in the query.
    pub text: String,
    /// Which part of the query it is about.
    pub span: Span,
}

/// What is told of buckets that had to be changed; one note for all steps.
#[derive(Clone, Debug)]
struct Forced {
    times: (Timestamp, Timestamp),
    buckets: (f64, f64),
    difference: f64,
    count: usize,
}

#[derive(Clone, Debug)]
struct Note {
    severity: Severity,
    text: String,
    span: Span,
    forced: Option<Forced>,
}

/// The notes of one evaluation, each text once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Vec<Note>);

impl Notes {
    fn add(&mut self, severity: Severity, text: String, span: Span) {
        if !self.0.iter().any(|note| note.text == text) {
            self.0.push(Note {
                severity,
                text,
                span,
                forced: None,
            });
        }
    }

    pub(crate) fn bad_quantile(&mut self, quantile: f64, span: Span) {
        let got = general(quantile, None);
        let text = format!("PromQL warning: quantile value should be between 0 and 1, got {got}");
        self.add(Severity::Warning, text, span);
    }

    pub(crate) fn bad_ratio(&mut self, ratio: f64, used: f64, span: Span) {
        let (got, used) = (general(ratio, None), general(used, None));
        let text = format!("PromQL warning: ratio value should be between -1 and 1, got {got}, capping to {used}");
        self.add(Severity::Warning, text, span);
    }

    pub(crate) fn bad_bucket(&mut self, label: &str, metric: &str, span: Span) {
        let text = format!(
            "PromQL warning: bucket label \"le\" is missing or has a malformed value of {}{}",
            quoted(label),
            for_metric(metric)
        );
        self.add(Severity::Warning, text, span);
    }

    pub(crate) fn sorted_range(&mut self, span: Span) {
        let text = "PromQL warning: sort is ineffective for range queries since results are always ordered by labels";
        self.add(Severity::Warning, text.to_owned(), span);
    }

    pub(crate) fn maybe_no_counter(&mut self, metric: &str, span: Span) {
        let text = format!(
            "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
            quoted(metric)
        );
        self.add(Severity::Info, text, span);
    }

    /// Buckets whose counts fell with rising bounds were changed at a time: which bounds, and by how much at most.
    pub(crate) fn forced_buckets(
        &mut self,
        metric: &str,
        time: Timestamp,
        buckets: (f64, f64),
        difference: f64,
        span: Span,
    ) {
        let text = format!(
            "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see \
             https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){}",
            for_metric(metric)
        );
        let known = self.0.iter_mut().find(|note| note.text == text);
        if let Some(forced) = known.and_then(|note| note.forced.as_mut()) {
            forced.times = (forced.times.0.min(time), forced.times.1.max(time));
            forced.buckets = (forced.buckets.0.min(buckets.0), forced.buckets.1.max(buckets.1));
            forced.difference = forced.difference.max(difference);
            forced.count += 1;
            return;
        }
        self.0.push(Note {
            severity: Severity::Info,
            text,
            span,
            forced: Some(Forced {
                times: (time, time),
                buckets,
                difference,
                count: 1,
            }),
        });
    }

    /// All notes, with their places in the query.
    pub(crate) fn finish(self, query: &str) -> Vec<Annotation> {
        let finished = self.0.into_iter().map(|note| {
            let (line, column) = line_and_column(query, note.span.start);
            let details = note.forced.map(|forced| {
                format!(
                    ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
                    general(forced.buckets.0, None),
                    general(forced.buckets.1, None),
                    general(forced.difference, Some(2)),
                    forced.count,
                    rfc3339(forced.times.0),
                    rfc3339(forced.times.1),
                )
            });
            Annotation {
                severity: note.severity,
                text: format!("{}{} ({line}:{column})", note.text, details.unwrap_or_default()),
                span: note.span,
            }
        });
        finished.collect()
    }
}

fn for_metric(metric: &str) -> String {
    match metric {
        "" => String::new(),
        name => format!(" for metric name {}", quoted(name)),
    }
}

/// A number as Go's `%g` writes it, with so many digits or with as many as are needed.
fn general(value: f64, digits: Option<usize>) -> String {
    if !value.is_finite() {
        return crate::text::number(value);
    }
    let scientific = match digits {
        Some(digits) => format!("{value:.*e}", digits.saturating_sub(1)),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let mantissa = match mantissa.contains('.') {
        true => mantissa.trim_end_matches('0').trim_end_matches('.'),
        false => mantissa,
    };
    let power: i32 = exponent.parse().unwrap_or_default();
    let limit = digits.map_or(6, |digits| i32::try_from(digits).unwrap_or(i32::MAX));
    if power < -4 || power >= limit {
        let sign = if power < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", power.abs());
    }
    // Reading the rounded digits back and writing them plainly.
    format!("{mantissa}e{power}")
        .parse::<f64>()
        .map_or(scientific, |rounded| format!("{rounded}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_notes_are_written_as_go_does() {
        assert_eq!(general(1.5, None), "1.5");
        assert_eq!(general(1_234_567.0, None), "1.234567e+06");
        assert_eq!(general(0.1, None), "0.1");
        assert_eq!(general(123.0, Some(2)), "1.2e+02");
        assert_eq!(general(5.0, Some(2)), "5");
        assert_eq!(general(0.000012, None), "1.2e-05");
        assert_eq!(general(f64::NEG_INFINITY, None), "-Inf");
    }
}
