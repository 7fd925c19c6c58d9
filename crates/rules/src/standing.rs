//! A rule as it stands: what it keeps from one evaluation to the next, and how it fared.
//!
//! Owns one evaluation of one rule. Does not know when it is due, nor what becomes of its results.

use std::collections::HashSet;
use std::time::Duration;

use tend_alert::{Alerting, Element, Rule, RuleKind, RuleState, Surroundings, record};
use tend_promql::{
    EvalOptions, Labels, METRIC_NAME, Matcher, ParseError, ParseOptions, Query, Selection, Shared, Store, Timestamp,
    Value, ValueType, is_stale,
};
use tend_template::World;

use crate::ask::Asking;
use crate::error::RulesError;
use crate::twin::Twin;

/// How a rule fared when it was last evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It was not evaluated yet.
    #[default]
    Unknown,
    /// It gave what it should.
    Good,
    /// It gave an error.
    Bad,
}

impl Health {
    /// The word of Prometheus' API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Good => "ok",
            Self::Bad => "err",
        }
    }
}

/// A rule, and what it keeps.
#[derive(Debug)]
pub struct Standing {
    pub(crate) rule: Rule,
    pub(crate) query: Query,
    pub(crate) alerting: Alerting,
    /// Whether the series may be written: not before what they say was looked for.
    pub(crate) restored: bool,
    /// What it gave the last time.
    pub(crate) previous: HashSet<Labels>,
    pub(crate) health: Health,
    pub(crate) last_error: Option<String>,
    pub(crate) last_at: Option<Timestamp>,
    pub(crate) took: Duration,
    pub(crate) twin: Option<Twin>,
}

impl Standing {
    pub(crate) fn new(rule: Rule) -> Result<Self, ParseError> {
        let query = Query::new(&rule.expression, ParseOptions::default())?;
        Ok(Self {
            rule,
            query,
            alerting: Alerting::default(),
            restored: true,
            previous: HashSet::new(),
            health: Health::Unknown,
            last_error: None,
            last_at: None,
            took: Duration::ZERO,
            twin: None,
        })
    }

    /// The rule as it was read.
    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// The alerts there are; none of a recording rule.
    #[must_use]
    pub fn alerting(&self) -> &Alerting {
        &self.alerting
    }

    /// The alerts about series that the rule reads and that are gone; see [`Twin`].
    #[must_use]
    pub fn twin(&self) -> Option<&Twin> {
        self.twin.as_ref()
    }

    /// How it fared.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health
    }

    /// Why it gave nothing the last time.
    #[must_use]
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// When it was last evaluated, in milliseconds since 1970.
    #[must_use]
    pub fn last_at(&self) -> Option<Timestamp> {
        self.last_at
    }

    /// How long the last evaluation took, by the watch of who asked for it.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Where an alerting rule is as a whole: the furthest of its alerts; nothing of a recording rule.
    #[must_use]
    pub fn state(&self) -> Option<RuleState> {
        self.is_alert().then(|| {
            let states = || self.alerting.active.values().map(|alert| alert.state);
            if states().any(|state| state == RuleState::Firing) {
                RuleState::Firing
            } else if states().any(|state| state == RuleState::Pending) {
                RuleState::Pending
            } else {
                RuleState::Resolved
            }
        })
    }

    pub(crate) fn is_alert(&self) -> bool {
        matches!(self.rule.kind, RuleKind::Alert { .. })
    }

    /// Whether another rule is this one, in an older or newer reading of its file: as in Prometheus, by its name and its labels.
    pub(crate) fn is(&self, name: &str, labels: &std::collections::BTreeMap<String, String>, alert: bool) -> bool {
        self.rule.name() == name && self.rule.labels == *labels && self.is_alert() == alert
    }

    /// Evaluates the rule for a moment; its series are those of `at` less `offset`.
    pub(crate) fn evaluate(
        &mut self,
        step: Step<'_>,
        shared: Option<&mut Shared>,
        world: &mut dyn World,
    ) -> Result<Vec<Element>, RulesError> {
        let result = elements(&self.rule, &self.query, &step, shared)?;
        if !self.is_alert() {
            return Ok(record(&self.rule, &result, step.limit)?);
        }
        let mut asking = Asking {
            store: step.store,
            at: step.at,
            options: step.options,
            around: world,
        };
        let mut around = Surroundings {
            external_labels: step.external_labels,
            world: &mut asking,
        };
        let series = self
            .alerting
            .evaluate(&self.rule, step.limit, &result, step.at, &mut around)
            .map_err(RulesError::Result)?;
        Ok(if self.restored { series } else { Vec::new() })
    }

    /// Finds out from the series since when alerts hold, after a restart without kept data.
    pub(crate) fn restore(&mut self, store: &dyn Store, at: Timestamp) {
        self.restored = true;
        let mut matchers = vec![
            Matcher::equal(METRIC_NAME, "ALERTS_FOR_STATE"),
            Matcher::equal("alertname", self.rule.name()),
        ];
        let plain = |text: &&String| !text.is_empty() && !text.contains("{{");
        let labels = self.rule.labels.iter().filter(|(_, text)| plain(text));
        matchers.extend(labels.map(|(name, value)| Matcher::equal(name, value)));
        let mut known = Vec::new();
        let selection = Selection::new(&matchers, at.saturating_sub(tend_alert::OUTAGE_MAX), at);
        let read = store.select(&selection, &mut |labels, samples| {
            let last = samples.iter().rev().find(|sample| sample.time <= at);
            if let Some(last) = last.filter(|last| !is_stale(last.value)) {
                known.push((labels.clone(), last.time, last.value));
            }
            std::ops::ControlFlow::Continue(())
        });
        // A store that cannot be read says so at the next evaluation; alerts then begin anew, which is late and not lost.
        if read.is_ok() {
            self.alerting.restore(&self.rule, &known, at);
        }
    }
}

/// What one evaluation is made over.
#[derive(Clone, Copy)]
pub(crate) struct Step<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) at: Timestamp,
    /// Milliseconds by which the query looks back.
    pub(crate) offset: i64,
    pub(crate) limit: u64,
    pub(crate) options: &'a EvalOptions,
    pub(crate) external_labels: &'a std::collections::BTreeMap<String, String>,
}

/// The result of a rule's expression.
fn elements(
    rule: &Rule,
    query: &Query,
    step: &Step<'_>,
    shared: Option<&mut Shared>,
) -> Result<Vec<Element>, RulesError> {
    let time = step.at.saturating_sub(step.offset);
    let outcome = match shared {
        Some(shared) => query.instant_shared(step.store, time, step.options, shared),
        None => query.instant(step.store, time, step.options),
    };
    let outcome = outcome.map_err(|source| RulesError::Evaluate {
        rule: rule.name().to_owned(),
        source,
    })?;
    let wrong = |got: ValueType| RulesError::Type {
        rule: rule.name().to_owned(),
        got: got.documented(),
    };
    match outcome.value {
        Value::Vector(samples) => Ok(samples
            .into_iter()
            .map(|one| Element {
                labels: one.labels,
                value: one.sample.value,
            })
            .collect()),
        Value::Scalar(sample) => Ok(vec![Element {
            labels: Labels::EMPTY,
            value: sample.value,
        }]),
        Value::Text(_) => Err(wrong(ValueType::Text)),
        Value::Matrix(_) => Err(wrong(ValueType::Matrix)),
    }
}

