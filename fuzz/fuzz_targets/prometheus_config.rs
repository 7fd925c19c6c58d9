//! Feeds the reading of a `prometheus.yml` and of files of targets whatever libFuzzer makes up: jobs, or errors with places, and never a panic.
//!
//! `crates/scrape/tests/replay.rs` replays `fuzz/corpus/prometheus_config` on the stable compiler, and finds the targets of what is read, too.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tend_scrape::{read_config, read_targets};

fuzz_target!(|text: &str| {
    let file = Path::new("/nowhere/prometheus.yml");
    match read_config(file, text) {
        Ok((config, report)) => {
            assert_eq!(report.errors(), 0);
            let _ = format!("{config:?}");
        }
        Err(report) => {
            assert!(report.errors() > 0);
            let _ = report.to_string();
        }
    }
    let _ = read_targets(file, text);
});
