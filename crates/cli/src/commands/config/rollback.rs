//! `tend config rollback`: takes the values of an earlier revision again.

use clap::Args;
use tend_api::ConfigChange;

use super::ChangeOptions;
use crate::context::Context;
use crate::error::Result;

/// Take the values of an earlier revision again
///
/// Makes a new revision that holds what an earlier one held. Secrets stay as they are: one that was rotated since may be revoked. What files
/// and rows say is not taken again until one of them says something new.
///
/// Example: tend config rollback 41
#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// Its number
    #[arg(value_name = "REVISION")]
    number: u64,
    #[command(flatten)]
    options: ChangeOptions,
}

impl Rollback {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        super::change(context, &self.options, ConfigChange::Back(self.number)).await
    }
}
