//! `tend rules check`: whether rules can work; without a daemon, or over what a stack measures.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use tend_api::EXIT_OK;
use tend_config::Severity as Weight;
use tend_rules::{Ground, Severity, check};

use super::{Read, files_of};
use crate::arguments::JsonOption;
use crate::commands::monitored::shown;
use crate::config_folder::{errors, show};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::{Tone, harmless};
use crate::stack_file::StackFileArguments;
use crate::target::StackOption;

/// How often rules are evaluated that say nothing else: Prometheus' default, in milliseconds.
const INTERVAL: i64 = 60_000;

/// Check files of rules
///
/// Reads files of rules as Prometheus does, and says of each rule what can never be true, what is divided by itself, which series cannot meet,
/// and what is compared with the wrong unit, with what was probably meant. Of a folder the rules of its stack file are checked. Needs no
/// daemon and changes nothing; whether metrics exist is not looked at, unless `--measured` has the rules of a stack that is up judged over what
/// it measures.
///
/// Example: tend rules check stacks/mps
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Files of rules, or folders of stack files
    #[arg(value_name = "FILE", default_value = ".")]
    files: Vec<PathBuf>,
    /// Judge the rules of a stack that is up, as they are in force, over what it measures
    #[arg(long, conflicts_with = "files")]
    measured: bool,
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

impl Check {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        if self.measured {
            return self.measured(context).await;
        }
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
            let findings = json!(findings);
            let text = json!({ "rules": rules, "unread": unread, "findings": findings });
            context.line(&text.to_string())?;
        } else {
            show(context, &read.found)?;
            let paint = context.paint();
            for finding in &findings {
                line(context, finding.severity.as_str(), &finding.to_string())?;
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

impl Check {
    /// Shows what the monitor says of the rules in force.
    async fn measured(self, context: &mut Context<'_>) -> Result<u8> {
        let answer = shown(context, &self.stack, "/tend/v1/check", &[]).await?;
        let findings = answer["findings"].as_array().map_or(&[][..], Vec::as_slice);
        let wrong = findings.iter().filter(|one| one["severity"] == "error").count();
        if self.json.json {
            context.line(&answer.to_string())?;
        } else {
            for finding in findings {
                let word = |key: &str| harmless(finding[key].as_str().unwrap_or_default());
                let mut text = format!(
                    "{}: {}:{}: rule `{}` of group `{}`: {}",
                    word("severity"),
                    word("file"),
                    finding["line"],
                    word("rule"),
                    word("group"),
                    word("what")
                );
                if finding["meant"].is_string() {
                    text = format!("{text}\n  probably meant: {}", word("meant"));
                }
                line(context, &word("severity"), &text)?;
            }
            if wrong == 0 {
                let rules = usize::try_from(answer["rules"].as_u64().unwrap_or(0)).unwrap_or(usize::MAX);
                let fine = context.paint().paint(Tone::Good, &text::measured(rules));
                context.line(&fine)?;
            }
        }
        match wrong {
            0 => Ok(EXIT_OK),
            wrong => Err(Error::Configuration(text::wrong(wrong))),
        }
    }
}

/// Shows a finding, whose text begins with how bad it is.
fn line(context: &mut Context<'_>, word: &str, text: &str) -> Result<()> {
    let tone = match word {
        "error" => Tone::Bad,
        "warning" => Tone::Uneasy,
        _ => Tone::Faint,
    };
    let rest = text.strip_prefix(word).unwrap_or(text);
    let painted = context.paint().paint(tone, word);
    context.line(&format!("{painted}{rest}"))
}

/// Returns a path as seen from a folder, where it is below it.
fn shorter(path: &Path, folder: &Path) -> PathBuf {
    path.strip_prefix(folder).unwrap_or(path).to_owned()
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
    pub(super) fn measured(rules: usize) -> String {
        format!("no error in {} over what is measured", counted(rules, "rule"))
    }
    pub(super) fn wrong(count: usize) -> String {
        format!("the rules have {}", counted(count, "error"))
    }
    pub(super) fn no_chapter(stack: &str) -> String {
        format!("{stack} has no chapter `alerts`, and so no rules")
    }
}
