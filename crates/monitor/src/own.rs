//! What is asked of a stack beside the doors of Prometheus and Alertmanager: its scorecard, whether its rules can work, and what a rule would have
//! done. Answers in JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tend_base::with_causes;
use tend_core::model::Language;
use tend_promql::EvalOptions;
use tend_rules::{Past, replay};

use crate::alerts::{self, time};
use crate::judge;
use crate::plan;
use crate::server::{Answer, Asked};
use crate::stack::Watched;
use crate::world::Around;

/// The furthest that is looked back where nothing is said: a day.
const SINCE_MS: i64 = 24 * 60 * 60 * 1000;

/// Answers what stands behind `/tend/v1/`; nothing where there is no such thing.
pub(crate) fn answer(stack: &Watched, path: &str, asked: &Asked) -> Option<Answer> {
    if asked.method != "GET" {
        return None;
    }
    match path {
        "score" => Some(score(stack)),
        "check" => Some(checked(stack)),
        "replay" => Some(looked_back(stack, &asked.query)),
        "alerts/history" => Some(alerts::history(stack, &parameters(&asked.query))),
        "alerts/show" => Some(alerts::show(stack, &parameters(&asked.query))),
        _ => None,
    }
}

fn checked(stack: &Watched) -> Answer {
    match judge::findings(stack, crate::now_ms()) {
        Err(error) => Answer::text(503, with_causes(&error)),
        Ok(findings) => {
            let rules = stack
                .rules()
                .sources
                .iter()
                .flat_map(|source| &source.groups)
                .map(|group| group.rules.len())
                .sum::<usize>();
            Answer::json(&json!({ "rules": rules, "findings": findings }))
        }
    }
}

fn score(stack: &Watched) -> Answer {
    let (scorer, language) = {
        let state = stack.state();
        let language = if state.part.chinese {
            Language::Chinese
        } else {
            Language::English
        };
        (state.scorer.clone(), language)
    };
    let score = scorer.score(&stack.view, crate::now_ms(), &EvalOptions::default());
    Answer::json(&json!({ "score": score, "worst": score.worst(), "table": score.table(language) }))
}

/// Reads a query of numbers and plain words: values are percent-encoded where they are not.
fn parameters(query: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

fn looked_back(stack: &Watched, query: &str) -> Answer {
    let asked = parameters(query);
    let now = crate::now_ms();
    let number = |key: &str, default: i64| match asked.get(key) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .map_err(|_| Answer::text(400, format!("`{key}` is no number of milliseconds"))),
    };
    let (from, to) = match (number("from", now - SINCE_MS), number("to", now)) {
        (Ok(from), Ok(to)) => (from, to),
        (Err(wrong), _) | (_, Err(wrong)) => return wrong,
    };
    // Taken out first: a walk over a week takes a while, and rules go on meanwhile.
    let (rules, external_labels, external_url) = {
        let wanted = asked.get("rule");
        let mut rules = Vec::new();
        for group in stack.rules().engine.groups() {
            for rule in group.rules() {
                let rule = rule.rule();
                let is_alert = matches!(rule.kind, tend_alert::RuleKind::Alert { .. });
                if is_alert && wanted.is_none_or(|wanted| wanted == rule.name()) {
                    let past = Past {
                        from,
                        to,
                        step: group.interval(),
                        query_offset: group.query_offset(),
                    };
                    rules.push((rule.clone(), group.limit(), past));
                }
            }
        }
        let state = stack.state();
        let labels = plan::by_name(&state.external_labels);
        (rules, labels, state.part.external_url.clone())
    };
    if rules.is_empty() {
        return Answer::text(404, "there is no alerting rule of this name");
    }
    let mut told: Vec<Value> = Vec::new();
    for (rule, limit, past) in rules {
        let mut world = Around {
            now_ms: now,
            external_url: external_url.clone(),
        };
        let around = (&EvalOptions::default(), &external_labels);
        told.push(match replay(&rule, limit, past, &stack.view, around, &mut world) {
            Err(error) => json!({ "rule": rule.name(), "error": with_causes(&error) }),
            Ok(replayed) => {
                let episodes: Vec<Value> = (replayed.fired())
                    .map(|episode| {
                        json!({
                            "labels": episode.labels,
                            "annotations": episode.annotations,
                            "since": time(episode.since),
                            "fired_at": episode.fired_at.map(time),
                            "ended_at": episode.ended_at.map(time),
                            "fired_for_ms": episode.fired_for(past.to),
                            "peak": episode.peak.to_string(),
                        })
                    })
                    .collect();
                json!({
                    "rule": rule.name(),
                    "evaluations": replayed.evaluations,
                    "errors": replayed.errors,
                    "first_error": replayed.first_error,
                    "cut": replayed.cut,
                    "episodes": episodes,
                })
            }
        });
    }
    Answer::json(&told)
}
