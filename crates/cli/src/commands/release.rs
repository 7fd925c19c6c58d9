//! `tend release`: what is about one release; each of its commands has a file of its own.

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::error::Result;

mod show;

/// Show one release of a stack
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Release {
    #[command(subcommand)]
    command: ReleaseCommand,
}

#[derive(Debug, Subcommand)]
enum ReleaseCommand {
    Show(show::Show),
}

impl Release {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        match self.command {
            ReleaseCommand::Show(show) => show.run(context).await,
        }
    }
}
