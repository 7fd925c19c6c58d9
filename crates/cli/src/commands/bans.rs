//! `tend bans`: who is let in nowhere.

use clap::Args;
use tend_api::messages::BanList;
use tend_api::{Call, EXIT_OK};

use crate::arguments::JsonOption;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Cell, Table, Tone};
use crate::when::local_time;

/// List who is banned
///
/// Lists who is banned: since when, until when, by whom and why; and how often the running edge refused somebody for it.
///
/// Example: tend bans --json
#[derive(Debug, Args)]
pub(crate) struct Bans {
    #[command(flatten)]
    json: JsonOption,
}

const HEADINGS: [&str; 5] = ["ADDRESS", "SINCE", "UNTIL", "BY", "REASON"];
const NONE: &str = "nobody is banned";
const FOR_EVER: &str = "for ever";
const BEHIND: &str = "no edge enforces it so at the moment; `tend info` says how the edge is";

impl Bans {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let (list, text) = client.json_with_text::<BanList>(&Call::Bans).await?;
        if self.json.json {
            context.line(&text)?;
            return Ok(EXIT_OK);
        }
        if list.bans.is_empty() {
            context.note(NONE)?;
            return Ok(EXIT_OK);
        }
        let zone = context.surroundings.time_zone.clone();
        let mut table = Table::new(&HEADINGS);
        for ban in &list.bans {
            let mut why = ban.reason.clone().unwrap_or_default();
            if !ban.but.is_empty() {
                let hops: Vec<String> = ban.but.iter().map(ToString::to_string).collect();
                let but = format!("(but for {}: a trusted hop)", hops.join(", "));
                why = [why, but].join(" ").trim().to_owned();
            }
            table.row(vec![
                Cell::new(ban.address.to_string()),
                Cell::new(local_time(ban.since, &zone)).tone(Tone::Faint),
                Cell::new(
                    ban.until
                        .map_or_else(|| FOR_EVER.to_owned(), |until| local_time(until, &zone)),
                ),
                Cell::new(&ban.by),
                Cell::new(why),
            ]);
        }
        for line in table.lines(context.paint()) {
            context.line_later(&line)?;
        }
        if let Some(refused) = list.refused {
            context.line(&format!(
                "the running edge has refused {refused} connections and requests for a ban"
            ))?;
        }
        if !list.enforced {
            context.note(BEHIND)?;
        }
        Ok(EXIT_OK)
    }
}
