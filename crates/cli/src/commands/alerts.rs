//! `tend alerts`: what fires, and what people say about it; each of its commands has a file of its own.

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::error::Result;

pub(super) use list::moment;

mod acknowledge;
mod assign;
mod fire_test;
mod history;
mod list;
mod show;
mod silence;
mod silences;
mod unsilence;

/// See what fires, say who takes care of it, keep it quiet, test the way
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Alerts {
    #[command(subcommand)]
    command: AlertsCommand,
}

#[derive(Debug, Subcommand)]
enum AlertsCommand {
    List(list::List),
    Show(show::Show),
    History(history::History),
    #[command(visible_alias = "ack")]
    Acknowledge(acknowledge::Acknowledge),
    Assign(assign::Assign),
    FireTest(fire_test::FireTest),
    Silence(silence::Silence),
    Silences(silences::Silences),
    Unsilence(unsilence::Unsilence),
}

impl Alerts {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        match self.command {
            AlertsCommand::List(list) => list.run(context).await,
            AlertsCommand::Show(show) => show.run(context).await,
            AlertsCommand::History(history) => history.run(context).await,
            AlertsCommand::Acknowledge(acknowledge) => acknowledge.run(context).await,
            AlertsCommand::Assign(assign) => assign.run(context).await,
            AlertsCommand::FireTest(test) => test.run(context).await,
            AlertsCommand::Silence(silence) => silence.run(context).await,
            AlertsCommand::Silences(silences) => silences.run(context).await,
            AlertsCommand::Unsilence(unsilence) => unsilence.run(context).await,
        }
    }
}
