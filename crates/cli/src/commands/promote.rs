//! `tend promote`: runs in one stack what was built for another, such as staging's release in production.

use clap::Args;
use tend_api::Promote as Asked;
use tend_core::model::StackName;

use crate::arguments::JsonOption;
use crate::commands::deployment::{DeploymentOptions, follow_deployment};
use crate::context::Context;
use crate::error::Result;

/// Run in one stack the release that runs in another
///
/// Runs in one stack what was built for the running release of another: the same artifacts, by their hash, with the configuration of
/// the stack that is to run them. That stack's file has to allow it with `promote_from`.
///
/// Example: tend promote --from mps-staging --to mps
#[derive(Debug, Args)]
pub(crate) struct Promote {
    /// The stack whose running release is taken
    #[arg(long, value_name = "STACK")]
    from: StackName,
    /// The stack that is to run it
    #[arg(long, value_name = "STACK")]
    to: StackName,
    #[command(flatten)]
    options: DeploymentOptions,
    #[command(flatten)]
    json: JsonOption,
}

impl Promote {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let reader = client
            .promote(Asked {
                from: self.from,
                to: self.to.clone(),
                confirm_ms: self.options.confirm_ms(),
                reason: self.options.reason,
            })
            .await?;
        follow_deployment(context, reader, self.json.json, &self.to).await
    }
}
