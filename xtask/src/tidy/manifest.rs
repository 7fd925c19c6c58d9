//! Rules for the crates' manifests: a description, the workspace's lints, one integration test binary.
//!
//! Which crate may depend on which is not here: that stands in ARCHITECTURE.md and is checked in `map`.

use super::Finding;
use super::tree::{Package, Tree};

pub(crate) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for package in &tree.packages {
        let manifest = format!("{}/Cargo.toml", package.folder);
        if package.description.as_deref().unwrap_or_default().trim().is_empty() {
            let message = "has no `description`; say in one sentence what the crate is";
            findings.push(Finding::new("description", &manifest, 0, message));
        }
        let text = tree.text(&manifest).unwrap_or_default();
        if !inherits_lints(text) {
            let message = "does not take the workspace's lints; add `[lints]` with `workspace = true`";
            findings.push(Finding::new("lints", &manifest, 0, message));
        }
        tests(package, &manifest, findings);
    }
}

fn inherits_lints(manifest: &str) -> bool {
    let mut section = "";
    manifest.lines().map(str::trim).any(|line| {
        if line.starts_with('[') {
            section = line;
        }
        (section == "[lints]" && line.replace(' ', "") == "workspace=true")
            || line.replace(' ', "") == "lints.workspace=true"
    })
}

/// Each file directly under `tests/` is a binary of its own unless told otherwise, and is linked for itself.
fn tests(package: &Package, manifest: &str, findings: &mut Vec<Finding>) {
    match package.test_targets.as_slice() {
        [] => {}
        [only] if only == "main" => {}
        [only] => {
            let message = format!("has the integration test `{only}`; make it a module of tests/main.rs");
            findings.push(Finding::new("one-test-binary", manifest, 0, message));
        }
        several => {
            let message = format!(
                "builds {} integration test binaries ({}); set `autotests = false` under [package] and add \
                 `[[test]]` with `name = \"main\"` and `path = \"tests/main.rs\"`, whose modules the others are",
                several.len(),
                several.join(", ")
            );
            findings.push(Finding::new("one-test-binary", manifest, 0, message));
        }
    }
}
