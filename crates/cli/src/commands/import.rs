//! `tend import`: what other programs were told, turned into what tend is told; each program has a file of its own.

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::error::Result;

mod nginx;

/// Turn the configuration of another program into a part of a stack file
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Import {
    #[command(subcommand)]
    command: ImportCommand,
}

#[derive(Debug, Subcommand)]
enum ImportCommand {
    Nginx(nginx::Nginx),
}

impl Import {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<u8> {
        match self.command {
            ImportCommand::Nginx(command) => command.run(context),
        }
    }
}
