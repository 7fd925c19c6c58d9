//! What became of alerts, as it is shown: each with its begin and end, who was told and answered what, who took care, what changed before.
//!
//! Answers in JSON. Owns no decision: all of it stands in the pipeline's kept state.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tend_alert::{Alert, Change, Episode, Held, RuleKind, What};
use tend_base::Wall;

use crate::server::Answer;
use crate::stack::{Rules, State, Watched};

/// Answers which alerts there were: those that lasted at or after `from`, in milliseconds since 1970, and of `rule` alone where one is named. The
/// oldest comes first, and what fires still is among them.
pub(crate) fn history(stack: &Watched, asked: &BTreeMap<String, String>) -> Answer {
    let from = match asked.get("from").map(|text| text.parse::<i64>()) {
        None => i64::MIN,
        Some(Ok(from)) => from,
        Some(Err(_)) => return Answer::text(400, "`from` is no number of milliseconds"),
    };
    let rule = asked.get("rule");
    let now = crate::now_ms();
    let state = stack.state();
    let care = state.pipeline.care();
    let mut episodes: Vec<&Episode> = care
        .past
        .iter()
        .chain(care.open.values())
        .filter(|episode| episode.resolved_at.is_none_or(|at| at >= from))
        .filter(|episode| rule.is_none_or(|rule| episode.labels.get("alertname") == Some(rule)))
        .collect();
    episodes.sort_by_key(|episode| (episode.started_at, episode.fingerprint));
    let episodes: Vec<Value> = episodes.into_iter().map(|episode| shown(episode, now)).collect();
    Answer::json(&episodes)
}

/// Answers all that is known of the alerts of a name, or of a fingerprint: those that fire, or else the last one that did.
pub(crate) fn show(stack: &Watched, asked: &BTreeMap<String, String>) -> Answer {
    let Some(which) = asked.get("which").filter(|which| !which.is_empty()) else {
        return Answer::text(400, "`which=NAME` or `which=FINGERPRINT` is missing");
    };
    let print = u64::from_str_radix(which, 16).ok().filter(|_| which.len() == 16);
    let is_meant = |episode: &&Episode| match print {
        Some(print) => episode.fingerprint == print,
        None => episode.labels.get("alertname") == Some(which),
    };
    let now = crate::now_ms();
    let rules = stack.rules();
    let state = stack.state();
    let care = state.pipeline.care();
    let mut meant: Vec<&Episode> = care.open.values().filter(is_meant).collect();
    if meant.is_empty() {
        meant.extend(care.past.iter().rev().find(is_meant));
    }
    if meant.is_empty() {
        return Answer::text(
            404,
            format!(
                "no alert `{which}` fires, and none is remembered; `tend alerts list` and `tend alerts history` name those there are"
            ),
        );
    }
    let all: Vec<Value> = meant
        .into_iter()
        .map(|episode| whole(&rules, &state, episode, now))
        .collect();
    Answer::json(&all)
}

/// An alert with all that is known of it.
fn whole(rules: &Rules, state: &State, episode: &Episode, now: i64) -> Value {
    let mut out = shown(episode, now);
    let known = (state.pipeline.known()).find(|alert| alert.fingerprint() == episode.fingerprint);
    out["rule"] = rule(rules, episode);
    out["receivers"] = json!(state.pipeline.receivers_of(&episode.labels));
    if let Some(alert) = known.filter(|alert| !alert.resolved(now)) {
        quiet(state, alert, now, &mut out);
        out["annotations"] = json!(alert.annotations);
    }
    out
}

/// Adds what keeps an alert quiet.
fn quiet(state: &State, alert: &Alert, now: i64, out: &mut Value) {
    let hushed = state.pipeline.hushed(alert, now);
    if !hushed.is_active() {
        out["state"] = "suppressed".into();
    }
    out["silences"] = state
        .pipeline
        .silences()
        .filter(|silence| hushed.silenced_by.contains(&silence.id))
        .map(|silence| json!({ "id": silence.id, "by": silence.created_by, "reason": silence.reason, "until": time(silence.ends_at) }))
        .collect();
    out["inhibited_by"] = hushed
        .inhibited_by
        .iter()
        .map(|print| {
            let by = state.pipeline.care().open.get(print);
            json!({ "id": format!("{print:016x}"), "alert": by.and_then(|by| by.labels.get("alertname")) })
        })
        .collect();
    out["held"] = hushed.held.as_ref().map_or(Value::Null, held);
}

/// The rule an alert is of, with the value it had when it was last evaluated; nothing for an alert that somebody posted.
fn rule(rules: &Rules, episode: &Episode) -> Value {
    let name = episode.labels.get("alertname").map_or("", String::as_str);
    for group in rules.engine.groups() {
        for evaluated in group.rules() {
            let rule = evaluated.rule();
            let RuleKind::Alert { name: own, hold, .. } = &rule.kind else {
                continue;
            };
            if own != name {
                continue;
            }
            // Labels that are added to everything that leaves are in the alert and not in the rule.
            let mut active = evaluated.alerting().active.values();
            let active = active.find(|active| {
                active
                    .labels
                    .iter()
                    .all(|(key, value)| episode.labels.get(key) == Some(value))
            });
            return json!({
                "name": own,
                "expression": rule.expression,
                "for_ms": hold,
                "file": group.file(),
                "group": group.name(),
                "value": active.map(|active| active.value.to_string()),
            });
        }
    }
    Value::Null
}

/// An alert from its beginning to its end.
fn shown(episode: &Episode, now: i64) -> Value {
    let marks: Vec<Value> = (episode.marks.iter())
        .map(|mark| mark_of(&mark.what, time(mark.at)))
        .collect();
    json!({
        "id": format!("{:016x}", episode.fingerprint),
        "alert": episode.labels.get("alertname"),
        "labels": episode.labels,
        "state": if episode.resolved_at.is_some() { "resolved" } else { "active" },
        "since": time(episode.started_at),
        "until": episode.resolved_at.map(time),
        "lasted_ms": episode.resolved_at.unwrap_or(now) - episode.started_at,
        "acknowledged": episode.acknowledged.as_ref().map(|(by, at)| json!({ "by": by, "at": time(*at) })),
        "owner": episode.owner,
        "held": episode.held.as_ref().map(held),
        "changes": episode.changes.iter().map(change).collect::<Vec<_>>(),
        "marks": marks,
    })
}

/// Something that happened to an alert; `word` is what.
fn mark_of(what: &What, at: String) -> Value {
    match what {
        What::Told {
            receiver,
            means,
            said,
            ended,
        } => {
            let word = if *ended { "told it is over" } else { "told" };
            json!({ "at": at, "word": word, "receiver": receiver, "means": means, "said": said })
        }
        What::Untold {
            receiver,
            means,
            said,
            tries,
        } => {
            json!({ "at": at, "word": "not told", "receiver": receiver, "means": means, "said": said, "tries": tries })
        }
        What::Acknowledged { by, note } => json!({ "at": at, "word": "acknowledged", "by": by, "note": note }),
        What::Assigned { by, to } => json!({ "at": at, "word": "assigned", "by": by, "to": to }),
    }
}

/// What deployment holds an alert back.
pub(crate) fn held(held: &Held) -> Value {
    json!({ "by": held.by, "until": time(held.until) })
}

/// Something that changed.
pub(crate) fn change(change: &Change) -> Value {
    json!({ "at": time(change.at), "kind": change.kind, "of": change.of, "by": change.by })
}

/// A time as RFC 3339 has it.
pub(crate) fn time(ms: i64) -> String {
    Wall(ms.unsigned_abs()).to_rfc3339()
}
