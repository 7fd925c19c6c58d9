//! Feeds the reading of migrations whatever libFuzzer makes up: it must judge it, at lines that are there, and never panic.
//!
//! `crates/migration/tests/replay.rs` replays `fuzz/corpus/sql` on the stable compiler.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tend_migration::{class, lint};

fuzz_target!(|bytes: &[u8]| {
    let sql = String::from_utf8_lossy(bytes);
    let lines = sql.matches('\n').count() as u32 + 1;
    let (_, mut findings) = class("1.sql", &sql);
    findings.extend(lint("1.sql", &sql));
    for finding in findings {
        assert!((1..=lines).contains(&finding.line), "no such line: {finding}");
    }
});
