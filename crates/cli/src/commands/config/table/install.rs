//! `tend config table install`: the statements that make the table and announce its changes, printed or run.

use std::path::PathBuf;

use clap::Args;
use tend_api::{ApiError, Class, EXIT_OK};

use crate::config_folder::ConfigFolder;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::Tone;

/// Print the SQL that makes the table and announces its changes, or run it
///
/// Prints the statements that make the table which the stack file names below `config: table:`, where it is not there, and on PostgreSQL the
/// trigger by which changes are noticed within milliseconds. With --run they are run as the user of its URL. They may be run again: no row and
/// no column of a table that is there is changed.
///
/// Example: tend config table install | psql shop
#[derive(Debug, Args)]
pub(super) struct Install {
    /// Folder of the stack file
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// Run the statements, as the user of the table's URL
    #[arg(long)]
    run: bool,
}

impl Install {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let folder = ConfigFolder::find(context, &self.folder)?;
        let Some(table) = &folder.sources().table else {
            let error = ApiError::new(Class::NotFound, text::none(&folder.name()));
            return Err(Error::Role(error.hint(text::NEXT)));
        };
        let install = context.roles.install_table;
        let done = install(table, folder.directory(), self.run).map_err(Error::Role)?;
        match self.run {
            false => context.write(&done)?,
            true => {
                let line = context.paint().paint(Tone::Good, &text::made(&table.name, &done));
                context.line(&line)?;
            }
        }
        Ok(EXIT_OK)
    }
}

mod text {
    pub(super) const NEXT: &str = "name it in the stack file: `config: {table: {url: \"${DATABASE_URL}\"}}`";

    pub(super) fn none(stack: &str) -> String {
        format!("{stack} reads no table")
    }
    pub(super) fn made(table: &str, database: &str) -> String {
        format!("{table} is there, and its changes are noticed: {database}")
    }
}
