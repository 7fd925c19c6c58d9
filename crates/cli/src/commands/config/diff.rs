//! `tend config diff`: two revisions compared, or two environments.

use std::path::PathBuf;

use clap::Args;
use tend_api::messages::ConfigDiff;
use tend_api::{ApiError, Call, Class, ConfigDiffQuery, EXIT_OK};

use super::{difference_line, tiers};
use crate::arguments::JsonOption;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::Tone;
use crate::target::StackOption;

/// Compare two revisions, or two environments
///
/// Compares two revisions by their numbers: without any, the one in force with the one before; with one, that one with the one in force.
///
/// With two names, compares two environments as the schema and the files of the folder have them (`tend config diff staging production`): no
/// daemon is asked, and what only a machine knows is left out: its variables, its `.env`, its table and its secrets.
///
/// Example: tend config diff staging production
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// A revision or an environment
    #[arg(value_name = "FROM")]
    from: Option<String>,
    /// Another
    #[arg(value_name = "TO")]
    to: Option<String>,
    /// Of environments: also the keys that both hold alike
    #[arg(long)]
    all: bool,
    /// Of environments: the folder of the stack file
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

impl Diff {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let number = |text: &Option<String>| text.as_ref().map(|text| text.parse::<u64>().ok());
        let (from, to) = match (number(&self.from), number(&self.to)) {
            (None, None) => (None, None),
            (Some(Some(from)), None) => (Some(from), None),
            (Some(Some(from)), Some(Some(to))) => (Some(from), Some(to)),
            (Some(None), None | Some(None)) => {
                let from = self.from.unwrap_or_default();
                return tiers::compare(context, &self.folder, &from, self.to.as_deref(), self.all, self.json);
            }
            _ => {
                let error = ApiError::new(Class::Usage, text::MIXED);
                return Err(Error::Role(error.hint(text::NEXT)));
            }
        };
        let client = context.client().await?;
        let stack = self.stack.before_it_is_up(context, &client).await?;
        let call = Call::ConfigDiff(ConfigDiffQuery { stack, from, to });
        let (diff, text) = client.json_with_text::<ConfigDiff>(&call).await?;
        if self.json.json {
            context.line(&text)?;
            return Ok(EXIT_OK);
        }
        show(context, &diff)?;
        Ok(EXIT_OK)
    }
}

fn show(context: &mut Context<'_>, diff: &ConfigDiff) -> Result<()> {
    let from = diff.from.as_ref().map(|from| from.number);
    let head = text::between(diff.stack.as_str(), from, diff.to.number, diff.changes.is_empty());
    let head = context.paint().paint(Tone::Faint, &head);
    context.line_later(&head)?;
    for difference in &diff.changes {
        let line = difference_line(context, difference);
        context.line_later(&line)?;
    }
    Ok(())
}

mod text {
    pub(super) const MIXED: &str = "a revision is not compared with an environment";
    pub(super) const NEXT: &str = "name two numbers (`tend config history`) or two environments";

    pub(super) fn between(stack: &str, from: Option<u64>, to: u64, same: bool) -> String {
        let which = match from {
            Some(from) => format!("{stack}: revision {from} → {to}"),
            None => format!("{stack}: nothing → revision {to}"),
        };
        if same {
            format!("{which}: no value is another one")
        } else {
            which
        }
    }
}
