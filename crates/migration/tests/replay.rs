//! Replays the corpus of the fuzz target `sql`, and what a generator makes up, on the stable compiler.

use std::fs;
use std::path::Path;

use tend_base::Random;
use tend_migration::{class, lint};

use crate::case::Case;

/// What the target `fuzz/fuzz_targets/sql.rs` does with its input.
fn judge(bytes: &[u8]) {
    let sql = String::from_utf8_lossy(bytes);
    let lines = sql.matches('\n').count() as u32 + 1;
    let (_, mut findings) = class("1.sql", &sql);
    findings.extend(lint("1.sql", &sql));
    for finding in findings {
        assert!((1..=lines).contains(&finding.line), "no such line: {finding}");
    }
}

#[test]
fn fuzz_corpus_sql() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/sql");
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).expect("fuzz/corpus/sql") {
        judge(&fs::read(entry.expect("an entry").path()).expect("an input"));
        replayed += 1;
    }
    assert!(replayed > 0, "{} is empty", folder.display());
}

#[test]
fn no_bytes_make_it_panic() {
    // Pieces of the grammar in any order reach further than bytes alone.
    let mut random = Random::new(0x5eed);
    for _ in 0..30_000 {
        let mut input = Vec::new();
        for _ in 0..random.index(24) {
            match random.index(8) {
                0 => input.push(random.index(256) as u8),
                1 => input.extend_from_slice(b"\n"),
                _ => {
                    input.extend_from_slice(random.pick(PIECES).as_bytes());
                    input.push(b' ');
                }
            }
        }
        judge(&input);
    }
}

#[test]
fn no_cut_or_changed_case_makes_it_panic() {
    let mut random = Random::new(7);
    for case in Case::all() {
        let sql = case.section("migration").as_bytes();
        for end in 0..sql.len() {
            judge(&sql[..end]);
            judge(&sql[end..]);
            let mut changed = sql.to_vec();
            changed[end] = random.index(256) as u8;
            judge(&changed);
        }
    }
}

const PIECES: &[&str] = &[
    "(",
    ")",
    ",",
    ";",
    ".",
    "::",
    "=",
    "*",
    "'",
    "''",
    "\"",
    "\"\"",
    "$$",
    "$x$",
    "$1",
    "E'\\'",
    "U&\"",
    "--",
    "/*",
    "*/",
    "\\i x",
    "\\.",
    "CREATE",
    "UNIQUE",
    "INDEX",
    "CONCURRENTLY",
    "ON",
    "TABLE",
    "ALTER",
    "ADD",
    "COLUMN",
    "CONSTRAINT",
    "CHECK",
    "NOT",
    "NULL",
    "VALID",
    "DEFAULT",
    "now()",
    "GENERATED",
    "ALWAYS",
    "AS",
    "IDENTITY",
    "STORED",
    "PRIMARY",
    "KEY",
    "REFERENCES",
    "FOREIGN",
    "USING",
    "SET",
    "TYPE",
    "DATA",
    "DROP",
    "RENAME",
    "TO",
    "VALIDATE",
    "ATTACH",
    "DETACH",
    "PARTITION",
    "UPDATE",
    "DELETE",
    "FROM",
    "WHERE",
    "WITH",
    "TRUNCATE",
    "VACUUM",
    "FULL",
    "CLUSTER",
    "REINDEX",
    "LOCK",
    "IN",
    "MODE",
    "lock_timeout",
    "BEGIN",
    "ATOMIC",
    "CASE",
    "END",
    "COMMIT",
    "DO",
    "COPY",
    "STDIN",
    "t",
    "a",
    "public.t",
    "-- tend: expand\n",
    "-- tend: allow x: y\n",
    "-- +goose Down\n",
    "-- +goose Up\n",
    "IF",
    "EXISTS",
    "ONLY",
    "FUNCTION",
    "OWNED",
    "SELECT",
    "set_config",
    "'lock_timeout'",
    "ä",
    "\u{0}",
];
