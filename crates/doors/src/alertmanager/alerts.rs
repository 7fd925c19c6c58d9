//! Alerts: listed, in their groups, and taken in.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tend_alert::{Alert, Pipeline, Posted, parse_matcher};
use tend_promql::{MatchOp, Matcher, Timestamp};

use super::{body, found, problem, refused};
use crate::backend::{Backend, Command};
use crate::moment::{parse_rfc3339, rfc3339, with_millis};
use crate::params::Params;
use crate::request::{Request, Response};

/// What stands where Alertmanager names the time intervals that mute an alert, when a deployment holds it back.
const QUIET_DEPLOYS: &str = "quiet_deploys";

/// Which alerts are wanted.
struct Wanted {
    active: bool,
    silenced: bool,
    inhibited: bool,
    muted: bool,
    matchers: Vec<Matcher>,
    receiver: Option<Matcher>,
}

impl Wanted {
    fn of(params: &Params<'_>) -> Result<Wanted, Response> {
        // Nothing is ever unprocessed: what keeps an alert quiet is found when it is asked for.
        Ok(Wanted {
            active: params.switch("active", true),
            silenced: params.switch("silenced", true),
            inhibited: params.switch("inhibited", true),
            muted: params.switch("muted", true),
            matchers: filter(params)?,
            receiver: receiver(params)?,
        })
    }

    fn names(&self, receiver: &str) -> bool {
        self.receiver.as_ref().is_none_or(|wanted| wanted.matches(receiver))
    }

    /// The alert as it is shown, unless it is not wanted.
    fn shown(&self, pipeline: &Pipeline, alert: &Alert, receivers: &[&str], now: Timestamp) -> Option<Value> {
        if alert.ends_at < now || !all_true(&self.matchers, &alert.labels) {
            return None;
        }
        let hushed = pipeline.hushed(alert, now);
        let is_active = hushed.is_active();
        if (is_active && !self.active)
            || (!hushed.silenced_by.is_empty() && !self.silenced)
            || (!hushed.inhibited_by.is_empty() && !self.inhibited)
            || (hushed.held.is_some() && !self.muted)
        {
            return None;
        }
        let inhibited_by: Vec<String> = hushed.inhibited_by.iter().map(|key| format!("{key:016x}")).collect();
        let fingerprint = alert.fingerprint();
        let mut out = json!({
            "annotations": alert.annotations,
            "endsAt": with_millis(alert.ends_at),
            "fingerprint": format!("{fingerprint:016x}"),
            "receivers": receivers.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
            "startsAt": with_millis(alert.starts_at),
            "status": {
                "inhibitedBy": inhibited_by,
                "mutedBy": hushed.held.iter().map(|_| QUIET_DEPLOYS).collect::<Vec<_>>(),
                "silencedBy": hushed.silenced_by,
                "state": if is_active { "active" } else { "suppressed" },
            },
            "updatedAt": with_millis(alert.updated_at),
            "labels": alert.labels,
        });
        if !alert.generator_url.is_empty() {
            out["generatorURL"] = json!(alert.generator_url);
        }
        // What Alertmanager does not know; its clients pass over it.
        if let Some(held) = &hushed.held {
            out["held"] = json!({ "by": held.by, "until": rfc3339(held.until) });
        }
        if let Some(episode) = pipeline.care().open.get(&fingerprint) {
            if let Some((by, at)) = &episode.acknowledged {
                out["acknowledged"] = json!({ "by": by, "at": rfc3339(*at) });
            }
            if let Some(owner) = &episode.owner {
                out["owner"] = json!(owner);
            }
        }
        Some(out)
    }
}

/// `filter`: matchers that all have to be true.
pub(super) fn filter(params: &Params<'_>) -> Result<Vec<Matcher>, Response> {
    let read = params.all("filter").map(parse_matcher);
    read.collect::<Result<_, _>>()
        .map_err(|error| refused(400, &error.to_string()))
}

/// `receiver`: a pattern of the whole name.
fn receiver(params: &Params<'_>) -> Result<Option<Matcher>, Response> {
    match params.first("receiver") {
        "" => Ok(None),
        pattern => Matcher::new("receiver", MatchOp::Regex, pattern)
            .map(Some)
            .map_err(|error| refused(400, &format!("failed to parse receiver param: {error}"))),
    }
}

/// Whether matchers are true of labels. One of the empty text asks whether the label is there.
fn all_true(matchers: &[Matcher], labels: &BTreeMap<String, String>) -> bool {
    matchers.iter().all(|matcher| {
        let value = labels.get(matcher.name()).map(String::as_str);
        if matcher.value().is_empty() && matcher.op().is_negative() == value.is_some() {
            return true;
        }
        matcher.matches(value.unwrap_or_default())
    })
}

/// `alerts`: all of them.
pub(super) fn list(params: &Params<'_>, backend: &dyn Backend) -> Response {
    let wanted = match Wanted::of(params) {
        Ok(wanted) => wanted,
        Err(response) => return response,
    };
    let now = backend.now();
    let mut shown: Vec<(u64, Value)> = Vec::new();
    backend.alerts(&mut |pipeline: &Pipeline| {
        shown.clear();
        for alert in pipeline.known() {
            let receivers = pipeline.receivers_of(&alert.labels);
            if receivers.iter().any(|name| wanted.names(name)) {
                let one = wanted.shown(pipeline, alert, &receivers, now);
                shown.extend(one.map(|one| (alert.fingerprint(), one)));
            }
        }
    });
    // As texts of the same length, so as numbers.
    shown.sort_by_key(|(fingerprint, _)| *fingerprint);
    found(&shown.into_iter().map(|(_, one)| one).collect::<Vec<_>>())
}

/// `alerts/groups`: as they are told together.
pub(super) fn groups(params: &Params<'_>, backend: &dyn Backend) -> Response {
    let wanted = match Wanted::of(params) {
        Ok(wanted) => wanted,
        Err(response) => return response,
    };
    let now = backend.now();
    let mut shown: Vec<(BTreeMap<String, String>, String, Value)> = Vec::new();
    backend.alerts(&mut |pipeline: &Pipeline| {
        shown.clear();
        // An alert shows all that are told of it among the groups that are wanted.
        let mut receivers: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
        for group in pipeline.groups().filter(|group| wanted.names(group.receiver)) {
            for alert in group.alerts {
                receivers.entry(alert.fingerprint()).or_default().push(group.receiver);
            }
        }
        receivers.values_mut().for_each(|names| names.sort_unstable());
        for group in pipeline.groups().filter(|group| wanted.names(group.receiver)) {
            let mut sorted = group.alerts;
            sorted.sort_by(|one, two| in_group(&one.labels, &two.labels));
            let alerts: Vec<Value> = sorted
                .iter()
                .filter_map(|alert| {
                    let names = receivers.get(&alert.fingerprint()).map_or(&[][..], Vec::as_slice);
                    wanted.shown(pipeline, alert, names, now)
                })
                .collect();
            if !alerts.is_empty() {
                let one = json!({ "alerts": alerts, "labels": group.labels, "receiver": { "name": group.receiver } });
                shown.push((group.labels.clone(), group.receiver.to_owned(), one));
            }
        }
    });
    shown.sort_by(|one, two| before(&one.0, &two.0).then_with(|| one.1.cmp(&two.1)));
    found(&shown.into_iter().map(|(_, _, one)| one).collect::<Vec<_>>())
}

/// The order of label sets in Alertmanager: the shorter first, then by the first name that only the other one has, or by the first value.
fn before(one: &BTreeMap<String, String>, two: &BTreeMap<String, String>) -> Ordering {
    let names: BTreeSet<&String> = one.keys().chain(two.keys()).collect();
    let by_name = names.into_iter().map(|name| match (one.get(name), two.get(name)) {
        (None, _) => Ordering::Less,
        (_, None) => Ordering::Greater,
        (one, two) => one.cmp(&two),
    });
    one.len()
        .cmp(&two.len())
        .then_with(|| by_name.fold(Ordering::Equal, Ordering::then))
}

/// The order of alerts in a group: by job and instance, those without behind.
fn in_group(one: &BTreeMap<String, String>, two: &BTreeMap<String, String>) -> Ordering {
    let key = |labels: &BTreeMap<String, String>, name: &str| {
        let value = labels.get(name).cloned();
        (value.is_none(), value)
    };
    let by = |name| key(one, name).cmp(&key(two, name));
    by("job").then_with(|| by("instance")).then_with(|| before(one, two))
}

/// `alerts`: takes some in.
pub(super) fn post(request: &Request<'_>, backend: &dyn Backend) -> Response {
    let posted = match body(request, "alerts").and_then(|body| posted(&body)) {
        Ok(posted) => posted,
        Err(response) => return response,
    };
    match backend.command(Command::Post(posted), request.caller) {
        Ok(()) => Response::empty(200),
        Err(refusals) => {
            let texts: Vec<String> = refusals.iter().map(ToString::to_string).collect();
            refused(400, &texts.join("; "))
        }
    }
}

fn posted(body: &Value) -> Result<Vec<Posted>, Response> {
    let Some(alerts) = body.as_array() else {
        return Err(problem(
            400,
            400,
            "parsing alerts body from \"\" failed, because it is no array",
        ));
    };
    let mut out = Vec::with_capacity(alerts.len());
    for (at, alert) in alerts.iter().enumerate() {
        let wrong = |what: String| {
            problem(
                400,
                400,
                &format!("parsing alerts body from \"\" failed, because {what}"),
            )
        };
        if alert.get("labels").is_none_or(Value::is_null) {
            return Err(problem(422, 602, &format!("{at}.labels in body is required")));
        }
        let texts = |key: &str| -> Result<BTreeMap<String, String>, Response> {
            match alert.get(key) {
                None | Some(Value::Null) => Ok(BTreeMap::new()),
                Some(Value::Object(map)) => map
                    .iter()
                    .map(|(name, value)| match value.as_str() {
                        Some(value) => Ok((name.clone(), value.to_owned())),
                        None => Err(wrong(format!("{at}.{key}.{name} is no text"))),
                    })
                    .collect(),
                Some(_) => Err(wrong(format!("{at}.{key} is no object"))),
            }
        };
        let time = |key: &str| match alert.get(key).and_then(Value::as_str) {
            None | Some("") => Ok(None),
            // What Go writes for a time that is none.
            Some(text) if text.starts_with("0001-01-01T00:00:00") => Ok(None),
            Some(text) => parse_rfc3339(text)
                .map(Some)
                .ok_or_else(|| wrong(format!("{at}.{key} is no time of RFC 3339: {text}"))),
        };
        out.push(Posted {
            labels: texts("labels")?,
            annotations: texts("annotations")?,
            starts_at: time("startsAt")?,
            ends_at: time("endsAt")?,
            generator_url: alert
                .get("generatorURL")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
        });
    }
    Ok(out)
}
