//! `tend releases`: the releases of a stack that are kept, and how the attempts to run them ended.

use clap::Args;
use tend_api::messages::{ReleaseList, ReleaseRole};
use tend_api::{Call, EXIT_OK};

use crate::arguments::JsonOption;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Cell, Paint, Table, Tone};
use crate::target::StackArgument;
use crate::when::local_time;

/// List the releases of a stack
///
/// Lists the releases of a stack that are kept, the deployment under way, and how the last ones ended.
///
/// Example: tend releases mps
#[derive(Debug, Args)]
pub(crate) struct Releases {
    #[command(flatten)]
    stack: StackArgument,
    #[command(flatten)]
    json: JsonOption,
}

/// Attempts that are shown; all of them are in the journal.
const HISTORY: usize = 10;

impl Releases {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let stack = self.stack.name(context, &client).await?;
        let (list, text) = client.json_with_text::<ReleaseList>(&Call::Releases(stack)).await?;
        if self.json.json {
            context.line(&text)?;
            return Ok(EXIT_OK);
        }
        if list.releases.is_empty() {
            context.note(&text::none(list.stack.as_str()))?;
            return Ok(EXIT_OK);
        }
        for line in lines(context, &list) {
            context.line_later(&line)?;
        }
        Ok(EXIT_OK)
    }
}

fn lines(context: &Context<'_>, list: &ReleaseList) -> Vec<String> {
    let paint = context.paint();
    let zone = &context.surroundings.time_zone;
    let mut table = Table::new(&text::HEADINGS);
    for release in &list.releases {
        let tone = match release.role {
            ReleaseRole::Running => Tone::Good,
            ReleaseRole::Target => Tone::Uneasy,
            ReleaseRole::Back | ReleaseRole::Kept => Tone::Plain,
        };
        let mut notes = release.notes.clone();
        notes.extend(release.promoted_from.as_ref().map(|from| text::promoted(from)));
        table.row(vec![
            Cell::new(release.number.to_string()).right(),
            Cell::new(release.role.as_str()).tone(tone),
            Cell::new(&release.revision),
            Cell::new(local_time(release.made_at, zone)).tone(Tone::Faint),
            Cell::new(&release.made_by),
            Cell::new(notes.join("; ")),
        ]);
    }
    let mut lines = table.lines(paint);
    if let Some(deployment) = &list.deployment {
        lines.push(String::new());
        lines.push(under_way(deployment, paint));
    }
    if !list.history.is_empty() {
        lines.push(String::new());
        lines.push(paint.paint(Tone::Faint, text::LATELY));
        let mut table = Table::new(&text::ATTEMPTS);
        for attempt in list.history.iter().rev().take(HISTORY) {
            let tone = match attempt.result.as_str() {
                "committed" => Tone::Good,
                _ => Tone::Bad,
            };
            table.row(vec![
                Cell::new(attempt.number.to_string()).right(),
                Cell::new(&attempt.purpose),
                Cell::new(attempt.target.to_string()).right(),
                Cell::new(&attempt.result).tone(tone),
                Cell::new(local_time(attempt.ended, zone)).tone(Tone::Faint),
                Cell::new(crate::output::took(attempt.took_ms)).right(),
                Cell::new(&attempt.by),
                Cell::new(attempt.why.clone().unwrap_or_default()),
            ]);
        }
        lines.extend(table.lines(paint));
    }
    lines
}

/// Returns the deployment under way in one line.
pub(super) fn under_way(deployment: &tend_api::messages::DeploymentReport, paint: Paint) -> String {
    let mut line = format!(
        "{} {}",
        paint.paint(Tone::Uneasy, &text::deployment(deployment)),
        paint.paint(Tone::Faint, &text::by(deployment)),
    );
    if let Some(why) = &deployment.why {
        line.push_str(": ");
        line.push_str(why);
    }
    line
}

mod text {
    use tend_api::messages::DeploymentReport;

    pub(super) const HEADINGS: [&str; 6] = [">RELEASE", "IS", "REVISION", "MADE", "BY", "NOTE"];
    pub(super) const ATTEMPTS: [&str; 8] = [">DEPLOYMENT", "WHAT", ">RELEASE", "ENDED", "AT", ">TOOK", "BY", "WHY"];
    pub(super) const LATELY: &str = "Lately";

    pub(super) fn none(stack: &str) -> String {
        format!("{stack} has no release: it runs in place; `tend deploy` makes one")
    }
    pub(super) fn promoted(from: &str) -> String {
        format!("promoted from {from}")
    }
    pub(super) fn deployment(deployment: &DeploymentReport) -> String {
        format!(
            "{} {} to release {} is {}",
            deployment.purpose, deployment.number, deployment.target, deployment.phase
        )
    }
    pub(super) fn by(deployment: &DeploymentReport) -> String {
        match &deployment.reason {
            Some(reason) => format!("(by {}: {reason})", deployment.by),
            None => format!("(by {})", deployment.by),
        }
    }
}
