//! `tend config docs`: the schema as a page, or as a JSON Schema document.

use std::path::PathBuf;

use clap::Args;
use tend_api::EXIT_OK;
use tend_config::{docs, json_schema};

use crate::config_folder::ConfigFolder;
use crate::context::Context;
use crate::error::Result;

/// Print the schema as a page of documentation
///
/// Prints every key of a stack's schema as a page in Markdown: what it is for, what it takes, its default, where it is required, and what a
/// change asks for. With --json-schema it prints a JSON Schema document (draft 2020-12) of the files below config/environments, which editors
/// complete and check with. Needs no daemon.
///
/// Example: tend config docs stacks/mps > docs/configuration.md
#[derive(Debug, Args)]
pub(super) struct Docs {
    /// Folder of the stack file
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// Print a JSON Schema document instead
    #[arg(long)]
    json_schema: bool,
}

impl Docs {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let schema = ConfigFolder::find(context, &self.folder)?.schema(context)?;
        if self.json_schema {
            let text = serde_json::to_string_pretty(&json_schema(&schema)).unwrap_or_default();
            context.line(&text)?;
        } else {
            context.write(&docs(&schema))?;
        }
        Ok(EXIT_OK)
    }
}
