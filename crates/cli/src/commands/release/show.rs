//! `tend release show`: what exactly one release is.

use clap::Args;
use tend_api::messages::ReleaseReport;
use tend_api::{Call, EXIT_OK, ReleaseQuery};

use crate::arguments::JsonOption;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Tone, harmless};
use crate::target::StackArgument;
use crate::when::local_time;

/// Show one release: what it was built from, its migrations, its services
///
/// Shows one release: what it was built from, its migrations, and how its services are defined. Values of their environment are not
/// shown.
///
/// Example: tend release show mps 12
#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct Show {
    #[command(flatten)]
    stack: StackArgument,
    /// Its number
    #[arg(value_name = "RELEASE")]
    number: u64,
    #[command(flatten)]
    json: JsonOption,
}

impl Show {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let stack = self.stack.name(context, &client).await?;
        let call = Call::Release(ReleaseQuery {
            stack,
            number: self.number,
        });
        let (report, text) = client.json_with_text::<ReleaseReport>(&call).await?;
        if self.json.json {
            context.line(&text)?;
            return Ok(EXIT_OK);
        }
        for line in lines(context, &report) {
            context.line_later(&line)?;
        }
        Ok(EXIT_OK)
    }
}

fn lines(context: &Context<'_>, report: &ReleaseReport) -> Vec<String> {
    let paint = context.paint();
    let summary = &report.summary;
    let mut lines = vec![format!(
        "{}   {}",
        paint.paint(Tone::Strong, &text::title(report.stack.as_str(), summary.number)),
        summary.role.as_str(),
    )];
    let at = local_time(summary.made_at, &context.surroundings.time_zone);
    let mut facts = vec![(text::MADE, format!("{at} by {}", summary.made_by))];
    facts.extend(summary.promoted_from.clone().map(|from| (text::PROMOTED, from)));
    facts.push((text::CONFIGURATION, report.configuration.clone()));
    for (service, definition) in &report.services {
        let from = match report.artifacts.get(service) {
            Some(artifact) => {
                let revision = artifact.revision.as_deref().map(text::from);
                format!(
                    "{}{}\n{}",
                    artifact.digest,
                    revision.unwrap_or_default(),
                    artifact.path.display()
                )
            }
            None => match &definition.directory {
                Some(directory) => text::in_place(&directory.display().to_string()),
                None => text::CONTAINER.to_owned(),
            },
        };
        facts.push((service.as_str(), format!("{}\n{from}", definition.command.join(" "))));
    }
    for (name, version) in &report.secrets {
        facts.push((text::SECRET, text::version(name, *version)));
    }
    for migration in &report.migrations {
        facts.push((text::MIGRATION, format!("{} ({})", migration.name, migration.class)));
    }
    facts.extend(summary.notes.iter().map(|note| (text::NOTE, note.clone())));
    for (label, value) in facts {
        let mut label = label;
        for line in value.lines() {
            let label_cell = paint.paint(Tone::Faint, &format!("{label:<16}"));
            lines.push(format!("{label_cell}{}", harmless(line)));
            label = "";
        }
    }
    lines
}

mod text {
    pub(super) const MADE: &str = "made";
    pub(super) const PROMOTED: &str = "promoted from";
    pub(super) const CONFIGURATION: &str = "configuration";
    pub(super) const SECRET: &str = "secret";
    pub(super) const MIGRATION: &str = "migration";
    pub(super) const NOTE: &str = "note";
    pub(super) const CONTAINER: &str = "a container: no engine is driven yet";

    pub(super) fn title(stack: &str, number: u64) -> String {
        format!("release {number} of {stack}")
    }
    pub(super) fn from(revision: &str) -> String {
        format!(" from {revision}")
    }
    pub(super) fn in_place(directory: &str) -> String {
        format!("run in place in {directory}")
    }
    pub(super) fn version(name: &str, version: u64) -> String {
        format!("{name}, version {version}")
    }
}
