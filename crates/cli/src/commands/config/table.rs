//! `tend config table`: the table of a database that is a layer of the configuration.

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::error::Result;

mod install;

/// Make the table of a database that configuration is read from
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(super) struct TableCommand {
    #[command(subcommand)]
    command: OfTable,
}

#[derive(Debug, Subcommand)]
enum OfTable {
    Install(install::Install),
}

impl TableCommand {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<u8> {
        match self.command {
            OfTable::Install(command) => command.run(context),
        }
    }
}
