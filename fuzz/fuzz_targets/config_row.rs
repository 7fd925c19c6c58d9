//! Feeds the reading of rows of a table whatever libFuzzer makes up: a set, or errors with places, and never a panic.
//!
//! `crates/config/tests/replay.rs` replays `fuzz/corpus/config_row` on the stable compiler.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tend_config::{Layers, Location, Origin, Row, Schema, Set};

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let text = include_str!("../../crates/config/tests/common.schema.yaml");
    Schema::parse("config/schema.yaml", text).expect("the tests load it")
});

fuzz_target!(|text: &str| {
    // Each line is a row: its key, and its value after the first space.
    let rows = text.lines().map(|line| {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        Row {
            key: key.to_owned(),
            value: value.to_owned(),
            is_active: true,
            updated_at: None,
            updated_by: None,
        }
    });
    let layers = Layers {
        environment: "development".to_owned(),
        origins: vec![Origin::Table {
            name: "system_config".to_owned(),
            rows: rows.collect(),
        }],
        mark: &|_| String::new(),
    };
    match Set::build(&SCHEMA, &layers) {
        Ok(set) => {
            let _ = format!("{set:?}");
        }
        Err(report) => {
            let _ = report.to_string();
            for one in &report.0 {
                match &one.location {
                    Location::File { line, .. } => assert!(*line > 0, "no place: {one}"),
                    Location::Elsewhere(what) => assert!(!what.is_empty(), "no place: {one}"),
                }
            }
        }
    }
});
