//! Feeds the reading of PromQL whatever libFuzzer makes up: what is read must print and read back the same, the rest must say where.
//!
//! `crates/promql/tests/parsing.rs` replays `fuzz/corpus/promql` on the stable compiler.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tend_promql::{ParseOptions, parse_with};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let options = ParseOptions {
        experimental: true,
        ..ParseOptions::default()
    };
    match parse_with(&text, options) {
        Ok(expr) => {
            let printed = expr.to_string();
            let again = parse_with(&printed, options).expect("what is printed is read");
            assert_eq!(again.to_string(), printed);
        }
        Err(error) => assert!(error.span().start <= text.len() && !error.view().is_empty()),
    }
});
