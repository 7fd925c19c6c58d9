//! Layers and what comes of them, as data: good ones (`cases/`) with the why of every key, bad ones (`malformed/`) with what a user reads.
//!
//! `UPDATE=1` writes what stands beside each; a review reads the difference.

use std::path::{Path, PathBuf};

use tend_config::{Location, Report, Severity};

use crate::case::{Case, folder};

fn cases(of: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder().join(of))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "case"))
        .collect();
    files.sort();
    files
}

fn load(path: &Path) -> Case {
    let schema = std::fs::read_to_string(folder().join("common.schema.yaml")).unwrap();
    Case::parse(&std::fs::read_to_string(path).unwrap(), &schema)
}

/// Compares a text with a file; `UPDATE=1` writes the file instead.
fn compare(path: &Path, text: &str) -> Option<String> {
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(path, text).unwrap();
        return None;
    }
    let wanted = std::fs::read_to_string(path).unwrap_or_default();
    (wanted != text).then(|| {
        format!(
            "{} differs (UPDATE=1 rewrites it)\n--- wanted\n{wanted}\n--- got\n{text}",
            path.display()
        )
    })
}

/// Every error says where: a line of a file, or which row, variable or command.
pub(crate) fn has_places(report: &Report) -> bool {
    report.errors() > 0
        && report.0.iter().all(|one| match &one.location {
            Location::File { line, column, .. } => *line > 0 && *column > 0,
            Location::Elsewhere(what) => !what.is_empty(),
        })
}

#[test]
fn every_malformed_case_gives_place_and_remedy() {
    let files = cases("malformed");
    assert!(files.len() >= 60, "only {} cases", files.len());
    let mut failures = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let report = match load(&path).build() {
            Ok(_) => {
                failures.push(format!("{name} was accepted"));
                continue;
            }
            Err(report) => report,
        };
        if !has_places(&report) {
            failures.push(format!("{name}: no place in {report}"));
        }
        for one in report
            .0
            .iter()
            .filter(|one| one.severity == Severity::Error && one.help.is_none())
        {
            failures.push(format!("{name}: no remedy in {one}"));
        }
        failures.extend(compare(&path.with_extension("expected"), &(report.to_string() + "\n")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_good_case_says_why_each_key_has_its_value() {
    let files = cases("cases");
    assert!(files.len() >= 5, "only {} cases", files.len());
    let mut failures = Vec::new();
    for path in files {
        let text = match load(&path).build() {
            Ok(set) => {
                let mut text = String::new();
                for key in set.entries.keys() {
                    text.push_str(&set.why(key).unwrap().to_string());
                }
                for warning in &set.warnings {
                    text.push_str(&format!("\n{warning}"));
                }
                text
            }
            Err(report) => {
                failures.push(format!("{}: {report}", path.display()));
                continue;
            }
        };
        failures.extend(compare(&path.with_extension("expected"), &text));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
