//! `tend up`: brings a stack to what its file asks for, and ends when that was seen.

use clap::Args;
use tend_api::Apply;

use crate::arguments::JsonOption;
use crate::commands::follow_to_the_end;
use crate::context::Context;
use crate::error::Result;
use crate::stack_file::{StackFileArguments, store_secrets};

/// Bring a stack up, or to what its file says now
///
/// Brings a stack up, or to what its file says now.
///
/// Starts the daemon when there is none. Ends when each routed service answered through the edge, each other one passed its readiness,
/// and one without a probe stayed up for its start period; otherwise says why not, with the last lines of output.
///
/// A stack that runs a release is brought up as that release; where the file says something else by now, that is for `tend deploy`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    file: StackFileArguments,
    /// Do not wait until it is seen to be up
    #[arg(long)]
    no_wait: bool,
    /// Leave the releases: run what the file says in its own folder
    #[arg(long)]
    in_place: bool,
    #[command(flatten)]
    json: JsonOption,
}

impl Up {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let loaded = self.file.load(context)?;
        let client = context.client_of_a_started_daemon().await?;
        store_secrets(&client, &loaded).await?;
        let stack = loaded.stack;
        let name = stack.name.clone();
        let reader = client
            .apply(Apply {
                stack,
                wait: !self.no_wait,
                in_place: self.in_place,
            })
            .await?;
        let summary = if self.no_wait {
            text::accepted(name.as_str())
        } else {
            text::up(name.as_str())
        };
        let failure = text::not_up(name.as_str());
        follow_to_the_end(context, reader, self.json.json, &summary, &failure).await
    }
}

mod text {
    pub(super) fn up(stack: &str) -> String {
        format!("{stack} is up")
    }
    pub(super) fn accepted(stack: &str) -> String {
        format!("{stack} is on its way; `tend status` tells how far it is")
    }
    pub(super) fn not_up(stack: &str) -> String {
        format!("{stack} is not up")
    }
}
