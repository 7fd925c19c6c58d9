//! `tend money spool`: callbacks that wait for their service, and those it refused; its command has a file of its own.

use clap::{Args, Subcommand};
use tend_api::messages::SpoolReport;
use tend_api::{Call, EXIT_OK};

use crate::arguments::JsonOption;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Cell, Table, Tone};
use crate::when::local_time;

mod drop;

/// Show callbacks that wait for their service
///
/// Shows the callbacks of providers that were taken in while their service was away, and wait to be delivered, by route; and those that
/// the service refused when they were, which are kept until they are dropped.
///
/// Example: tend money spool
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(super) struct Spool {
    #[command(subcommand)]
    command: Option<SpoolCommand>,
    #[command(flatten)]
    json: JsonOption,
}

#[derive(Debug, Subcommand)]
enum SpoolCommand {
    Drop(drop::Drop),
}

const HEADINGS: [&str; 6] = ["ROUTE", ">WAITING", "OLDEST", ">TRIES", ">REFUSED", "LAST"];
const REFUSED_HEADINGS: [&str; 5] = ["REFUSED", "ROUTE", "REQUEST", "CAME", "WHY"];
const NONE: &str = "no callback waits";

impl Spool {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        if let Some(SpoolCommand::Drop(drop)) = self.command {
            return drop.run(context).await;
        }
        let client = context.client().await?;
        let (report, text) = client.json_with_text::<SpoolReport>(&Call::Spool).await?;
        if self.json.json {
            context.line(&text)?;
            return Ok(EXIT_OK);
        }
        if report.routes.is_empty() {
            context.note(NONE)?;
            return Ok(EXIT_OK);
        }
        let mut table = Table::new(&HEADINGS);
        for route in &report.routes {
            let oldest = route
                .oldest_at
                .map(|at| local_time(at, &context.surroundings.time_zone));
            let tone = if route.refused > 0 { Tone::Bad } else { Tone::Plain };
            table.row(vec![
                Cell::new(&route.route),
                Cell::new(route.waiting.to_string()).right(),
                Cell::new(oldest.unwrap_or_default()).tone(Tone::Faint),
                Cell::new(route.tries.to_string()).right(),
                Cell::new(route.refused.to_string()).right().tone(tone),
                Cell::new(route.last.clone().unwrap_or_default()),
            ]);
        }
        for line in table.lines(context.paint()) {
            context.line_later(&line)?;
        }
        if report.refused.is_empty() {
            return Ok(EXIT_OK);
        }
        let mut table = Table::new(&REFUSED_HEADINGS);
        for one in &report.refused {
            table.row(vec![
                Cell::new(&one.id),
                Cell::new(&one.route),
                Cell::new(format!("{} {}", one.method, one.target)),
                Cell::new(local_time(one.received_at, &context.surroundings.time_zone)).tone(Tone::Faint),
                Cell::new(&one.why),
            ]);
        }
        context.line_later("")?;
        for line in table.lines(context.paint()) {
            context.line_later(&line)?;
        }
        Ok(EXIT_OK)
    }
}
