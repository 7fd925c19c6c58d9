//! Replays the fuzzer's corpus on the stable compiler.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tend_stackfile::{Input, Severity, load};

use crate::disk::{Memory, repository};

/// Divides an input as the fuzz target does: `#--- NAME` starts another file.
fn divide(bytes: &[u8]) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut name = PathBuf::from("/s/stack.yml");
    let mut text = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_prefix(b"#--- ") {
            Some(next) => {
                files.insert(name, std::mem::take(&mut text));
                name = Path::new("/s").join(String::from_utf8_lossy(next).trim());
            }
            None => text.extend_from_slice(line),
        }
    }
    files.insert(name, text);
    files
}

#[test]
fn fuzz_corpus_stack_file() {
    let folder = repository().join("fuzz/corpus/stack_file");
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let files = Memory(divide(&std::fs::read(&path).unwrap()));
        let outcome = load(&Input {
            files: &files,
            paths: vec!["/s/stack.yml".into()],
            environment: BTreeMap::from([("SET".to_owned(), "value".to_owned())]),
            profiles: vec!["debug".to_owned()],
            name: None,
        });
        if let Err(report) = outcome {
            for one in report.0 {
                assert!(
                    one.severity == Severity::Warning || one.location.line() > 0,
                    "{}: no place: {one}",
                    path.display()
                );
            }
        }
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}
