//! Silences: listed, made, changed, ended.
//!
//! As in Alertmanager, a silence that holds is changed only in its end and its comment; with other matchers or another beginning it is ended
//! and another one takes its place, so that what was silent when stays known.

use serde_json::{Value, json};
use tend_alert::{Pipeline, Silence, SilenceState, parse_matcher, written};
use tend_promql::{MatchOp, Matcher, Timestamp};

use super::alerts::filter;
use super::{body, found, problem, refused};
use crate::backend::{Backend, Command};
use crate::moment::{parse_rfc3339, with_millis};
use crate::params::Params;
use crate::request::{Request, Response};

/// `silences`: all of them, or those that have these matchers.
pub(super) fn list(params: &Params<'_>, backend: &dyn Backend) -> Response {
    let wanted = match filter(params) {
        Ok(wanted) => wanted,
        Err(response) => return response,
    };
    let mut states = Vec::new();
    for (name, state) in [
        ("active", SilenceState::Active),
        ("expired", SilenceState::Expired),
        ("pending", SilenceState::Pending),
    ] {
        if params.switch(name, true) {
            states.push(state);
        }
    }
    let now = backend.now();
    let mut shown: Vec<Silence> = Vec::new();
    backend.alerts(&mut |pipeline: &Pipeline| {
        let all = pipeline.silences().filter(|silence| {
            let own = matchers(silence);
            states.contains(&silence.state(now)) && wanted.iter().all(|matcher| own.contains(matcher))
        });
        shown = all.cloned().collect();
    });
    // Those that hold first, the next to end in front; then those to come, and those that are over, the latest in front.
    shown.sort_by_key(|silence| match silence.state(now) {
        SilenceState::Active => (1, silence.ends_at),
        SilenceState::Pending => (2, silence.starts_at),
        SilenceState::Expired => (3, -silence.ends_at),
    });
    found(&shown.iter().map(|silence| view(silence, now)).collect::<Vec<_>>())
}

/// `silence/ID`
pub(super) fn get(id: &str, backend: &dyn Backend) -> Response {
    if let Some(response) = no_uuid(id) {
        return response;
    }
    match known(id, backend) {
        Some(silence) => found(&view(&silence, backend.now())),
        None => Response::empty(404),
    }
}

/// `silence/ID`: ends it. One that is over already is left as it is.
pub(super) fn delete(id: &str, request: &Request<'_>, backend: &dyn Backend) -> Response {
    if let Some(response) = no_uuid(id) {
        return response;
    }
    let Some(silence) = known(id, backend) else {
        return Response::empty(404);
    };
    if silence.state(backend.now()) == SilenceState::Expired {
        return Response::empty(200);
    }
    let command = Command::EndSilence { id: silence.id };
    match backend.command(command, request.caller) {
        Ok(()) => Response::empty(200),
        Err(refusals) => told(&refusals),
    }
}

/// `silences`: makes one, or changes one.
pub(super) fn post(request: &Request<'_>, backend: &dyn Backend) -> Response {
    let now = backend.now();
    let mut silence = match body(request, "silence").and_then(|body| asked(&body)) {
        Ok(silence) => silence,
        Err(response) => return response,
    };
    if silence.starts_at >= silence.ends_at {
        return refused(400, "Failed to create silence: start time must be before end time");
    }
    if silence.ends_at < now {
        return refused(400, "Failed to create silence: end time can't be in the past");
    }
    let mut replaced = None;
    if silence.id.is_empty() {
        silence.id = backend.fresh_id();
        silence.starts_at = silence.starts_at.max(now);
    } else {
        let Some(before) = known(&silence.id, backend) else {
            return refused(404, "silence not found");
        };
        if !may_become(&before, &silence, now) {
            replaced = (before.state(now) != SilenceState::Expired).then_some(before.id);
            silence.id = backend.fresh_id();
            silence.starts_at = silence.starts_at.max(now);
        }
    }
    let id = silence.id.clone();
    // The new one first: when it is refused, the old one still holds.
    if let Err(refusals) = backend.command(Command::Silence(silence), request.caller) {
        return told(&refusals);
    }
    if let Some(id) = replaced
        && let Err(refusals) = backend.command(Command::EndSilence { id }, request.caller)
    {
        return told(&refusals);
    }
    found(&json!({ "silenceID": id }))
}

fn told(refusals: &[tend_alert::AlertError]) -> Response {
    let texts: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    refused(400, &texts.join("; "))
}

/// Whether a silence can be changed so without changing what was silent when.
fn may_become(before: &Silence, after: &Silence, now: Timestamp) -> bool {
    matchers(before) == matchers(after)
        && match before.state(now) {
            SilenceState::Active => before.starts_at.div_euclid(1000) == after.starts_at.div_euclid(1000),
            SilenceState::Pending => after.starts_at >= now,
            SilenceState::Expired => false,
        }
}

fn known(id: &str, backend: &dyn Backend) -> Option<Silence> {
    let mut known = None;
    backend.alerts(&mut |pipeline: &Pipeline| {
        known = pipeline.silences().find(|silence| silence.id == id).cloned();
    });
    known
}

fn matchers(silence: &Silence) -> Vec<Matcher> {
    silence
        .matchers
        .iter()
        .filter_map(|text| parse_matcher(text).ok())
        .collect()
}

/// A silence as JSON.
fn view(silence: &Silence, now: Timestamp) -> Value {
    let state = match silence.state(now) {
        SilenceState::Pending => "pending",
        SilenceState::Active => "active",
        SilenceState::Expired => "expired",
    };
    let matchers: Vec<Value> = matchers(silence)
        .iter()
        .map(|matcher| {
            json!({
                "isEqual": !matcher.op().is_negative(),
                "isRegex": matches!(matcher.op(), MatchOp::Regex | MatchOp::NotRegex),
                "name": matcher.name(),
                "value": matcher.value(),
            })
        })
        .collect();
    json!({
        "id": silence.id,
        "status": { "state": state },
        "updatedAt": with_millis(silence.updated_at),
        "comment": silence.reason,
        "createdBy": silence.created_by,
        "endsAt": with_millis(silence.ends_at),
        "matchers": matchers,
        "startsAt": with_millis(silence.starts_at),
    })
}

/// What a body asks for.
fn asked(body: &Value) -> Result<Silence, Response> {
    if !body.is_object() {
        return Err(problem(
            400,
            400,
            "parsing silence body from \"\" failed, because it is no object",
        ));
    }
    let required = |key: &str| problem(422, 602, &format!("{key} in body is required"));
    let text = |key: &str| -> Result<String, Response> {
        body.get(key)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| required(key))
    };
    let time = |key: &str| -> Result<Timestamp, Response> {
        let text = text(key)?;
        parse_rfc3339(&text).ok_or_else(|| {
            let what = format!("parsing silence body from \"\" failed, because {key} is no time of RFC 3339: {text}");
            problem(400, 400, &what)
        })
    };
    let list = body
        .get("matchers")
        .and_then(Value::as_array)
        .ok_or_else(|| required("matchers"))?;
    if list.is_empty() {
        return Err(problem(422, 612, "matchers in body should have at least 1 items"));
    }
    let mut matchers = Vec::with_capacity(list.len());
    for (at, one) in list.iter().enumerate() {
        let part = |key: &str| {
            let part = one.get(key).and_then(Value::as_str);
            part.ok_or_else(|| required(&format!("matchers.{at}.{key}")))
        };
        let (name, value) = (part("name")?, part("value")?);
        let is_regex = one.get("isRegex").and_then(Value::as_bool);
        let is_regex = is_regex.ok_or_else(|| required(&format!("matchers.{at}.isRegex")))?;
        let is_equal = one.get("isEqual").and_then(Value::as_bool).unwrap_or(true);
        let op = match (is_equal, is_regex) {
            (true, false) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Regex,
            (false, true) => MatchOp::NotRegex,
        };
        if name.is_empty() {
            return Err(refused(
                400,
                &format!("silence invalid: invalid label matcher {at}: invalid label name \"\""),
            ));
        }
        let matcher = Matcher::new(name, op, value)
            .map_err(|error| refused(400, &format!("silence invalid: invalid label matcher {at}: {error}")))?;
        matchers.push(written(&matcher));
    }
    Ok(Silence {
        id: body.get("id").and_then(Value::as_str).unwrap_or_default().to_owned(),
        matchers,
        starts_at: time("startsAt")?,
        ends_at: time("endsAt")?,
        created_by: text("createdBy")?,
        reason: text("comment")?,
        reminded: false,
        updated_at: 0,
    })
}

/// Names are UUIDs, and clients rely on being told when one is not.
fn no_uuid(id: &str) -> Option<Response> {
    let parts: Vec<&str> = id.split('-').collect();
    let lengths = parts.iter().map(|part| part.len());
    let is = lengths.eq([8, 4, 4, 4, 12]) && parts.concat().bytes().all(|byte| byte.is_ascii_hexdigit());
    (!is).then(|| {
        problem(
            422,
            601,
            &format!("silenceID in path must be of type uuid: {}", tend_promql::quoted(id)),
        )
    })
}
