//! `tend maintenance`: closes the routes of a stack or service for a while, and opens them.

use clap::{Args, Subcommand};
use tend_core::door::{DoorChange, Maintenance as Closed};
use tend_core::model::Prefix;

use crate::commands::door::DoorArgument;
use crate::context::Context;
use crate::error::Result;
use crate::when::When;

/// Close the routes of a stack or service for a while
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Maintenance {
    #[command(subcommand)]
    command: MaintenanceCommand,
}

#[derive(Debug, Subcommand)]
enum MaintenanceCommand {
    On(On),
    Off(Off),
}

/// Show clients a page that says so, with 503 and Retry-After
///
/// Shows clients a page that says so, with 503 and Retry-After. Health paths and allowed addresses are served; callbacks are kept where
/// the route says so. It outlives `tend up` and deploys, and ends with `tend maintenance off`, not by itself.
///
/// Example: tend maintenance on mps --until 30m --message 'We move to new disks.' --allow 10.0.0.0/8
#[derive(Debug, Args)]
struct On {
    #[command(flatten)]
    door: DoorArgument,
    /// When it is expected to end: a duration such as 30m, or a time; clients are told to come back then
    #[arg(long, value_name = "WHEN")]
    until: Option<When>,
    /// What clients are told
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// Clients of these addresses are served, such as 10.0.0.0/8; may be given several times
    #[arg(long, value_name = "PREFIX")]
    allow: Vec<Prefix>,
}

/// Open them again
///
/// Opens them again. What was closed service by service is opened too when the whole stack is.
///
/// Example: tend maintenance off mps
#[derive(Debug, Args)]
struct Off {
    #[command(flatten)]
    door: DoorArgument,
}

impl Maintenance {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        match self.command {
            MaintenanceCommand::On(on) => {
                let zone = context.surroundings.time_zone.clone();
                let now = context.now().wall;
                let closed = Closed {
                    until: on.until.map(|when| when.ahead(now, &zone)),
                    message: on.message,
                    allow: on.allow,
                };
                on.door.ask(context, DoorChange::Close(closed)).await
            }
            MaintenanceCommand::Off(off) => off.door.ask(context, DoorChange::Open).await,
        }
    }
}
