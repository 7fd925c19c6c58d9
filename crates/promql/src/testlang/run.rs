//! Runs a script: loads, asks, judges.
//!
//! Owns the ways in which one case is asked, and the class of a case. Engine settings are those of Prometheus' own runs: look-back
//! 5 m, subquery step 1 m, names removed at the very end, experimental syntax read.

use super::judge::{annotations, value, vector};
use super::script::{Command, Eval, Loaded, ScriptError, When, commands};
use super::values::Item;
use crate::ast::{At, Expr};
use crate::error::Error;
use crate::eval::{EvalOptions, Outcome, Query, Value, VectorSample};
use crate::labels::{Labels, Matcher};
use crate::memory::MemoryStore;
use crate::parser::{ParseOptions, parse};
use crate::sample::Timestamp;
use crate::series::Store;

/// What a case needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Samples that are numbers, and stable syntax.
    Float,
    /// Native histograms, selected or expected.
    Native,
    /// Syntax that Prometheus calls experimental, or samples with start times.
    Experimental,
}

impl Class {
    /// All classes.
    pub const ALL: [Class; 3] = [Class::Float, Class::Native, Class::Experimental];

    /// As reports name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Float => "float stable",
            Class::Native => "native histogram",
            Class::Experimental => "experimental",
        }
    }
}

/// A case that was run.
#[derive(Clone, Debug)]
pub struct Case {
    /// The line of its `eval`, from 1.
    pub line: usize,
    /// What was asked.
    pub query: String,
    /// What it needs.
    pub class: Class,
    /// What was wrong; nothing when it passed.
    pub failure: Option<String>,
}

/// A store that a script can load. A store that passes the scripts keeps the contract of `Store`.
pub trait LoadStore: Store {
    /// Adds a sample, in rising order of time within a series.
    fn load(&mut self, labels: &Labels, time: Timestamp, value: f64);

    /// Forgets everything.
    fn clear(&mut self);
}

impl LoadStore for MemoryStore {
    fn load(&mut self, labels: &Labels, time: Timestamp, value: f64) {
        self.append(labels, time, value);
    }

    fn clear(&mut self) {
        MemoryStore::clear(self);
    }
}

/// Runs a script over a store in memory, with the settings of Prometheus' own runs.
pub fn run(script: &str) -> Result<Vec<Case>, ScriptError> {
    run_over(&mut MemoryStore::default(), script, &eval_options())
}

/// Runs a script over a store.
pub fn run_over(store: &mut dyn LoadStore, script: &str, options: &EvalOptions) -> Result<Vec<Case>, ScriptError> {
    let mut special = Special::default();
    let mut cases = Vec::new();
    for command in commands(script)? {
        match command {
            Command::Clear => {
                store.clear();
                special = Special::default();
            }
            Command::Load {
                step,
                series,
                with_native,
                with_starts,
            } => {
                special.with_starts |= with_starts;
                for loaded in &series {
                    special.note(loaded, with_native);
                    load(store, loaded, step);
                }
            }
            Command::Eval(eval) => cases.push(Case {
                line: eval.line,
                class: special.class(&eval),
                failure: run_case(&*store, &eval, options).err(),
                query: eval.query,
            }),
        }
    }
    Ok(cases)
}

fn load(store: &mut dyn LoadStore, loaded: &Loaded, step: i64) {
    for (at, item) in loaded.items.iter().enumerate() {
        if let Item::Float(value) = item {
            store.load(&loaded.labels, step * at as i64, *value);
        }
    }
}

/// What was loaded that this evaluator does not know.
#[derive(Default)]
struct Special {
    native: Vec<Labels>,
    typed: Vec<Labels>,
    with_starts: bool,
}

/// Words that begin experimental syntax.
const EXPERIMENTAL: [&str; 8] = [
    "anchored",
    "smoothed",
    "fill",
    "info(",
    "</",
    ">/",
    "start_timestamp",
    "@st",
];

impl Special {
    fn note(&mut self, loaded: &Loaded, with_native: bool) {
        let labels = &loaded.labels;
        if loaded.items.contains(&Item::Histogram) {
            self.native.push(labels.clone());
        }
        if labels.has("__type__") || labels.has("__unit__") {
            self.typed.push(labels.clone());
        }
        if with_native {
            let name = labels.metric_name();
            let base = ["_bucket", "_count", "_sum"]
                .iter()
                .find_map(|ending| name.strip_suffix(ending));
            if let Some(base) = base {
                self.native.push(labels.with("le", "").with("__name__", base));
            }
        }
    }

    fn class(&self, eval: &Eval) -> Class {
        let options = ParseOptions {
            experimental: true,
            ..ParseOptions::default()
        };
        let is_experimental = match Query::new(&eval.query, options) {
            // What is read only with the option is experimental; what is not read at all, by its words.
            Ok(_) => parse(&eval.query).is_err(),
            Err(_) => EXPERIMENTAL.iter().any(|word| eval.query.contains(word)),
        };
        let parsed = Query::new(&eval.query, options).ok();
        let selects = |special: &[Labels]| {
            let matched = |matchers: &[Matcher]| special.iter().any(|labels| labels.matches(matchers));
            parsed
                .as_ref()
                .is_some_and(|query| selectors(query.expr()).into_iter().any(matched))
        };
        if is_experimental || self.with_starts || selects(&self.typed) {
            return Class::Experimental;
        }
        let expects = eval
            .series
            .iter()
            .any(|expected| expected.items.contains(&Item::Histogram));
        match expects || selects(&self.native) {
            true => Class::Native,
            false => Class::Float,
        }
    }
}

fn selectors(expr: &Expr) -> Vec<&[Matcher]> {
    let mut found: Vec<&[Matcher]> = Vec::new();
    expr.visit(&mut |expr| match expr {
        Expr::Selector(selector) => found.push(&selector.matchers),
        Expr::Range(range) => found.push(&range.selector.matchers),
        _ => {}
    });
    found
}

fn read(query: &str) -> Result<Query, Error> {
    let options = ParseOptions {
        experimental: true,
        ..ParseOptions::default()
    };
    Ok(Query::new(query, options)?)
}

/// The settings of Prometheus' own runs.
pub fn eval_options() -> EvalOptions {
    EvalOptions {
        delayed_name_removal: true,
        ..EvalOptions::default()
    }
}

/// Takes an answer or an error for what was expected; nothing when an error was expected and came.
fn judged(eval: &Eval, got: Result<Outcome, Error>, how: &str) -> Result<Option<Outcome>, String> {
    match (got, &eval.fails) {
        (Err(error), Some(wanted)) => match wanted.matches(&error.to_string()) {
            true => Ok(None),
            false => Err(format!("{how}: expected the error {wanted:?}, got `{error}`")),
        },
        (Err(error), None) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            Err(format!("{how}: {error}{}", cause.unwrap_or_default()))
        }
        (Ok(outcome), Some(_)) => Err(format!("{how}: expected an error, got {:?}", outcome.value)),
        (Ok(outcome), None) => Ok(Some(outcome)),
    }
}

fn run_case(store: &dyn Store, eval: &Eval, options: &EvalOptions) -> Result<(), String> {
    let at = match eval.when {
        When::Range { start, end, step } => {
            let got = read(&eval.query).and_then(|query| query.range(store, (start, end), step, options));
            let Some(outcome) = judged(eval, got, "over the range")? else {
                return Ok(());
            };
            return annotations(eval, &outcome.annotations)
                .and_then(|()| value(eval, &outcome.value))
                .map_err(|text| format!("over the range: {text}"));
        }
        When::At(at) => at,
    };
    instant(store, eval, &eval.query, at, options)?;
    let Ok(query) = read(&eval.query) else {
        return Ok(());
    };
    let Some(fixed) = fixed(query.expr(), at) else {
        return Ok(());
    };
    let others = match at {
        0 => vec![-1000, 0, 1000],
        at => vec![-10 * at, 0, at / 5, at, 10 * at],
    };
    others
        .into_iter()
        .try_for_each(|other| instant(store, eval, &fixed, other, options))
}

/// Asks at one time, and over a range around it.
fn instant(store: &dyn Store, eval: &Eval, query: &str, at: Timestamp, options: &EvalOptions) -> Result<(), String> {
    let how = format!("`{query}` at {at} ms");
    let got = read(query).and_then(|query| query.instant(store, at, options));
    let Some(outcome) = judged(eval, got, &how)? else {
        return Ok(());
    };
    annotations(eval, &outcome.annotations)
        .and_then(|()| value(eval, &outcome.value))
        .map_err(|text| format!("{how}: {text}"))?;
    let of_the_query = ["start()", "end()", "range()", "step()"]
        .iter()
        .any(|call| query.contains(call));
    if eval.matrix.is_some() || eval.text.is_some() || of_the_query {
        return Ok(());
    }
    let minute = 60_000;
    let how = format!("{how}, as a range");
    let range = read(query).and_then(|query| query.range(store, (at - minute, at + minute), minute, options));
    let range = range.map_err(|error| format!("{how}: {error}"))?;
    if eval.is_ordered {
        return Ok(());
    }
    let Value::Matrix(series) = range.value else {
        return Err(format!("{how}: got no matrix"));
    };
    let middle: Vec<VectorSample> = series
        .into_iter()
        .filter_map(|series| {
            let sample = series.samples.into_iter().find(|sample| sample.time == at)?;
            Some(VectorSample {
                labels: series.labels,
                sample,
            })
        })
        .collect();
    match (&outcome.value, middle.first()) {
        (Value::Scalar(_), Some(first)) => value(eval, &Value::Scalar(first.sample)),
        _ => vector(eval, &middle),
    }
    .map_err(|text| format!("{how}: {text}"))
}

/// The same query with every selector fixed to a time; nothing where its value would still depend on the time.
fn fixed(expr: &Expr, at: Timestamp) -> Option<String> {
    fn fix(expr: &mut Expr, to: At) -> bool {
        match expr {
            Expr::Selector(selector) if !matches!(selector.at, Some(At::Time(_))) => selector.at = Some(to),
            Expr::Range(range) if !matches!(range.selector.at, Some(At::Time(_))) => range.selector.at = Some(to),
            Expr::Subquery(subquery) => {
                if !matches!(subquery.at, Some(At::Time(_))) {
                    subquery.at = Some(to);
                }
                return true;
            }
            Expr::Call(call) if call.function.depends_on_time() => return false,
            _ => {}
        }
        expr.children_mut().into_iter().all(|child| fix(child, to))
    }
    let mut expr = expr.clone();
    fix(&mut expr, At::Time(at)).then(|| expr.to_string())
}
