//! `tend secret retire`: takes a version out of use.

use clap::Args;
use tend_api::SecretChange;

use super::name;
use crate::context::Context;
use crate::error::Result;
use crate::target::StackOption;

/// Take a version of a secret out of use
///
/// Takes a version of a secret out of use: no process is given it any more. Refused while one holds it, or its service is to be given it.
/// Its value is kept, so that it can be found where it should not be, until `tend secret destroy`.
///
/// Example: tend secret retire db_password
#[derive(Debug, Args)]
pub(super) struct Retire {
    /// Its name
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// Which version; the current one unless named
    #[arg(long, value_name = "NUMBER")]
    version: Option<u64>,
    #[command(flatten)]
    stack: StackOption,
}

impl Retire {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let change = SecretChange::Retire {
            name: self.name,
            version: self.version,
        };
        super::change(context, &self.stack, change).await
    }
}
