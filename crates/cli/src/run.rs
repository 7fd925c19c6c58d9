//! From the words typed to the exit code. Knows no command's work.

use std::ffi::OsString;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use tend_api::{Class, EXIT_OK};

use crate::arguments::{Arguments, Command};
use crate::commands;
use crate::context::Context;
use crate::error::Error;
use crate::output::{Paint, show_error};
use crate::{Roles, Surroundings};

/// Width of help where there is no terminal to ask, and the most it takes of one.
const HELP_COLUMNS: u16 = 100;

/// Does what the words ask for; `arguments` starts with the program's name. To be called once, by `main`.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>, roles: &Roles) -> ExitCode {
    say_that_a_panic_is_a_bug(roles);
    let mut surroundings = match Surroundings::of_this_process() {
        Ok(surroundings) => surroundings,
        Err(source) => {
            let error = Error::Begin(source);
            let paint = Paint { on: false };
            let mut stderr = std::io::stderr();
            let because = error.because();
            // With the streams gone there is nobody to tell.
            let _ = show_error(&mut stderr, paint, error.class(), &error.to_string(), &because, "");
            return ExitCode::from(error.class().exit_code());
        }
    };
    let code = std::panic::catch_unwind(AssertUnwindSafe(|| run_in(arguments, roles, &mut surroundings)));
    ExitCode::from(code.unwrap_or(Class::Bug.exit_code()))
}

/// As [`run`], in surroundings of the caller's and without a word on panics; returns the exit code.
pub fn run_in(arguments: impl IntoIterator<Item = OsString>, roles: &Roles, surroundings: &mut Surroundings) -> u8 {
    let mut tend = definition(roles);
    let terminal = &surroundings.terminal;
    if let Some(columns) = terminal.columns.or((!terminal.live).then_some(HELP_COLUMNS)) {
        tend = tend.term_width(columns.into());
    }
    let parsed = tend
        .try_get_matches_from(arguments)
        .and_then(|matches| Arguments::from_arg_matches(&matches));
    let command = match parsed {
        Ok(arguments) => arguments.command,
        Err(error) => return show_usage(&error, surroundings),
    };
    match command {
        Command::Daemon(arguments) => return (roles.daemon)(arguments.arguments),
        Command::Edge(edge) if edge.is_role(&surroundings.environment) => return (roles.edge)(Vec::new()),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let mut context = Context { roles, surroundings };
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(commands::run(command, &mut context)),
        Err(source) => Err(Error::Begin(source)),
    };
    let outcome = outcome.and_then(|code| context.flush().map(|()| code));
    match outcome {
        Ok(code) => code,
        Err(error) if error.is_closed_output() => EXIT_OK,
        Err(error) => {
            let paint = Paint {
                on: surroundings.terminal.colour_of_errors,
            };
            // Whatever was shown before comes first; both may be closed, and then the exit code has to say it all.
            let _ = surroundings.stdout.flush();
            let _ = show_error(
                &mut surroundings.stderr,
                paint,
                error.class(),
                &error.to_string(),
                &error.because(),
                &error.hint(),
            );
            error.class().exit_code()
        }
    }
}

/// Returns the definition of all commands, with this version.
pub(crate) fn definition(roles: &Roles) -> clap::Command {
    let version = match roles.version.build {
        "" => roles.version.number.to_owned(),
        build => format!("{} ({build})", roles.version.number),
    };
    Arguments::command().version(version)
}

/// Shows what clap has to say, help and version included.
fn show_usage(error: &clap::Error, surroundings: &mut Surroundings) -> u8 {
    let text = error.render();
    let terminal = surroundings.terminal;
    let (to, colour): (&mut dyn Write, bool) = if error.use_stderr() {
        (&mut surroundings.stderr, terminal.colour_of_errors)
    } else {
        (&mut surroundings.stdout, terminal.colour)
    };
    let text = if colour {
        text.ansi().to_string()
    } else {
        text.to_string()
    };
    // A closed stream is no reason for another exit code.
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
    if error.use_stderr() {
        Class::Usage.exit_code()
    } else {
        EXIT_OK
    }
}

/// Has every panic say where to report it, and with which version.
fn say_that_a_panic_is_a_bug(roles: &Roles) {
    let version = roles.version;
    std::panic::set_hook(Box::new(move |panic| {
        let at = panic
            .location()
            .map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
        let because = [format!("{}{at}", panic.payload_as_str().unwrap_or("no message"))];
        let next = format!(
            "report it to the project with what you typed, these lines and the version, {} {}; services are not affected",
            version.number, version.build
        );
        let paint = Paint { on: false };
        // Nobody is left to tell if this fails.
        let _ = show_error(
            &mut std::io::stderr(),
            paint,
            Class::Bug,
            "this is a bug in tend",
            &because,
            &next,
        );
    }));
}
