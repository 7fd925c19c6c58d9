//! What the daemon answers with: state, plans, progress, events, logs, environments. Changes nothing.

pub(crate) mod environment;
pub(crate) mod events;
mod log_files;
pub(crate) mod logs;
pub(crate) mod progress;
pub(crate) mod status;
