//! `tend secret import`: stores what a file of variables has.

use std::path::PathBuf;

use clap::Args;
use tend_api::SecretChange;
use tend_base::{Exposed, Secret};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::target::StackOption;

/// Store every variable of a file as a secret of its name
///
/// Stores every variable of a file, written as `.env` is, as a secret of its name: all or none. A value that is there already is no new
/// version; another one is staged, as by `tend secret set`.
///
/// Example: tend secret import config/secrets/production.env
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    stack: StackOption,
}

impl Import {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let path = context.surroundings.directory.join(&self.file);
        let text = std::fs::read_to_string(&path).map_err(|source| Error::SecretValue {
            place: format!("`{}`", self.file.display()),
            source,
        })?;
        let variables = match tend_stackfile::variables(&path, text) {
            Ok(variables) => variables,
            Err(report) => {
                context.note(&report.to_string())?;
                return Err(Error::StackFile(
                    "the file of variables is wrong; nothing was stored".to_owned(),
                ));
            }
        };
        let values = variables
            .into_iter()
            .map(|(name, value)| (name, Exposed(Secret::new(value))));
        let change = SecretChange::Import {
            values: values.collect(),
            current: false,
        };
        super::change(context, &self.stack, change).await
    }
}
