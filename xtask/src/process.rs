//! Starts cargo, with the terminal or with its output read.
//!
//! Owns the one way in which the other commands start a program. Knows nothing of what the program is for.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::error::Error;

/// Runs cargo in `root` with the caller's terminal and fails when it does.
pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> Result<(), Error> {
    let shown = shown(arguments);
    let status = command(root, arguments)
        .stdin(Stdio::null())
        .status()
        .map_err(|source| Error::Start {
            command: shown.clone(),
            source,
        })?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::Failed {
            command: shown,
            status: status.to_string(),
        })
    }
}

/// Runs cargo in `root` and returns what it printed; its error output goes to the terminal.
pub(crate) fn cargo_output(root: &Path, arguments: &[&str]) -> Result<Output, Error> {
    let shown = shown(arguments);
    let output = command(root, arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Error::Start {
            command: shown.clone(),
            source,
        })?;
    if output.status.success() {
        Ok(output)
    } else {
        Err(Error::Failed {
            command: shown,
            status: output.status.to_string(),
        })
    }
}

/// The command as a person would type it.
pub(crate) fn shown(arguments: &[&str]) -> String {
    format!("cargo {}", arguments.join(" "))
}

fn command(root: &Path, arguments: &[&str]) -> Command {
    // Cargo names itself to the programs it runs; that one also fits the toolchain chosen with `cargo +name`.
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args(arguments);
    // What cargo told this program of its own package is nothing to the build. ring's build script watches these variables: with
    // them it runs again, and all that stands on ring is compiled again, here and once more at the next build by hand.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}
