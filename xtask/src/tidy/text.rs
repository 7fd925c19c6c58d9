//! Rules for every text a person writes: length, trailing blanks, leftovers, paths of one machine.
//!
//! Knows no Rust beyond telling comments from code, and leaves input and expected output of tests alone.

use super::Finding;
use super::source::has_word;
use super::tree::{File, Tree};

/// Lines past which a file usually holds a second noun.
const LINES_MAX: usize = 800;

/// Extensions of files that a person writes; a file without one is taken for a script.
const WRITTEN: &[&str] = &["rs", "md", "toml", "sh", "sql", ""];

/// Marks of work that was left. In Rust they count in comments only, and in documents they may be spoken about.
const LEFTOVERS: &[&str] = &[concat!("FIX", "ME"), concat!("XX", "X"), concat!("TO", "DO")];

/// Beginnings of paths that exist on one machine only; written in two parts, so that this file passes.
const MACHINE_PATHS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/Us", "ers/"),
    concat!("/ro", "ot/.cargo"),
    concat!("/ro", "ot/.rustup"),
    concat!(".li", "brary/"),
];

pub(crate) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in &tree.files {
        let Some(text) = &file.text else { continue };
        machine_paths(file, text, findings);
        if file.is_test_data() || !is_written(file) {
            continue;
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            let message =
                format!("has {lines} lines, more than {LINES_MAX}; find the second noun in it and give it a file");
            findings.push(Finding::new("length", &file.path, 0, message));
        }
        for (index, line) in text.lines().enumerate() {
            if line.ends_with([' ', '\t']) {
                let message = "ends in a blank; remove it (in a literal, write it as an escape)";
                findings.push(Finding::new("trailing-blank", &file.path, index + 1, message));
            }
        }
        leftovers(file, text, findings);
    }
}

fn is_written(file: &File) -> bool {
    file.name() != "LICENSE" && WRITTEN.contains(&file.extension())
}

fn leftovers(file: &File, text: &str, findings: &mut Vec<Finding>) {
    if file.extension() == "md" {
        return;
    }
    let lines: Vec<&str> = match &file.rust {
        Some(source) => source.comments.iter().map(String::as_str).collect(),
        None => text.lines().collect(),
    };
    for (index, line) in lines.iter().enumerate() {
        for word in LEFTOVERS {
            // A note that names its issue may stay: TODO(#12).
            if has_word(line, word) && !line.contains(&format!("{word}(#")) {
                let message = format!("holds `{word}`; finish it now, or open an issue and write `{word}(#number)`");
                findings.push(Finding::new("leftover", &file.path, index + 1, message));
            }
        }
    }
}

fn machine_paths(file: &File, text: &str, findings: &mut Vec<Finding>) {
    for (index, line) in text.lines().enumerate() {
        for path in MACHINE_PATHS {
            if line.match_indices(path).any(|(at, _)| begins_a_path(&line[..at])) {
                let message =
                    format!("names `{path}`, which exists on one machine only; use a path relative to the repository");
                findings.push(Finding::new("machine-path", &file.path, index + 1, message));
            }
        }
    }
}

/// True when what stands before is not itself a part of a path, as in `/home/runner` before `/…`.
fn begins_a_path(before: &str) -> bool {
    !before
        .chars()
        .next_back()
        .is_some_and(|character| character.is_alphanumeric() || "_-.}*".contains(character))
}
