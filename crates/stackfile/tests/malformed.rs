//! Files that are wrong: each gives an error with a place, and none makes the loader panic.

use std::path::{Path, PathBuf};

use tend_stackfile::{Input, Location, Severity, load};

use crate::disk::{Disk, compare};

fn corpus() -> (PathBuf, Vec<PathBuf>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/malformed");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "yml"))
        .collect();
    files.sort();
    (folder, files)
}

/// The wording stands beside each file, so that a review sees what a user will read.
#[test]
fn every_malformed_file_gives_an_error_with_a_place() {
    let (folder, files) = corpus();
    assert!(files.len() >= 60, "only {} files", files.len());
    let mut failures = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let report = match load(&Input {
            files: &Disk,
            paths: vec![path.clone()],
            environment: [].into(),
            profiles: Vec::new(),
            name: None,
        }) {
            Ok(_) => {
                failures.push(format!("{name} was accepted"));
                continue;
            }
            Err(report) => report,
        };
        for one in &report.0 {
            let location = &one.location;
            if one.severity == Severity::Error
                && !matches!(
                    location,
                    Location::File {
                        line: 1..,
                        column: 1..,
                        ..
                    }
                )
            {
                failures.push(format!("{name}: no place in {one}"));
            }
        }
        let text = report.to_string().replace(folder.to_str().unwrap(), "") + "\n";
        failures.extend(compare(&path.with_extension("expected"), &text).err());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
