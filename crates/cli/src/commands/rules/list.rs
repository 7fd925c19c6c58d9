//! `tend rules list`: the rules of a stack, and how they fare.

use clap::Args;
use tend_api::{EXIT_FOUND, EXIT_OK};

use crate::arguments::JsonOption;
use crate::commands::monitored::shown;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Cell, Table, Tone, harmless};
use crate::target::StackOption;

/// List the rules of a stack that is up, and how they fare
///
/// Lists the rules of a stack that is up: their state, whether they could be evaluated, and why not. Exits with 13 when one could not.
///
/// Example: tend rules list
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

const HEADINGS: [&str; 6] = ["GROUP", "RULE", "STATE", "HEALTH", "TOOK", "ERROR"];
const NONE: &str = "there are no rules; `alerts: rules:` in a stack file names their files";

impl List {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let answer = shown(context, &self.stack, "/api/v1/rules", &[]).await?;
        let groups = answer["data"]["groups"].as_array().cloned().unwrap_or_default();
        let rules = || {
            groups.iter().flat_map(|group| {
                let rules = group["rules"].as_array().into_iter().flatten();
                rules.map(|rule| (group["name"].as_str().unwrap_or_default(), rule))
            })
        };
        let code = if rules().any(|(_, rule)| rule["health"] == "err") {
            EXIT_FOUND
        } else {
            EXIT_OK
        };
        if self.json.json {
            context.line(&answer["data"].to_string())?;
            return Ok(code);
        }
        if rules().next().is_none() {
            context.note(NONE)?;
            return Ok(code);
        }
        let mut table = Table::new(&HEADINGS);
        for (group, rule) in rules() {
            let text = |key: &str| harmless(rule[key].as_str().unwrap_or_default());
            let state = match rule["type"].as_str() {
                Some("recording") => "records".to_owned(),
                _ => text("state"),
            };
            let tone = match state.as_str() {
                "firing" => Tone::Bad,
                "pending" => Tone::Uneasy,
                _ => Tone::Faint,
            };
            let took = rule["evaluationTime"].as_f64().unwrap_or_default() * 1000.0;
            table.row(vec![
                Cell::new(harmless(group)),
                Cell::new(text("name")),
                Cell::new(state).tone(tone),
                Cell::new(text("health")),
                Cell::new(format!("{took:.1} ms")).right(),
                Cell::new(text("lastError")),
            ]);
        }
        for line in table.lines(context.paint()) {
            context.line_later(&line)?;
        }
        Ok(code)
    }
}
