//! Rules with what became of them, and the alerts that they have.

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tend_alert::{Active, RuleKind, RuleState};
use tend_base::to_hex;
use tend_promql::{Labels, Matcher};

use super::Answered;
use crate::backend::Backend;
use crate::error::DoorError;
use crate::facts::{Health, RuleGroup, RuleStatus};
use crate::json::{exponential, success};
use crate::moment::{or_never, rfc3339};
use crate::params::{Params, integer};

/// Which rules are wanted.
struct Wanted<'a> {
    alerting: bool,
    recording: bool,
    alerts: bool,
    names: Vec<&'a str>,
    matchers: Vec<Vec<Matcher>>,
}

/// `alerts`: all that are pending or firing.
pub(super) fn alerts(backend: &dyn Backend) -> Answered {
    let groups = backend.rule_groups();
    let rules = groups.iter().flat_map(|group| &group.rules);
    let alerts: Vec<Value> = rules.flat_map(|rule| rule.active.iter().filter_map(alert)).collect();
    Ok(success(&json!({ "alerts": alerts })))
}

/// `rules`: groups of rules.
pub(super) fn rules(params: &Params<'_>, backend: &dyn Backend) -> Answered {
    let matchers = params.matchers()?;
    let kind = params.first("type").to_ascii_lowercase();
    if !matches!(kind.as_str(), "" | "alert" | "record") {
        let text = format!("not supported value {}", tend_promql::quoted(&kind));
        return Err(DoorError::parameter("type", text));
    }
    let wanted = Wanted {
        alerting: kind != "record",
        recording: kind != "alert",
        alerts: !excluded(params)?,
        names: params.all("rule_name[]").collect(),
        matchers,
    };
    let (page, token) = paging(params)?;
    let (groups, files): (Vec<&str>, Vec<&str>) =
        (params.all("rule_group[]").collect(), params.all("file[]").collect());
    let mut found = page.is_none() || token.is_empty();
    let mut next = None;
    let mut shown = Vec::new();
    for group in backend.rule_groups() {
        found = found || token_of(&group) == token;
        let is_wanted = |names: &[&str], name: &str| names.is_empty() || names.contains(&name);
        if !found || !is_wanted(&groups, &group.name) || !is_wanted(&files, &group.file) {
            continue;
        }
        let rules: Vec<Value> = group.rules.iter().filter_map(|status| rule(status, &wanted)).collect();
        if rules.is_empty() {
            continue;
        }
        if page == Some(shown.len()) {
            next = Some(token_of(&group));
            break;
        }
        shown.push(json!({
            "name": group.name,
            "file": group.file,
            "interval": seconds(group.interval),
            "limit": group.limit,
            "rules": rules,
            "evaluationTime": group.evaluation_time,
            "lastEvaluation": or_never(group.last_evaluation),
        }));
    }
    if !found {
        let text = format!("invalid group_next_token '{token}'. were rule groups changed?");
        return Err(DoorError::parameter("group_next_token", text));
    }
    let mut data = json!({ "groups": shown });
    if let Some(next) = next {
        data["groupNextToken"] = json!(next);
    }
    Ok(success(&data))
}

fn excluded(params: &Params<'_>) -> Result<bool, DoorError> {
    let text = params.first("exclude_alerts").to_ascii_lowercase();
    match text.as_str() {
        "" | "0" | "f" | "false" => Ok(false),
        "1" | "t" | "true" => Ok(true),
        _ => {
            let text = tend_promql::quoted(&text);
            let what = format!("error converting exclude_alerts: strconv.ParseBool: parsing {text}: invalid syntax");
            Err(DoorError::parameter("exclude_alerts", what))
        }
    }
}

/// How many groups are shown, and from which on.
fn paging<'a>(params: &'a Params<'_>) -> Result<(Option<usize>, &'a str), DoorError> {
    let (page, token) = (params.first("group_limit"), params.first("group_next_token"));
    if page.is_empty() {
        if !token.is_empty() {
            let text = "group_limit needs to be present in order to paginate over the groups";
            return Err(DoorError::parameter("group_next_token", text));
        }
        return Ok((None, ""));
    }
    let wrong = |what: String| DoorError::parameter("group_limit", what);
    let read = integer(page).map_err(|what| {
        let what = what.replacen("Atoi", "ParseInt", 1);
        wrong(format!("group_limit needs to be a valid number: {what}"))
    })?;
    match usize::try_from(read) {
        Ok(page) if page > 0 => Ok((Some(page), token)),
        _ => Err(wrong("group_limit needs to be greater than 0".to_owned())),
    }
}

/// What the next page is asked for by.
fn token_of(group: &RuleGroup) -> String {
    to_hex(digest(&SHA256, format!("{};{}", group.file, group.name).as_bytes()).as_ref())
}

fn rule(status: &RuleStatus, wanted: &Wanted<'_>) -> Option<Value> {
    let rule = &status.rule;
    if !wanted.names.is_empty() && !wanted.names.contains(&rule.name()) {
        return None;
    }
    if !wanted.matchers.is_empty() {
        let labels = Labels::from_pairs(&rule.labels);
        if !wanted.matchers.iter().any(|matchers| labels.matches(matchers)) {
            return None;
        }
    }
    let (health, error) = match &status.health {
        Health::Unknown => ("unknown", None),
        Health::Ok => ("ok", None),
        Health::Failed(why) => ("err", Some(why)),
    };
    let mut out = json!({
        "name": rule.name(),
        "query": rule.tree.to_string(),
        "labels": rule.labels,
        "health": health,
        "evaluationTime": status.evaluation_time,
        "lastEvaluation": or_never(status.last_evaluation),
    });
    if let Some(error) = error {
        out["lastError"] = json!(error);
    }
    match &rule.kind {
        RuleKind::Record { .. } if !wanted.recording => return None,
        RuleKind::Record { .. } => out["type"] = json!("recording"),
        RuleKind::Alert { .. } if !wanted.alerting => return None,
        RuleKind::Alert {
            hold,
            keep_firing,
            annotations,
            ..
        } => {
            out["type"] = json!("alerting");
            out["state"] = json!(state(&status.active));
            out["duration"] = json!(seconds(*hold));
            out["keepFiringFor"] = json!(seconds(*keep_firing));
            out["annotations"] = json!(annotations);
            let alerts: Option<Vec<Value>> = wanted.alerts.then(|| status.active.iter().filter_map(alert).collect());
            out["alerts"] = json!(alerts);
        }
    }
    Some(out)
}

/// The worst that any of its alerts is in.
fn state(active: &[Active]) -> &'static str {
    let any = |state| active.iter().any(|alert| alert.state == state);
    if any(RuleState::Firing) {
        "firing"
    } else if any(RuleState::Pending) {
        "pending"
    } else {
        "inactive"
    }
}

/// An alert; `None` when it resolved.
fn alert(alert: &Active) -> Option<Value> {
    let state = match alert.state {
        RuleState::Pending => "pending",
        RuleState::Firing => "firing",
        RuleState::Resolved => return None,
    };
    let mut out = json!({
        "labels": alert.labels,
        "annotations": alert.annotations,
        "state": state,
        "activeAt": rfc3339(alert.active_at),
        "value": exponential(alert.value),
    });
    if let Some(since) = alert.keep_firing_since {
        out["keepFiringSince"] = json!(rfc3339(since));
    }
    Some(out)
}

/// Whole seconds are written without a fraction.
fn seconds(millis: i64) -> Value {
    if millis % 1000 == 0 {
        json!(millis / 1000)
    } else {
        json!(millis as f64 / 1000.0)
    }
}
