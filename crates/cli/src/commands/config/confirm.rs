//! `tend config confirm`: keeps a change that is taken back otherwise.

use clap::Args;
use tend_api::{ConfirmConfig, EXIT_OK};

use crate::context::Context;
use crate::error::Result;
use crate::output::Tone;
use crate::target::StackOption;

/// Keep a change that was made with --confirm
///
/// Keeps a change that was made with --confirm, which is taken back by itself otherwise. A number makes sure that it is the revision that was
/// looked at.
///
/// Example: tend config confirm 42
#[derive(Debug, Args)]
pub(super) struct Confirm {
    /// The revision; whichever waits when left out
    #[arg(value_name = "REVISION")]
    number: Option<u64>,
    #[command(flatten)]
    stack: StackOption,
}

impl Confirm {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let stack = self.stack.before_it_is_up(context, &client).await?;
        let confirm = ConfirmConfig {
            stack,
            revision: self.number,
        };
        let accepted = client.confirm_config(confirm).await?;
        let line = context.paint().paint(Tone::Good, &accepted.message);
        context.line(&line)?;
        Ok(EXIT_OK)
    }
}
