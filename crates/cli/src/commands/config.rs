//! `tend config`: the configuration of a stack; each of its commands has a file of its own.

use std::time::Duration;

use clap::{Args, Subcommand};
use tend_api::messages::{ConfigChanged, ConfigDifference, ConfigKey, ConfigLiveness, ConfigReport, ConfigRevision};
use tend_api::{Call, ChangeConfig, Client, ConfigChange, ConfigQuery, EXIT_FAILED, EXIT_OK};
use tend_base::Wall;

use crate::arguments::JsonOption;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Tone, harmless, shortened};
use crate::target::StackOption;
use crate::when::local_time;

mod check;
mod clear;
mod confirm;
mod diff;
mod docs;
mod get;
mod history;
mod list;
mod preset;
mod render;
mod rollback;
mod set;
mod table;
mod tiers;
mod unset;
mod why;

/// See and change the configuration of a stack: values, layers, revisions
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Config {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    List(list::List),
    Get(get::Get),
    Why(why::Why),
    Set(set::Set),
    Unset(unset::Unset),
    Clear(clear::Clear),
    Preset(preset::Preset),
    History(history::History),
    Diff(diff::Diff),
    Rollback(rollback::Rollback),
    Confirm(confirm::Confirm),
    Check(check::Check),
    Docs(docs::Docs),
    Render(render::Render),
    Table(table::TableCommand),
}

impl Config {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        match self.command {
            ConfigCommand::List(command) => command.run(context).await,
            ConfigCommand::Get(command) => command.run(context).await,
            ConfigCommand::Why(command) => command.run(context).await,
            ConfigCommand::Set(command) => command.run(context).await,
            ConfigCommand::Unset(command) => command.run(context).await,
            ConfigCommand::Clear(command) => command.run(context).await,
            ConfigCommand::Preset(command) => command.run(context).await,
            ConfigCommand::History(command) => command.run(context).await,
            ConfigCommand::Diff(command) => command.run(context).await,
            ConfigCommand::Rollback(command) => command.run(context).await,
            ConfigCommand::Confirm(command) => command.run(context).await,
            ConfigCommand::Check(command) => command.run(context),
            ConfigCommand::Docs(command) => command.run(context),
            ConfigCommand::Render(command) => command.run(context),
            ConfigCommand::Table(command) => command.run(context),
        }
    }
}

/// What every change can be told.
#[derive(Clone, Debug, Default, Args)]
struct ChangeOptions {
    /// Take it back by itself unless `tend config confirm` is given within this time, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = tend_base::parse_duration)]
    confirm: Option<Duration>,
    /// Do not wait until every replica that is given it holds it
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

/// How often it is asked who holds a change.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// How often at most while replicas are replaced: five minutes. One that does not get ready holds up all after it.
const ASKS_MAX: u32 = 3000;

/// Asks for a change and shows what became of it.
async fn change(context: &mut Context<'_>, options: &ChangeOptions, change: ConfigChange) -> Result<u8> {
    let client = context.client().await?;
    let stack = options.stack.before_it_is_up(context, &client).await?;
    let call = Call::ChangeConfig(ChangeConfig {
        stack,
        change,
        confirm_ms: options.confirm.map(tend_api::confirm_ms),
    });
    let (changed, text) = client.json_with_text::<ConfigChanged>(&call).await?;
    if options.json.json {
        context.line(&text)?;
    } else {
        show_changed(context, &changed)?;
    }
    match options.no_wait {
        true => Ok(EXIT_OK),
        false => wait(context, &client, &changed, options.json).await,
    }
}

/// Waits until every replica that is given a change holds it, or is known not to take it in time, and says so.
async fn wait(context: &mut Context<'_>, client: &Client, changed: &ConfigChanged, json: JsonOption) -> Result<u8> {
    let (Some(revision), Some(difference)) = (&changed.revision, changed.changes.first()) else {
        return Ok(EXIT_OK);
    };
    if !changed.taken || changed.asks.is_empty() {
        return Ok(EXIT_OK);
    }
    let call = Call::Config(ConfigQuery {
        stack: changed.stack.clone(),
        // One key is enough: it is about the replicas.
        key: Some(difference.key.clone()),
    });
    let mut asked = 0;
    let report = loop {
        asked += 1;
        let (report, _) = client.json_with_text::<ConfigReport>(&call).await?;
        let is_known = report
            .revision
            .as_ref()
            .is_some_and(|known| known.number >= revision.number);
        // Replicas that are replaced take as long as they take.
        let is_replaced = report.replicas.iter().any(|replica| replica.is_replaced);
        match report.liveness {
            ConfigLiveness::Going => {}
            ConfigLiveness::Late if is_replaced && asked < ASKS_MAX => {}
            _ if is_known => break report,
            _ => {}
        }
        tokio::time::sleep(ASK_EVERY).await;
    };
    let is_live = report.liveness != ConfigLiveness::Late;
    if json.json {
        return Ok(if is_live { EXIT_OK } else { EXIT_FAILED });
    }
    let paint = context.paint();
    if is_live {
        let line = text::live(report.replicas.len());
        context.line(&paint.paint(Tone::Good, &line))?;
        return Ok(EXIT_OK);
    }
    let line = text::late(&report.missing);
    context.line(&paint.paint(Tone::Bad, &line))?;
    for replica in &report.replicas {
        if let Some(why) = &replica.refused {
            let line = text::not_taken(&replica.replica, &harmless(why));
            context.line(&format!("  {}", paint.paint(Tone::Bad, &line)))?;
        }
    }
    Ok(EXIT_FAILED)
}

fn show_changed(context: &mut Context<'_>, changed: &ConfigChanged) -> Result<()> {
    let paint = context.paint();
    let stack = changed.stack.as_str();
    let revision = match &changed.revision {
        Some(revision) if changed.taken => revision,
        revision => {
            let number = revision.as_ref().map(|revision| revision.number);
            return context.line(&text::same(stack, number));
        }
    };
    context.line(&paint.paint(Tone::Good, &text::taken(stack, revision.number)))?;
    for difference in &changed.changes {
        let line = difference_line(context, difference);
        context.line(&format!("  {line}"))?;
    }
    if changed.changes.is_empty() {
        context.line(&format!("  {}", paint.paint(Tone::Faint, text::NOTHING_ELSE)))?;
    }
    for ask in &changed.asks {
        let line = text::ask(&ask.service, &ask.asked);
        context.line(&format!("  {}", paint.paint(Tone::Faint, &line)))?;
    }
    if let Some(line) = waiting_line(context, revision) {
        context.line(&paint.paint(Tone::Uneasy, &line))?;
    }
    Ok(())
}

/// Returns how long a revision waits to be confirmed, and what confirms it.
fn waiting_line(context: &Context<'_>, revision: &ConfigRevision) -> Option<String> {
    let until = revision.confirm_until?;
    let until = local_time(until, &context.surroundings.time_zone);
    // To the second: nobody confirms more exactly.
    let until = until.split('.').next().unwrap_or_default();
    Some(text::waits(revision.number, until))
}

/// Returns a difference as one line: `~ key: before → after`.
fn difference_line(context: &Context<'_>, difference: &ConfigDifference) -> String {
    let paint = context.paint();
    let room = context.columns().saturating_sub(difference.key.len() + 10) / 2;
    let value = |text: &Option<String>| text.as_ref().map(|text| shown(text, room.max(ROOM_MIN)));
    let key = paint.paint(Tone::Strong, &difference.key);
    match (value(&difference.before), value(&difference.after)) {
        (Some(before), Some(after)) => format!("{} {key}: {before} → {after}", paint.paint(Tone::Uneasy, "~")),
        (None, Some(after)) => format!("{} {key}: {after}", paint.paint(Tone::Good, "+")),
        (Some(before), None) => format!("{} {key}: {before}", paint.paint(Tone::Bad, "-")),
        (None, None) => key,
    }
}

/// Returns a value with what it counts.
fn with_unit(value: &str, key: &ConfigKey) -> String {
    match &key.unit {
        Some(unit) if !key.secret && !value.is_empty() => format!("{value} {unit}"),
        _ => value.to_owned(),
    }
}

/// Returns a time of a layer in the user's time zone, to the second; as it is where it is none.
fn local_when(context: &Context<'_>, when: &str) -> String {
    let Ok(at) = when.parse::<jiff::Timestamp>() else {
        return when.to_owned();
    };
    let at = Wall(u64::try_from(at.as_millisecond()).unwrap_or(0));
    let at = local_time(at, &context.surroundings.time_zone);
    at.split('.').next().unwrap_or_default().to_owned()
}

/// Columns that a value is given however narrow the terminal is.
const ROOM_MIN: usize = 24;

/// Returns a value on one line, as much of it as fits; an empty text as two quotes.
fn shown(value: &str, columns: usize) -> String {
    match value {
        "" => "\"\"".to_owned(),
        value => shortened(&harmless(value), columns),
    }
}

mod text {
    pub(super) const NOTHING_ELSE: &str =
        "no value is another one; what was set holds also when what lies beneath changes";

    pub(super) fn taken(stack: &str, number: u64) -> String {
        format!("{stack}: revision {number} is in force")
    }
    pub(super) fn same(stack: &str, number: Option<u64>) -> String {
        match number {
            Some(number) => format!("{stack}: nothing changes; revision {number} holds all of it"),
            None => format!("{stack}: nothing changes"),
        }
    }
    pub(super) fn ask(service: &str, asked: &str) -> String {
        match asked {
            "live" => format!("{service} takes it while it runs"),
            "signal" => format!("{service} is told to read its file again"),
            "rolling" => format!("{service}: its replicas are replaced, one at a time (`tend status`)"),
            other => format!("{service}: {other}"),
        }
    }
    pub(super) fn live(replicas: usize) -> String {
        match replicas {
            1 => "it is live: the one replica that is given it holds it".to_owned(),
            many => format!("it is live: {many} of {many} replicas hold it"),
        }
    }
    pub(super) fn late(missing: &[String]) -> String {
        format!("not live: {} should hold it and do not", missing.join(", "))
    }
    pub(super) fn not_taken(replica: &str, why: &str) -> String {
        format!("{replica} does not take it: {why}")
    }
    pub(super) fn waits(number: u64, until: &str) -> String {
        format!("it is taken back at {until} unless it is confirmed: tend config confirm {number}")
    }
}
