//! Rules for Rust sources: header, refused macros and attributes, `unsafe`, names of files, forgotten modules.
//!
//! Purity of a crate is not here: it is promised by ARCHITECTURE.md and checked in `map`.

use super::Finding;
use super::source::{Source, has_word};
use super::tree::{File, Tree};

/// The one crate that talks to the kernel in ways the compiler cannot follow.
const UNSAFE_CRATE: &str = "crates/linux/";

/// Macros that may not stay.
const MACROS: &[&str] = &["todo!", "unimplemented!", "dbg!"];

/// Lint groups, and the lint that hides unfinished work: allowing one of these hides what nobody looked at.
const BLANKET: &[&str] = &[
    "warnings",
    "unused",
    "dead_code",
    "all",
    "pedantic",
    "nursery",
    "restriction",
    "correctness",
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &[
    "util",
    "utils",
    "common",
    "helper",
    "helpers",
    "manager",
    "managers",
    "misc",
    "miscellaneous",
];

/// Files that cargo or the compiler finds without a `mod` line.
const ROOTS: &[&str] = &["lib.rs", "main.rs", "build.rs"];

pub(crate) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in &tree.files {
        let Some(source) = &file.rust else { continue };
        header(file, findings);
        words(file, source, findings);
        attributes(file, source, findings);
        name(file, findings);
        module(tree, file, findings);
    }
}

fn header(file: &File, findings: &mut Vec<Finding>) {
    if !file.text.as_deref().unwrap_or_default().starts_with("//!") {
        let message = "does not start with `//!`; say what the file owns and what it deliberately does not know";
        findings.push(Finding::new("header", &file.path, 1, message));
    }
}

fn words(file: &File, source: &Source, findings: &mut Vec<Finding>) {
    for (index, line) in source.code.iter().enumerate() {
        for name in MACROS {
            if line
                .match_indices(name)
                .any(|(at, _)| !line[..at].ends_with(super::source::is_word))
            {
                let message = format!("uses `{name}`; finish it or take it out");
                findings.push(Finding::new("leftover", &file.path, index + 1, message));
            }
        }
        if line.contains("#[ignore") {
            let message = "ignores a test; make it run, or fail loudly where what it needs is missing";
            findings.push(Finding::new("ignored-test", &file.path, index + 1, message));
        }
        if has_word(line, "unsafe") && !file.path.starts_with(UNSAFE_CRATE) {
            let message =
                format!("uses `unsafe`, which only {UNSAFE_CRATE} may; give that crate a safe function and call it");
            findings.push(Finding::new("unsafe", &file.path, index + 1, message));
        }
    }
}

/// Refuses `allow` and `expect` that name a whole group or give no reason.
fn attributes(file: &File, source: &Source, findings: &mut Vec<Finding>) {
    let joined = source.code.join("\n");
    for opening in ["allow(", "expect("] {
        for (at, _) in joined.match_indices(opening) {
            let before = joined[..at].trim_end();
            // `#[allow(`, `#![allow(` or `cfg_attr(test, allow(`; a method called `expect` has neither before it.
            let in_attribute = before.ends_with("#[") || before.ends_with("#![") || in_cfg_attr(before);
            if !in_attribute {
                continue;
            }
            let inside = &joined[at + opening.len()..];
            let inside = &inside[..inside.find(')').unwrap_or(inside.len())];
            let line = joined[..at].matches('\n').count() + 1;
            if let Some(group) = inside
                .split([',', ':'])
                .map(str::trim)
                .find(|lint| BLANKET.contains(lint))
            {
                let message = format!(
                    "allows `{group}`, which hides more than was looked at; name the one lint, or mend the cause"
                );
                findings.push(Finding::new("blanket-allow", &file.path, line, message));
            } else if !has_word(inside, "reason") && !is_unsafe_where_allowed(file, inside) {
                let message = "lifts a lint without a reason; write #[expect(lint, reason = \"…\")]";
                findings.push(Finding::new("allow-reason", &file.path, line, message));
            }
        }
    }
}

/// The reason is then the SAFETY comment that clippy asks for.
fn is_unsafe_where_allowed(file: &File, lints: &str) -> bool {
    file.path.starts_with(UNSAFE_CRATE) && lints.trim() == "unsafe_code"
}

fn in_cfg_attr(before: &str) -> bool {
    before.ends_with(',')
        && before
            .rfind("cfg_attr(")
            .is_some_and(|start| !before[start..].contains(']'))
}

fn name(file: &File, findings: &mut Vec<Finding>) {
    let without_extension = file.path.trim_end_matches(".rs");
    for part in without_extension.split('/') {
        if let Some(empty) = part.split(['_', '-']).find(|word| EMPTY_NAMES.contains(word)) {
            let message = format!("is named `{empty}`, which says nothing of what is inside; name the noun it owns");
            findings.push(Finding::new("name", &file.path, 0, message));
            return;
        }
    }
}

/// A file that no `mod` line names is not compiled, and its tests do not run.
fn module(tree: &Tree, file: &File, findings: &mut Vec<Finding>) {
    let Some(package) = tree.package_of(&file.path) else {
        return;
    };
    let inside = &file.path[package.folder.len() + 1..];
    let Some((top, _)) = inside.split_once('/') else { return };
    let is_root = ROOTS.contains(&file.name()) && inside.matches('/').count() == 1;
    if !matches!(top, "src" | "tests") || is_root || inside.starts_with("src/bin/") {
        return;
    }
    // A target of its own, named in the manifest.
    let manifest = tree
        .file(&format!("{}/Cargo.toml", package.folder))
        .and_then(|file| file.text.as_deref());
    if manifest.is_some_and(|text| text.contains(&format!("path = \"{inside}\""))) {
        return;
    }
    let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
    // `a/mod.rs` is declared by what is beside the folder `a`; any other file by what is beside itself, or by `folder.rs`.
    let (folder, module) = match name {
        "mod.rs" => folder.rsplit_once('/').unwrap_or(("", folder)),
        _ => (folder, name.trim_end_matches(".rs")),
    };
    let parents = [
        format!("{folder}/mod.rs"),
        format!("{folder}/lib.rs"),
        format!("{folder}/main.rs"),
        format!("{folder}.rs"),
    ];
    let declared = parents
        .iter()
        .filter_map(|parent| tree.file(parent))
        .any(|parent| declares(parent, module, name));
    if !declared {
        let parent = parents
            .iter()
            .find(|parent| tree.file(parent).is_some())
            .unwrap_or(&parents[2]);
        let message = format!("is compiled by nobody: no `mod {module};` in {parent}");
        findings.push(Finding::new("forgotten-module", &file.path, 0, message));
    }
}

fn declares(parent: &File, module: &str, name: &str) -> bool {
    let by_name = parent.rust.as_ref().is_some_and(|source| {
        source
            .code
            .iter()
            .any(|line| has_word(line, "mod") && has_word(line, module) && line.trim_end().ends_with(';'))
    });
    by_name
        || parent
            .text
            .as_deref()
            .is_some_and(|text| text.contains("#[path") && text.contains(name))
}
