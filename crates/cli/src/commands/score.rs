//! `tend score`: the figures of a stack, judged.

use clap::Args;
use tend_api::{EXIT_FOUND, EXIT_OK};

use crate::arguments::JsonOption;
use crate::commands::monitored::shown;
use crate::context::Context;
use crate::error::Result;
use crate::target::StackOption;

/// Judge the figures of a stack: normal, warning, critical
///
/// Judges the figures of a stack by the limits of its file: response time, success, databases, memory, processors, WebSockets, cache, errors.
/// What is not measured is unknown, and never normal. Exits with 13 when one is critical.
///
/// Example: tend score
#[derive(Debug, Args)]
pub(crate) struct Score {
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

impl Score {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let answer = shown(context, &self.stack, "/tend/v1/score", &[]).await?;
        match self.json.json {
            true => context.line(&answer["score"].to_string())?,
            false => context.write(answer["table"].as_str().unwrap_or_default())?,
        }
        Ok(if answer["worst"] == "critical" {
            EXIT_FOUND
        } else {
            EXIT_OK
        })
    }
}
