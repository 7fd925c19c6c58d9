//! What the monitor behind the daemon with canned answers says.

use serde_json::{Value, json};
use tend_api::messages::MonitorAnswer;
use tend_api::{MonitorAsk, MonitorMethod, Reply};

/// Answers what the monitor is asked.
pub(crate) fn answer(ask: &MonitorAsk) -> Reply {
    let (path, query) = ask.target.split_once('?').unwrap_or((&ask.target, ""));
    let (status, body) = match (ask.method, path) {
        (_, "/api/v1/query") if query.contains("sum%28") && !query.contains("%29") => (
            400,
            json!({ "status": "error", "errorType": "bad_data",
                    "error": "invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis" }),
        ),
        (_, "/api/v1/query") => (200, series()),
        (_, "/api/v1/targets") => (200, targets()),
        (_, "/api/v1/rules") => (200, rules()),
        (_, "/api/v2/alerts") => (200, alerts()),
        (MonitorMethod::Get, "/api/v2/silences") => (200, silences()),
        (_, "/api/v2/silences") => (200, json!({ "silenceID": "660b7a39-3101-40a2-82cf-1445f9f8d207" })),
        (_, "/tend/v1/score") => (
            200,
            json!({ "score": { "figures": [] }, "worst": "critical",
                    "table": "FIGURE   VALUE   LEVEL\nerrors   9.0 %   critical\n" }),
        ),
        (_, "/tend/v1/check") => (
            200,
            json!({ "rules": 2, "findings": [
                { "severity": "error", "about": "metric", "file": "/srv/mps/rules.yml", "line": 4, "group": "web", "rule": "Broken",
                  "what": "no series is called `http_request_total`, so the rule reads nothing", "meant": "did you mean `http_requests_total`?" },
            ] }),
        ),
        (_, "/tend/v1/replay") => (200, replayed()),
        _ => (200, Value::Null),
    };
    Reply::json(&MonitorAnswer { status, body })
}

fn series() -> Value {
    json!({ "status": "success", "data": { "resultType": "vector", "result": [
        { "metric": { "__name__": "up", "job": "web", "replica": "1" }, "value": [1_795_265_075, "1"] },
        { "metric": { "__name__": "up", "job": "web", "replica": "2" }, "value": [1_795_265_075, "0"] },
    ] } })
}

fn targets() -> Value {
    let target = |instance: &str, health: &str, error: &str| {
        json!({ "labels": { "job": "web", "instance": instance }, "health": health, "lastError": error,
                "scrapeInterval": "15s", "lastScrapeDuration": 0.004 })
    };
    json!({ "data": { "activeTargets": [
        target("127.0.0.1:21000", "up", ""),
        target("127.0.0.1:21001", "down", "nobody listens at 127.0.0.1:21001"),
    ] } })
}

fn rules() -> Value {
    json!({ "data": { "groups": [ { "name": "web", "rules": [
        { "type": "recording", "name": "web:rate", "health": "ok", "evaluationTime": 0.0003 },
        { "type": "alerting", "name": "Broken", "state": "firing", "health": "err", "evaluationTime": 0.0001,
          "lastError": "many-to-many matching not allowed" },
    ] } ] } })
}

fn alerts() -> Value {
    json!([ { "fingerprint": "267ef0715f010fb9", "labels": { "alertname": "Broken", "severity": "critical" },
              "annotations": { "summary": "replica 2 is broken" }, "startsAt": "2026-11-21T12:44:05.123Z",
              "status": { "state": "active" } } ])
}

fn silences() -> Value {
    let silence = |id: &str, state: &str| {
        json!({ "id": id, "status": { "state": state }, "createdBy": "ana", "comment": "disks are being changed",
                "endsAt": "2026-11-21T14:44:35.123Z",
                "matchers": [ { "name": "instance", "value": "db.*", "isEqual": true, "isRegex": true } ] })
    };
    json!([
        silence("660b7a39-3101-40a2-82cf-1445f9f8d207", "active"),
        silence("11111111-3101-40a2-82cf-1445f9f8d207", "expired")
    ])
}

fn replayed() -> Value {
    json!([ { "rule": "Broken", "evaluations": 5760, "errors": 0, "first_error": null, "episodes": [
        { "labels": { "alertname": "Broken", "replica": "2" }, "fired_at": "2026-11-20T09:00:00Z",
          "fired_for_ms": 750_000, "peak": "3" } ] } ])
}
