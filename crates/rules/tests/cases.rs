//! Unit tests of rules: ours and `promtool`'s say the same of each case.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tend_alert::read_rules;
use tend_rules::{CaseFile, Source};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name)
}

/// The files of a folder, sorted.
fn files(name: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder(name))
        .expect("a folder of cases")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{name} is empty");
    files
}

/// The rules that a case names; a pattern may have one star in the file's name.
fn sources(case: &CaseFile, beside: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    for pattern in &case.rule_files {
        let path = beside.parent().expect("a folder").join(pattern);
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let within = path.parent().expect("a folder");
        let (start, end) = name.split_once('*').unwrap_or((&name, ""));
        for entry in fs::read_dir(within).expect("a folder of rules") {
            let path = entry.expect("an entry").path();
            let found = path.file_name().expect("a name").to_string_lossy().into_owned();
            let fits = found == name || (name.contains('*') && found.starts_with(start) && found.ends_with(end));
            if fits && path.is_file() {
                let text = fs::read_to_string(&path).expect("a file of rules");
                sources.push(Source {
                    file: found,
                    groups: read_rules(&path, &text)
                        .unwrap_or_else(|report| panic!("{report}"))
                        .groups,
                });
            }
        }
    }
    sources
}

/// What we say of a case: nothing, or why it fails.
fn ours(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).expect("a case");
    match CaseFile::read(path, &text) {
        Err(report) => Some(report.to_string()),
        Ok(case) => {
            let failures = case.run(&sources(&case, path));
            (!failures.is_empty()).then(|| format!("{failures:#?}"))
        }
    }
}

#[test]
fn verdicts_are_those_of_promtool() {
    for (name, passes) in [("pass", true), ("fail", false)] {
        for path in files(name) {
            let theirs = Command::new("promtool")
                .args(["test", "rules"])
                .arg(&path)
                .output()
                .expect("promtool, of Debian's package prometheus");
            let said = String::from_utf8_lossy(&theirs.stderr).into_owned() + &String::from_utf8_lossy(&theirs.stdout);
            assert_eq!(theirs.status.success(), passes, "promtool: {}: {said}", path.display());
            let ours = ours(&path);
            assert_eq!(ours.is_none(), passes, "{}: {ours:?}\npromtool: {said}", path.display());
        }
    }
}

#[test]
fn what_newer_versions_know_is_known() {
    for path in files("newer") {
        assert_eq!(ours(&path), None, "{}", path.display());
    }
}

#[test]
fn failures_say_what_was_expected_and_what_came() {
    let said = ours(&folder("fail/wrong_value.yml")).expect("it fails");
    assert!(
        said.contains("1.0000001") && said.contains("job:up:sum{job=\\\"a\\\"} 1"),
        "{said}"
    );
    assert!(said.contains("line: 6"), "{said}");
    let said = ours(&folder("fail/missing_name.yml")).expect("it fails");
    assert!(said.contains("misses required attribute alertname"), "{said}");
    let text = "tests: [{input_series: [{series: up, values: 1}], alert_rule_test: [{eval_time: 0s, alertname: Dwon, exp_alerts: [{}]}]}]";
    let case = CaseFile::read(Path::new("t.yml"), text).expect("it reads");
    let rules = "groups: [{name: g, rules: [{alert: Down, expr: up == 0}]}]";
    let groups = read_rules(Path::new("r.yml"), rules).expect("it reads").groups;
    let failures = case.run(&[Source {
        file: "r.yml".to_owned(),
        groups,
    }]);
    assert!(failures[0].text.contains("did you mean `Down`?"), "{failures:?}");
}

/// The cases of the fuzz target, which search for what makes reading panic.
#[test]
fn fuzz_corpus_rule_tests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/rule_tests");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("the corpus") {
        let bytes = fs::read(entry.expect("an entry").path()).expect("an input");
        let text = String::from_utf8_lossy(&bytes);
        match CaseFile::read(Path::new("fuzz.yml"), &text) {
            Ok(file) => assert!(file.evaluation_interval > 0),
            Err(report) => assert!(report.errors() > 0),
        }
        count += 1;
    }
    assert!(count > 0);
}
