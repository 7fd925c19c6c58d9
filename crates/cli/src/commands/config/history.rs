//! `tend config history`: the revisions that are kept, with what each changed.

use clap::Args;
use tend_api::messages::{ConfigHistory, ConfigHistoryItem};
use tend_api::{Call, ConfigHistoryQuery, EXIT_OK};

use super::{difference_line, waiting_line};
use crate::arguments::JsonOption;
use crate::context::Context;
use crate::error::Result;
use crate::output::Tone;
use crate::target::StackOption;
use crate::when::local_time;

/// List the revisions: who changed what, and when
///
/// Lists the revisions that are kept, the newest first: when each was taken, who made it so (a person, a file, a row's author), and what it
/// changed. Secrets are masked. The last 100 are kept; the journal has all of them.
///
/// Example: tend config history --limit 5
#[derive(Debug, Args)]
pub(super) struct History {
    /// The newest so many
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u32>,
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

/// Changes of one revision that are shown; `tend config diff` shows all.
const SHOWN_MAX: usize = 12;

impl History {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let stack = self.stack.before_it_is_up(context, &client).await?;
        let call = Call::ConfigHistory(ConfigHistoryQuery {
            stack,
            limit: self.limit,
        });
        let (history, text) = client.json_with_text::<ConfigHistory>(&call).await?;
        if self.json.json {
            context.line(&text)?;
            return Ok(EXIT_OK);
        }
        if history.items.is_empty() {
            context.note(&text::none(history.stack.as_str()))?;
            return Ok(EXIT_OK);
        }
        for item in &history.items {
            show(context, item)?;
        }
        Ok(EXIT_OK)
    }
}

fn show(context: &mut Context<'_>, item: &ConfigHistoryItem) -> Result<()> {
    let paint = context.paint();
    let revision = &item.revision;
    let at = local_time(revision.taken_at, &context.surroundings.time_zone);
    let at = at.split('.').next().unwrap_or_default();
    let mut head = format!(
        "{}  {}  {}",
        paint.paint(Tone::Strong, &text::revision(revision.number)),
        paint.paint(Tone::Faint, at),
        revision.taken_by
    );
    if let Some(number) = revision.back_to {
        head.push_str(&format!("  {}", paint.paint(Tone::Uneasy, &text::back(number))));
    }
    if revision.in_force {
        head.push_str(&format!("  {}", paint.paint(Tone::Good, text::IN_FORCE)));
    }
    context.line_later(&head)?;
    if let Some(line) = waiting_line(context, revision) {
        context.line_later(&format!("  {}", paint.paint(Tone::Uneasy, &line)))?;
    }
    // The first one is everything there is.
    let is_first = revision.number == 1;
    let count = if is_first && item.changes.len() > SHOWN_MAX {
        0
    } else {
        SHOWN_MAX
    };
    for difference in item.changes.iter().take(count) {
        let line = difference_line(context, difference);
        context.line_later(&format!("  {line}"))?;
    }
    let rest = item.changes.len().saturating_sub(count);
    if rest > 0 {
        let line = text::rest(rest, count == 0, revision.number);
        context.line_later(&format!("  {}", paint.paint(Tone::Faint, &line)))?;
    }
    if item.changes.is_empty() {
        context.line_later(&format!("  {}", paint.paint(Tone::Faint, text::NOTHING)))?;
    }
    Ok(())
}

mod text {
    pub(super) const IN_FORCE: &str = "in force";
    pub(super) const NOTHING: &str = "no value is another one";

    pub(super) fn revision(number: u64) -> String {
        format!("revision {number}")
    }
    pub(super) fn back(number: u64) -> String {
        format!("back to {number}")
    }
    pub(super) fn rest(count: usize, all: bool, number: u64) -> String {
        match all {
            true => format!("{count} keys: `tend config diff {number}` shows what changed since"),
            false => format!(
                "and {count} more: `tend config diff {} {number}`",
                number.saturating_sub(1)
            ),
        }
    }
    pub(super) fn none(stack: &str) -> String {
        format!("no revision of {stack} was taken yet")
    }
}
