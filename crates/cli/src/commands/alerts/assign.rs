//! `tend alerts assign`: gives an alert to somebody.

use clap::Args;
use serde_json::json;
use tend_api::{EXIT_OK, MonitorMethod};

use crate::commands::monitored::ask;
use crate::context::Context;
use crate::error::Result;
use crate::target::StackOption;

/// Give an alert to somebody
///
/// Gives an alert to somebody; who it was, and by whom, is in the journal.
///
/// Example: tend alerts assign 1f2e3d4c5b6a7988 mei
#[derive(Debug, Args)]
pub(crate) struct Assign {
    /// Its id, from `tend alerts list`
    #[arg(value_name = "ID")]
    id: String,
    /// To whom
    #[arg(value_name = "WHO")]
    to: String,
    #[command(flatten)]
    stack: StackOption,
}

impl Assign {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let path = format!("/api/v2/alerts/{}/assign", self.id);
        let body = json!({ "to": self.to });
        ask(context, &self.stack, MonitorMethod::Post, &path, &[], Some(body)).await?;
        context.line(&format!("{} is given to {}", self.id, self.to))?;
        Ok(EXIT_OK)
    }
}
