//! Feeds the reading of unit tests of rules whatever libFuzzer makes up: it is read, or it is said what is wrong.
//!
//! `crates/rules/tests/cases.rs` replays `fuzz/corpus/rule_tests` on the stable compiler.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tend_rules::CaseFile;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    match CaseFile::read(Path::new("fuzz.yml"), &text) {
        Ok(file) => assert!(file.evaluation_interval > 0),
        Err(report) => assert!(report.errors() > 0),
    }
});
