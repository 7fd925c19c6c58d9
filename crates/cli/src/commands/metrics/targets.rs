//! `tend metrics targets`: who is asked for metrics, and how that goes.

use clap::Args;
use tend_api::{EXIT_FOUND, EXIT_OK};

use crate::arguments::JsonOption;
use crate::commands::monitored::shown;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Cell, Table, Tone};
use crate::target::StackOption;

/// List who is asked for metrics, and how that goes
///
/// Lists who is asked for metrics, when last, and why it failed where it did. Exits with 13 when one of them is down.
///
/// Example: tend metrics targets
#[derive(Debug, Args)]
pub(crate) struct Targets {
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

const HEADINGS: [&str; 6] = ["JOB", "INSTANCE", "HEALTH", "EVERY", "TOOK", "ERROR"];
const NONE: &str = "nobody is asked; `metrics:` in a stack file says who is";

impl Targets {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let answer = shown(context, &self.stack, "/api/v1/targets", &[("state", "active")]).await?;
        let targets = answer["data"]["activeTargets"].as_array().cloned().unwrap_or_default();
        let down = targets.iter().any(|target| target["health"] == "down");
        let code = if down { EXIT_FOUND } else { EXIT_OK };
        if self.json.json {
            context.line(&answer["data"].to_string())?;
            return Ok(code);
        }
        if targets.is_empty() {
            context.note(NONE)?;
            return Ok(code);
        }
        let mut table = Table::new(&HEADINGS);
        for target in &targets {
            let text = |key: &str| target[key].as_str().unwrap_or_default().to_owned();
            let health = text("health");
            let tone = match health.as_str() {
                "up" => Tone::Good,
                "down" => Tone::Bad,
                _ => Tone::Faint,
            };
            let took = target["lastScrapeDuration"].as_f64().unwrap_or_default() * 1000.0;
            table.row(vec![
                Cell::new(target["labels"]["job"].as_str().unwrap_or_default()),
                Cell::new(target["labels"]["instance"].as_str().unwrap_or_default()),
                Cell::new(health).tone(tone),
                Cell::new(text("scrapeInterval")).right(),
                Cell::new(format!("{took:.0} ms")).right(),
                Cell::new(text("lastError")),
            ]);
        }
        for line in table.lines(context.paint()) {
            context.line_later(&line)?;
        }
        Ok(code)
    }
}
