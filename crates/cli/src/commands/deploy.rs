//! `tend deploy`: makes a release of what the file says and runs it, and ends when that was seen.

use clap::Args;
use tend_api::{DecideWord, Deploy as Asked};

use crate::arguments::JsonOption;
use crate::commands::deployment::{DeploymentOptions, decide, follow_deployment};
use crate::commands::plan;
use crate::context::Context;
use crate::error::Result;
use crate::stack_file::{StackFileArguments, store_secrets};

/// Run a new release of a stack, and go back by itself when it fails
///
/// Builds a release of what the stack file says and runs it in the place of the one that runs, with the way back open.
///
/// Ends when every proof was seen: each new replica attested what it runs, answered its readiness and the smoke questions through the
/// edge, and no replica of the release before is left. Otherwise the release before serves on, and the exit code tells: 10 refused and
/// nothing changed, 11 failed and undone, 12 held for a person to decide; any other but 0: it was not begun. Leaving with Ctrl-C ends
/// the telling, not the deployment.
///
/// Example: tend deploy --confirm 10m --reason 'less latency'
#[derive(Debug, Args)]
pub(crate) struct Deploy {
    #[command(flatten)]
    file: StackFileArguments,
    #[command(flatten)]
    options: DeploymentOptions,
    /// The git revision to build from, instead of what is checked out
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,
    /// Build although the checkout has changes that are in no revision
    #[arg(long, conflicts_with = "revision")]
    allow_dirty: bool,
    /// Show the steps it would take, each with its undo, and change nothing
    #[arg(long)]
    plan: bool,
    /// Follow the deployment that is under way
    #[arg(long, conflicts_with_all = ["plan", "confirm", "revision", "allow_dirty"])]
    follow: bool,
    /// End the deployment that is under way and undo what it changed
    #[arg(long, conflicts_with_all = ["plan", "follow", "confirm", "revision", "allow_dirty"])]
    abort: bool,
    #[command(flatten)]
    json: JsonOption,
}

impl Deploy {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        if self.abort || self.follow {
            let client = context.client().await?;
            let stack = self.file.named().name(context, &client).await?;
            if self.abort {
                let why = self.options.reason.clone().unwrap_or_default();
                return decide(context, &client, &stack, DecideWord::Abort, &why).await;
            }
            let reader = client.follow_deployment(&stack).await?;
            return follow_deployment(context, reader, self.json.json, &stack).await;
        }
        let loaded = self.file.load(context)?;
        if self.plan {
            return plan::show(context, loaded.stack, true, self.json).await;
        }
        let client = context.client().await?;
        store_secrets(&client, &loaded).await?;
        let stack = loaded.stack;
        let name = stack.name.clone();
        let reader = client
            .deploy(Asked {
                stack: Box::new(stack),
                allow_dirty: self.allow_dirty,
                revision: self.revision,
                confirm_ms: self.options.confirm_ms(),
                reason: self.options.reason,
            })
            .await?;
        follow_deployment(context, reader, self.json.json, &name).await
    }
}
