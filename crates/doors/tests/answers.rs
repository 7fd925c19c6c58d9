//! What is answered where no real program can be asked beside us: today's Prometheus, and what is ours alone.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use tend_alert::{AlertError, Pipeline};
use tend_doors::{
    About, Backend, Command, Head, MetricMetadata, Request, Response, RuleGroup, Targets, WriteError, WriteRequest,
    WrittenSeries, answer, encode_write,
};
use tend_promql::{Labels, MemoryStore, Sample, Store, Timestamp};

use crate::requests::read;
use crate::samples::series;
use crate::world::{Clock, World};

const BASE: i64 = 1_700_000_040_000;

fn world() -> World {
    let world = World::new(Clock::Stands(BASE + 41 * 60_000));
    for batch in series(BASE).chunks(10) {
        let response = world.ask("POST", "/api/v1/write", "", &[], &encode_write(batch, &[]));
        assert_eq!(response.status, 204);
    }
    world
}

fn value(response: &Response) -> Value {
    serde_json::from_slice(&response.body)
        .unwrap_or_else(|_| String::from_utf8_lossy(&response.body).into_owned().into())
}

/// `UPDATE=1` writes the answers anew; review reads the difference.
#[test]
fn each_request_has_the_answer_that_stands_beside_it() {
    let world = world();
    let mut told = String::new();
    for request in read(include_str!("requests/answers.txt"), BASE) {
        let response = world.ask(&request.method, &request.path, &request.params, &[], b"");
        let body = String::from_utf8_lossy(&response.body);
        let _ = writeln!(
            told,
            "# {}\n{} {}\n{}\n",
            request.line,
            response.status,
            response.content_type,
            body.trim_end()
        );
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/requests/answers.golden");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &told).expect("written");
    }
    let wanted = std::fs::read_to_string(&path).expect("the answers");
    let (told, wanted): (Vec<&str>, Vec<&str>) = (told.split("\n\n").collect(), wanted.split("\n\n").collect());
    for (told, wanted) in told.iter().zip(&wanted) {
        assert_eq!(told, wanted);
    }
    assert_eq!(told.len(), wanted.len());
}

/// A page names the next one, until all groups were shown.
#[test]
fn rules_come_in_pages() {
    let world = world();
    let (mut token, mut names) = (String::new(), Vec::new());
    for _ in 0..3 {
        let page = value(&world.get(&format!("/api/v1/rules?group_limit=1&group_next_token={token}")));
        let groups = page["data"]["groups"].as_array().expect("groups").clone();
        assert_eq!(groups.len(), 1, "{page}");
        names.push(groups[0]["name"].as_str().expect("a name").to_owned());
        token = page["data"]["groupNextToken"].as_str().unwrap_or_default().to_owned();
    }
    assert_eq!(
        (names, token.as_str()),
        (
            vec!["availability".to_owned(), "latency".to_owned(), "money".to_owned()],
            ""
        )
    );
}

#[test]
fn while_it_is_not_ready_it_says_so() {
    let world = World::new(Clock::Stands(BASE)).unready();
    let response = world.get("/api/v1/query?query=up");
    assert_eq!(response.status, 503);
    assert_eq!(value(&response)["errorType"], "unavailable");
    assert_eq!(
        (world.get("/-/ready").status, world.get("/-/healthy").status),
        (503, 200)
    );
    assert_eq!(
        (
            world.get("/federate").status,
            world.get("/api/v1/status/walreplay").status
        ),
        (503, 200)
    );
    assert_eq!(world.ask("POST", "/api/v1/write", "", &[], b"").status, 503);
}

#[test]
fn remote_write_is_refused_as_its_specification_says() {
    let world = World::new(Clock::Stands(BASE));
    let one = |time| {
        let series = WrittenSeries {
            labels: Labels::from_pairs([("__name__", "up"), ("job", "a")]),
            samples: vec![Sample { time, value: 1.0 }],
        };
        encode_write(&[series], &[])
    };
    let write = |headers: &[(&str, &str)], body: &[u8]| {
        let response = world.ask("POST", "/api/v1/write", "", headers, body);
        (response.status, String::from_utf8_lossy(&response.body).into_owned())
    };
    assert_eq!(
        write(&[("Content-Encoding", "snappy")], &one(BASE)),
        (204, String::new())
    );
    // What cannot be taken is not sent again: 400.
    let (status, text) = write(&[], &one(BASE + 3_600_000));
    assert_eq!((status, text.as_str()), (400, "out of bounds\n"));
    assert_eq!(write(&[], b"\x05\x08abc").0, 400);
    assert_eq!(write(&[], b"\xff\xff\xff\xff\x0f").0, 400);
    assert_eq!(write(&[("Content-Encoding", "gzip")], &one(BASE)).0, 415);
    let second = [(
        "Content-Type",
        "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    )];
    assert_eq!(write(&second, &one(BASE)).0, 415);
    assert_eq!(write(&[("Content-Type", "text/plain")], &one(BASE)).0, 415);
    assert_eq!(world.get("/api/v1/write").status, 405);
}

#[test]
fn a_query_that_takes_too_long_ends() {
    let world = World::new(Clock::Counts(BASE.into()));
    let ask = |timeout| {
        let response = world.get(&format!("/api/v1/query?query=up&timeout={timeout}"));
        (
            response.status,
            value(&response)["error"].as_str().unwrap_or_default().to_owned(),
        )
    };
    assert_eq!(ask("0"), (503, "query timed out in query execution".to_owned()));
    // The clock is looked at before each selector is read.
    assert_eq!(ask("2ms"), (503, "query timed out in expression evaluation".to_owned()));
    assert_eq!(ask("1s").0, 200);
}

/// The least that can stand behind the doors: all else comes from its store.
struct Bare(MemoryStore);

impl Backend for Bare {
    fn now(&self) -> Timestamp {
        BASE
    }

    fn store(&self) -> &dyn Store {
        &self.0
    }

    fn metadata(&self) -> Vec<MetricMetadata> {
        Vec::new()
    }

    fn targets(&self) -> Targets {
        Targets::default()
    }

    fn rule_groups(&self) -> Vec<RuleGroup> {
        Vec::new()
    }

    fn alerts(&self, _: &mut dyn FnMut(&Pipeline)) {}

    fn command(&self, _: Command, _: &str) -> Result<(), Vec<AlertError>> {
        Ok(())
    }

    fn fresh_id(&self) -> String {
        String::new()
    }

    fn about(&self) -> About {
        About::default()
    }

    fn head(&self) -> Head {
        Head::default()
    }

    fn config(&self) -> String {
        String::new()
    }

    fn alert_config(&self) -> String {
        String::new()
    }

    fn write(&self, _: WriteRequest) -> Result<(), WriteError> {
        Err(WriteError::Off)
    }
}

#[test]
fn a_store_alone_is_enough_for_queries_and_lists() {
    let mut store = MemoryStore::default();
    for (name, job, time) in [("up", "a", BASE), ("up", "b", BASE - 600_000), ("down", "a", BASE)] {
        store.append(&Labels::from_pairs([("__name__", name), ("job", job)]), time, 1.0);
    }
    let bare = Bare(store);
    let ask = |method, path, query| {
        let request = Request {
            method,
            path,
            query,
            headers: &[],
            body: b"",
            caller: "",
        };
        let response = answer(&request, &bare);
        (response.status, value(&response)["data"].clone())
    };
    assert_eq!(
        ask("GET", "/api/v1/label/job/values", "match[]=up"),
        (200, json!(["a", "b"]))
    );
    assert_eq!(ask("GET", "/api/v1/labels", ""), (200, json!(["__name__", "job"])));
    let recent = format!("match[]=up&start={}", BASE / 1000 - 60);
    assert_eq!(
        ask("GET", "/api/v1/series", &recent),
        (200, json!([{ "__name__": "up", "job": "a" }]))
    );
    assert_eq!(
        ask("GET", "/api/v1/query", "query=count(up)").1["result"][0]["value"][1],
        "1"
    );
    assert_eq!(ask("GET", "/api/v1/targets", "").1["activeTargets"], json!([]));
    // A body of nothing is a body; it is not taken.
    let request = Request {
        method: "POST",
        path: "/api/v1/write",
        query: "",
        headers: &[],
        body: b"\0",
        caller: "",
    };
    assert_eq!(answer(&request, &bare).status, 404);
}

#[test]
fn an_alert_is_acknowledged_and_given_to_somebody() {
    let world = World::new(Clock::Stands(BASE));
    let post = |path: &str, body: &str| {
        let response = world.ask(
            "POST",
            path,
            "",
            &[("content-type", "application/json")],
            body.as_bytes(),
        );
        (response.status, value(&response))
    };
    assert_eq!(
        post("/api/v2/alerts", r#"[{"labels":{"alertname":"Down","job":"api"}}]"#).0,
        200
    );
    let shown = || value(&world.get("/api/v2/alerts"))[0].clone();
    let fingerprint = shown()["fingerprint"].as_str().expect("a fingerprint").to_owned();
    assert_eq!(shown().get("acknowledged"), None);

    let at = |what: &str| format!("/api/v2/alerts/{fingerprint}/{what}");
    assert_eq!(post(&at("acknowledge"), r#"{"note":"I look"}"#).0, 200);
    assert_eq!(post(&at("assign"), r#"{"to":"ann","by":"bob"}"#).0, 200);
    let alert = shown();
    assert_eq!(
        alert["acknowledged"],
        json!({ "by": "tester", "at": "2023-11-14T22:14:00Z" })
    );
    assert_eq!(alert["owner"], "ann");
    assert_eq!(alert["status"]["state"], "active");

    assert_eq!(post(&at("assign"), "{}").0, 400);
    // What a page of another site could send unasked.
    for headers in [&[][..], &[("content-type", "text/plain")][..]] {
        assert_eq!(world.ask("POST", &at("acknowledge"), "", headers, b"{}").status, 415);
        assert_eq!(world.ask("POST", "/api/v2/alerts", "", headers, b"[]").status, 415);
    }
    assert_eq!(post(&at("acknowledge"), "").0, 422);
    assert_eq!(post("/api/v2/alerts/xyz/acknowledge", "{}").0, 400);
    assert_eq!(post("/api/v2/alerts/0000000000000001/acknowledge", "{}").0, 404);
    assert_eq!(world.get(&at("acknowledge")).status, 405);
}

#[test]
fn a_silence_has_a_reason_and_an_end() {
    let world = World::new(Clock::Stands(BASE));
    let post = |comment: &str, end: &str| {
        let body = format!(
            r#"{{"matchers":[{{"name":"job","value":"a","isRegex":false}}],"startsAt":"2023-11-14T22:14:00Z",
                "endsAt":"{end}","createdBy":"me","comment":"{comment}"}}"#
        );
        let response = world.ask(
            "POST",
            "/api/v2/silences",
            "",
            &[("content-type", "application/json")],
            body.as_bytes(),
        );
        (response.status, value(&response))
    };
    let end = "2023-11-15T22:14:00.5+01:00";
    let (status, refused) = post(" ", end);
    assert_eq!(status, 400);
    assert!(
        refused.as_str().is_some_and(|text| text.contains("it has no reason")),
        "{refused}"
    );
    assert_eq!(post("why", "").0, 400);
    let (status, made) = post("why", end);
    let id = made["silenceID"].as_str().expect("a name").to_owned();
    assert_eq!(status, 200);
    let silence = value(&world.get(&format!("/api/v2/silence/{id}")));
    assert_eq!(
        (&silence["comment"], &silence["endsAt"]),
        (&json!("why"), &json!("2023-11-15T21:14:00.500Z"))
    );
    let unknown = "/api/v2/silence/00000000-0000-4000-8000-999999999999";
    assert_eq!(world.ask("DELETE", unknown, "", &[], b"").status, 404);
}
