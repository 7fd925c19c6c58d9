//! `tend money spool drop`: a person says that a refused callback is not needed any more.

use clap::Args;
use tend_api::{DropCallback, EXIT_OK};

use crate::context::Context;
use crate::error::Result;

/// Remove a callback that its service refused
///
/// Removes a callback that its service refused, once you know that nothing is lost with it. It cannot be had back; who dropped it, and
/// why, is kept in the journal. What still waits to be delivered cannot be dropped.
///
/// Example: tend money spool drop 5f0c1d2e --why 'the bank sent it twice'
#[derive(Debug, Args)]
pub(super) struct Drop {
    /// The id of the callback, or its first digits
    #[arg(value_name = "ID")]
    id: String,
    /// Why it is not needed, for the journal
    #[arg(long, value_name = "TEXT")]
    why: String,
}

impl Drop {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let callback = DropCallback {
            id: self.id,
            why: self.why,
        };
        let accepted = client.drop_callback(callback).await?;
        context.line(&accepted.message)?;
        Ok(EXIT_OK)
    }
}
