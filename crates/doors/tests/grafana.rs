//! What Grafana asks, as its data source makes it: the requests under `tests/requests/grafana.txt`, and the shape of what has to come back.

use serde_json::Value;
use tend_doors::encode_write;

use crate::requests::read;
use crate::samples::series;
use crate::world::{Clock, World};

/// Whether a value has a shape: of an object each key that is named, of a list each member, of a text its kind.
fn fits(value: &Value, shape: &Value, at: &str, faults: &mut Vec<String>) {
    match shape {
        Value::Object(keys) => {
            for (key, shape) in keys {
                match value.get(key) {
                    Some(value) => fits(value, shape, &format!("{at}.{key}"), faults),
                    None => faults.push(format!("{at}.{key} is not there")),
                }
            }
        }
        Value::Array(shapes) => match (value.as_array(), shapes.as_slice()) {
            (Some(list), [shape]) => {
                if list.is_empty() {
                    faults.push(format!("{at} is empty"));
                }
                for (number, value) in list.iter().enumerate() {
                    fits(value, shape, &format!("{at}.{number}"), faults);
                }
            }
            (Some(list), shapes) if list.len() == shapes.len() => {
                for (number, (value, shape)) in list.iter().zip(shapes).enumerate() {
                    fits(value, shape, &format!("{at}.{number}"), faults);
                }
            }
            _ => faults.push(format!("{at} is no list of {}", shapes.len())),
        },
        Value::String(kind) => {
            let is = match kind.as_str() {
                "any" => true,
                "text" => value.is_string(),
                "number" => value.is_number(),
                "list" => value.is_array(),
                "object" => value.is_object(),
                "float" => value.as_str().is_some_and(|text| text.parse::<f64>().is_ok()),
                exact => value.as_str() == exact.strip_prefix('='),
            };
            if !is {
                faults.push(format!("{at} is {value} and not {kind}"));
            }
        }
        other => faults.push(format!("{other} is no shape")),
    }
}

#[test]
fn what_grafana_asks_is_answered() {
    let base = 1_700_000_040_000;
    let world = World::new(Clock::Stands(base + 41 * 60_000));
    for batch in series(base).chunks(10) {
        assert_eq!(
            world
                .ask("POST", "/api/v1/write", "", &[], &encode_write(batch, &[]))
                .status,
            204
        );
    }
    let text = include_str!("requests/grafana.txt");
    let mut asked = 0;
    for case in text.split("\n\n") {
        let mut lines = case.lines().filter(|line| !line.starts_with('#'));
        let Some(line) = lines.next() else { continue };
        let shape: String = lines.collect();
        let request = read(line, base).remove(0);
        // As Grafana's proxy sends it on.
        let form = [
            ("User-Agent", "Grafana/11.1.0"),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Accept-Encoding", "gzip"),
        ];
        let response = match request.method.as_str() {
            "POST" => world.ask("POST", &request.path, "", &form, request.params.as_bytes()),
            _ => world.ask(&request.method, &request.path, &request.params, &form[..1], b""),
        };
        let body: Value = serde_json::from_slice(&response.body)
            .unwrap_or_else(|error| panic!("{line}: {error}: {}", String::from_utf8_lossy(&response.body)));
        let shape: Value = serde_json::from_str(&shape).unwrap_or_else(|error| panic!("{line}: {error}: {shape}"));
        let mut faults = Vec::new();
        fits(&body, &shape, "", &mut faults);
        assert!(faults.is_empty(), "{line}: {faults:?} in {body}");
        asked += 1;
    }
    assert!(asked >= 20, "{asked}");
    // Asked by POST first, it asks again by GET when that is not allowed.
    for path in [
        "/api/v1/status/buildinfo",
        "/api/v1/metadata",
        "/api/v1/label/job/values",
        "/api/v1/rules",
    ] {
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        assert_eq!(world.ask("POST", path, "", &form, b"").status, 405, "{path}");
    }
}
