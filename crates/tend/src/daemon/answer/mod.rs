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
