//! `tend money`: requests whose outcome is not known, and callbacks that wait; each of its commands has a file of its own.

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::error::Result;

mod list;
mod resolve;
mod show;
mod spool;

/// Show and settle requests that move money
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Money {
    #[command(subcommand)]
    command: MoneyCommand,
}

#[derive(Debug, Subcommand)]
enum MoneyCommand {
    List(list::List),
    Show(show::Show),
    Resolve(resolve::Resolve),
    Spool(spool::Spool),
}

impl Money {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        match self.command {
            MoneyCommand::List(list) => list.run(context).await,
            MoneyCommand::Show(show) => show.run(context).await,
            MoneyCommand::Resolve(resolve) => resolve.run(context).await,
            MoneyCommand::Spool(spool) => spool.run(context).await,
        }
    }
}
