//! `tend ls`: the stacks of this daemon, one line each.

use clap::Args;
use tend_api::messages::StackList;
use tend_api::{Call, EXIT_OK};

use crate::arguments::JsonOption;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Cell, Table, Tone};

/// List the stacks
///
/// Lists the stacks of this daemon.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    json: JsonOption,
}

impl Ls {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let (list, text) = client.json_with_text::<StackList>(&Call::Stacks).await?;
        if self.json.json {
            context.line(&text)?;
            return Ok(EXIT_OK);
        }
        if list.stacks.is_empty() {
            context.note(text::NONE)?;
            return Ok(EXIT_OK);
        }
        let mut table = Table::new(&text::HEADINGS);
        for stack in &list.stacks {
            table.row(vec![
                Cell::new(stack.name.as_str()).tone(Tone::Strong),
                Cell::new(stack.state.as_str()).tone(stack.state),
                Cell::new(stack.services.to_string()).right(),
                Cell::new(format!("{}/{}", stack.ready_replicas, stack.wanted_replicas)).right(),
                Cell::new(stack.urls.join(" ")),
                Cell::new(stack.file.display().to_string()).tone(Tone::Faint),
            ]);
        }
        for line in table.lines(context.paint()) {
            context.line_later(&line)?;
        }
        Ok(EXIT_OK)
    }
}

mod text {
    pub(super) const HEADINGS: [&str; 6] = ["STACK", "STATE", ">SERVICES", ">READY", "REACH", "FILE"];
    pub(super) const NONE: &str = "no stack is up; `tend up` in the folder of a stack file brings it up";
}
