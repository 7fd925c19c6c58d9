//! The rules of the first reference system: they can work, and what breaks it on purpose raises them.

use std::path::{Path, PathBuf};

use crate::folder::Folder;
use crate::typed::Typist;

fn mps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../stacks/mps")
        .canonicalize()
        .unwrap()
}

fn typed(words: &[&str]) -> String {
    let nowhere = Folder::new();
    let outcome = Typist::at(nowhere.path(), &mps()).types(words);
    assert_eq!(outcome.code, 0, "{words:?}\n{}{}", outcome.stdout, outcome.stderr);
    outcome.stdout
}

#[test]
fn the_rules_of_mps_have_no_error() {
    let said = typed(&["rules", "check"]);
    assert_eq!(said, "no error in 6 rules of 1 file\n");
    assert!(typed(&["check"]).starts_with("mps is fine"));
}

#[test]
fn what_breaks_mps_raises_the_guides_alerts() {
    let said = typed(&["rules", "test", "rules/tests/mps.yml"]);
    assert_eq!(said, "rules/tests/mps.yml: 6 tests, all as expected\n");
}

/// Laid over for PostgreSQL it needs to know which.
#[test]
fn the_database_is_watched_where_it_is_named() {
    let nowhere = Folder::new();
    let mut typist = Typist::at(nowhere.path(), &mps());
    let words = ["check", "-f", "stack.yml", "-f", "postgres.yml"];
    let outcome = typist.types(&words);
    assert_eq!(outcome.code, 3);
    assert!(
        outcome.stderr.contains("set it to the database of mps"),
        "{}",
        outcome.stderr
    );
    typist.environment.insert(
        "DATABASE_URL".to_owned(),
        "postgresql://mps:planted@127.0.0.1/mps".to_owned(),
    );
    let words = ["check", "-f", "stack.yml", "-f", "postgres.yml", "--print", "yaml"];
    let outcome = typist.types(&words);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(
        outcome.stdout.contains("postgresql://mps:***@127.0.0.1/mps"),
        "{}",
        outcome.stdout
    );
}
