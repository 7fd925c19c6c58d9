//! Replays the fuzzers' corpora on the stable compiler.

use tend_config::{Origin, Row, Schema, Set, docs, json_schema};

use crate::case::{common, layers, repository};
use crate::cases::has_places;

fn corpus(target: &str) -> Vec<String> {
    let folder = repository().join("fuzz/corpus").join(target);
    let inputs: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap()).into_owned())
        .collect();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    inputs
}

/// The same as in `fuzz/fuzz_targets/config_schema.rs`.
#[test]
fn fuzz_corpus_config_schema() {
    for text in corpus("config_schema") {
        match Schema::parse("config/schema.yaml", &text) {
            Ok(schema) => {
                let _ = (docs(&schema), json_schema(&schema).to_string());
            }
            Err(report) => assert!(has_places(&report), "{report}"),
        }
    }
}

fn replay(target: &str, origin: impl Fn(String) -> Origin) {
    let schema = common();
    for text in corpus(target) {
        match Set::build(&schema, &layers("development", vec![origin(text)])) {
            Ok(set) => {
                let _ = format!("{set:?}");
            }
            Err(report) => assert!(has_places(&report), "{report}"),
        }
    }
}

/// The same as in `fuzz/fuzz_targets/config_yaml.rs`.
#[test]
fn fuzz_corpus_config_yaml() {
    replay("config_yaml", |text| Origin::File {
        path: "config/environments/development.yml".to_owned(),
        text,
    });
}

/// The same as in `fuzz/fuzz_targets/config_dotenv.rs`.
#[test]
fn fuzz_corpus_config_dotenv() {
    replay("config_dotenv", |text| Origin::Dotenv {
        path: ".env".to_owned(),
        text,
    });
}

/// The same as in `fuzz/fuzz_targets/config_row.rs`.
#[test]
fn fuzz_corpus_config_row() {
    let row = |line: &str| {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        Row {
            key: key.to_owned(),
            value: value.to_owned(),
            is_active: true,
            updated_at: None,
            updated_by: None,
        }
    };
    replay("config_row", |text| Origin::Table {
        name: "system_config".to_owned(),
        rows: text.lines().map(row).collect(),
    });
}
