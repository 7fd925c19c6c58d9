//! `tend secret destroy`: wipes values that are out of use.

use clap::Args;
use tend_api::SecretChange;

use super::name;
use crate::context::Context;
use crate::error::Result;
use crate::target::StackOption;

/// Wipe the values of retired versions of a secret
///
/// Wipes the values of retired versions of a secret, of all of them unless one is named. There is no way back.
///
/// Example: tend secret destroy db_password
#[derive(Debug, Args)]
pub(super) struct Destroy {
    /// Its name
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// Which version; all retired ones unless named
    #[arg(long, value_name = "NUMBER")]
    version: Option<u64>,
    #[command(flatten)]
    stack: StackOption,
}

impl Destroy {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let change = SecretChange::Destroy {
            name: self.name,
            version: self.version,
        };
        super::change(context, &self.stack, change).await
    }
}
