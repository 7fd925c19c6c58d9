//! `tend edge`: what the edge says of itself. Started by the daemon it is the role.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use tend_api::Class;

use crate::context::Context;
use crate::error::Result;

mod metrics;

/// Ask the edge what it counts
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub(crate) struct Edge {
    #[command(subcommand)]
    command: Option<EdgeCommand>,
}

/// What the daemon sets for the edge it starts. A person who only types `tend edge` must not become one: it would take the place of
/// the edge that serves at its control socket.
const ROLE_VARIABLE: &str = "TEND_EDGE_HANDOVER";

#[derive(Debug, Subcommand)]
enum EdgeCommand {
    Metrics(metrics::Metrics),
}

const USAGE: &str = "say what of the edge: `tend edge metrics`; the edge itself is started by the daemon";

impl Edge {
    /// Returns whether this process is to be the edge.
    pub(crate) fn is_role(&self, environment: &BTreeMap<String, String>) -> bool {
        self.command.is_none() && environment.contains_key(ROLE_VARIABLE)
    }

    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        match self.command {
            Some(EdgeCommand::Metrics(metrics)) => metrics.run(context).await,
            None => {
                context.note(USAGE)?;
                Ok(Class::Usage.exit_code())
            }
        }
    }
}
