//! The program: main, the daemon and the wiring of all parts.
//!
//! Owns the choice of the role and nothing else. The shim branches off before anything is set up: there is one for each replica, and
//! its budget is half a megabyte.

mod config_table;
mod daemon;
mod start;

use std::process::ExitCode;

use tend_cli::{Roles, Version};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    if arguments.nth(1).is_some_and(|role| role == "shim") {
        return ExitCode::from(u8::try_from(tend_linux::shim_main(arguments)).unwrap_or(1));
    }
    let roles = Roles {
        version: Version {
            number: env!("CARGO_PKG_VERSION"),
            build: "",
        },
        daemon: daemon::daemon,
        edge: start::edge,
        ensure_daemon: start::ensure_daemon,
        verify_journal: start::verify_journal,
        install_table: config_table::install_table,
    };
    tend_cli::run(std::env::args_os(), &roles)
}
