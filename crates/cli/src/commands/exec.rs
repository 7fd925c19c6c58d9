//! `tend exec`: a command beside a replica, with all that the replica has: its port, its limits.

use std::ffi::OsString;

use clap::Args;
use tend_api::{EnvironmentQuery, Purpose};

use crate::commands::attached;
use crate::context::Context;
use crate::error::Result;
use crate::target::{Named, StackOption};

/// Run a command in a replica's environment
///
/// Runs a command in the environment, folder, user and limits of a replica, attached to this terminal.
///
/// Exits as the command does; 128 and the signal's number when a signal ended it.
#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// SERVICE/SLOT or STACK/SERVICE/SLOT; the first replica when the slot is left out
    #[arg(value_name = "TARGET")]
    target: Named,
    #[command(flatten)]
    stack: StackOption,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Exec {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let mut target = self.stack.target(context, &client, Some(&self.target)).await?;
        target.slot.get_or_insert(1);
        let query = EnvironmentQuery {
            target,
            purpose: Purpose::Exec,
            program: self.command[0].to_string_lossy().into_owned(),
        };
        attached::run(context, &client, query, self.command).await
    }
}
