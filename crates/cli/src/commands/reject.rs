//! `tend reject`: a person's word to a deployment that waits for one.

use clap::Args;
use tend_api::DecideWord;

use crate::commands::deployment::decide;
use crate::context::Context;
use crate::error::Result;
use crate::target::StackArgument;

/// End a deployment that waits to be approved
///
/// Ends a deployment that waits to be approved; nothing was changed by it. Who and why is kept in the journal.
///
/// Example: tend reject mps --why 'not on a Friday'
#[derive(Debug, Args)]
pub(crate) struct Reject {
    #[command(flatten)]
    stack: StackArgument,
    /// Why; kept in the journal
    #[arg(long, value_name = "TEXT")]
    why: String,
}

impl Reject {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let stack = self.stack.name(context, &client).await?;
        decide(context, &client, &stack, DecideWord::Reject, &self.why).await
    }
}
