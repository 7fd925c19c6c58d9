//! The rule for documents: a link to a file of the repository leads somewhere.
//!
//! Links to other hosts are not followed: tests need no network.

use super::Finding;
use super::tree::Tree;

pub(crate) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in tree
        .files
        .iter()
        .filter(|file| file.extension() == "md" && !file.is_test_data())
    {
        let Some(text) = &file.text else { continue };
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (index, line) in text.lines().enumerate() {
            for target in links(line) {
                let path = target.split('#').next().unwrap_or_default();
                if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
                    continue;
                }
                let exists = resolve(folder, path).is_some_and(|path| path.is_empty() || tree.exists(&path));
                if !exists {
                    let message = format!("links to `{path}`, which does not exist");
                    findings.push(Finding::new("link", &file.path, index + 1, message));
                }
            }
        }
    }
}

/// The targets of `[text](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next())
}

/// Joins a relative path to a folder; none when it leaves the repository.
fn resolve(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
