//! `tend schema`: the JSON Schema of the stack file, for editors.

use clap::Args;
use tend_api::EXIT_OK;

use crate::context::Context;
use crate::error::Result;

/// Print the JSON Schema of the stack file
///
/// Prints the JSON Schema of the stack file. Editors that know YAML complete and check with it.
#[derive(Debug, Args)]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let text = serde_json::to_string_pretty(&tend_stackfile::schema()).unwrap_or_default();
        context.line(&text)?;
        Ok(EXIT_OK)
    }
}
