//! `tend alerts acknowledge`: somebody knows, and takes care.

use clap::Args;
use serde_json::json;
use tend_api::{EXIT_OK, MonitorMethod};

use crate::commands::monitored::ask;
use crate::context::Context;
use crate::error::Result;
use crate::target::StackOption;

/// Say that you know of an alert
///
/// Says that you know of an alert: it is not told again while it fires. That it is over is told.
///
/// Example: tend alerts acknowledge 1f2e3d4c5b6a7988 --note 'the disk is being changed'
#[derive(Debug, Args)]
pub(crate) struct Acknowledge {
    /// Its id, from `tend alerts list`
    #[arg(value_name = "ID")]
    id: String,
    /// What others should know
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    #[command(flatten)]
    stack: StackOption,
}

impl Acknowledge {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let path = format!("/api/v2/alerts/{}/acknowledge", self.id);
        let body = json!({ "note": self.note });
        ask(context, &self.stack, MonitorMethod::Post, &path, &[], Some(body)).await?;
        context.line(&format!("{} is acknowledged", self.id))?;
        Ok(EXIT_OK)
    }
}
