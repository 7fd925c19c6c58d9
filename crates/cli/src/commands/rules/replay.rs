//! `tend rules replay`: when rules would have fired.

use clap::Args;
use tend_api::EXIT_OK;
use tend_base::format_duration;

use crate::arguments::JsonOption;
use crate::commands::alerts::moment;
use crate::commands::monitored::shown;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Cell, Table, harmless};
use crate::target::StackOption;
use crate::when::{When, local_time};

/// Say when rules would have fired, over what is stored
///
/// Runs the alerting rules of a stack that is up over what is stored, and says when each would have fired, for how long, and how far it went.
///
/// Example: tend rules replay HighErrorRate --since 7d
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The name of a rule; without it all of them
    #[arg(value_name = "RULE")]
    rule: Option<String>,
    /// From when on: how long ago, such as 7d, or a time
    #[arg(long, value_name = "WHEN", default_value = "1d")]
    since: When,
    /// Until when; now without it
    #[arg(long, value_name = "WHEN")]
    until: Option<When>,
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

const HEADINGS: [&str; 5] = ["RULE", "FIRED", "FOR", "PEAK", "LABELS"];
const NEVER: &str = "none of them would have fired";

impl Replay {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let zone = context.surroundings.time_zone.clone();
        let now = context.now().wall;
        let from = self.since.resolve(now, &zone).0.to_string();
        let to = self.until.map_or(now, |until| until.resolve(now, &zone)).0.to_string();
        let mut pairs = vec![("from", from.as_str()), ("to", to.as_str())];
        if let Some(rule) = &self.rule {
            pairs.push(("rule", rule));
        }
        let answer = shown(context, &self.stack, "/tend/v1/replay", &pairs).await?;
        if self.json.json {
            context.line(&answer.to_string())?;
            return Ok(EXIT_OK);
        }
        let mut table = Table::new(&HEADINGS);
        let mut fired = false;
        for rule in answer.as_array().into_iter().flatten() {
            let name = harmless(rule["rule"].as_str().unwrap_or_default());
            if let Some(error) = rule["error"].as_str().or(rule["first_error"].as_str()) {
                context.note(&format!("{name}: {error}"))?;
            }
            for episode in rule["episodes"].as_array().into_iter().flatten() {
                fired = true;
                let at = episode["fired_at"].as_str().and_then(moment);
                let lasted = std::time::Duration::from_millis(episode["fired_for_ms"].as_u64().unwrap_or(0));
                let labels: Vec<String> = (episode["labels"].as_object().into_iter().flatten())
                    .filter(|(label, _)| *label != "alertname")
                    .map(|(label, value)| format!("{label}={}", value.as_str().unwrap_or_default()))
                    .collect();
                table.row(vec![
                    Cell::new(&name),
                    Cell::new(at.map_or_else(String::new, |at| local_time(at, &zone))),
                    Cell::new(format_duration(lasted)).right(),
                    Cell::new(episode["peak"].as_str().unwrap_or_default()).right(),
                    Cell::new(harmless(&labels.join(" "))),
                ]);
            }
        }
        if !fired {
            context.note(NEVER)?;
            return Ok(EXIT_OK);
        }
        for line in table.lines(context.paint()) {
            context.line_later(&line)?;
        }
        Ok(EXIT_OK)
    }
}
