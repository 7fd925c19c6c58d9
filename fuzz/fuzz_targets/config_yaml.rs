//! Feeds the reading of files of an environment whatever libFuzzer makes up: a set, or errors with places, and never a panic.
//!
//! `crates/config/tests/replay.rs` replays `fuzz/corpus/config_yaml` on the stable compiler.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tend_config::{Layers, Location, Origin, Schema, Set};

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let text = include_str!("../../crates/config/tests/common.schema.yaml");
    Schema::parse("config/schema.yaml", text).expect("the tests load it")
});

fuzz_target!(|text: &str| {
    let layers = Layers {
        environment: "development".to_owned(),
        origins: vec![Origin::File {
            path: "config/environments/development.yml".to_owned(),
            text: text.to_owned(),
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
