//! `tend resume`: lets go on what `tend pause` made wait.

use clap::Args;
use tend_core::door::DoorChange;

use crate::commands::door::DoorArgument;
use crate::context::Context;
use crate::error::Result;

/// Let the requests go on that `tend pause` made wait
///
/// Lets the requests go on that `tend pause` made wait, in front of what is served then.
///
/// Example: tend resume mps/api
#[derive(Debug, Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    door: DoorArgument,
}

impl Resume {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        self.door.ask(context, DoorChange::Resume).await
    }
}
