//! `tend rules`: rules of metrics, judged and tried out; each command has a file of its own.
//!
//! Here is how files of rules are found and read. What they mean is `tend-alert`'s, what is wrong with them `tend-rules`'.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use tend_alert::read_rules;
use tend_config::{Diagnostic, Report};
use tend_rules::Source;

use crate::context::Context;
use crate::error::{Error, Result};

mod check;
mod list;
mod replay;
mod test;

/// Check rules of metrics, and run their tests
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Rules {
    #[command(subcommand)]
    command: RulesCommand,
}

#[derive(Debug, Subcommand)]
enum RulesCommand {
    List(list::List),
    Replay(replay::Replay),
    Check(check::Check),
    Test(test::Test),
}

impl Rules {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        match self.command {
            RulesCommand::List(command) => command.run(context).await,
            RulesCommand::Replay(command) => command.run(context).await,
            RulesCommand::Check(command) => command.run(context).await,
            RulesCommand::Test(command) => command.run(context),
        }
    }
}

/// Files of rules that were read, and what was found in them.
#[derive(Default)]
pub(super) struct Read {
    sources: Vec<Source>,
    /// What is wrong with what was read.
    pub(super) found: Vec<Diagnostic>,
}

impl Read {
    /// Reads a file; messages call it `shown`.
    pub(super) fn file(&mut self, path: &Path, shown: &Path) -> Result<()> {
        let text = text_of(path, shown)?;
        match read_rules(shown, &text) {
            Ok(file) => {
                self.found.extend(file.warnings.0);
                self.sources.push(Source {
                    file: shown.display().to_string(),
                    groups: file.groups,
                });
            }
            Err(Report(found)) => self.found.extend(found),
        }
        Ok(())
    }
}

/// Returns the text of a file. Bytes that are no UTF-8 are replaced, as Prometheus takes such remarks too.
pub(super) fn text_of(path: &Path, shown: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read {
        path: shown.to_owned(),
        source,
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the files that a pattern names: itself, or with `*` in its last part all such files of that folder, in the order of their names.
pub(super) fn files_of(pattern: &Path) -> Vec<PathBuf> {
    let last = pattern.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !last.contains('*') {
        return vec![pattern.to_owned()];
    }
    let folder = pattern.parent().unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| matches(last, name)))
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

/// Returns whether a name is one of a pattern in which `*` stands for any letters. As in a shell, a leading dot is written.
fn matches(pattern: &str, name: &str) -> bool {
    let (first, rest) = pattern.split_once('*').unwrap_or((pattern, ""));
    if first.is_empty() && name.starts_with('.') {
        return false;
    }
    let Some(mut left) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else {
            return false;
        };
        left = &left[at + part.len()..];
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_letters() {
        for (pattern, name, wanted) in [
            ("*.yml", "a.yml", true),
            ("*.yml", ".a.yml", false),
            ("*.yml", "a.yaml", false),
            ("app-*.y*ml", "app-1.yaml", true),
            ("app-*.y*ml", "app.yaml", false),
            ("*", "a", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), wanted, "{pattern} {name}");
        }
    }
}
