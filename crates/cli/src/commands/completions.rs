//! `tend completions`: what a shell needs to complete commands.

use clap::Args;
use clap_complete::Shell;
use tend_api::EXIT_OK;

use crate::context::Context;
use crate::error::Result;
use crate::run::definition;

/// Print completions for a shell
///
/// Prints completions for a shell, to be sourced or put where the shell looks for them.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// For which shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut definition(context.roles), "tend", &mut text);
        context.write(&String::from_utf8_lossy(&text))?;
        Ok(EXIT_OK)
    }
}
