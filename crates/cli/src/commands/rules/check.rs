//! `tend rules check`: whether rules can work, without a daemon.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use tend_api::EXIT_OK;
use tend_config::Severity as Weight;
use tend_rules::{Finding, Ground, Severity, check};

use super::{Read, files_of};
use crate::arguments::JsonOption;
use crate::config_folder::{errors, show};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::Tone;
use crate::stack_file::StackFileArguments;

/// How often rules are evaluated that say nothing else: Prometheus' default, in milliseconds.
const INTERVAL: i64 = 60_000;

/// Check files of rules
///
/// Reads files of rules as Prometheus does, and says of each rule what can never be true, what is divided by itself, which series cannot meet,
/// and what is compared with the wrong unit, with what was probably meant. Of a folder the rules of its stack file are checked. Needs no
/// daemon, changes nothing; whether metrics exist is not looked at.
///
/// Example: tend rules check stacks/mps
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Files of rules, or folders of stack files
    #[arg(value_name = "FILE", default_value = ".")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    json: JsonOption,
}

impl Check {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let mut read = Read::default();
        let mut scrape_interval = None;
        for shown in &self.files {
            let path = context.surroundings.directory.join(shown);
            if path.is_dir() {
                let loaded = StackFileArguments::of(shown.clone()).load(context)?;
                let Some(alerts) = loaded.stack.alerts else {
                    return Err(Error::Configuration(text::no_chapter(loaded.stack.name.as_str())));
                };
                let interval = loaded.stack.metrics.map(|metrics| metrics.interval);
                scrape_interval = interval.and_then(|interval| i64::try_from(interval.as_millis()).ok());
                for file in alerts.rules.iter().flat_map(|pattern| files_of(pattern)) {
                    let shown = shorter(&file, &context.surroundings.directory);
                    read.file(&file, &shown)?;
                }
            } else {
                for file in files_of(&path) {
                    let shown = shorter(&file, &context.surroundings.directory);
                    read.file(&file, &shown)?;
                }
            }
        }
        let ground = Ground {
            catalogue: None,
            interval: INTERVAL,
            scrape_interval,
        };
        let findings = check(&read.sources, ground);
        let wrong = errors(&read.found) + findings.iter().filter(|one| one.severity == Severity::Error).count();
        let rules = read.sources.iter().flat_map(|source| &source.groups);
        let rules: usize = rules.map(|group| group.rules.len()).sum();
        if self.json.json {
            let unread: Value = read.found.iter().map(unread_as_json).collect();
            let findings: Value = findings.iter().map(as_json).collect();
            let text = json!({ "rules": rules, "unread": unread, "findings": findings });
            context.line(&text.to_string())?;
        } else {
            show(context, &read.found)?;
            let paint = context.paint();
            for finding in &findings {
                let tone = match finding.severity {
                    Severity::Error => Tone::Bad,
                    Severity::Warning => Tone::Uneasy,
                    Severity::Note => Tone::Faint,
                };
                let word = finding.severity.as_str();
                let text = finding.to_string();
                let rest = text.strip_prefix(word).unwrap_or(&text);
                context.line(&format!("{}{rest}", paint.paint(tone, word)))?;
            }
            if wrong == 0 {
                context.line(&paint.paint(Tone::Good, &text::fine(rules, read.sources.len())))?;
            }
        }
        match wrong {
            0 => Ok(EXIT_OK),
            wrong => Err(Error::Configuration(text::wrong(wrong))),
        }
    }
}

/// Returns a path as seen from a folder, where it is below it.
fn shorter(path: &Path, folder: &Path) -> PathBuf {
    path.strip_prefix(folder).unwrap_or(path).to_owned()
}

fn as_json(finding: &Finding) -> Value {
    json!({
        "severity": finding.severity.as_str(),
        "about": finding.about.as_str(),
        "file": finding.file,
        "line": finding.line,
        "group": finding.group,
        "rule": finding.rule,
        "what": finding.what,
        "meant": finding.meant,
    })
}

fn unread_as_json(found: &tend_config::Diagnostic) -> Value {
    let file = match &found.location {
        tend_config::Location::File { file, .. } => file.display().to_string(),
        tend_config::Location::Elsewhere(what) => what.clone(),
    };
    json!({
        "severity": match found.severity { Weight::Error => "error", Weight::Warning => "warning" },
        "file": file,
        "line": found.location.line(),
        "what": found.message,
        "meant": found.help,
    })
}

mod text {
    fn counted(count: usize, one: &str) -> String {
        match count {
            1 => format!("1 {one}"),
            many => format!("{many} {one}s"),
        }
    }
    pub(super) fn fine(rules: usize, files: usize) -> String {
        format!("no error in {} of {}", counted(rules, "rule"), counted(files, "file"))
    }
    pub(super) fn wrong(count: usize) -> String {
        format!("the rules have {}", counted(count, "error"))
    }
    pub(super) fn no_chapter(stack: &str) -> String {
        format!("{stack} has no chapter `alerts`, and so no rules")
    }
}
