//! Feeds the stack file loader whatever libFuzzer makes up: it must load or give errors with places, and never panic.
//!
//! The input is one or several texts divided by a line `#--- NAME`: the first is the stack file, the others the files it may name.
//! The same division is read by `crates/stackfile/tests/replay.rs`, which replays `fuzz/corpus/stack_file` on the stable compiler.

#![no_main]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use tend_stackfile::{Files, Input, Owner, Severity, load};

struct Memory(BTreeMap<PathBuf, Vec<u8>>);

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0
            .get(path)
            .cloned()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn is_file(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    fn owner(&self, _: &Path) -> io::Result<Owner> {
        Ok(Owner { uid: 0, gid: 0 })
    }
}

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

fuzz_target!(|bytes: &[u8]| {
    let files = Memory(divide(bytes));
    let outcome = load(&Input {
        files: &files,
        paths: vec!["/s/stack.yml".into()],
        environment: BTreeMap::from([("SET".to_owned(), "value".to_owned())]),
        profiles: vec!["debug".to_owned()],
        name: None,
    });
    match outcome {
        Ok(loaded) => {
            let _ = loaded.document.to_json();
            let _ = loaded.document.to_yaml();
            for note in &loaded.notes {
                let _ = note.to_string();
            }
        }
        Err(report) => {
            let _ = report.to_string();
            for one in &report.0 {
                assert!(
                    one.severity == Severity::Warning || one.location.line() > 0,
                    "no place: {one}"
                );
            }
        }
    }
});
