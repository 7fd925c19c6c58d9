//! Looks at names: metrics, labels and values that do not exist where the rule looks for them.
//!
//! Owns what counts as existing. A counter of errors that never were may not exist for a good reason, so what merely is not there is a warning; what
//! is not there and looks like something that is, is an error.

use std::collections::BTreeSet;

use tend_alert::RuleKind;
use tend_promql::{Expr, METRIC_NAME, MatchOp, Matcher, Selector};
use tend_text::{did_you_mean, nearest_name};

use super::catalogue::{Catalogue, Metric};
use super::shape::shape;
use super::{About, Looking, MetricKind, Severity};

/// Endings that are often forgotten, or written where there is none.
const ENDINGS: [&str; 6] = ["_total", "_seconds", "_bytes", "_count", "_sum", "_bucket"];

/// Labels that say which targets are meant.
const OF_TARGETS: [&str; 5] = ["job", "instance", "service", "stack", "namespace"];

pub(crate) fn look(looking: &mut Looking<'_>) {
    let Some(catalogue) = looking.ground.catalogue.filter(|catalogue| !catalogue.is_empty()) else {
        return;
    };
    let tree = &looking.rule.tree;
    tree.visit(&mut |part| match part {
        Expr::Selector(node) => selector(looking, catalogue, node),
        Expr::Range(node) => selector(looking, catalogue, &node.selector),
        Expr::Aggregate(node) => {
            let Some(inner) = shape(&node.expr, catalogue) else {
                return;
            };
            for label in node.grouping.iter().filter(|label| !inner.has(label)) {
                let near = nearest_name(label, inner.0.keys().map(String::as_str));
                let what = format!(
                    "`{}` groups by `{label}`, and what is grouped has no such label",
                    node.op.as_str()
                );
                let has: Vec<&str> = inner.0.keys().map(String::as_str).collect();
                let meant = near.map_or_else(|| format!("its labels are {}", has.join(", ")), did_you_mean);
                looking.say(Severity::Warning, About::Label, what, Some(meant));
            }
        }
        Expr::Call(call) if matches!(call.function.name, "rate" | "increase" | "irate") => {
            if let Some(Expr::Range(range)) = call.arguments.first() {
                of_gauge(looking, catalogue, call.function.name, &range.selector);
            }
        }
        _ => {}
    });
    templates(looking, catalogue);
}

fn of_gauge(looking: &mut Looking<'_>, catalogue: &Catalogue, function: &str, selector: &Selector) {
    let looks_like_counter = ENDINGS.iter().any(|ending| selector.name.ends_with(ending));
    if catalogue.kind(&selector.name) == Some(MetricKind::Gauge) && !looks_like_counter {
        let what = format!(
            "`{function}` is for counters, and `{}` is a gauge: each time it falls counts as a restart",
            selector.name
        );
        let meant = if function == "increase" { "delta" } else { "deriv" };
        looking.say(Severity::Warning, About::Unit, what, Some(format!("{meant}(…)")));
    }
}

fn selector(looking: &mut Looking<'_>, catalogue: &Catalogue, selector: &Selector) {
    let is_name = |matcher: &&Matcher| matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal;
    let Some(name) = selector.matchers.iter().find(is_name).map(Matcher::value) else {
        return;
    };
    let Some(metric) = catalogue.metrics.get(name) else {
        if !looking.made.contains(name) {
            unknown(looking, catalogue, name);
        }
        return;
    };
    for matcher in selector.matchers.iter().filter(|matcher| matcher.name() != METRIC_NAME) {
        label(looking, name, metric, matcher);
    }
}

fn unknown(looking: &mut Looking<'_>, catalogue: &Catalogue, name: &str) {
    let all = || {
        catalogue
            .metrics
            .keys()
            .map(String::as_str)
            .chain(looking.made.iter().copied())
    };
    let by_ending = || {
        let bare = ENDINGS
            .iter()
            .find_map(|ending| name.strip_suffix(ending))
            .unwrap_or(name);
        ENDINGS
            .iter()
            .map(|ending| format!("{bare}{ending}"))
            .chain([bare.to_owned()])
            .find(|candidate| catalogue.metrics.contains_key(candidate))
    };
    let slips = all().filter(|candidate| is_slip(name, candidate));
    let near = nearest_name(name, slips).map(str::to_owned).or_else(by_ending);
    let what = format!("no series is called `{name}`, so the rule reads nothing");
    match near {
        Some(near) => looking.say(Severity::Error, About::Metric, what, Some(did_you_mean(&near))),
        None => looking.say(
            Severity::Warning,
            About::Metric,
            what,
            Some("scrape what exposes it, or delete the rule".to_owned()),
        ),
    }
}

/// Whether each word of a name is one of the other, or a slip of it: `MemFree` is no slip of `MemTotal`, though the names are near.
fn is_slip(name: &str, candidate: &str) -> bool {
    let words = |name: &str| name.split('_').count();
    words(name) == words(candidate)
        && name
            .split('_')
            .zip(candidate.split('_'))
            .all(|(one, other)| one == other || nearest_name(one, std::iter::once(other)).is_some())
}

fn label(looking: &mut Looking<'_>, name: &str, metric: &Metric, matcher: &Matcher) {
    let Some(column) = metric.labels.get(matcher.name()) else {
        if matcher.matches_empty() {
            if !matcher.value().is_empty() {
                let what = format!(
                    "no series of `{name}` has the label `{}`, so `{matcher}` leaves nothing out",
                    matcher.name()
                );
                looking.say(Severity::Note, About::Label, what, None);
            }
            return;
        }
        let near = nearest_name(matcher.name(), metric.labels.keys().map(String::as_str));
        let what = format!(
            "no series of `{name}` has the label `{}`, so `{matcher}` chooses nothing",
            matcher.name()
        );
        let has: Vec<&str> = metric.labels.keys().map(String::as_str).collect();
        let meant = near.map_or_else(|| format!("its labels are {}", has.join(", ")), did_you_mean);
        looking.say(Severity::Error, About::Label, what, Some(meant));
        return;
    };
    let without = column.series < metric.series && matcher.matches_empty();
    if column.more || without || column.values.iter().any(|value| matcher.matches(value)) {
        return;
    }
    let what = format!("no series of `{name}` has a `{}` that is {matcher}", matcher.name());
    let near = match matcher.op() {
        // 500 is no slip of 503: numbers are near one another and mean something else.
        MatchOp::Equal if !matcher.value().contains(|letter: char| letter.is_ascii_digit()) => {
            nearest_name(matcher.value(), column.values.iter().map(String::as_str))
        }
        _ => None,
    };
    let some: Vec<&str> = column.values.iter().take(5).map(String::as_str).collect();
    let there = format!("there are {}", some.join(", "));
    match (matcher.op(), near) {
        (_, Some(near)) => looking.say(Severity::Error, About::Label, what, Some(did_you_mean(near))),
        (MatchOp::Equal, None) if OF_TARGETS.contains(&matcher.name()) => {
            looking.say(Severity::Warning, About::Label, what, Some(there));
        }
        // What is chosen among the series of a target, such as errors, may not have happened yet.
        _ => looking.say(Severity::Note, About::Label, what, Some(there)),
    }
}

/// Labels that the rule's texts name and its result does not have.
fn templates(looking: &mut Looking<'_>, catalogue: &Catalogue) {
    let RuleKind::Alert { annotations, .. } = &looking.rule.kind else {
        return;
    };
    let Some(result) = shape(&looking.rule.tree, catalogue) else {
        return;
    };
    let texts = annotations.values().chain(looking.rule.labels.values());
    let named: BTreeSet<String> = texts.flat_map(|text| labels_in(text)).collect();
    for label in named.into_iter().filter(|label| !result.has(label)) {
        let has: Vec<&str> = result.0.keys().map(String::as_str).collect();
        let what = format!("a text of the rule names `$labels.{label}`, and its result has no such label");
        let meant = match nearest_name(&label, has.iter().copied()) {
            Some(near) => did_you_mean(near),
            None if has.is_empty() => "the result has no labels at all; aggregate `by` what the text names".to_owned(),
            None => format!("its labels are {}", has.join(", ")),
        };
        looking.say(Severity::Warning, About::Label, what, Some(meant));
    }
}

/// The labels that a template names.
pub(crate) fn labels_in(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for lead in ["$labels.", ".Labels."] {
        for (at, _) in text.match_indices(lead) {
            let rest = &text[at + lead.len()..];
            let end = rest
                .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
                .unwrap_or(rest.len());
            if end > 0 {
                found.push(rest[..end].to_owned());
            }
        }
    }
    found
}
