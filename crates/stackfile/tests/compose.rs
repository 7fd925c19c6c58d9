//! A corpus of Compose files, read by us and by Debian's `docker-compose config`: what differs stands, with its reason, in
//! `docs/reference/compose-differences.md`, and nothing else does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};
use tend_base::parse_duration;
use tend_stackfile::{Input, load};

use crate::disk::{Disk, compare, repository};

/// What both see of the environment.
const ENVIRONMENT: [(&str, &str); 4] = [("SET", "set"), ("EMPTY", ""), ("THREE", "3"), ("YES", "true")];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/compose")
}

/// Returns the corpus: a name and its files.
fn corpus() -> Vec<(String, Vec<PathBuf>)> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".yml")) else {
            continue;
        };
        if name.ends_with(".override") {
            continue;
        }
        let over = folder().join(format!("{name}.override.yml"));
        let name = name.to_owned();
        let mut files = vec![path];
        files.extend(over.is_file().then_some(over));
        cases.push((name, files));
    }
    cases.sort();
    cases
}

/// Returns what we make of it, in the common form.
fn ours(files: &[PathBuf]) -> Option<Value> {
    let loaded = load(&Input {
        files: &Disk,
        paths: files.to_vec(),
        environment: ENVIRONMENT
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        profiles: Vec::new(),
        name: None,
    })
    .ok()?;
    let mut document = loaded.document.to_json();
    if let Some(services) = document.get_mut("services").and_then(Value::as_object_mut) {
        for (name, service) in services {
            let environment = &loaded.environments[&name.parse().unwrap()];
            let service = service.as_object_mut().unwrap();
            service.remove("env_file");
            service.remove("environment");
            if !environment.is_empty() {
                service.insert("environment".into(), json!(environment));
            }
        }
    }
    Some(common_form(document))
}

/// Returns what docker-compose makes of it, in the common form.
fn theirs(files: &[PathBuf]) -> Option<Value> {
    let mut command = Command::new("docker-compose");
    command.env_clear().envs(ENVIRONMENT).current_dir(folder());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    for file in files {
        command.arg("-f").arg(file);
    }
    let output = command.arg("config").output().unwrap_or_else(|error| {
        panic!("docker-compose could not be run ({error}); install Debian's package `docker-compose`")
    });
    if !output.status.success() {
        return None;
    }
    // Debian's docker-compose is written in Python and brings PyYAML along.
    let mut python = Command::new("/usr/bin/python3")
        .args([
            "-c",
            "import json,sys,yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout, default=str)",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is there, since docker-compose needs it");
    python.stdin.take().unwrap().write_all(&output.stdout).unwrap();
    let json = python.wait_with_output().unwrap();
    assert!(json.status.success(), "its output is not YAML: {files:?}");
    Some(common_form(serde_json::from_slice(&json.stdout).unwrap()))
}

/// Brings both to one form: scalars as text, times in nanoseconds, ports and volumes as one text each, `$$` as `$`.
fn common_form(mut document: Value) -> Value {
    let root = document.as_object_mut().unwrap();
    root.remove("version");
    root.remove("name");
    root.retain(|key, value| !key.starts_with("x-") && !is_empty(value));
    if let Some(services) = root.get_mut("services").and_then(Value::as_object_mut) {
        for service in services.values_mut() {
            common_service(service.as_object_mut().unwrap());
        }
    }
    let text = folder().to_str().unwrap().to_owned();
    flatten(document, "", &text)
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty)
}

fn common_service(service: &mut Map<String, Value>) {
    service.retain(|key, value| !value.is_null() && key != "profiles" && key != "extends" && !key.starts_with("x-"));
    for key in ["dns", "dns_search", "tmpfs"] {
        if let Some(value) = service.get_mut(key)
            && value.is_string()
        {
            *value = json!([value.take()]);
        }
    }
    if let Some(Value::Object(variables)) = service.get_mut("environment") {
        variables.retain(|_, value| !value.is_null());
    }
    if service.get("environment").is_some_and(is_empty) {
        service.remove("environment");
    }
    if let Some(Value::Object(labels)) = service.get_mut("labels") {
        for value in labels.values_mut().filter(|value| value.is_null()) {
            *value = "".into();
        }
    }
    if let Some(Value::Array(hosts)) = service.get_mut("extra_hosts") {
        for host in hosts {
            *host = host.as_str().unwrap().replacen(':', "=", 1).into();
        }
    }
    if let Some(Value::Array(ports)) = service.get_mut("ports") {
        let mut all: Vec<String> = ports.iter().map(port).collect();
        all.sort();
        *ports = all.into_iter().map(Value::from).collect();
    }
    if let Some(Value::Array(volumes)) = service.get_mut("volumes") {
        let mut all: Vec<String> = volumes.iter().map(volume).collect();
        all.sort();
        *volumes = all.into_iter().map(Value::from).collect();
    }
}

fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// `IP:PUBLISHED:TARGET/PROTOCOL`, whichever way it was written.
fn port(value: &Value) -> String {
    if let Some(map) = value.as_object() {
        let protocol = match text(map.get("protocol")).as_str() {
            "" => "tcp".to_owned(),
            other => other.to_owned(),
        };
        return format!(
            "{}:{}:{}/{protocol}",
            text(map.get("host_ip")),
            text(map.get("published")),
            text(map.get("target"))
        );
    }
    let written = text(Some(value));
    let (rest, protocol) = written.split_once('/').unwrap_or((&written, "tcp"));
    let parts: Vec<&str> = rest.split(':').collect();
    match parts[..] {
        [target] => format!("::{target}/{protocol}"),
        [published, target] => format!(":{published}:{target}/{protocol}"),
        _ => format!("{rest}/{protocol}"),
    }
}

/// `TYPE SOURCE TARGET ro|rw`, whichever way it was written.
fn volume(value: &Value) -> String {
    if let Some(map) = value.as_object() {
        let mode = if map.get("read_only") == Some(&json!(true)) {
            "ro"
        } else {
            "rw"
        };
        return format!(
            "{} {} {} {mode}",
            text(map.get("type")),
            text(map.get("source")),
            text(map.get("target"))
        );
    }
    let written = text(Some(value));
    let parts: Vec<&str> = written.split(':').collect();
    let (source, target, mode) = match parts[..] {
        [target] => ("", target, "rw"),
        [source, target] => (source, target, "rw"),
        [source, target, mode] => (source, target, mode),
        _ => panic!("{written}"),
    };
    let kind = if source.starts_with('/') { "bind" } else { "volume" };
    format!("{kind} {source} {target} {mode}")
}

/// Makes text of all scalars.
fn flatten(value: Value, key: &str, folder: &str) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .filter(|(key, _)| !key.starts_with("x-"))
            .map(|(key, value)| {
                let value = flatten(value, &key, folder);
                (key, value)
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(|item| flatten(item, key, folder)).collect(),
        Value::Null => Value::Null,
        scalar => {
            let plain = text(Some(&scalar)).replace("$$", "$").replace(folder, "DIR");
            let is_time = matches!(
                key,
                "interval" | "timeout" | "start_period" | "stop_grace_period" | "delay" | "window" | "monitor"
            );
            match parse_duration(&plain) {
                Ok(time) if is_time => json!(format!("{}ns", time.as_nanos())),
                _ => json!(plain),
            }
        }
    }
}

/// Notes where two trees differ: the path, and both values.
fn differ(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<[String; 3]>) {
    match (ours, theirs) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for key in keys {
                let inner = format!("{path}.{key}");
                let [one, other] = [one, other].map(|map| map.get(key).unwrap_or(&Value::Null));
                differ(inner.trim_start_matches('.'), one, other, found);
            }
        }
        _ if ours == theirs || (is_empty(ours) && is_empty(theirs)) => {}
        _ => found.push([path.to_owned(), ours.to_string(), theirs.to_string()]),
    }
}

const INTRODUCTION: &str = "# Where tend and docker-compose differ

Generated and checked by `crates/stackfile/tests/compose.rs`, which reads every file of `crates/stackfile/tests/corpus/compose` with
tend and with Debian's `docker-compose config` (1.29.2) and brings both results to one form: scalars as text, times in nanoseconds,
ports and volumes as one text each. All that differs is below; the reasons are written by hand, and a difference without one fails
the test. Today's Compose (version 2 and the specification) differs from 1.29.2 in many places; tend follows the specification.

Reading alike is not acting alike. `docker-compose` reads `deploy.update_config` and `deploy.rollback_config` and does not act upon
them (docker/compose#13149); `tend deploy` does, with the specification's meanings, for services that run as processes. What holds
where neither is written, and other differences of a process, are in [stack-file.md](stack-file.md#where-a-process-differs-from-what-compose-does-with-containers).

| file | where | tend | docker-compose | reason |
| --- | --- | --- | --- | --- |
";

/// Reads the reasons out of the committed page.
fn reasons(page: &str) -> BTreeMap<(String, String), String> {
    page.lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            match cells[..] {
                [file, place, .., reason] => Some((
                    (file.trim_matches('`').to_owned(), place.trim_matches('`').to_owned()),
                    reason.to_owned(),
                )),
                _ => None,
            }
        })
        .collect()
}

fn cell(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|").replace('`', "'"))
}

#[test]
fn differences_from_docker_compose_are_the_ones_listed_with_their_reasons() {
    let cases = corpus();
    assert!(cases.len() >= 40, "only {} cases", cases.len());
    // Two at a time: docker-compose takes half a second to start.
    let (first, second) = cases.split_at(cases.len() / 2);
    let read = |cases: &[(String, Vec<PathBuf>)]| -> Vec<Option<Value>> {
        cases.iter().map(|(_, files)| theirs(files)).collect()
    };
    let answers = std::thread::scope(|scope| {
        let other = scope.spawn(|| read(second));
        let mut answers = read(first);
        answers.extend(other.join().expect("docker-compose was run"));
        answers
    });

    let path = repository().join("docs/reference/compose-differences.md");
    let known = reasons(&std::fs::read_to_string(&path).unwrap_or_default());
    let mut page = INTRODUCTION.to_owned();
    let mut without_reason = Vec::new();
    let (mut accepted, mut refused) = (0, 0);
    for ((name, files), theirs) in cases.iter().zip(&answers) {
        let ours = ours(files);
        let mut found = Vec::new();
        match (&ours, theirs) {
            (None, None) => refused += 1,
            (Some(_), None) => found.push(["the file".into(), "accepted".into(), "refused".into()]),
            (None, Some(_)) => found.push(["the file".into(), "refused".into(), "accepted".into()]),
            (Some(ours), Some(theirs)) => {
                accepted += 1;
                differ("", ours, theirs, &mut found);
            }
        }
        for [place, ours, theirs] in found {
            let reason = known.get(&(name.clone(), place.clone())).cloned().unwrap_or_default();
            if reason.is_empty() {
                without_reason.push(format!("{name}: {place}: tend {ours}, docker-compose {theirs}"));
            }
            let _ = writeln!(
                page,
                "| `{name}` | `{place}` | {} | {} | {reason} |",
                cell(&ours),
                cell(&theirs)
            );
        }
    }
    let _ = writeln!(
        page,
        "\n{} files: {accepted} accepted by both, {refused} refused by both, {} by one only.",
        cases.len(),
        cases.len() - accepted - refused
    );
    if let Err(difference) = compare(&path, &page) {
        panic!("{difference}");
    }
    assert!(
        without_reason.is_empty(),
        "write a reason into {} for:\n{}",
        path.display(),
        without_reason.join("\n")
    );
}
