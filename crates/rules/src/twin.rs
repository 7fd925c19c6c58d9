//! The implicit twin of an alerting rule: it says that series the rule reads are gone, so that the rule can no longer fire.
//!
//! Owns what is watched, when something counts as gone, and how the alert is marked. Does not know when the rule is evaluated.
//!
//! ```text
//!   never seen ──► seen ──► gone ──► pending ──► firing ──► forgotten after a day
//!                   ▲         seen again           │
//!                   └──────────────────────────────┘
//! ```
//!
//! Invariant: what was never seen while the rule stood raises nothing (test `what_never_was_is_not_missed`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use tend_alert::{Alerting, Element, Rule, RuleKind, Surroundings, fingerprint};
use tend_promql::{
    BinaryOp, Expr, Labels, METRIC_NAME, MatchOp, Matcher, Selection, Selector, Timestamp, is_stale, parse,
    parse_duration,
};
use tend_template::World;

use crate::ask::Asking;
use crate::standing::Step;

/// The annotation of a rule that says how long its series may be gone, or `off`.
pub const TWIN_ANNOTATION: &str = "tend_absent";
/// The label that marks what no one wrote, and its value for twins.
pub const TWIN_LABEL: (&str, &str) = ("implicit", "absent");
/// How long series may be gone before anybody is told, in milliseconds: longer than a restart or a deploy takes.
const HOLD: i64 = 10 * 60 * 1000;
/// After so long what is gone counts as meant to be gone, in milliseconds.
const FORGOTTEN: i64 = 24 * 60 * 60 * 1000;
/// How often it is looked whether what is known is still there, in milliseconds. It costs a look-up for each job.
const LOOK_EACH: i64 = 60 * 1000;
/// How often it is looked for what is new, in milliseconds. It costs a walk over all series that the rule reads.
const FIND_EACH: i64 = 5 * 60 * 1000;
/// Jobs of one rule that are watched; more are not, so that no rule becomes a hundred alerts.
const WATCHED_MAX: usize = 50;
/// The labels of a target that tell one source of series from another. An instance is none: instances come and go.
const SOURCE: [&str; 3] = ["job", "stack", "service"];
/// Matchers that say which targets are meant. Those of other labels (`status=~"5.."`) are left out: what they choose may be empty for good reasons.
const OF_TARGETS: [&str; 8] = [
    METRIC_NAME,
    "job",
    "stack",
    "service",
    "instance",
    "namespace",
    "cluster",
    "environment",
];

/// Series that a rule reads, as its twin watches them.
#[derive(Clone, Debug)]
struct Input {
    name: String,
    matchers: Vec<Matcher>,
    /// The same as text; what is kept goes by it.
    text: String,
}

/// What was seen of an input at one source. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Which series, as a selector.
    pub input: String,
    /// The labels of the source: `job`, and `stack` and `service` where there are some.
    pub source: BTreeMap<String, String>,
    /// When it was last there.
    pub last: Timestamp,
}

/// What a twin keeps between evaluations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeptTwin {
    /// What was seen.
    pub seen: Vec<Seen>,
    /// Its alerts.
    pub alerting: Alerting,
}

/// The implicit twin of a rule.
#[derive(Clone, Debug)]
pub struct Twin {
    rule: Rule,
    inputs: Vec<Input>,
    pub(crate) kept: KeptTwin,
    looked_at: Option<Timestamp>,
    found_at: Option<Timestamp>,
    gone: Vec<(Element, Vec<String>)>,
}

impl Twin {
    /// The twin of a rule; none where no series can go missing unnoticed, or where its annotation says `off`.
    pub(crate) fn of(rule: &Rule) -> Option<Self> {
        let RuleKind::Alert { name, annotations, .. } = &rule.kind else {
            return None;
        };
        let hold = match annotations.get(TWIN_ANNOTATION).map(|text| text.trim()) {
            Some("off") => return None,
            Some(text) => parse_duration(text).unwrap_or(HOLD),
            None => HOLD,
        };
        let mut inputs = Vec::new();
        collect(&rule.tree, &mut inputs);
        if inputs.is_empty() {
            return None;
        }
        let texts: Vec<String> = inputs.iter().map(|input| format!("absent({})", input.text)).collect();
        let expression = texts.join(" or ");
        let names: BTreeSet<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let mut labels: BTreeMap<String, String> = rule
            .labels
            .iter()
            .filter(|(_, text)| !text.contains("{{"))
            .map(|(name, text)| (name.clone(), text.clone()))
            .collect();
        // Somebody should look at it this week; nobody is to be woken for it.
        if let Some(severity) = labels.get_mut("severity")
            && !matches!(severity.as_str(), "info" | "none" | "low" | "warning")
        {
            "warning".clone_into(severity);
        }
        labels.insert(TWIN_LABEL.0.to_owned(), TWIN_LABEL.1.to_owned());
        labels.insert("rule".to_owned(), name.clone());
        let summary = format!("{name} can no longer fire: series that it reads are gone");
        let description = format!(
            "The rule reads {}. There were such series{}, and now there are none.",
            names.join(", "),
            "{{ with $labels.job }} of job {{ . }}{{ end }}"
        );
        Some(Self {
            rule: Rule {
                kind: RuleKind::Alert {
                    name: format!("absent:{name}"),
                    hold,
                    keep_firing: 0,
                    annotations: BTreeMap::from([
                        ("summary".to_owned(), summary),
                        ("description".to_owned(), description),
                    ]),
                },
                tree: parse(&expression).ok()?,
                expression,
                labels,
                line: rule.line,
            },
            inputs,
            kept: KeptTwin::default(),
            looked_at: None,
            found_at: None,
            gone: Vec::new(),
        })
    }

    /// The twin as a rule: its name, its labels and what it would be written as.
    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Its alerts.
    #[must_use]
    pub fn alerting(&self) -> &Alerting {
        &self.kept.alerting
    }

    /// Goes on where another twin of the same rule was.
    pub(crate) fn adopt(&mut self, kept: KeptTwin) {
        self.kept = kept;
        let known: BTreeSet<&str> = self.inputs.iter().map(|input| input.text.as_str()).collect();
        self.kept.seen.retain(|seen| known.contains(seen.input.as_str()));
    }

    /// Looks where it is time to, and returns the series of the alerts.
    ///
    /// `told_by_up` are the selectors of `up` in other rules: while all targets of a job are known to be down, and a rule says so, this one is
    /// silent.
    pub(crate) fn evaluate(
        &mut self,
        step: Step<'_>,
        told_by_up: &[Vec<Matcher>],
        world: &mut dyn World,
    ) -> Vec<Element> {
        let is_due = |last: Option<Timestamp>, each: i64| last.is_none_or(|last| !(0..each).contains(&(step.at - last)));
        if is_due(self.found_at, FIND_EACH) {
            self.found_at = Some(step.at);
            self.find(step);
        }
        if is_due(self.looked_at, LOOK_EACH) {
            self.looked_at = Some(step.at);
            self.look(step, told_by_up);
        }
        let result: Vec<Element> = self.gone.iter().map(|(element, _)| element.clone()).collect();
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
        // No two elements are of one source, and there is no limit.
        let series = self
            .kept
            .alerting
            .evaluate(&self.rule, 0, &result, step.at, &mut around)
            .unwrap_or_default();
        self.name_the_gone();
        series
    }

    /// Writes into each alert which series are gone.
    fn name_the_gone(&mut self) {
        for (element, gone) in &self.gone {
            let mut labels: BTreeMap<&str, &str> = element.labels.iter().collect();
            labels.extend(self.rule.labels.iter().map(|(name, value)| (&**name, &**value)));
            labels.insert("alertname", self.rule.name());
            let key = fingerprint(labels.iter().map(|(name, value)| (*name, *value)));
            if let Some(alert) = self.kept.alerting.active.get_mut(&key) {
                alert.annotations.insert("gone".to_owned(), gone.join(", "));
            }
        }
    }

    /// Finds sources that are new.
    fn find(&mut self, step: Step<'_>) {
        for input in &self.inputs {
            let mut found: BTreeSet<Labels> = BTreeSet::new();
            alive(step, &input.matchers, &mut |labels, _| {
                found.insert(labels.retain(|name| SOURCE.contains(&name)));
                ControlFlow::Continue(())
            });
            for source in found {
                let source: BTreeMap<String, String> = source
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect();
                let known = self
                    .kept
                    .seen
                    .iter()
                    .any(|seen| seen.input == input.text && seen.source == source);
                if !known && self.kept.seen.len() < WATCHED_MAX {
                    self.kept.seen.push(Seen {
                        input: input.text.clone(),
                        source,
                        last: step.at,
                    });
                }
            }
        }
    }

    /// Looks whether what is known is still there.
    fn look(&mut self, step: Step<'_>, told_by_up: &[Vec<Matcher>]) {
        let mut gone: BTreeMap<Labels, Vec<String>> = BTreeMap::new();
        for seen in &mut self.kept.seen {
            let Some(input) = self.inputs.iter().find(|input| input.text == seen.input) else {
                continue;
            };
            let mut matchers = input.matchers.clone();
            matchers.extend(of_source(&seen.source));
            let mut is_there = false;
            let read = alive(step, &matchers, &mut |_, _| {
                is_there = true;
                ControlFlow::Break(())
            });
            // What could not be read is not gone.
            if is_there || !read {
                seen.last = step.at;
            } else if !is_down(step, &seen.source, told_by_up) {
                gone.entry(Labels::from_pairs(&seen.source))
                    .or_default()
                    .push(input.text.clone());
            }
        }
        self.kept
            .seen
            .retain(|seen| step.at.saturating_sub(seen.last) < FORGOTTEN);
        let kept = &self.kept.seen;
        self.gone = gone
            .into_iter()
            .filter(|(labels, _)| kept.iter().any(|seen| Labels::from_pairs(&seen.source) == *labels))
            .map(|(labels, gone)| {
                #[allow(clippy::cast_precision_loss, reason = "at most a few dozen")]
                let value = gone.len() as f64;
                (Element { labels, value }, gone)
            })
            .collect();
    }
}

fn of_source(source: &BTreeMap<String, String>) -> Vec<Matcher> {
    SOURCE
        .iter()
        .map(|name| Matcher::equal(name, source.get(*name).map_or("", String::as_str)))
        .collect()
}

/// Hands over each series that is there now, with its value; says whether the store could be read.
fn alive(step: Step<'_>, matchers: &[Matcher], each: &mut dyn FnMut(&Labels, f64) -> ControlFlow<()>) -> bool {
    let at = step.at.saturating_sub(step.offset);
    let selection = Selection::new(matchers, at.saturating_sub(step.options.lookback - 1), at);
    let read = step.store.select(&selection, &mut |labels, samples| {
        let last = samples
            .iter()
            .rev()
            .find(|sample| sample.time <= selection.to && sample.time >= selection.from);
        match last.filter(|last| !is_stale(last.value)) {
            Some(last) => each(labels, last.value),
            None => ControlFlow::Continue(()),
        }
    });
    read.is_ok()
}

/// Whether all targets of a source are down, and a rule is there to say so.
fn is_down(step: Step<'_>, source: &BTreeMap<String, String>, told_by_up: &[Vec<Matcher>]) -> bool {
    let fits = |matchers: &Vec<Matcher>| {
        let of_source = |matcher: &&Matcher| SOURCE.contains(&matcher.name());
        matchers
            .iter()
            .filter(of_source)
            .all(|matcher| matcher.matches(source.get(matcher.name()).map_or("", String::as_str)))
    };
    if !told_by_up.iter().any(fits) {
        return false;
    }
    let mut matchers = vec![Matcher::equal(METRIC_NAME, "up")];
    matchers.extend(of_source(source));
    let (mut some, mut all_down) = (false, true);
    alive(step, &matchers, &mut |_, value| {
        some = true;
        all_down &= value == 0.0;
        ControlFlow::Continue(())
    });
    some && all_down
}

/// The selectors of `up` in an expression.
pub(crate) fn selectors_of_up(expr: &Expr, into: &mut Vec<Vec<Matcher>>) {
    expr.visit(&mut |part| {
        if let Expr::Selector(selector) = part
            && selector.name == "up"
        {
            into.push(selector.matchers.clone());
        }
    });
}

/// Collects the series without which the rule cannot fire.
fn collect(expr: &Expr, into: &mut Vec<Input>) {
    match expr {
        Expr::Selector(selector) => add(selector, into),
        Expr::Range(range) => add(&range.selector, into),
        // A rule that looks for absence is its own twin.
        Expr::Call(call) if matches!(call.function.name, "absent" | "absent_over_time") => {}
        // With something that is always there behind it, nothing goes missing.
        Expr::Binary(binary) if binary.op == BinaryOp::Or && !has_selector(&binary.right) => {}
        Expr::Binary(binary) if binary.op == BinaryOp::Unless => collect(&binary.left, into),
        other => other.children().into_iter().for_each(|child| collect(child, into)),
    }
}

fn has_selector(expr: &Expr) -> bool {
    let mut found = false;
    expr.visit(&mut |part| found |= matches!(part, Expr::Selector(_) | Expr::Range(_)));
    found
}

fn add(selector: &Selector, into: &mut Vec<Input>) {
    let is_name = |matcher: &&Matcher| matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal;
    let Some(name) = selector.matchers.iter().find(is_name).map(|name| name.value().to_owned()) else {
        return;
    };
    // What is fixed in time does not go missing.
    if selector.at.is_some() {
        return;
    }
    let matchers: Vec<Matcher> = selector
        .matchers
        .iter()
        .filter(|matcher| OF_TARGETS.contains(&matcher.name()))
        .cloned()
        .collect();
    let mut others: Vec<String> = matchers
        .iter()
        .filter(|matcher| matcher.name() != METRIC_NAME)
        .map(ToString::to_string)
        .collect();
    others.sort();
    let text = match others.is_empty() {
        true => name.clone(),
        false => format!("{name}{{{}}}", others.join(",")),
    };
    if into.iter().all(|input| input.text != text) {
        into.push(Input { name, matchers, text });
    }
}
