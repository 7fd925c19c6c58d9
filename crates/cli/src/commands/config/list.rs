//! `tend config list`: every key with its value, where that stands, and how many replicas hold it.

use clap::Args;
use tend_api::messages::{ConfigKey, ConfigLiveness, ConfigReport};
use tend_api::{Call, ConfigQuery, EXIT_OK};

use super::text as shared;
use super::{ROOM_MIN, shown, waiting_line, with_unit};
use crate::arguments::JsonOption;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Cell, Paint, Table, Tone, harmless, width};
use crate::target::StackOption;
use crate::when::local_time;

/// List every key: its value, where it stands, who holds it
///
/// Lists every key of the schema with the value in force, the file and line, row, variable or command it stands in, what a change asks for,
/// and how many of the replicas that are given it hold that very value. What lies in files and rows and is refused is shown with everything
/// that is wrong.
///
/// Example: tend config list features
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only keys that begin so
    #[arg(value_name = "PREFIX")]
    prefix: Option<String>,
    /// Only keys whose value is not the schema's default
    #[arg(long)]
    set: bool,
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

impl List {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let stack = self.stack.before_it_is_up(context, &client).await?;
        let call = Call::Config(ConfigQuery { stack, key: None });
        let (mut report, text) = client.json_with_text::<ConfigReport>(&call).await?;
        let is_filtered = self.prefix.is_some() || self.set;
        report.keys.retain(|key| self.is_meant(key));
        if self.json.json {
            context.line(&match is_filtered {
                true => serde_json::to_string(&report).unwrap_or(text),
                false => text,
            })?;
            return Ok(EXIT_OK);
        }
        show(context, &report)?;
        Ok(EXIT_OK)
    }

    fn is_meant(&self, key: &ConfigKey) -> bool {
        let begins = self.prefix.as_ref().is_none_or(|prefix| key.key.starts_with(prefix));
        let layer = key.place.as_ref().map_or("default", |place| place.layer.as_str());
        begins && (!self.set || layer != "default")
    }
}

fn show(context: &mut Context<'_>, report: &ConfigReport) -> Result<()> {
    for line in lines(context, &report.keys) {
        context.line_later(&line)?;
    }
    context.flush()?;
    let zone = context.surroundings.time_zone.clone();
    if let Some(revision) = &report.revision {
        let at = local_time(revision.taken_at, &zone);
        let at = at.split('.').next().unwrap_or_default();
        let line = text::revision(report, revision.number, at, &revision.taken_by);
        context.note(&paint_errors(context).paint(Tone::Faint, &line))?;
        if let Some(line) = waiting_line(context, revision) {
            context.note(&paint_errors(context).paint(Tone::Uneasy, &line))?;
        }
    }
    let of = report.replicas.len();
    let (line, tone) = match report.liveness {
        ConfigLiveness::Live if of > 0 => (shared::live(of), Tone::Good),
        ConfigLiveness::Going => (text::going(&report.missing), Tone::Uneasy),
        ConfigLiveness::Late => (shared::late(&report.missing), Tone::Bad),
        ConfigLiveness::Live | ConfigLiveness::Unknown => (String::new(), Tone::Plain),
    };
    if !line.is_empty() {
        context.note(&paint_errors(context).paint(tone, &line))?;
    }
    for replica in &report.replicas {
        if let Some(why) = &replica.refused {
            let line = shared::not_taken(&replica.replica, &harmless(why));
            context.note(&paint_errors(context).paint(Tone::Bad, &line))?;
        }
    }
    if let Some(away) = &report.away {
        let line = text::away(&away.table, &local_time(away.since, &zone), &away.why);
        context.note(&paint_errors(context).paint(Tone::Bad, &line))?;
    }
    if report.waits_for_deployment {
        context.note(&paint_errors(context).paint(Tone::Uneasy, text::DEPLOYED))?;
    }
    if !report.refused.is_empty() {
        let errors = report.refused.iter().filter(|one| one.severity == "error").count();
        context.note("")?;
        let line = text::refused(errors);
        context.note(&paint_errors(context).paint(Tone::Bad, &line))?;
        context.note("")?;
    }
    for violation in report.refused.iter().chain(&report.warnings) {
        let tone = if violation.severity == "error" {
            Tone::Bad
        } else {
            Tone::Uneasy
        };
        let rest = violation.text.strip_prefix(violation.severity.as_str());
        let rest = rest.unwrap_or(&violation.text);
        let word = paint_errors(context).paint(tone, &violation.severity);
        context.note(&format!("{word}{rest}"))?;
    }
    Ok(())
}

/// Returns the brush for what is said beside the table.
fn paint_errors(context: &Context<'_>) -> Paint {
    Paint {
        on: context.surroundings.terminal.colour_of_errors,
    }
}

fn lines(context: &Context<'_>, keys: &[ConfigKey]) -> Vec<String> {
    let widest = |of: &dyn Fn(&ConfigKey) -> usize| keys.iter().map(of).max().unwrap_or(0);
    let place = widest(&|key| key.place.as_ref().map_or(0, |place| width(&place.place)));
    let who = widest(&|key| {
        key.place
            .as_ref()
            .and_then(|place| place.who.as_ref())
            .map_or(0, |who| width(who))
    });
    let others = widest(&|key| width(&key.key)) + place + who + text::NARROW;
    let room = context.columns().saturating_sub(others).max(ROOM_MIN);
    let mut table = Table::new(&text::HEADINGS);
    for key in keys {
        let (value, tone) = match &key.value {
            Some(value) => (
                shown(&with_unit(value, key), room),
                if key.secret { Tone::Faint } else { Tone::Plain },
            ),
            None if key.required => (text::MISSING.to_owned(), Tone::Bad),
            None => (text::NONE.to_owned(), Tone::Faint),
        };
        let is_default = key.place.as_ref().is_none_or(|place| place.layer == "default");
        let quiet = if is_default { Tone::Faint } else { Tone::Plain };
        let of = |what: fn(&tend_api::messages::ConfigPlace) -> Option<String>| {
            key.place.as_ref().and_then(what).unwrap_or_default()
        };
        let (held, held_tone) = held(key);
        table.row(vec![
            Cell::new(&key.key).tone(if is_default { Tone::Plain } else { Tone::Strong }),
            Cell::new(value).tone(tone),
            Cell::new(of(|place| Some(place.layer.clone()))).tone(quiet),
            Cell::new(of(|place| Some(place.place.clone()))).tone(Tone::Faint),
            Cell::new(of(|place| place.who.clone())).tone(Tone::Faint),
            Cell::new(&key.reload).tone(Tone::Faint),
            Cell::new(held).tone(held_tone),
        ]);
    }
    table.lines(context.paint())
}

/// Returns how many of the replicas that are given a key are known to hold the value in force.
fn held(key: &ConfigKey) -> (String, Tone) {
    let all = key.held.len();
    if all == 0 {
        return (String::new(), Tone::Plain);
    }
    let same = key.held.iter().filter(|held| held.revision.is_some() && !held.drift);
    let same = same.filter(|held| held.value == key.value).count();
    let tone = match key.held.iter().any(|held| held.drift) {
        true => Tone::Bad,
        false if same == all => Tone::Good,
        false => Tone::Uneasy,
    };
    (text::held(same, all), tone)
}

mod text {
    use super::ConfigReport;

    pub(super) const HEADINGS: [&str; 7] = ["KEY", "VALUE", "LAYER", "PLACE", "BY", "CHANGE", "HELD BY"];
    /// Columns of what is always narrow: layer, change, held by, and what stands between all seven.
    pub(super) const NARROW: usize = 7 + 7 + 8 + 18;
    pub(super) const NONE: &str = "-";
    pub(super) const MISSING: &str = "(missing)";
    pub(super) const DEPLOYED: &str = "something new was read; it is taken when the deployment under way is over";

    pub(super) fn held(same: usize, all: usize) -> String {
        format!("{same} of {all}")
    }
    pub(super) fn revision(report: &ConfigReport, number: u64, at: &str, by: &str) -> String {
        format!(
            "{} ({}): revision {number}, taken {at} by {by}",
            report.stack, report.environment
        )
    }
    pub(super) fn going(missing: &[String]) -> String {
        format!("on its way: {} not yet", missing.join(", "))
    }
    pub(super) fn away(table: &str, since: &str, why: &str) -> String {
        format!("the table {table} cannot be read since {since}, and its last known rows stay in force: {why}")
    }
    pub(super) fn refused(errors: usize) -> String {
        match errors {
            1 => "1 error in what lies in files and rows now: none of it is taken until it is mended".to_owned(),
            many => {
                format!("{many} errors in what lies in files and rows now: none of it is taken until they are mended")
            }
        }
    }
}
