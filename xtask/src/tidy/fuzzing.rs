//! Rules for fuzzing: a target has a corpus, a corpus has a target, and the ordinary tests replay it.
//!
//! Knows the layout (`fuzz/README.md`), not what a target does.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::Tree;
use crate::fuzz::{CORPORA, TEST_PREFIX, corpora, replaying_tests};

const TARGETS: &str = "fuzz/fuzz_targets/";
const MANIFEST: &str = "fuzz/Cargo.toml";

pub(crate) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let targets: BTreeSet<&str> = tree
        .files
        .iter()
        .filter_map(|file| file.path.strip_prefix(TARGETS)?.strip_suffix(".rs"))
        .collect();
    let corpora = corpora(tree);
    let tests = replaying_tests(tree);
    for target in &targets {
        let path = format!("{TARGETS}{target}.rs");
        if !corpora.contains(target) {
            findings.push(Finding::new(
                "fuzz",
                &path,
                0,
                format!("has no corpus; put first inputs into {CORPORA}{target}/"),
            ));
        }
        let declared = format!("name = \"{target}\"");
        if !tree.text(MANIFEST).is_some_and(|manifest| manifest.contains(&declared)) {
            findings.push(Finding::new(
                "fuzz",
                &path,
                0,
                format!("has no [[bin]] with {declared} in {MANIFEST}"),
            ));
        }
    }
    for corpus in &corpora {
        let path = format!("{CORPORA}{corpus}");
        if !targets.contains(corpus) {
            findings.push(Finding::new(
                "fuzz",
                &path,
                0,
                format!("has no target {TARGETS}{corpus}.rs"),
            ));
        }
        let test = format!("{TEST_PREFIX}{corpus}");
        if !tests.iter().any(|(name, _)| *name == test) {
            let message =
                format!("is replayed by no test; add `fn {test}` to the tests of the crate that owns the parser");
            findings.push(Finding::new("fuzz", &path, 0, message));
        }
    }
}
