//! One file for each command: its arguments, its work, its texts.

use tend_api::messages::{Finished, ProgressLine};
use tend_api::{Class, EXIT_FAILED, EXIT_OK, LineReader};

use crate::arguments::Command;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::{Ending, Paint, Tone, follow};

pub(crate) mod approve;
mod attached;
pub(crate) mod ban;
pub(crate) mod bans;
pub(crate) mod cert;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod confirm;
pub(crate) mod deploy;
mod deployment;
pub(crate) mod describe;
mod door;
pub(crate) mod down;
pub(crate) mod edge;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod import;
pub(crate) mod info;
pub(crate) mod install;
pub(crate) mod logs;
pub(crate) mod ls;
pub(crate) mod maintenance;
pub(crate) mod man;
pub(crate) mod money;
pub(crate) mod pause;
pub(crate) mod plan;
pub(crate) mod promote;
pub(crate) mod reject;
pub(crate) mod release;
pub(crate) mod releases;
pub(crate) mod render;
pub(crate) mod restart;
pub(crate) mod resume;
pub(crate) mod rollback;
pub(crate) mod run;
pub(crate) mod scale;
pub(crate) mod schema;
pub(crate) mod secret;
pub(crate) mod shutdown;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod top;
pub(crate) mod unban;
pub(crate) mod up;
pub(crate) mod upgrade;

/// Does the command's work and returns the exit code.
pub(crate) async fn run(command: Command, context: &mut Context<'_>) -> Result<u8> {
    match command {
        Command::Up(command) => command.run(context).await,
        Command::Down(command) => command.run(context).await,
        Command::Status(command) => command.run(context).await,
        Command::Ls(command) => command.run(context).await,
        Command::Describe(command) => command.run(context).await,
        Command::Logs(command) => command.run(context).await,
        Command::Events(command) => command.run(context).await,
        Command::Top(command) => command.run(context).await,
        Command::Restart(command) => command.run(context).await,
        Command::Stop(command) => command.run(context).await,
        Command::Start(command) => command.run(context).await,
        Command::Scale(command) => command.run(context).await,
        Command::Maintenance(command) => command.run(context).await,
        Command::Pause(command) => command.run(context).await,
        Command::Resume(command) => command.run(context).await,
        Command::Ban(command) => command.run(context).await,
        Command::Unban(command) => command.run(context).await,
        Command::Bans(command) => command.run(context).await,
        Command::Money(command) => command.run(context).await,
        Command::Deploy(command) => command.run(context).await,
        Command::Rollback(command) => command.run(context).await,
        Command::Releases(command) => command.run(context).await,
        Command::Release(command) => command.run(context).await,
        Command::Approve(command) => command.run(context).await,
        Command::Reject(command) => command.run(context).await,
        Command::Confirm(command) => command.run(context).await,
        Command::Promote(command) => command.run(context).await,
        Command::Secret(command) => command.run(context).await,
        Command::Config(command) => command.run(context).await,
        Command::Cert(command) => command.run(context).await,
        Command::Render(command) => command.run(context),
        Command::Import(command) => command.run(context),
        Command::Run(command) => command.run(context).await,
        Command::Exec(command) => command.run(context).await,
        Command::Plan(command) => command.run(context).await,
        Command::Check(command) => command.run(context),
        Command::Schema(command) => command.run(context),
        Command::Info(command) => command.run(context).await,
        Command::Install(command) => command.run(context),
        Command::Upgrade(command) => command.run(context).await,
        Command::Shutdown(command) => command.run(context).await,
        Command::Completions(command) => command.run(context),
        Command::Man(command) => command.run(context),
        Command::Edge(command) => command.run(context).await,
        Command::Daemon(_) => {
            unreachable!("invariant: roles branch off before there is a runtime (run.rs)")
        }
    }
}

/// Follows some work to its end and shows how it ended: `summary` says it went well, `failure` heads what is said when it did not.
async fn follow_to_the_end(
    context: &mut Context<'_>,
    reader: LineReader<ProgressLine>,
    json: bool,
    summary: &str,
    failure: &str,
) -> Result<u8> {
    match follow(context, reader, json).await? {
        Ending::Left => {
            context.note(text::LEFT)?;
            Ok(INTERRUPTED)
        }
        Ending::Finished(finished) if json => Ok(exit_code(&finished)),
        Ending::Finished(finished) => {
            show_finished(context, &finished, summary, failure)?;
            Ok(exit_code(&finished))
        }
    }
}

/// What a shell reports of a program that SIGINT ended: 128 and the signal's number.
const INTERRUPTED: u8 = 130;

fn exit_code(finished: &Finished) -> u8 {
    if finished.ok { EXIT_OK } else { EXIT_FAILED }
}

fn show_finished(context: &mut Context<'_>, finished: &Finished, summary: &str, failure: &str) -> Result<()> {
    let paint = context.paint();
    let paint_errors = Paint {
        on: context.surroundings.terminal.colour_of_errors,
    };
    for warning in &finished.warnings {
        let label = paint_errors.paint(Tone::Uneasy, text::WARNING);
        context.note(&format!("{label} {warning}"))?;
    }
    if !finished.ok {
        // As any error is shown, with the last lines of output between why and what next.
        let mut because = finished.reason.clone();
        if !finished.last_lines.is_empty() {
            because.push_str(text::LAST_LINES);
            for line in &finished.last_lines {
                because.push_str("\n| ");
                because.push_str(&crate::output::harmless(line));
            }
        }
        let because = match because.is_empty() {
            true => Vec::new(),
            false => vec![because],
        };
        return crate::output::show_error(
            &mut context.surroundings.stderr,
            paint_errors,
            Class::Unavailable,
            failure,
            &because,
            &finished.next_step,
        )
        .map_err(Error::Output);
    }
    let took = crate::output::took(finished.took_ms);
    context.line(&format!(
        "{} {}",
        paint.paint(Tone::Good, summary),
        paint.paint(Tone::Faint, &format!("({took})"))
    ))?;
    for url in &finished.urls {
        context.line(&format!("  {}", paint.paint(Tone::Strong, url)))?;
    }
    if !finished.try_next.is_empty() {
        context.line("")?;
        context.line(text::TRY_NEXT)?;
        for command in &finished.try_next {
            context.line(&format!("  {command}"))?;
        }
    }
    Ok(())
}

mod text {
    pub(super) const LEFT: &str = "left; the daemon goes on with it, and `tend status` tells how far it is";
    pub(super) const WARNING: &str = "warning:";
    pub(super) const LAST_LINES: &str = "; its last lines:";
    pub(super) const TRY_NEXT: &str = "Try next:";
}
