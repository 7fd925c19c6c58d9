//! `tend money spool`: callbacks that wait for their service.

use clap::Args;
use tend_api::messages::SpoolReport;
use tend_api::{Call, EXIT_OK};

use crate::arguments::JsonOption;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Cell, Table, Tone};
use crate::when::local_time;

/// Show callbacks that wait for their service
///
/// Shows the callbacks of providers that were taken in while their service was away, and wait to be delivered, by route.
///
/// Example: tend money spool
#[derive(Debug, Args)]
pub(super) struct Spool {
    #[command(flatten)]
    json: JsonOption,
}

const HEADINGS: [&str; 6] = ["ROUTE", ">WAITING", "OLDEST", ">TRIES", ">REFUSED", "LAST"];
const NONE: &str = "no callback waits";

impl Spool {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
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
        Ok(EXIT_OK)
    }
}
