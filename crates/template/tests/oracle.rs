//! What Prometheus and Alertmanager themselves made of templates, against what we make of them.
//!
//! `tests/samples/*.json` were written by the programs in `tests/oracle`, which ran Debian's promtool 2.42 and Alertmanager 0.25. Where we differ on
//! purpose the template stands in a table here, with the reason.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use tend_template::{Dialect, Escape, Limits, ListKind, Sample, Templates, Time, Value, World};

/// Templates whose answer differs on purpose: part of the template, what we answer (`None`: we refuse), and why.
const DIFFERENT: &[(&str, Option<&str>, &str)] = &[
    (
        "{{ $externalLabels.cluster }} {{ $externalURL }} {{ externalURL }} {{ pathPrefix }}",
        Some("c1 http://p.example:9090/prom http://p.example:9090/prom /prom"),
        "promtool has no address and crashes; a server has one",
    ),
    (
        "{{ .CommonLabels }} {{ .CommonLabels.SortedPairs }} {{ .CommonLabels.Names }} {{ .CommonLabels.Values }}",
        Some("alertname=Slow, a=1, b=2 alertname=Slow, a=1, b=2 [alertname a b] [Slow 1 2]"),
        "Alertmanager writes them like this since 0.26",
    ),
    ("{{ range 5 }}x{{ end }}", Some("xxxxx"), "Go does so since 1.22"),
    (
        "5 < 6 {{ \"<\" }}",
        Some("5 < 6 &lt;"),
        "what the template itself says stays as it is",
    ),
];

/// The store that promtool had: two targets.
struct Prometheus;

impl World for Prometheus {
    fn query(&mut self, expression: &str) -> Result<Vec<Sample>, String> {
        let sample = |name: &str, instance: &str, value| {
            let labels = [("__name__", name), ("instance", instance), ("job", "api")];
            Sample {
                labels: labels
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
                value,
            }
        };
        match expression {
            "up" => Ok(vec![sample("up", "h:1", 0.0), sample("up", "a:1", 1.0)]),
            "nope" => Ok(Vec::new()),
            "time()" => Ok(vec![Sample::default()]),
            "count(up)" => Ok(vec![Sample {
                labels: BTreeMap::new(),
                value: 2.0,
            }]),
            _ => Err("it is not PromQL".to_owned()),
        }
    }

    fn now(&self) -> Time {
        Time::utc(0, 0)
    }

    fn zone(&self, _: &str, _: i64) -> Option<tend_template::Offset> {
        None
    }

    fn external_url(&self) -> &'static str {
        "http://p.example:9090/prom"
    }
}

/// Compares every case of a file; all that differ are told at once.
fn compare(file: &str, cases: &str, render: impl Fn(&Json, &str) -> Result<String, String>) {
    let cases: Vec<Json> = serde_json::from_str(cases).expect("the samples are JSON");
    assert!(cases.len() > 100, "{file} has only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let template = case["template"].as_str().expect("a template");
        let expected = case.get("expect").map(|text| text.as_str().expect("a text").to_owned());
        let different = DIFFERENT.iter().find(|(part, ..)| template == *part);
        let expected = different.map_or(expected, |(_, ours, _)| ours.map(str::to_owned));
        let got = render(case, template);
        match (&got, &expected) {
            (Ok(got), Some(expected)) if got == expected => {}
            (Err(_), None) => {}
            // More seconds than fit are as many as their machine made of them.
            (Ok(_), Some(_)) if case["value"] == "1e21" && template == "{{ $value | humanizeDuration }}" => {}
            _ => wrong.push(format!(
                "{template}\n  theirs {expected:?} {}\n  ours   {got:?}",
                case["error"]
            )),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} cases of {file} differ:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[test]
fn rules_are_expanded_as_prometheus_does() {
    compare(
        "prometheus.json",
        include_str!("samples/prometheus.json"),
        |case, template| {
            let value: f64 = case["value"].as_str().expect("a value").parse().expect("a number");
            // The name of the series is there too.
            let name = case["name"].as_str().unwrap_or_default();
            let labels = Value::texts_by_name([("__name__", name), ("instance", "h:1"), ("job", "api")]);
            let external = Value::texts_by_name([("cluster", "c1")]);
            let url = Value::from("http://p.example:9090/prom");
            let data = Value::structure(
                "struct",
                vec![
                    ("Labels", "", labels.clone()),
                    ("ExternalLabels", "", external.clone()),
                    ("ExternalURL", "", url.clone()),
                    ("Value", "", Value::Float(value)),
                ],
            );
            let mut templates = Templates::new(Dialect::Prometheus).with_variables(&[
                "labels",
                "externalLabels",
                "externalURL",
                "value",
            ]);
            templates.add("a", template).map_err(|error| error.to_string())?;
            let variables = [
                ("labels", labels),
                ("externalLabels", external),
                ("externalURL", url),
                ("value", Value::Float(value)),
            ];
            templates
                .render("a", &data, &variables, &mut Prometheus, Escape::Text, Limits::default())
                .map_err(|error| error.to_string())
        },
    );
}

fn notification() -> Value {
    let start = Time::utc(1_700_000_000, 123_456_789);
    let alert = |status: &str, labels: &[(&str, &str)], summary: &[(&str, &str)], end: Time, url: &str, print: &str| {
        Value::structure(
            "template.Alert",
            vec![
                ("Status", "status", status.into()),
                ("Labels", "labels", Value::labels(labels.iter().copied())),
                ("Annotations", "annotations", Value::labels(summary.iter().copied())),
                ("StartsAt", "startsAt", start.clone().into()),
                ("EndsAt", "endsAt", end.into()),
                ("GeneratorURL", "generatorURL", url.into()),
                ("Fingerprint", "fingerprint", print.into()),
            ],
        )
    };
    let alerts = vec![
        alert(
            "firing",
            &[("alertname", "Slow"), ("job", "api"), ("severity", "critical")],
            &[("summary", "p95 is <2s & \"bad\"")],
            Time::none(),
            "http://p/graph?a=1&b=2",
            "0123456789abcdef",
        ),
        alert(
            "resolved",
            &[("alertname", "Slow"), ("job", "web")],
            &[],
            Time::utc(1_700_005_400, 123_456_789),
            "",
            "fedcba9876543210",
        ),
    ];
    Value::structure(
        "*template.Data",
        vec![
            ("Receiver", "receiver", "team-x".into()),
            ("Status", "status", "firing".into()),
            ("Alerts", "alerts", Value::list(alerts, ListKind::Alerts)),
            ("GroupLabels", "groupLabels", Value::labels([("alertname", "Slow")])),
            (
                "CommonLabels",
                "commonLabels",
                Value::labels([("alertname", "Slow"), ("b", "2"), ("a", "1")]),
            ),
            (
                "CommonAnnotations",
                "commonAnnotations",
                Value::labels::<&str, &str>([]),
            ),
            ("ExternalURL", "externalURL", "http://am.example:9093/x".into()),
        ],
    )
}

#[test]
fn notifications_are_rendered_as_alertmanager_does() {
    let data = notification();
    compare(
        "alertmanager.json",
        include_str!("samples/alertmanager.json"),
        |case, template| {
            let mut templates = Templates::new(Dialect::Alertmanager);
            templates.add("a", template).map_err(|error| error.to_string())?;
            let escape = if case["html"] == true {
                Escape::Html
            } else {
                Escape::Text
            };
            let mut world = tend_template::Still::default();
            templates
                .render("a", &data, &[], &mut world, escape, Limits::default())
                .map_err(|error| error.to_string())
        },
    );
}
