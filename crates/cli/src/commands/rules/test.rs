//! `tend rules test`: unit tests of rules, without a daemon.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use tend_api::{EXIT_FAILED, EXIT_OK};
use tend_config::Report;
use tend_rules::{CaseFile, Failure};

use super::{Read, files_of, text_of};
use crate::arguments::JsonOption;
use crate::config_folder::{errors, show};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::Tone;

/// Run unit tests of rules
///
/// Runs files of unit tests as `promtool test rules` reads them: series that are made up, and the alerts and values they must give. Needs no
/// daemon, changes nothing. Exits with 1 when something is not as expected.
///
/// Example: tend rules test stacks/mps/rules/tests/mps.yml
#[derive(Debug, Args)]
pub(super) struct Test {
    /// Files of tests; the rules they are about are named in them
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    json: JsonOption,
}

impl Test {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let mut told = Vec::new();
        let mut failed = 0;
        for pattern in &self.files {
            for path in files_of(&context.surroundings.directory.join(pattern)) {
                let shown = path.strip_prefix(&context.surroundings.directory).unwrap_or(&path);
                let (cases, failures) = one(context, &path, shown)?;
                failed += failures.len();
                if self.json.json {
                    let failures: Value = failures.iter().map(as_json).collect();
                    told.push(json!({ "file": shown.display().to_string(), "tests": cases, "failures": failures }));
                } else {
                    tell(context, shown, cases, &failures)?;
                }
            }
        }
        if self.json.json {
            context.line(&Value::Array(told).to_string())?;
        }
        Ok(if failed == 0 { EXIT_OK } else { EXIT_FAILED })
    }
}

/// Runs the tests of one file; returns how many there are, and what is not as expected.
fn one(context: &mut Context<'_>, path: &Path, shown: &Path) -> Result<(usize, Vec<Failure>)> {
    let text = text_of(path, shown)?;
    let cases = match CaseFile::read(shown, &text) {
        Ok(cases) => cases,
        Err(Report(found)) => {
            show(context, &found)?;
            return Err(Error::Configuration(text::no_tests(shown)));
        }
    };
    let mut read = Read::default();
    let folder = path.parent().unwrap_or(Path::new("/"));
    for file in cases.rule_files.iter().flat_map(|file| files_of(&folder.join(file))) {
        let shown = file
            .strip_prefix(&context.surroundings.directory)
            .unwrap_or(&file)
            .to_owned();
        read.file(&file, &shown)?;
    }
    if errors(&read.found) > 0 {
        show(context, &read.found)?;
        return Err(Error::Configuration(text::no_rules(shown)));
    }
    Ok((cases.tests.len(), cases.run(&read.sources)))
}

fn tell(context: &mut Context<'_>, shown: &Path, cases: usize, failures: &[Failure]) -> Result<()> {
    let paint = context.paint();
    for failure in failures {
        let place = format!("{}:{}:", shown.display(), failure.line);
        let name = match failure.test.as_str() {
            "" => String::new(),
            name => format!(" {name}:"),
        };
        context.line(&format!(
            "{} {place}{name} {}",
            paint.paint(Tone::Bad, "failed"),
            failure.text
        ))?;
    }
    if failures.is_empty() {
        context.line(&paint.paint(Tone::Good, &text::fine(shown, cases)))?;
    }
    Ok(())
}

fn as_json(failure: &Failure) -> Value {
    json!({ "test": failure.test, "line": failure.line, "text": failure.text })
}

mod text {
    use std::path::Path;

    pub(super) fn fine(shown: &Path, tests: usize) -> String {
        match tests {
            1 => format!("{}: 1 test, as expected", shown.display()),
            many => format!("{}: {many} tests, all as expected", shown.display()),
        }
    }
    pub(super) fn no_tests(shown: &Path) -> String {
        format!("`{}` is no file of tests of rules", shown.display())
    }
    pub(super) fn no_rules(shown: &Path) -> String {
        format!("the rules that `{}` is about cannot be used", shown.display())
    }
}
