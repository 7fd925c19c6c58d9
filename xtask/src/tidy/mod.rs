//! The rules of the repository that no compiler checks.
//!
//! Owns the order in which rules run and how a finding is shown. Each rule stands in the file of what it reads: `text`
//! (any text file), `rust` (Rust sources), `manifest` (crates), `map` (ARCHITECTURE.md), `documents` (links),
//! `fuzzing` (targets and corpora), `licences` (deny.toml). All findings are shown at once.

mod documents;
mod fuzzing;
mod licences;
mod manifest;
mod map;
mod rust;
mod source;
mod text;
pub(crate) mod tree;

use std::fmt;
use std::path::Path;

use crate::error::Error;
use tree::Tree;

/// One broken rule, at one place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Relative to the root, with `/`.
    path: String,
    /// From 1; 0 when the finding is about the whole file.
    line: usize,
    rule: &'static str,
    /// What is wrong and what to do.
    message: String,
}

impl Finding {
    fn new(rule: &'static str, path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            rule,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.path)?;
        if self.line > 0 {
            write!(formatter, ":{}", self.line)?;
        }
        write!(formatter, ": [{}] {}", self.rule, self.message)
    }
}

/// Checks the tree under `root`, prints every finding, and fails when there is one.
pub(crate) fn run(root: &Path) -> Result<(), Error> {
    let tree = Tree::load(root)?;
    let mut findings = Vec::new();
    text::check(&tree, &mut findings);
    rust::check(&tree, &mut findings);
    manifest::check(&tree, &mut findings);
    map::check(&tree, &mut findings);
    documents::check(&tree, &mut findings);
    fuzzing::check(&tree, &mut findings);
    licences::check(&tree, &mut findings);
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!(
            "tidy: {} files, {} crates, nothing found",
            tree.files.len(),
            tree.packages.len()
        );
        Ok(())
    } else {
        Err(Error::Untidy { count: findings.len() })
    }
}
