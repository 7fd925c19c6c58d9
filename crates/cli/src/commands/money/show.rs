//! `tend money show`: one idempotency key, with its answer.

use clap::Args;
use tend_api::messages::MoneyList;
use tend_api::{Call, EXIT_OK, MoneyQuery};

use crate::arguments::JsonOption;
use crate::context::Context;
use crate::error::Result;
use crate::output::harmless;
use crate::when::local_time;

/// Show what is known of one idempotency key
///
/// Shows what is known of one idempotency key: the request, what became of it, and the answer that is given again.
///
/// Example: tend money show 8e03978e40d5
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The key as the client wrote it, or its id
    #[arg(value_name = "KEY")]
    key: String,
    #[command(flatten)]
    json: JsonOption,
}

impl Show {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let query = MoneyQuery {
            key: Some(self.key),
            all: false,
        };
        let (list, text) = client.json_with_text::<MoneyList>(&Call::Money(query)).await?;
        if self.json.json {
            context.line(&text)?;
            return Ok(EXIT_OK);
        }
        let zone = context.surroundings.time_zone.clone();
        for key in &list.keys {
            let mut lines = vec![
                format!("{} is {}", key.id, key.state),
                format!("  key       {}", key.key),
                format!("  request   {} {} {}", key.service, key.method, key.path),
                format!("  id        {}", key.request_id),
                format!("  came      {}", local_time(key.begun_at, &zone)),
            ];
            lines.extend(key.why.iter().map(|why| format!("  why       {why}")));
            lines.extend(key.replica.iter().map(|replica| format!("  replica   {replica}")));
            lines.extend(key.status.map(|status| format!("  answer    {status}")));
            lines.extend(
                key.expires_at
                    .map(|at| format!("  kept till {}", local_time(at, &zone))),
            );
            lines.extend(key.body.iter().map(|body| format!("  {}", harmless(body))));
            for line in lines {
                context.line_later(&line)?;
            }
        }
        Ok(EXIT_OK)
    }
}
