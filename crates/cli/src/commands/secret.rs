//! `tend secret`: passwords and keys of a stack, kept encrypted; each of its commands has a file of its own.

use clap::{Args, Subcommand};
use tend_api::messages::SecretChanged;
use tend_api::{ChangeSecrets, EXIT_OK, SecretChange, SecretNotes};
use tend_core::model::is_secret_name;

use crate::context::Context;
use crate::error::Result;
use crate::output::harmless;
use crate::target::StackOption;

mod destroy;
mod fill;
mod generate;
mod get;
mod import;
mod list;
mod recovery_key;
mod retire;
mod rotate;
mod set;
mod value;

/// Keep passwords and keys of a stack, encrypted
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Secret {
    #[command(subcommand)]
    command: SecretCommand,
}

#[derive(Debug, Subcommand)]
enum SecretCommand {
    Set(set::Set),
    Get(get::Get),
    List(list::List),
    Generate(generate::Generate),
    Rotate(rotate::Rotate),
    Import(import::Import),
    Fill(fill::Fill),
    Retire(retire::Retire),
    Destroy(destroy::Destroy),
    RecoveryKey(recovery_key::RecoveryKey),
}

impl Secret {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        match self.command {
            SecretCommand::Set(command) => command.run(context).await,
            SecretCommand::Get(command) => command.run(context).await,
            SecretCommand::List(command) => command.run(context).await,
            SecretCommand::Generate(command) => command.run(context).await,
            SecretCommand::Rotate(command) => command.run(context).await,
            SecretCommand::Import(command) => command.run(context).await,
            SecretCommand::Fill(command) => command.run(context).await,
            SecretCommand::Retire(command) => command.run(context).await,
            SecretCommand::Destroy(command) => command.run(context).await,
            SecretCommand::RecoveryKey(command) => command.run(context).await,
        }
    }
}

/// What can be noted of a secret beside its value.
#[derive(Clone, Debug, Default, Args)]
struct Notes {
    /// How it is rotated: restart-only (the default), token-overlap, database-two-users or re-encrypt
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    /// Days after which it should have been rotated; 90 unless said otherwise
    #[arg(long, value_name = "DAYS")]
    due_days: Option<u32>,
}

impl From<Notes> for SecretNotes {
    fn from(notes: Notes) -> Self {
        Self {
            class: notes.class,
            due_days: notes.due_days,
        }
    }
}

/// Reads the name of a secret.
fn name(text: &str) -> std::result::Result<String, String> {
    match is_secret_name(text) {
        true => Ok(text.to_owned()),
        false => Err("letters, digits, `_`, `-` and `.`, beginning with a letter or digit; at most 64".to_owned()),
    }
}

/// Asks for a change and says what became of it.
async fn change(context: &mut Context<'_>, stack: &StackOption, change: SecretChange) -> Result<u8> {
    // A secret comes before the stack that needs it, and so before the daemon.
    let client = context.client_of_a_started_daemon().await?;
    let stack = stack.before_it_is_up(context, &client).await?;
    let changed = client.change_secrets(ChangeSecrets { stack, change }).await?;
    tell(context, changed)
}

/// Says what became of a change.
fn tell(context: &mut Context<'_>, changed: SecretChanged) -> Result<u8> {
    let SecretChanged { messages, next_step } = changed;
    for message in messages {
        context.line(&harmless(&message))?;
    }
    if let Some(next) = next_step {
        context.note(&format!("next: {next}"))?;
    }
    Ok(EXIT_OK)
}
