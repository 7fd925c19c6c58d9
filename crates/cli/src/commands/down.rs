//! `tend down`: stops a stack and has it forgotten.

use clap::Args;

use crate::arguments::JsonOption;
use crate::commands::follow_to_the_end;
use crate::context::Context;
use crate::error::Result;
use crate::target::StackArgument;

/// Stop a stack and forget it
///
/// Stops all replicas of a stack, each as its service says, takes its routes from the edge and forgets it. Logs and journal stay.
#[derive(Debug, Args)]
pub(crate) struct Down {
    #[command(flatten)]
    stack: StackArgument,
    #[command(flatten)]
    json: JsonOption,
}

impl Down {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let stack = self.stack.name(context, &client).await?;
        let reader = client.remove(&stack).await?;
        let (summary, failure) = (text::down(stack.as_str()), text::not_down(stack.as_str()));
        follow_to_the_end(context, reader, self.json.json, &summary, &failure).await
    }
}

mod text {
    pub(super) fn down(stack: &str) -> String {
        format!("{stack} is down")
    }
    pub(super) fn not_down(stack: &str) -> String {
        format!("{stack} is not down")
    }
}
