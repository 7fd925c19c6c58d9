//! The project's own commands: `cargo xtask ci | tidy | sim | fuzz | vm | conformance`.
//!
//! Owns what a person or CI runs on this repository. Knows nothing of what the product does: it starts cargo and reads
//! files.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer's program that talks to a terminal"
)]

mod ci;
mod conformance;
mod error;
mod fuzz;
mod process;
mod sim;
mod suite;
mod tidy;
mod tree;
mod vm;

use std::path::PathBuf;
use std::process::ExitCode;

use error::Error;

const USAGE: &str = "\
usage: cargo xtask <command>

  ci [--root DIR] [STAGE...]
                            everything CI runs, or only the stages named (`ci --list` names them)
  tidy [--root DIR]         the rules of the repository that no compiler checks
  sim [--seed N | [--from N] --seeds N] [--chapter C] [--keep-going]
                            the simulator; --seed replays one run exactly (default: --seeds 2000); --keep-going
                            lists every seed that broke a rule
  fuzz [--root DIR]         replays fuzz/corpus/* through the tests that own each target
  conformance websocket [CASE...]
                            a public suite's WebSocket cases at a server, and at the same server behind the edge; from a package
                            registry, so not part of ci (default: cases 1 to 7; 9 is large messages)
  conformance promql DIR    Prometheus' acceptance cases in a folder: passed of all for each file and class, and the first that fails
  conformance vault         the scenarios of crates/vault at OpenBao itself; from a package registry too
  vm [SCENARIO...] [--debug] [--no-build]
                            what needs a kernel of its own, in a virtual machine (`vm --list` names the claims)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(inner) = cause {
                eprintln!("  because: {inner}");
                cause = inner.source();
            }
            if let Error::Usage { .. } = error {
                eprintln!("\n{USAGE}");
                return ExitCode::from(2);
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<(), Error> {
    match arguments {
        [] | ["help" | "-h" | "--help", ..] => {
            println!("{USAGE}");
            Ok(())
        }
        ["ci", "--root", folder, stages @ ..] => ci::run(&PathBuf::from(folder), stages),
        ["ci", stages @ ..] => ci::run(&root(), stages),
        ["tidy"] => tidy::run(&root()),
        ["tidy", "--root", folder] => tidy::run(&PathBuf::from(folder)),
        ["sim", options @ ..] => sim::run(&root(), options, process::NO_LIMIT),
        ["vm", arguments @ ..] => vm::run(&root(), arguments),
        ["conformance", "vault"] => conformance::vault(&root()),
        ["conformance", "websocket", cases @ ..] => conformance::websocket(&root(), cases),
        ["conformance", "promql", folder] => conformance::promql(&root(), folder),
        ["fuzz"] => fuzz::run(&root()),
        ["fuzz", "--root", folder] => fuzz::run(&PathBuf::from(folder)),
        [first, ..] => Err(Error::Usage {
            what: format!("did not understand `{}` (command `{first}`)", arguments.join(" ")),
        }),
    }
}

/// The checkout this program belongs to. Cargo names it at run time; the path of compile time serves a direct call.
fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let own = PathBuf::from(own);
    own.parent().map(PathBuf::from).unwrap_or(own)
}
