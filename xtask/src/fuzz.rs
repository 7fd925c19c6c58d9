//! Replays the committed fuzz corpora on stable Rust.
//!
//! Owns the convention: `fuzz/corpus/<target>/` is replayed by the test `fuzz_corpus_<target>` of the crate that owns the
//! parser, so the ordinary test run replays every corpus. Searching for new inputs is cargo-fuzz's work; see
//! `fuzz/README.md`.

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::Error;
use crate::process;
use crate::tidy::tree::Tree;

/// Where the corpora are, a folder per target.
pub(crate) const CORPORA: &str = "fuzz/corpus/";

/// The prefix of a test that replays a corpus; the target's name follows.
pub(crate) const TEST_PREFIX: &str = "fuzz_corpus_";

/// Runs the tests that replay a corpus, in the crates that have one, and fails when a corpus is replayed by none.
pub(crate) fn run(root: &Path) -> Result<(), Error> {
    let tree = Tree::load(root)?;
    let targets = corpora(&tree);
    if targets.is_empty() {
        println!("no corpus under {CORPORA}: nothing to replay");
        return Ok(());
    }
    let owners = owners(&tree);
    let mut arguments = vec!["test", "--locked"];
    for owner in &owners {
        arguments.extend(["--package", owner]);
    }
    arguments.extend(["--", TEST_PREFIX]);
    let replayed = if owners.is_empty() {
        BTreeSet::new()
    } else {
        replayed(&String::from_utf8_lossy(
            &process::cargo_output(root, &arguments)?.stdout,
        ))
    };
    for target in targets.iter().filter(|target| replayed.contains(**target)) {
        println!("replayed {CORPORA}{target}");
    }
    let missing: Vec<&str> = targets
        .into_iter()
        .filter(|target| !replayed.contains(*target))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Error::NotReplayed {
            targets: missing.join(", "),
        })
    }
}

/// The targets with a committed corpus.
pub(crate) fn corpora(tree: &Tree) -> BTreeSet<&str> {
    tree.files
        .iter()
        .filter_map(|file| Some(file.path.strip_prefix(CORPORA)?.split_once('/')?.0))
        .collect()
}

/// The tests that replay a corpus, by name, each with the path of its file.
pub(crate) fn replaying_tests(tree: &Tree) -> Vec<(&str, &str)> {
    let mut tests = Vec::new();
    for file in &tree.files {
        let Some(source) = &file.rust else { continue };
        for line in &source.code {
            let name = line
                .trim_start()
                .strip_prefix("fn ")
                .and_then(|rest| rest.split('(').next());
            if let Some(name) = name.filter(|name| name.starts_with(TEST_PREFIX)) {
                tests.push((name, file.path.as_str()));
            }
        }
    }
    tests
}

/// The crates that replay a corpus.
fn owners(tree: &Tree) -> BTreeSet<&str> {
    replaying_tests(tree)
        .iter()
        .filter_map(|(_, path)| Some(tree.package_of(path)?.name.as_str()))
        .collect()
}

/// Reads the targets from lines such as `test parser::fuzz_corpus_size ... ok`.
fn replayed(printed: &str) -> BTreeSet<String> {
    printed
        .lines()
        .filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... ok"))
        .filter_map(|name| name.rsplit("::").next()?.strip_prefix(TEST_PREFIX).map(String::from))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tests_that_passed_count_as_replayed() {
        let printed = "test a::fuzz_corpus_size ... ok\ntest fuzz_corpus_yaml ... FAILED\ntest other ... ok\n";
        assert_eq!(replayed(printed), BTreeSet::from(["size".to_owned()]));
    }
}
