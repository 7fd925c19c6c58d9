//! What `tend maintenance`, `pause` and `resume` have in common: whose routes, and asking the daemon.

use tend_api::{Door, EXIT_OK};
use tend_core::door::DoorChange;
use tend_core::model::{ServiceName, StackName};

use crate::context::Context;
use crate::error::Result;
use crate::target::StackArgument;

/// Whose routes.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct DoorArgument {
    /// The stack (its name, folder or file), or STACK/SERVICE for the routes to one service; without it the stack whose file is in
    /// this folder, or the only one
    #[arg(value_name = "STACK[/SERVICE]")]
    target: Option<String>,
}

/// Reads `STACK/SERVICE`; anything else names a stack, also by a path.
fn service_of(text: &str) -> Option<(StackName, ServiceName)> {
    let (stack, service) = text.split_once('/')?;
    Some((stack.parse().ok()?, service.parse().ok()?))
}

impl DoorArgument {
    /// Asks for the change, which is answered once the edge serves it.
    pub(crate) async fn ask(&self, context: &mut Context<'_>, change: DoorChange) -> Result<u8> {
        let client = context.client().await?;
        let named = self.target.as_deref().and_then(service_of);
        let (stack, service) = match named {
            Some((stack, service)) => (stack, Some(service)),
            None => {
                let stack = StackArgument::of(self.target.clone());
                (stack.name(context, &client).await?, None)
            }
        };
        let accepted = client.door(Door { stack, service, change }).await?;
        context.line(&accepted.message)?;
        Ok(EXIT_OK)
    }
}
