//! Looks back: what a rule would have done over stored history.
//!
//! Owns the walk through the past and what is told of it. The life of an alert is that of `tend_alert::Alerting`, the same as in the engine.

use std::collections::{BTreeMap, HashMap};

use tend_alert::{Active, Alerting, Element, Rule, RuleKind, RuleState, Surroundings};
use tend_promql::{
    At, BinaryOp, Error, EvalOptions, Expr, Labels, ParseOptions, Period, Query, Series, Store, Timestamp, Value,
};
use tend_template::World;

use crate::ask::Asking;
use crate::error::RulesError;

/// Evaluations that are asked of the store at once; fewer where that is too much for it.
const CHUNK: i64 = 240;
/// Episodes of one rule that are told; a rule with more has been told enough of.
const EPISODES_MAX: usize = 10_000;

/// The time that is looked back over; milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// The first evaluation, since 1970.
    pub from: Timestamp,
    /// No evaluation is later.
    pub to: Timestamp,
    /// Between two evaluations: the interval of the group.
    pub step: i64,
    /// By which queries look back.
    pub query_offset: i64,
}

/// One alert, from when it began to hold until it no longer did. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct EpisodeOfAlert {
    /// Its labels, `alertname` among them.
    pub labels: BTreeMap<String, String>,
    /// Its texts, as they were last.
    pub annotations: BTreeMap<String, String>,
    /// Since when it held.
    pub since: Timestamp,
    /// When it would have fired; nothing when it never held for long enough.
    pub fired_at: Option<Timestamp>,
    /// When it would have resolved; nothing when it still held at the end.
    pub ended_at: Option<Timestamp>,
    /// The worst value: the largest, or the smallest where the rule asks for less than something.
    pub peak: f64,
}

impl EpisodeOfAlert {
    /// How long it would have fired, in milliseconds, until `to` where it still did.
    #[must_use]
    pub fn fired_for(&self, to: Timestamp) -> i64 {
        self.fired_at
            .map_or(0, |fired| (self.ended_at.unwrap_or(to) - fired).max(0))
    }
}

/// What a rule would have done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replayed {
    /// Its alerts, in the order in which they began.
    pub episodes: Vec<EpisodeOfAlert>,
    /// How many evaluations there were.
    pub evaluations: u64,
    /// How many of them gave an error, and the first one.
    pub errors: u64,
    /// The first error, with all causes.
    pub first_error: Option<String>,
    /// Whether there were more episodes than are told.
    pub cut: bool,
}

impl Replayed {
    /// The episodes that would have told somebody.
    pub fn fired(&self) -> impl Iterator<Item = &EpisodeOfAlert> {
        self.episodes.iter().filter(|episode| episode.fired_at.is_some())
    }
}

/// Evaluates an alerting rule at every step of the past, as the engine would have done.
///
/// What it reads has to be there: recording rules are not evaluated, their series are read as they were written.
///
/// # Errors
/// Where the times make no sense, the rule records, or its expression cannot be read.
pub fn replay(
    rule: &Rule,
    limit: u64,
    past: Past,
    store: &dyn Store,
    (options, external_labels): (&EvalOptions, &BTreeMap<String, String>),
    world: &mut dyn World,
) -> Result<Replayed, RulesError> {
    if past.step <= 0 || past.to < past.from {
        return Err(RulesError::Times {
            from: past.from,
            to: past.to,
            step: past.step,
        });
    }
    if !matches!(rule.kind, RuleKind::Alert { .. }) {
        return Err(RulesError::Result(tend_alert::RuleError::NotAlerting {
            rule: rule.name().to_owned(),
        }));
    }
    let query = Query::new(&rule.expression, ParseOptions::default()).map_err(|error| RulesError::Evaluate {
        rule: rule.name().to_owned(),
        source: error.into(),
    })?;
    let mut walk = Walk {
        told: Replayed::default(),
        open: HashMap::new(),
        least: wants_less(&rule.tree),
    };
    let mut alerting = Alerting::default();
    let chunk_max = if moves(&rule.tree) { 1 } else { CHUNK };
    let (mut at, mut chunk) = (past.from, chunk_max);
    while at <= past.to && !walk.told.cut {
        let last = past.to.min(at.saturating_add((chunk - 1).saturating_mul(past.step)));
        let last = at + (last - at) / past.step * past.step;
        let results = match results(&query, (at, last), past, store, options) {
            Ok(results) => results,
            // One step alone may still be possible, and says what is wrong with it if not.
            Err(_) if chunk > 1 => {
                chunk = (chunk / 4).max(1);
                continue;
            }
            Err(error) => {
                walk.failed(tend_base::with_causes(&error));
                at = at.saturating_add(past.step);
                continue;
            }
        };
        for result in results {
            let mut asking = Asking {
                store,
                at,
                options,
                around: &mut *world,
            };
            let mut around = Surroundings {
                external_labels,
                world: &mut asking,
            };
            match alerting.evaluate(rule, limit, &result, at, &mut around) {
                Ok(_) => walk.told.evaluations += 1,
                Err(error) => walk.failed(error.to_string()),
            }
            walk.see(&alerting, at);
            at = at.saturating_add(past.step);
        }
        chunk = (chunk * 2).min(chunk_max);
    }
    Ok(walk.told)
}

/// What is told so far.
struct Walk {
    told: Replayed,
    /// By fingerprint, the episode that is going on.
    open: HashMap<u64, usize>,
    least: bool,
}

impl Walk {
    fn failed(&mut self, text: String) {
        self.told.evaluations += 1;
        self.told.errors += 1;
        self.told.first_error.get_or_insert(text);
    }

    fn see(&mut self, alerting: &Alerting, at: Timestamp) {
        let told = &mut self.told;
        self.open.retain(|key, index| {
            let goes_on = alerting
                .active
                .get(key)
                .is_some_and(|alert| alert.active_at == told.episodes[*index].since);
            if !goes_on {
                told.episodes[*index].ended_at = Some(at);
            }
            goes_on
        });
        for (key, alert) in &alerting.active {
            match self.open.get(key) {
                Some(index) => {
                    let episode = &mut told.episodes[*index];
                    follow(episode, alert, self.least);
                    if episode.ended_at.is_some() {
                        self.open.remove(key);
                    }
                }
                None if alert.state == RuleState::Resolved => {}
                None if told.episodes.len() == EPISODES_MAX => told.cut = true,
                None => {
                    let mut episode = EpisodeOfAlert {
                        labels: alert.labels.clone(),
                        annotations: BTreeMap::new(),
                        since: alert.active_at,
                        fired_at: None,
                        ended_at: None,
                        peak: alert.value,
                    };
                    follow(&mut episode, alert, self.least);
                    self.open.insert(*key, told.episodes.len());
                    told.episodes.push(episode);
                }
            }
        }
    }
}

fn follow(episode: &mut EpisodeOfAlert, alert: &Active, least: bool) {
    episode.fired_at = alert.fired_at;
    if alert.state == RuleState::Resolved {
        episode.ended_at = alert.resolved_at;
        return;
    }
    episode.annotations.clone_from(&alert.annotations);
    let is_worse = match least {
        true => alert.value < episode.peak,
        false => alert.value > episode.peak,
    };
    if is_worse || episode.peak.is_nan() {
        episode.peak = alert.value;
    }
}

/// The results at each step of a stretch of time.
fn results(
    query: &Query,
    (from, to): (Timestamp, Timestamp),
    past: Past,
    store: &dyn Store,
    options: &EvalOptions,
) -> Result<Vec<Vec<Element>>, Error> {
    let (first, last) = (from - past.query_offset, to - past.query_offset);
    let element = |labels: Labels, value: f64| Element { labels, value };
    if from == to {
        return Ok(vec![match query.instant(store, first, options)?.value {
            Value::Vector(samples) => samples
                .into_iter()
                .map(|one| element(one.labels, one.sample.value))
                .collect(),
            Value::Scalar(sample) => vec![element(Labels::EMPTY, sample.value)],
            Value::Text(_) | Value::Matrix(_) => Vec::new(),
        }]);
    }
    let count = usize::try_from((last - first) / past.step + 1).unwrap_or_default();
    let mut out = vec![Vec::new(); count];
    if let Value::Matrix(all) = query.range(store, (first, last), past.step, options)?.value {
        for Series { labels, samples } in all {
            for sample in samples {
                let at = usize::try_from((sample.time - first) / past.step).unwrap_or(usize::MAX);
                if let Some(there) = out.get_mut(at) {
                    there.push(element(labels.clone(), sample.value));
                }
            }
        }
    }
    Ok(out)
}

/// Whether an expression means something else in a query over a range than at each instant of it.
fn moves(expr: &Expr) -> bool {
    let fixed = |at: Option<At>| matches!(at, Some(At::Start | At::End));
    let computed = |period: Option<&Period>| matches!(period, Some(Period::Computed(_)));
    let mut moves = false;
    expr.visit(&mut |part| {
        moves |= match part {
            Expr::Selector(selector) => fixed(selector.at) || computed(selector.offset.as_ref()),
            Expr::Range(range) => {
                fixed(range.selector.at) || computed(range.selector.offset.as_ref()) || computed(Some(&range.range))
            }
            Expr::Subquery(subquery) => {
                fixed(subquery.at)
                    || computed(subquery.offset.as_ref())
                    || computed(Some(&subquery.range))
                    || computed(subquery.step.as_ref())
            }
            Expr::Call(call) => matches!(call.function.name, "start" | "end" | "step" | "range"),
            _ => false,
        };
    });
    moves
}

/// Whether a rule asks for less than something.
fn wants_less(expr: &Expr) -> bool {
    match expr {
        Expr::Paren(paren) => wants_less(&paren.expr),
        Expr::Binary(binary) => match binary.op {
            BinaryOp::Less | BinaryOp::LessOrEqual => !matches!(binary.left.unwrapped(), Expr::Number(_)),
            BinaryOp::Greater | BinaryOp::GreaterOrEqual => matches!(binary.left.unwrapped(), Expr::Number(_)),
            BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => wants_less(&binary.left),
            _ => false,
        },
        _ => false,
    }
}
