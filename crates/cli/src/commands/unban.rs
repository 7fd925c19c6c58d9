//! `tend unban`: lets in again who was banned.

use clap::Args;
use tend_api::{EXIT_OK, UnbanAsk};
use tend_core::model::Prefix;

use crate::context::Context;
use crate::error::Result;

/// Let addresses in again that `tend ban` banned
///
/// Lets addresses and ranges in again, as they were banned; it ends once the edge does. An address within a range that stays banned is
/// refused: unban the range.
///
/// Example: tend unban 203.0.113.7
#[derive(Debug, Args)]
pub(crate) struct Unban {
    /// Addresses and ranges, as `tend bans` shows them
    #[arg(value_name = "ADDRESS", required = true)]
    addresses: Vec<Prefix>,
}

impl Unban {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let ask = UnbanAsk {
            addresses: self.addresses,
        };
        let accepted = client.unban(ask).await?;
        context.line(&accepted.message)?;
        Ok(EXIT_OK)
    }
}
