//! Runs unit tests of rules and judges what comes out, as `promtool test rules` does.
//!
//! Owns the order in which samples are loaded, rules are evaluated and alerts are looked at. The rules themselves are those of the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use tend_alert::RuleState;
use tend_promql::{
    EvalOptions, Labels, MemoryStore, ParseOptions, Query, STALE, Timestamp, Value, format_duration, number,
};
use tend_template::{Offset, Time, World};

use crate::cases::file::{AlertCase, Case, CaseFile, ExpectedAlert, QueryCase};
use crate::engine::Source;
use crate::group::{Around, StandingGroup, Within};
use crate::schedule::Phase;

/// Evaluations of one test; a test with more has a wrong unit somewhere.
const EVALUATIONS_MAX: i64 = 1_000_000;

/// Something that is not as the test expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The name of the test; may be empty.
    pub test: String,
    /// The line of what was expected, or of the test.
    pub line: u32,
    /// What is not as expected, for a person; several lines.
    pub text: String,
}

/// The world that templates of a test see.
struct Stage<'a> {
    url: &'a str,
}

impl World for Stage<'_> {
    fn query(&mut self, _: &str) -> Result<Vec<tend_template::Sample>, String> {
        Err("queries of templates go to the store of the test".to_owned())
    }

    fn now(&self) -> Time {
        Time::utc(0, 0)
    }

    fn zone(&self, name: &str, _: i64) -> Option<Offset> {
        matches!(name, "UTC" | "" | "Etc/UTC").then(Offset::utc)
    }

    fn external_url(&self) -> &str {
        self.url
    }
}

impl CaseFile {
    /// Runs all tests over the rules of `sources`, which are those that [`CaseFile::rule_files`] name. Nothing comes back when all is as expected.
    #[must_use]
    pub fn run(&self, sources: &[Source]) -> Vec<Failure> {
        self.tests.iter().flat_map(|case| self.run_case(case, sources)).collect()
    }

    fn run_case(&self, case: &Case, sources: &[Source]) -> Vec<Failure> {
        let mut failures = Vec::new();
        let mut fail = |line: u32, text: String| {
            failures.push(Failure {
                test: case.name.clone(),
                line,
                text,
            });
        };
        let mut groups = Vec::new();
        for source in sources {
            for group in &source.groups {
                let defaults = (case.interval, 0);
                match StandingGroup::new(&source.file, group.clone(), defaults, Phase::Aligned, false, case.start) {
                    Ok(group) => groups.push(group),
                    Err(error) => fail(case.line, format!("group {}: {error}", group.name)),
                }
            }
        }
        // Those that are not named come first, as in promtool; among themselves they keep the order of their files.
        groups.sort_by_key(|group| {
            let place = self.group_eval_order.iter().position(|name| *name == group.name);
            place.unwrap_or(0)
        });
        let alerts = case.alerts.iter().map(|alert| alert.eval_time);
        let last = alerts
            .chain(case.queries.iter().map(|query| query.eval_time))
            .max()
            .unwrap_or(0);
        let step = self.evaluation_interval;
        if last / step > EVALUATIONS_MAX {
            let text = format!("{} evaluations are too many for a test", last / step);
            fail(case.line, text);
            return failures;
        }
        let eval = EvalOptions {
            subquery_step: step,
            ..EvalOptions::default()
        };
        let mut times: BTreeMap<i64, Vec<&AlertCase>> = BTreeMap::new();
        for alert in &case.alerts {
            times.entry(alert.eval_time).or_default().push(alert);
        }
        let mut stage = Stage {
            url: &case.external_url,
        };
        let mut store = MemoryStore::default();
        let mut input = Input::new(case);
        for passed in (0..=last).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
            let at = case.start.saturating_add(passed);
            input.load_until(passed, &mut store);
            let errors = evaluate(&mut groups, &mut store, at, case, &eval, &mut stage);
            if !errors.is_empty() {
                for error in errors {
                    fail(case.line, format!("at {}: {error}", format_duration(passed)));
                }
                return failures;
            }
            for (time, alerts) in times.range(passed..passed.saturating_add(step)) {
                for alert in alerts {
                    if let Some(text) = judge_alert(alert, *time, &groups) {
                        fail(alert.line, text);
                    }
                }
            }
        }
        for query in &case.queries {
            if let Some(text) = self.judge_query(query, case.start, &store, &eval) {
                fail(query.line, text);
            }
        }
        failures
    }

    fn judge_query(
        &self,
        case: &QueryCase,
        start: Timestamp,
        store: &MemoryStore,
        eval: &EvalOptions,
    ) -> Option<String> {
        let said = |what: String| {
            Some(format!(
                "expr: {}, time: {}, {what}",
                case.expression,
                format_duration(case.eval_time)
            ))
        };
        let query = match Query::new(&case.expression, ParseOptions::default()) {
            Ok(query) => query,
            Err(error) => return said(format!("error: {error}")),
        };
        let mut got = match query.instant(store, start.saturating_add(case.eval_time), eval) {
            Err(error) => return said(format!("error: {}", tend_base::with_causes(&error))),
            Ok(outcome) => match outcome.value {
                Value::Vector(samples) => samples.into_iter().map(|one| (one.labels, one.sample.value)).collect(),
                Value::Scalar(sample) => vec![(Labels::EMPTY, sample.value)],
                Value::Text(_) | Value::Matrix(_) => {
                    return said("error: rule result is not a vector or scalar".to_owned());
                }
            },
        };
        let mut expected = case.expected.clone();
        let order = |one: &(Labels, f64), two: &(Labels, f64)| one.0.cmp(&two.0).then(one.1.total_cmp(&two.1));
        got.sort_by(order);
        expected.sort_by(order);
        let is_same = got.len() == expected.len()
            && got
                .iter()
                .zip(&expected)
                .all(|(got, wanted)| got.0 == wanted.0 && self.is_same(got.1, wanted.1));
        if is_same {
            return None;
        }
        let mut text = String::new();
        for (what, samples) in [("expected", &expected), ("got", &got)] {
            let _ = write!(text, "\n  {what}:");
            for (labels, value) in samples {
                let _ = write!(text, "\n    {labels} {}", number(*value));
            }
            if samples.is_empty() {
                text.push_str(" nothing");
            }
        }
        said(text)
    }

    /// Whether two values are the same; NaN is none, as in promtool.
    fn is_same(&self, one: f64, two: f64) -> bool {
        one == two || (self.fuzzy_compare && (one.next_up() == two || one.next_down() == two))
    }
}

/// The series of a test, loaded as time passes.
struct Input<'a> {
    series: BTreeMap<&'a Labels, &'a [Option<f64>]>,
    next: usize,
    interval: i64,
    start: Timestamp,
}

impl<'a> Input<'a> {
    fn new(case: &'a Case) -> Self {
        Self {
            // Of two that are the same the later counts.
            series: case
                .series
                .iter()
                .map(|series| (&series.labels, &*series.samples))
                .collect(),
            next: 0,
            interval: case.interval,
            start: case.start,
        }
    }

    /// Loads all samples up to a time since the start.
    fn load_until(&mut self, passed: i64, store: &mut MemoryStore) {
        let end = usize::try_from(passed / self.interval + 1).unwrap_or(usize::MAX);
        for (labels, samples) in &self.series {
            let until = end.min(samples.len());
            for (at, value) in samples.iter().enumerate().take(until).skip(self.next) {
                if let (Some(value), Ok(at)) = (value, i64::try_from(at)) {
                    store.append(labels, self.start.saturating_add(at.saturating_mul(self.interval)), *value);
                }
            }
        }
        self.next = self.next.max(end);
    }
}

/// Evaluates all groups and writes what they give; what comes back are errors.
fn evaluate(
    groups: &mut [StandingGroup],
    store: &mut MemoryStore,
    at: Timestamp,
    case: &Case,
    eval: &EvalOptions,
    stage: &mut Stage<'_>,
) -> Vec<String> {
    let mut errors = Vec::new();
    for group in groups {
        let mut within = Within {
            eval,
            external_labels: &case.external_labels,
            resend: i64::MAX / 8,
            told_by_up: &[],
            shared: None,
        };
        let mut around = Around {
            store: &*store,
            world: stage,
            watch: &mut || Duration::ZERO,
        };
        let evaluated = group.evaluate(at, &mut around, &mut within);
        for series in &evaluated.series {
            store.append(&series.labels, evaluated.time, series.value);
        }
        for labels in &evaluated.ended {
            store.append(labels, evaluated.time, STALE);
        }
        errors.extend(evaluated.fared.into_iter().filter_map(|fared| fared.error));
    }
    errors
}

fn judge_alert(case: &AlertCase, time: i64, groups: &[StandingGroup]) -> Option<String> {
    let rules = groups.iter().flat_map(StandingGroup::rules);
    let mut got: Vec<ExpectedAlert> = rules
        .filter(|rule| rule.is_alert() && rule.rule().name() == case.alertname)
        .flat_map(|rule| rule.alerting().active.values())
        .filter(|alert| alert.state == RuleState::Firing)
        .map(|alert| ExpectedAlert {
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
        })
        .collect();
    let mut expected = case.expected.clone();
    got.sort();
    expected.sort();
    if got == expected {
        return None;
    }
    let mut text = format!("alertname: {}, time: {},", case.alertname, format_duration(time));
    for (what, alerts) in [("expected", &expected), ("got", &got)] {
        let _ = write!(text, "\n  {what}:");
        for alert in alerts {
            let annotations = Labels::from_pairs(&alert.annotations);
            let _ = write!(
                text,
                "\n    labels {} annotations {annotations}",
                Labels::from_pairs(&alert.labels)
            );
        }
        if alerts.is_empty() {
            text.push_str(" nothing");
        }
    }
    let names: BTreeSet<&str> = groups
        .iter()
        .flat_map(StandingGroup::rules)
        .filter(|rule| rule.is_alert())
        .map(|rule| rule.rule().name())
        .collect();
    if !names.contains(case.alertname.as_str()) {
        let near = tend_text::nearest(&case.alertname, names.into_iter()).map(tend_text::did_you_mean);
        let _ = write!(
            text,
            "\n  no rule is called so; {}",
            near.unwrap_or_else(|| "is its file among `rule_files`?".to_owned())
        );
    }
    Some(text)
}
