//! The pipelines of the samples, byte by byte; `UPDATE=1` writes them anew, for review in the diff.

use std::fs;
use std::path::Path;

use tend_core::model::Stack;
use tend_render::{Options, github_actions, jenkins};

use crate::samples::{SECRET, full, odd, small};

type Sample = fn() -> (Stack, Options);

/// Every sample with every form, and the name of its golden file.
pub(crate) fn rendered() -> Vec<(String, String)> {
    let samples: [(&str, Sample); 3] = [("full", full), ("small", small), ("odd", odd)];
    let mut all = Vec::new();
    for (name, sample) in samples {
        let (stack, options) = sample();
        all.push((format!("{name}.yml"), github_actions(&stack, &options)));
        all.push((format!("{name}.Jenkinsfile"), jenkins(&stack, &options)));
    }
    all
}

#[test]
fn pipelines_are_as_reviewed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for (name, text) in rendered() {
        let path = folder.join(&name);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &text).expect("a golden file can be written");
        }
        let golden = fs::read_to_string(&path).expect("a golden file");
        assert!(
            text == golden,
            "{name} came out otherwise; look at it with UPDATE=1 and git diff\n{text}"
        );
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(rendered(), rendered());
}

#[test]
fn no_value_of_the_environment_is_in_a_pipeline() {
    for (name, text) in rendered() {
        assert!(!text.contains(SECRET), "{name}");
    }
}

#[test]
fn every_pipeline_calls_the_verbs() {
    for (name, text) in rendered() {
        for verb in ["tend check", "tend plan", "tend deploy", "tend rollback"] {
            assert!(text.contains(verb), "{name} does not call {verb}");
        }
    }
}

#[test]
fn no_line_ends_in_a_space() {
    for (name, text) in rendered() {
        for (number, line) in text.lines().enumerate() {
            assert!(line.trim_end() == line, "{name}:{}: {line:?}", number + 1);
        }
        assert!(
            text.ends_with("}\n") || text.ends_with('\n') && !text.ends_with("\n\n"),
            "{name}"
        );
    }
}
