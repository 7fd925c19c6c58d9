//! The command line a person types.
//!
//! Map: [`run`] is all that `main` calls; `arguments` what can be typed, `commands` one file for each command with every text it
//! shows, `output` how it is shown. A command asks the daemon through `tend-api`, or reads the stack file through
//! `tend-stackfile`; it decides nothing itself. What only the program as a whole can do (be the daemon, start one, check the
//! journal) is handed in as [`Roles`].
//!
//! Invariant: exit codes are those of [`tend_api::Class`], 0 and 1, and a program's own for `run` and `exec`.

mod arguments;
mod commands;
mod config_folder;
mod context;
mod error;
mod output;
mod reference;
mod roles;
mod run;
mod stack_file;
mod surroundings;
mod target;
mod when;

pub use reference::{command, reference_pages};
pub use roles::{DaemonStart, Roles, Verification, Version};
pub use run::{run, run_in};
pub use surroundings::{Surroundings, Terminal};
