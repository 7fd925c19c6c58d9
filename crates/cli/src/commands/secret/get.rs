//! `tend secret get`: shows the value of a secret, when it is asked for in so many words.

use clap::Args;
use tend_api::messages::SecretValue;
use tend_api::{Call, EXIT_OK, RevealSecret};

use super::{list, name};
use crate::arguments::JsonOption;
use crate::context::Context;
use crate::error::Result;
use crate::target::StackOption;

/// Show what is known of a secret, with --reveal its value
///
/// Shows what is known of a secret: its versions, and who holds which. With --reveal it prints the value instead, to its owner and to
/// root, and who asked is kept in the journal.
///
/// Example: tend secret get db_password --reveal
#[derive(Debug, Args)]
pub(super) struct Get {
    /// Its name
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// Print the value
    #[arg(long)]
    reveal: bool,
    /// Of which version; the current one unless named
    #[arg(long, value_name = "NUMBER", requires = "reveal")]
    version: Option<u64>,
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

impl Get {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        if !self.reveal {
            return list::show(context, &self.stack, Some(&self.name), self.json).await;
        }
        let client = context.client().await?;
        let stack = self.stack.before_it_is_up(context, &client).await?;
        let call = Call::RevealSecret(RevealSecret {
            stack,
            name: self.name,
            version: self.version,
        });
        let (shown, text) = client.json_with_text::<SecretValue>(&call).await?;
        match self.json.json {
            true => context.line(&text)?,
            false => context.line(shown.value.expose())?,
        }
        Ok(EXIT_OK)
    }
}
