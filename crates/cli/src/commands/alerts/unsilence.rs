//! `tend alerts unsilence`: ends a silence.

use clap::Args;
use tend_api::{EXIT_OK, MonitorMethod};

use crate::commands::monitored::ask;
use crate::context::Context;
use crate::error::Result;
use crate::target::StackOption;

/// End a silence now
///
/// Ends a silence now: what fires is told again.
///
/// Example: tend alerts unsilence 0c6a3b5e-5d0f-4f0e-9f4b-0d3c1c1d8c59
#[derive(Debug, Args)]
pub(crate) struct Unsilence {
    /// Its id, from `tend alerts silences`
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    stack: StackOption,
}

impl Unsilence {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let path = format!("/api/v2/silence/{}", self.id);
        ask(context, &self.stack, MonitorMethod::Delete, &path, &[], None).await?;
        context.line(&format!("{} has ended", self.id))?;
        Ok(EXIT_OK)
    }
}
