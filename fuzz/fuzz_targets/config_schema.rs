//! Feeds the reading of schemas whatever libFuzzer makes up: a schema, or errors with places, and never a panic.
//!
//! `crates/config/tests/replay.rs` replays `fuzz/corpus/config_schema` on the stable compiler.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tend_config::{Location, Schema, docs, json_schema};

fuzz_target!(|text: &str| {
    match Schema::parse("config/schema.yaml", text) {
        Ok(schema) => {
            let _ = (docs(&schema), json_schema(&schema).to_string());
        }
        Err(report) => {
            let _ = report.to_string();
            for one in &report.0 {
                assert!(matches!(&one.location, Location::File { line, .. } if *line > 0), "no place: {one}");
            }
        }
    }
});
