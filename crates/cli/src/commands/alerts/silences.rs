//! `tend alerts silences`: what is kept quiet, until when and why.

use clap::Args;
use tend_api::EXIT_OK;

use super::list::moment;
use crate::arguments::JsonOption;
use crate::commands::monitored::shown;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Cell, Table, harmless};
use crate::target::StackOption;
use crate::when::local_time;

/// List what is kept quiet
///
/// Lists what is kept quiet, or will be: until when, by whom and why. Those that are over are left out, unless all are asked for.
///
/// Example: tend alerts silences
#[derive(Debug, Args)]
pub(crate) struct Silences {
    /// Those that are over, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

const HEADINGS: [&str; 6] = ["ID", "STATE", "WHICH", "UNTIL", "BY", "REASON"];
const NONE: &str = "nothing is kept quiet";

impl Silences {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let mut silences = shown(context, &self.stack, "/api/v2/silences", &[]).await?;
        if let Some(list) = silences.as_array_mut().filter(|_| !self.all) {
            list.retain(|silence| silence["status"]["state"] != "expired");
        }
        if self.json.json {
            context.line(&silences.to_string())?;
            return Ok(EXIT_OK);
        }
        let list = silences.as_array().cloned().unwrap_or_default();
        if list.is_empty() {
            context.note(NONE)?;
            return Ok(EXIT_OK);
        }
        let zone = context.surroundings.time_zone.clone();
        let mut table = Table::new(&HEADINGS);
        for silence in &list {
            let text = |key: &str| harmless(silence[key].as_str().unwrap_or_default());
            let which: Vec<String> = (silence["matchers"].as_array().into_iter().flatten())
                .map(|matcher| {
                    let operator = match (matcher["isEqual"] != false, matcher["isRegex"] == true) {
                        (true, false) => "=",
                        (false, false) => "!=",
                        (true, true) => "=~",
                        (false, true) => "!~",
                    };
                    let name = matcher["name"].as_str().unwrap_or_default();
                    format!("{name}{operator}{}", matcher["value"])
                })
                .collect();
            let until = silence["endsAt"].as_str().and_then(moment);
            table.row(vec![
                Cell::new(text("id")),
                Cell::new(silence["status"]["state"].as_str().unwrap_or_default()),
                Cell::new(harmless(&which.join(" "))),
                Cell::new(until.map_or_else(String::new, |until| local_time(until, &zone))),
                Cell::new(text("createdBy")),
                Cell::new(text("comment")),
            ]);
        }
        for line in table.lines(context.paint()) {
            context.line_later(&line)?;
        }
        Ok(EXIT_OK)
    }
}
