//! Rules for what comes from outside: licences that deny.toml allows, and crates.io as the only source.
//!
//! Checks the part of deny.toml that needs no download, so that a machine without cargo-deny checks it too. Advisories stay
//! with cargo-deny.

use super::Finding;
use super::tree::Tree;

/// How Cargo.lock names crates.io, whichever mirror served it.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(crate) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for (index, line) in tree.text("Cargo.lock").unwrap_or_default().lines().enumerate() {
        if let Some(source) = line.strip_prefix("source = ").map(|source| source.trim_matches('"'))
            && source != CRATES_IO
        {
            let message = format!("takes a crate from `{source}`; only crates.io is allowed");
            findings.push(Finding::new("source", "Cargo.lock", index + 1, message));
        }
    }
    let allowed = allowed(tree.text("deny.toml").unwrap_or_default());
    for licence in &tree.licences {
        let expression = licence.expression.as_deref().unwrap_or("none");
        if !is_allowed(expression, &allowed) {
            let message = format!(
                "`{}` is under `{expression}`, which the list [licenses] allow does not cover",
                licence.package
            );
            findings.push(Finding::new("licence", "deny.toml", 0, message));
        }
    }
}

/// The names in `allow = [ … ]` of the section `[licenses]`.
fn allowed(deny: &str) -> Vec<&str> {
    let section = deny.split("[licenses]").nth(1).unwrap_or_default();
    let list = section
        .split("allow = [")
        .nth(1)
        .and_then(|rest| rest.split(']').next())
        .unwrap_or_default();
    list.lines()
        .filter_map(|line| line.split('#').next())
        .flat_map(|line| line.split('"').skip(1).step_by(2))
        .collect()
}

/// Evaluates an SPDX expression; the `/` of old manifests means OR.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    either(&words, &mut at, allowed) && at == words.len()
}

fn either(words: &[&str], at: &mut usize, allowed: &[&str]) -> bool {
    let mut result = both(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        result |= both(words, at, allowed);
    }
    result
}

fn both(words: &[&str], at: &mut usize, allowed: &[&str]) -> bool {
    let mut result = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        result &= one(words, at, allowed);
    }
    result
}

fn one(words: &[&str], at: &mut usize, allowed: &[&str]) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let result = either(words, at, allowed);
        *at += 1;
        return result;
    }
    let mut name = (*word).to_owned();
    if let [with @ "WITH", exception, ..] = words[*at..] {
        name = format!("{name} {with} {exception}");
        *at += 2;
    }
    allowed.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alternative_is_enough_and_a_conjunction_needs_all() {
        let allowed = ["MIT", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"];
        for yes in [
            "MIT",
            "GPL-3.0 OR MIT",
            "Apache-2.0/MIT",
            "(MIT OR X) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(is_allowed(yes, &allowed), "{yes}");
        }
        for no in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "none",
            "",
            "(MIT OR X) AND Y",
            "Apache-2.0",
        ] {
            assert!(!is_allowed(no, &allowed), "{no}");
        }
    }

    #[test]
    fn the_list_is_read_without_its_comments() {
        assert_eq!(
            allowed("[bans]\n[licenses]\nallow = [\n  \"MIT\", # \"X\"\n  \"ISC\",\n]\n"),
            ["MIT", "ISC"]
        );
    }
}
