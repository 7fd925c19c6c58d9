//! `tend config clear`: takes back what was set by command.

use clap::Args;
use tend_api::ConfigChange;

use super::ChangeOptions;
use crate::context::Context;
use crate::error::Result;

/// Take back what was set or unset by command
///
/// Takes back what `tend config set`, `unset` or `preset` said of keys: what lies beneath counts again.
///
/// Example: tend config clear app.log_level
#[derive(Debug, Args)]
pub(super) struct Clear {
    /// A key, or its variable
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
    #[command(flatten)]
    options: ChangeOptions,
}

impl Clear {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        super::change(context, &self.options, ConfigChange::Clear(self.keys)).await
    }
}
