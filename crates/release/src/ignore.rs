//! What a folder without git leaves out of a copy: `.git` always, and what its `.tendignore` names.
//!
//! The rules are those of `.gitignore` as far as they are used every day: `*`, `?`, `**`, a leading or inner `/` for a path from the top,
//! a trailing `/` for folders only, `!` for what stays after all, `#` for a comment. Opens no file.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::Error;

/// The name of the file.
pub(crate) const FILE: &str = ".tendignore";

/// What is left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ignore(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    /// Path components; `**` stands for any number of them.
    pattern: Vec<Vec<u8>>,
    folders_only: bool,
    stays: bool,
}

impl Ignore {
    /// Reads the text of the file at `path`.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let mut rules = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let refuse = |why| Error::Ignore {
                path: path.to_owned(),
                line: index + 1,
                why,
            };
            if line.contains(['[', ']', '\\']) {
                return Err(refuse("brackets and backslashes are not known here"));
            }
            let (stays, pattern) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
            let (folders_only, pattern) = pattern.strip_suffix('/').map_or((false, pattern), |rest| (true, rest));
            if pattern.is_empty() {
                return Err(refuse("it names nothing"));
            }
            let mut components: Vec<Vec<u8>> = Vec::new();
            if !pattern.contains('/') {
                components.push(b"**".to_vec());
            }
            let pattern = pattern.strip_prefix('/').unwrap_or(pattern);
            components.extend(pattern.split('/').map(|part| part.as_bytes().to_vec()));
            rules.push(Rule {
                pattern: components,
                folders_only,
                stays,
            });
        }
        Ok(Self(rules))
    }

    /// Returns whether a path, relative to the folder of the file, is left out; what lies in a folder that is left out is not asked for.
    pub(crate) fn leaves_out(&self, path: &Path, is_folder: bool) -> bool {
        if path.file_name().is_some_and(|name| name == ".git") {
            return true;
        }
        let components: Vec<&[u8]> = path.components().map(|part| part.as_os_str().as_bytes()).collect();
        // The last rule that says something of the path counts.
        let last = self
            .0
            .iter()
            .rev()
            .find(|rule| (is_folder || !rule.folders_only) && path_matches(&rule.pattern, &components));
        last.is_some_and(|rule| !rule.stays)
    }
}

fn path_matches(pattern: &[Vec<u8>], path: &[&[u8]]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == b"**" => {
            path_matches(rest, path) || (!path.is_empty() && path_matches(pattern, &path[1..]))
        }
        (Some((first, rest)), Some((name, below))) => name_matches(first, name) && path_matches(rest, below),
        _ => false,
    }
}

fn name_matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => name_matches(rest, name) || (!name.is_empty() && name_matches(pattern, &name[1..])),
        (Some((b'?', rest)), Some((_, name))) => name_matches(rest, name),
        (Some((letter, rest)), Some((same, name))) => letter == same && name_matches(rest, name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_mean_what_they_mean_to_git() {
        let ignore = Ignore::parse(
            "# what is built\n/target/\nnode_modules/\n*.log\n!keep.log\ndocs/*.pdf\nlogs/**/old\n",
            Path::new("x"),
        )
        .unwrap();
        for (path, is_folder, out) in [
            ("target", true, true),
            ("target", false, false),
            ("inner/target", true, false),
            ("inner/node_modules", true, true),
            ("a.log", false, true),
            ("inner/a.log", false, true),
            ("inner/keep.log", false, false),
            ("docs/a.pdf", false, true),
            ("docs/inner/a.pdf", false, false),
            ("logs/old", false, true),
            ("logs/a/b/old", false, true),
            ("inner/.git", true, true),
            ("src/main.rs", false, false),
        ] {
            assert_eq!(ignore.leaves_out(Path::new(path), is_folder), out, "{path}");
        }
    }

    #[test]
    fn a_rule_that_would_mean_something_else_to_git_is_refused_with_its_line() {
        let error = Ignore::parse("a\n[ab]\n", Path::new("/srv/.tendignore")).unwrap_err();
        assert!(error.to_string().contains("line 2 of `/srv/.tendignore`"), "{error}");
    }
}
