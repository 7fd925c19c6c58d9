//! Files made to take for ever or all memory: each ends with an error or a stack. A run-away would hang the test.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tend_stackfile::{Input, Report, load};

use crate::disk::Memory;

fn try_files(files: Memory) -> Result<(), Report> {
    load(&Input {
        files: &files,
        paths: vec!["/s/stack.yml".into()],
        environment: BTreeMap::new(),
        profiles: Vec::new(),
        name: None,
    })
    .map(|_| ())
}

fn try_text(text: &str) -> Result<(), Report> {
    try_files(Memory::one("/s/stack.yml", text))
}

fn refused(text: &str, why: &str) {
    let report = try_text(text).expect_err(why).to_string();
    assert!(report.contains(why), "{why}: {}", &report[..report.len().min(2000)]);
}

#[test]
fn a_huge_file_is_refused() {
    refused(&"#".repeat(2 << 20), "it may have 1 MiB");
}

#[test]
fn a_wide_file_is_refused() {
    let mut text = "services:\n  a:\n    command: run\n    environment:\n".to_owned();
    for number in 0..50_000 {
        let _ = writeln!(text, "      V{number}: x");
    }
    refused(&text, "more than 2000 entries");
    refused(
        &format!("services: [{}]", "x,".repeat(200_000)),
        "more than 2000 entries",
    );
}

#[test]
fn nothing_but_brackets_is_refused() {
    for piece in [
        "[", "{", "{a: ", "- ", "? ", "\"", "&a ", "!a ", "a: ", "[]", "${", "*a",
    ] {
        let text = piece.repeat((1 << 19) / piece.len());
        assert!(try_text(&text).is_err(), "{piece}");
        let text = format!("services:\n  a:\n    command: {text}\n");
        assert!(try_text(&text).is_err(), "{piece}");
    }
}

#[test]
fn many_errors_are_told_up_to_a_bound() {
    let mut text = "services:\n".to_owned();
    for number in 0..900 {
        let _ = writeln!(
            text,
            "  s{number}:\n    comand: run\n    depends_on: [nobody{number}]\n    networks: [n{number}]"
        );
    }
    let report = try_text(&text).unwrap_err();
    assert!((100..=400).contains(&report.0.len()), "{}", report.0.len());
}

#[test]
fn as_many_services_as_allowed_load() {
    let mut text = "services:\n".to_owned();
    for number in 0..1000 {
        let port = 2000 + number;
        let _ = writeln!(text, "  s{number}:\n    command: run\n    ports: [\"{port}:1\"]");
        if number > 0 {
            let _ = writeln!(text, "    depends_on: [s{}]", number - 1);
        }
    }
    assert!(try_text(&text).is_ok());
    text.push_str("  one-more: {command: run}\n");
    refused(&text, "a stack file may have 1000 services");
}

#[test]
fn services_that_extend_each_other_in_a_row_are_bounded() {
    let mut text = "services:\n  s0: {command: run}\n".to_owned();
    for number in 1..900 {
        let _ = writeln!(text, "  s{number}: {{extends: s{}}}", number - 1);
    }
    refused(&text, "more than 64 services extend each other");
    let big = "x".repeat(400_000);
    let mut text = format!("services:\n  s0: {{command: run {big}}}\n");
    for number in 1..900 {
        let _ = writeln!(text, "  s{number}: {{extends: s0}}");
    }
    refused(&text, "more than 16 MiB");
}

#[test]
fn files_that_include_each_other_twice_are_bounded() {
    let name = |number: usize| match number {
        0 => "stack.yml".to_owned(),
        number => format!("f{number}.yml"),
    };
    let mut files = Memory::default();
    for depth in 0..30 {
        let mut text = format!("services:\n  s{depth}: {{command: run}}\n");
        if depth < 29 {
            let next = name(depth + 1);
            let _ = writeln!(text, "include:\n  - {next}\n  - ./{next}");
        }
        files.0.insert(format!("/s/{}", name(depth)).into(), text.into());
    }
    let report = try_files(files).unwrap_err().to_string();
    assert!(report.contains("more than 500 files"), "{}", &report[..500]);
}

#[test]
fn variables_that_grow_are_bounded() {
    let mut files = Memory::one(
        "/s/stack.yml",
        format!(
            "services:\n  a:\n    command: run\n    environment: [{}]\n",
            "\"A=$B$B$B$B$B$B$B$B\",".repeat(1000)
        ),
    );
    files
        .0
        .insert("/s/.env".into(), format!("B={}\n", "b".repeat(100_000)).into());
    let report = try_files(files).unwrap_err().to_string();
    assert!(report.contains("more than 16 MiB"), "{}", &report[..500]);
}
