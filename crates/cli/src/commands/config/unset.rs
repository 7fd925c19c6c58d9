//! `tend config unset`: takes away what lies beneath, so that the default answers.

use clap::Args;
use tend_api::ConfigChange;

use super::ChangeOptions;
use crate::context::Context;
use crate::error::Result;

/// Have the default of keys answer, whatever files and rows say
///
/// Unsets keys: what files, variables and rows say of them does not count, and the default answers; a key without a default has no value
/// then. `tend config clear` takes back what was set here, and what lies beneath counts again.
///
/// Example: tend config unset security.rate_limit.max_requests
#[derive(Debug, Args)]
pub(super) struct Unset {
    /// A key, or its variable
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
    #[command(flatten)]
    options: ChangeOptions,
}

impl Unset {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let keys = self.keys.into_iter().map(|key| (key, None));
        super::change(context, &self.options, ConfigChange::Set(keys.collect())).await
    }
}
