//! `tend cert`: what is about certificates; each of its commands has a file of its own.

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::error::Result;

mod list;
mod renew;

/// List and renew the certificates that clients are shown
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Cert {
    #[command(subcommand)]
    command: CertCommand,
}

#[derive(Debug, Subcommand)]
enum CertCommand {
    List(list::List),
    Renew(renew::Renew),
}

impl Cert {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        match self.command {
            CertCommand::List(list) => list.run(context).await,
            CertCommand::Renew(renew) => renew.run(context).await,
        }
    }
}
