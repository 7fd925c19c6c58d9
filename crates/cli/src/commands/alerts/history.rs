//! `tend alerts history`: what fired, for how long, and who heard of it.

use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tend_api::EXIT_OK;
use tend_base::format_duration;

use super::list::moment;
use super::show::{labels, who_was_told};
use crate::arguments::JsonOption;
use crate::commands::monitored::shown;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Cell, Table, Tone, harmless};
use crate::target::StackOption;
use crate::when::{When, local_time};

/// List what fired, for how long, and who was told
///
/// Lists what fired and what fires, the oldest first: since when, for how long, who said that he knows of it, and how many receivers were
/// told. `tend alerts show` says more of one. The last 2000 that are over are remembered.
///
/// Example: tend alerts history --since 7d --rule HighErrorRate
#[derive(Debug, Args)]
pub(crate) struct History {
    /// From when on: how long ago, such as 7d, or a time
    #[arg(long, value_name = "WHEN", default_value = "1d")]
    since: When,
    /// Alerts of this rule alone
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

const HEADINGS: [&str; 7] = ["ID", "ALERT", "SINCE", "FOR", "KNOWN BY", "TOLD", "LABELS"];
const NONE: &str = "nothing fired";

impl History {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let zone = context.surroundings.time_zone.clone();
        let from = self.since.resolve(context.now().wall, &zone).0.to_string();
        let mut pairs = vec![("from", from.as_str())];
        if let Some(rule) = &self.rule {
            pairs.push(("rule", rule));
        }
        let answer = shown(context, &self.stack, "/tend/v1/alerts/history", &pairs).await?;
        if self.json.json {
            context.line(&answer.to_string())?;
            return Ok(EXIT_OK);
        }
        let episodes = answer.as_array().cloned().unwrap_or_default();
        if episodes.is_empty() {
            context.note(NONE)?;
            return Ok(EXIT_OK);
        }
        let mut table = Table::new(&HEADINGS);
        for episode in &episodes {
            let text = |value: &Value| harmless(value.as_str().unwrap_or_default());
            let lasts = episode["state"] != "resolved";
            let since = episode["since"].as_str().and_then(moment);
            let lasted = format_duration(Duration::from_millis(episode["lasted_ms"].as_u64().unwrap_or(0)));
            let tone = if lasts { Tone::Bad } else { Tone::Plain };
            table.row(vec![
                Cell::new(text(&episode["id"])).tone(Tone::Faint),
                Cell::new(text(&episode["alert"])).tone(tone),
                Cell::new(since.map_or_else(String::new, |since| local_time(since, &zone))),
                Cell::new(if lasts { format!("{lasted}, and on") } else { lasted }),
                Cell::new(text(&episode["acknowledged"]["by"])),
                Cell::new(who_was_told(episode).join(", ")),
                Cell::new(labels(episode)),
            ]);
        }
        for line in table.lines(context.paint()) {
            context.line_later(&line)?;
        }
        Ok(EXIT_OK)
    }
}
