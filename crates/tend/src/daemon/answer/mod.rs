//! What the daemon answers with: state, plans, progress, events, logs, environments. Changes nothing but in `deploy`, which hands
//! wishes to the controller.

pub(crate) mod bans;
pub(crate) mod configuration;
pub(crate) mod deploy;
pub(crate) mod environment;
pub(crate) mod events;
mod log_files;
pub(crate) mod logs;
pub(crate) mod money;
pub(crate) mod progress;
pub(crate) mod secrets;
pub(crate) mod status;

use tend_api::{ApiError, Class};
use tend_core::model::Stack;

/// Refuses a stack whose services would be started without what its chapter `config` gives them: it is read and checked, and the daemon does
/// not carry it out yet.
pub(crate) fn config_is_to_come(stack: &Stack) -> Result<(), ApiError> {
    match stack.config {
        None => Ok(()),
        Some(_) => Err(ApiError::new(
            Class::Config,
            format!(
                "{}: the chapter `config` is read and not carried out in this version of tend",
                stack.name
            ),
        )
        .hint("keep it for later as `x-config`, and give the services their variables by `environment` or `env_file`")),
    }
}
