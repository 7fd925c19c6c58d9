//! `tend confirm`: says that a deployment is good, so that it is not undone by itself.

use clap::Args;
use tend_api::DecideWord;

use crate::commands::deployment::decide;
use crate::context::Context;
use crate::error::Result;
use crate::target::StackArgument;

/// Say that a deployment is good, so that it is not undone by itself
///
/// Says that a deployment is good that was begun with `--confirm`, so that it is not undone when its time is over.
///
/// Example: tend confirm mps
#[derive(Debug, Args)]
pub(crate) struct Confirm {
    #[command(flatten)]
    stack: StackArgument,
    /// Why; kept in the journal
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
}

impl Confirm {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let stack = self.stack.name(context, &client).await?;
        decide(context, &client, &stack, DecideWord::Confirm, &self.why).await
    }
}
