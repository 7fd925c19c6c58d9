//! `tend run`: a one-off command in a service's environment, such as a migration.

use std::ffi::OsString;

use clap::Args;
use tend_api::{EnvironmentQuery, Purpose};

use crate::commands::attached;
use crate::context::Context;
use crate::error::Result;
use crate::target::{Named, StackOption};

/// Run a command once, in a service's environment
///
/// Runs a command once, in the environment, folder and user of a service, beside its replicas and attached to this terminal.
///
/// Exits as the command does; 128 and the signal's number when a signal ended it.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// SERVICE or STACK/SERVICE
    #[arg(value_name = "SERVICE")]
    service: Named,
    #[command(flatten)]
    stack: StackOption,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Run {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let service = self.stack.service(context, &client, &self.service).await?;
        let query = EnvironmentQuery {
            target: tend_api::Target {
                stack: service.stack,
                service: Some(service.service),
                slot: None,
            },
            purpose: Purpose::Run,
            program: self.command[0].to_string_lossy().into_owned(),
        };
        attached::run(context, &client, query, self.command).await
    }
}
