//! `tend approve`: a person's word to a deployment that waits for one.

use clap::Args;
use tend_api::DecideWord;

use crate::commands::deployment::decide;
use crate::context::Context;
use crate::error::Result;
use crate::target::StackArgument;

/// Let a deployment go on that waits to be approved
///
/// Lets a deployment go on that waits to be approved, or that is held. Who and why is kept in the journal.
///
/// Example: tend approve mps --why 'seen on staging'
#[derive(Debug, Args)]
pub(crate) struct Approve {
    #[command(flatten)]
    stack: StackArgument,
    /// Why; kept in the journal
    #[arg(long, value_name = "TEXT")]
    why: String,
}

impl Approve {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let stack = self.stack.name(context, &client).await?;
        decide(context, &client, &stack, DecideWord::Approve, &self.why).await
    }
}
