//! `tend man`: the manual pages, made from what `--help` says.

use std::path::PathBuf;

use clap::Args;
use tend_api::EXIT_OK;
use tend_base::write_atomically;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::run::definition;

/// Print or write the manual pages
///
/// Prints the manual page tend(1), or writes the pages of all commands into a folder such as /usr/local/share/man/man1.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write the pages of all commands here
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let tend = definition(context.roles);
        let Some(folder) = self.folder else {
            context.write(&page(tend)?)?;
            return Ok(EXIT_OK);
        };
        let folder = context.surroundings.directory.join(folder);
        let mut pages = vec![("tend".to_owned(), tend.clone())];
        for command in tend.get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = format!("tend-{}", command.get_name());
            pages.push((name.clone(), command.clone().name(name)));
        }
        for (name, command) in pages {
            let path = folder.join(format!("{name}.1"));
            write_atomically(&path, page(command)?.as_bytes(), 0o644).map_err(|source| Error::Write {
                path: path.clone(),
                source,
            })?;
            context.line(&path.display().to_string())?;
        }
        Ok(EXIT_OK)
    }
}

fn page(command: clap::Command) -> Result<String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(Error::Output)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
