//! `tend check`: whether a stack file can be used, without a daemon.

use std::path::Path;

use clap::{Args, ValueEnum};
use tend_alert::read_config;
use tend_api::EXIT_OK;
use tend_config::Report;
use tend_core::model::{Alerts, Routing, Stack, Workload};

use super::rules::{Read, files_of, text_of};
use crate::config_folder::{errors, show};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::Tone;
use crate::stack_file::StackFileArguments;

/// Check a stack file
///
/// Checks a stack file and shows everything that is wrong with it at once, each at its place; the files of rules and the alertmanager.yml that it
/// names too. Needs no daemon, changes nothing.
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    file: StackFileArguments,
    /// Print the files merged into one: variables replaced, short forms written out
    #[arg(long, value_name = "FORMAT")]
    print: Option<Format>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// As YAML that reads back as the same stack
    Yaml,
    /// As JSON
    Json,
}

impl Check {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let loaded = self.file.load(context)?;
        match self.print {
            Some(Format::Yaml) => context.write(&loaded.document.to_yaml())?,
            Some(Format::Json) => {
                let json = serde_json::to_string_pretty(&loaded.document.to_json());
                context.line(&json.unwrap_or_default())?;
            }
            None => {
                if let Some(alerts) = &loaded.stack.alerts {
                    check_alerts(context, alerts)?;
                }
                let paint = context.paint();
                context.line(&paint.paint(Tone::Good, &text::fine(&loaded.stack)))?;
                for service in loaded.stack.containers() {
                    if let Workload::Container { image } = &service.workload {
                        let note = text::needs_engine(service.name.as_str(), image);
                        context.line(&format!("  {}", paint.paint(Tone::Uneasy, &note)))?;
                    }
                }
            }
        }
        Ok(EXIT_OK)
    }
}

/// Reads the files that the chapter `alerts` names.
fn check_alerts(context: &mut Context<'_>, alerts: &Alerts) -> Result<()> {
    let directory = context.surroundings.directory.clone();
    let shorter = |path: &Path| path.strip_prefix(&directory).unwrap_or(path).to_owned();
    let mut read = Read::default();
    for pattern in &alerts.rules {
        let files = files_of(pattern);
        if files.is_empty() {
            let paint = context.paint();
            let note = text::no_rules(&shorter(pattern));
            context.note(&paint.paint(Tone::Uneasy, &note))?;
        }
        for file in files {
            read.file(&file, &shorter(&file))?;
        }
    }
    if let Routing::File(path) = &alerts.routing {
        let shown = shorter(path);
        match read_config(&shown, &text_of(path, &shown)?) {
            Ok(config) => read.found.extend(config.warnings.0),
            Err(Report(found)) => read.found.extend(found),
        }
    }
    show(context, &read.found)?;
    match errors(&read.found) {
        0 => Ok(()),
        wrong => Err(Error::Configuration(text::wrong(wrong))),
    }
}

mod text {
    use std::path::Path;

    use super::Stack;

    pub(super) fn no_rules(pattern: &Path) -> String {
        format!("warning: no file of rules is called {}", pattern.display())
    }
    pub(super) fn wrong(count: usize) -> String {
        match count {
            1 => "the files that `alerts` names have 1 error".to_owned(),
            many => format!("the files that `alerts` names have {many} errors"),
        }
    }

    fn counted(count: usize, one: &str, many: &str) -> String {
        match count {
            1 => format!("1 {one}"),
            count => format!("{count} {many}"),
        }
    }
    pub(super) fn fine(stack: &Stack) -> String {
        format!(
            "{} is fine: {}, {}",
            stack.name,
            counted(stack.services.len(), "service", "services"),
            counted(stack.edge.routes.len(), "route", "routes"),
        )
    }
    pub(super) fn needs_engine(service: &str, image: &str) -> String {
        format!("{service} needs a container engine ({image}): it is reported and not started")
    }
}
