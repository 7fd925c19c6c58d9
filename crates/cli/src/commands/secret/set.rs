//! `tend secret set`: stores a value.

use std::path::PathBuf;

use clap::Args;
use tend_api::SecretChange;
use tend_base::Exposed;

use super::{Notes, name, value};
use crate::context::Context;
use crate::error::Result;
use crate::target::StackOption;

/// Store a value of a secret, from standard input, a prompt or a file
///
/// Stores a value of a secret. It is read from standard input (one line end at its end does not count), from a prompt that does not
/// show it, or from a file, as it is; never from the command line, which everybody on the machine can see.
///
/// The first value of a secret is current at once. A later one is staged: replicas keep the one before until `tend secret rotate`.
///
/// Example: pass show mps/db | tend secret set db_password
#[derive(Debug, Args)]
pub(super) struct Set {
    /// Its name
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// Take the value from this file, as it is
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    notes: Notes,
    #[command(flatten)]
    stack: StackOption,
}

impl Set {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let value = match &self.file {
            Some(path) => value::of_file(context, path)?,
            None => value::asked(context, &self.name)?,
        };
        let change = SecretChange::Set {
            name: self.name,
            value: Exposed(value),
            notes: self.notes.into(),
        };
        super::change(context, &self.stack, change).await
    }
}
