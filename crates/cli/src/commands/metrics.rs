//! `tend metrics`: what is measured; each of its commands has a file of its own.

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::error::Result;

mod query;
mod targets;

/// Ask for what is measured
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Metrics {
    #[command(subcommand)]
    command: MetricsCommand,
}

#[derive(Debug, Subcommand)]
enum MetricsCommand {
    Query(query::Query),
    Targets(targets::Targets),
}

impl Metrics {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        match self.command {
            MetricsCommand::Query(query) => query.run(context).await,
            MetricsCommand::Targets(targets) => targets.run(context).await,
        }
    }
}
