//! `tend money list`: the idempotency keys in doubt, or the latest.

use clap::Args;
use tend_api::messages::MoneyList;
use tend_api::{Call, EXIT_OK, MoneyQuery};

use crate::arguments::JsonOption;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Cell, Table, Tone};
use crate::when::local_time;

/// List requests whose outcome is not known
///
/// Lists the requests whose outcome is not known: they were sent, and the answer was lost. Each waits for `tend money resolve`.
///
/// Example: tend money list
#[derive(Debug, Args)]
pub(super) struct List {
    /// The latest keys, and not only those in doubt
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    json: JsonOption,
}

const HEADINGS: [&str; 6] = ["ID", "STATE", "CAME", "REQUEST", "KEY", "WHY"];
const NONE: &str = "nothing is in doubt";
const NONE_AT_ALL: &str = "no idempotency key is kept";

impl List {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let query = MoneyQuery {
            key: None,
            all: self.all,
        };
        let (list, text) = client.json_with_text::<MoneyList>(&Call::Money(query)).await?;
        if self.json.json {
            context.line(&text)?;
            return Ok(EXIT_OK);
        }
        if list.keys.is_empty() {
            context.note(if self.all { NONE_AT_ALL } else { NONE })?;
            return Ok(EXIT_OK);
        }
        let mut table = Table::new(&HEADINGS);
        for key in &list.keys {
            let tone = if key.why.is_some() { Tone::Bad } else { Tone::Plain };
            let status = key.status.map(|status| status.to_string());
            table.row(vec![
                Cell::new(&key.id),
                Cell::new(&key.state).tone(tone),
                Cell::new(local_time(key.begun_at, &context.surroundings.time_zone)).tone(Tone::Faint),
                Cell::new(format!("{} {} {}", key.service, key.method, key.path)),
                Cell::new(&key.key),
                Cell::new(key.why.clone().or(status).unwrap_or_default()),
            ]);
        }
        for line in table.lines(context.paint()) {
            context.line_later(&line)?;
        }
        Ok(EXIT_OK)
    }
}
