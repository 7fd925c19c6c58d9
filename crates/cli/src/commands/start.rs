//! `tend start`: asks the daemon to start a stack, a service or a replica, and follows it to its end.

use clap::Args;

use crate::arguments::JsonOption;
use crate::commands::follow_to_the_end;
use crate::context::Context;
use crate::error::Result;
use crate::target::{Named, StackOption};

/// Start what was stopped
///
/// Starts what was stopped.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// SERVICE, SERVICE/SLOT, STACK/SERVICE or STACK/SERVICE/SLOT; the whole stack when left out
    #[arg(value_name = "TARGET")]
    target: Option<Named>,
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

impl Start {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let target = self.stack.target(context, &client, self.target.as_ref()).await?;
        let (summary, failure) = (text::done(&target), text::not_done(&target));
        let reader = client.start(target).await?;
        follow_to_the_end(context, reader, self.json.json, &summary, &failure).await
    }
}

mod text {
    use tend_api::Target;

    pub(super) fn done(target: &Target) -> String {
        format!("{target} is started")
    }
    pub(super) fn not_done(target: &Target) -> String {
        format!("{target} is not started")
    }
}
