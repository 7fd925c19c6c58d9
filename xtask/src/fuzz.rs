//! Replays the committed fuzz corpora on stable Rust.
//!
//! Owns the convention: `fuzz/corpus/<target>/` is replayed by the test `fuzz_corpus_<target>` of the crate that owns the
//! parser, so the ordinary test run replays every corpus. Searching for new inputs is cargo-fuzz's work; see
//! `fuzz/README.md`.

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::Error;
use crate::process;

/// The prefix of a test that replays a corpus; the target's name follows.
pub(crate) const TEST_PREFIX: &str = "fuzz_corpus_";

/// Runs every replaying test, and fails when a corpus has none.
pub(crate) fn run(root: &Path) -> Result<(), Error> {
    let targets = targets(root)?;
    if targets.is_empty() {
        println!("no corpus under fuzz/corpus: nothing to replay");
        return Ok(());
    }
    let output = process::cargo_output(root, &["test", "--locked", "--workspace", "--", TEST_PREFIX])?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let replayed = replayed(&printed);
    for target in targets.intersection(&replayed) {
        println!("replayed fuzz/corpus/{target}");
    }
    let missing: Vec<&str> = targets.difference(&replayed).map(String::as_str).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Error::NotReplayed {
            targets: missing.join(", "),
        })
    }
}

/// The targets with a committed corpus.
fn targets(root: &Path) -> Result<BTreeSet<String>, Error> {
    let folder = root.join("fuzz/corpus");
    if !folder.exists() {
        return Ok(BTreeSet::new());
    }
    let entries = std::fs::read_dir(&folder).map_err(|source| Error::Read {
        path: folder.clone(),
        source,
    })?;
    let mut targets = BTreeSet::new();
    for entry in entries {
        let entry = entry.map_err(|source| Error::Read {
            path: folder.clone(),
            source,
        })?;
        if entry.path().is_dir() {
            targets.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(targets)
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
