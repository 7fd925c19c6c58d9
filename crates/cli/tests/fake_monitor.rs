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
        (_, "/tend/v1/fire-test") => fire_test(ask.body.as_ref().unwrap_or(&Value::Null)),
        (_, "/tend/v1/score") => (
            200,
            json!({ "score": { "figures": [] }, "worst": "critical",
                    "table": "FIGURE   VALUE   LEVEL\nerrors   9.0 %   critical\n" }),
        ),
        (_, "/tend/v1/alerts/history") if query.contains("rule=Never") => (200, json!([])),
        (_, "/tend/v1/alerts/history") => (200, json!([episode("resolved"), episode("active")])),
        (_, "/tend/v1/alerts/show") if query.contains("Never") => {
            (404, json!("no alert `Never` fires, and none is remembered"))
        }
        (_, "/tend/v1/alerts/show") => (200, json!([whole()])),
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

/// A receiver that takes everything and one that is gone; a rule that nobody is told of, and one that is none.
fn fire_test(asked: &Value) -> (u16, Value) {
    let told = |receiver: &str, means: &str, answer: &str, said: &str| {
        json!({ "receiver": receiver, "means": means, "where": "127.0.0.1:9", "told_at": "2026-11-21T12:44:35.500Z",
                "answer": answer, "said": said, "took_ms": 12 })
    };
    let [hook, mail] = [
        told("hook", "webhook", "confirmed", "status 200"),
        told("post", "mail", "failed", "nobody listens at 127.0.0.1:9"),
    ];
    let test = |firing: Vec<&Value>, would_be: Value| {
        json!({ "labels": { "alertname": asked["rule"], "severity": "critical", "tend_test": "true" },
                "would_be": would_be, "firing": firing, "resolved": firing })
    };
    let quiet = json!({ "silenced_by": [], "inhibited_by": [], "muted_for": [] });
    let hushed = json!({
        "silenced_by": [ { "id": "660b7a39-3101-40a2-82cf-1445f9f8d207", "by": "ana", "reason": "disks are being changed",
                           "ends_at": "2026-11-21T14:44:35.123Z" } ],
        "inhibited_by": [ "MachineDown" ], "muted_for": [ "post" ] });
    let only_hook = asked["receivers"] == json!(["hook"]);
    let (ok, tests) = match asked["rule"].as_str().unwrap_or_default() {
        "Broken" if only_hook => (true, vec![test(vec![&hook], quiet)]),
        "Broken" => (false, vec![test(vec![&hook, &mail], hushed)]),
        "Nobodys" => (false, vec![test(vec![], quiet)]),
        rule => {
            let said = format!("there is no alerting rule `{rule}`; there are: Broken, Nobodys");
            return (404, Value::String(said));
        }
    };
    (200, json!({ "rule": asked["rule"], "ok": ok, "tests": tests }))
}

fn episode(state: &str) -> Value {
    json!({ "id": "267ef0715f010fb9", "alert": "Broken", "labels": { "alertname": "Broken", "replica": "2" }, "state": state,
            "since": "2026-11-21T12:30:05.123Z", "until": (state == "resolved").then_some("2026-11-21T12:40:05.123Z"),
            "lasted_ms": if state == "resolved" { 600_000 } else { 870_000 },
            "acknowledged": { "by": "ana", "at": "2026-11-21T12:32:05.123Z" }, "owner": "mei", "held": null,
            "changes": [ { "at": "2026-11-21T12:20:05.123Z", "kind": "deploy.started", "of": "release 7", "by": "mei" } ],
            "marks": [
                { "at": "2026-11-21T12:30:35.123Z", "word": "not told", "receiver": "duty", "means": "pagerduty", "said": "status 503", "tries": 2 },
                { "at": "2026-11-21T12:30:45.123Z", "word": "told", "receiver": "duty", "means": "pagerduty", "said": "status 202" },
                { "at": "2026-11-21T12:32:05.123Z", "word": "acknowledged", "by": "ana", "note": "looking" },
                { "at": "2026-11-21T12:33:05.123Z", "word": "assigned", "by": "ana", "to": "mei" } ] })
}

fn whole() -> Value {
    let mut all = episode("active");
    all["state"] = "suppressed".into();
    all["annotations"] = json!({ "summary": "replica 2 is broken" });
    all["rule"] = json!({ "name": "Broken", "expression": "up == 0", "for_ms": 60_000, "file": "/etc/mps/rules/web.yml", "group": "web", "value": "0" });
    all["receivers"] = json!(["duty"]);
    all["silences"] = json!([{ "id": "660b7a39", "by": "ana", "reason": "disks are being changed", "until": "2026-11-21T14:44:35.123Z" }]);
    all["inhibited_by"] = json!([{ "id": "367ef0715f010fb9", "alert": "AllBroken" }]);
    all["held"] = json!({ "by": "deployment 3", "until": "2026-11-21T12:50:05.123Z" });
    all
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
