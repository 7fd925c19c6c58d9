//! `tend config why`: why a key has its value: the layer that wins, what lies beneath, and what each replica holds.

use clap::Args;
use tend_api::EXIT_OK;
use tend_api::messages::{ConfigKey, ConfigPlace};

use super::{ROOM_MIN, get, local_when, shown, with_unit};
use crate::arguments::JsonOption;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Cell, Table, Tone};
use crate::target::StackOption;

/// Say why a key has its value: layers, places, replicas
///
/// Says why a key has its value: the layer that wins with its file and line, row or command, author and time; what lies beneath it; what a
/// change asks for; and the value that each replica holds that is given the key, so that drift is seen.
///
/// Example: tend config why features.qr_rotation.default_ttl
#[derive(Debug, Args)]
pub(super) struct Why {
    /// The key, or its variable
    #[arg(value_name = "KEY")]
    key: String,
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

impl Why {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let (report, text) = get::asked(context, &self.stack, self.key).await?;
        if self.json.json {
            context.line(&text)?;
            return Ok(EXIT_OK);
        }
        for key in &report.keys {
            for line in lines(context, key) {
                context.line_later(&line)?;
            }
        }
        Ok(EXIT_OK)
    }
}

fn lines(context: &Context<'_>, key: &ConfigKey) -> Vec<String> {
    let paint = context.paint();
    let room = (context.columns() / 2).max(ROOM_MIN);
    let value = |text: &Option<String>, none: &str| match text {
        Some(text) => shown(&with_unit(text, key), room),
        None => none.to_owned(),
    };
    let mut lines = vec![format!(
        "{} = {}",
        paint.paint(Tone::Strong, &key.key),
        key.value
            .as_ref()
            .map_or(text::NONE.to_owned(), |text| shown(&with_unit(text, key), usize::MAX))
    )];
    if let Some(description) = &key.description {
        lines.push(format!("  {description}"));
    }
    lines.push(paint.paint(Tone::Faint, &format!("  {}", text::takes(key))));
    lines.push(paint.paint(Tone::Faint, &format!("  {}", text::change(key))));
    for ask in &key.asks {
        let line = text::ask(&ask.service, &ask.asked);
        lines.push(paint.paint(Tone::Faint, &format!("    {line}")));
    }
    lines.push(String::new());
    let mut table = Table::new(&text::LAYERS);
    let mut row = |mark: &str, held: String, place: &ConfigPlace, tone: Tone| {
        table.row(vec![
            Cell::new(mark).tone(Tone::Good),
            Cell::new(&place.layer).tone(tone),
            Cell::new(held).tone(tone),
            Cell::new(&place.place).tone(tone),
            Cell::new(place.who.clone().unwrap_or_default()).tone(tone),
            Cell::new(
                place
                    .when
                    .as_ref()
                    .map(|when| local_when(context, when))
                    .unwrap_or_default(),
            )
            .tone(tone),
        ]);
    };
    if let Some(place) = &key.place {
        row(text::WINS, value(&key.value, text::NONE), place, Tone::Plain);
    }
    for layer in &key.beneath {
        row("", value(&layer.value, text::UNSET), &layer.place, Tone::Faint);
    }
    if key.place.is_none() {
        lines.push(paint.paint(Tone::Uneasy, text::NOWHERE));
    } else {
        lines.extend(table.lines(paint));
    }
    if key.held.is_empty() {
        return lines;
    }
    lines.push(String::new());
    let mut table = Table::new(&text::REPLICAS);
    for held in &key.held {
        let (word, tone) = match (held.drift, held.revision) {
            (true, _) => (text::DRIFT, Tone::Bad),
            (false, Some(_)) => (text::SAME, Tone::Good),
            (false, None) => (text::UNKNOWN, Tone::Uneasy),
        };
        table.row(vec![
            Cell::new(&held.replica),
            Cell::new(held.revision.map(|number| number.to_string()).unwrap_or_default()).right(),
            Cell::new(value(&held.value, text::NONE)),
            Cell::new(word).tone(tone),
        ]);
    }
    lines.extend(table.lines(paint));
    lines
}

mod text {
    use super::ConfigKey;

    pub(super) const LAYERS: [&str; 6] = ["", "LAYER", "VALUE", "PLACE", "BY", "WHEN"];
    pub(super) const REPLICAS: [&str; 4] = ["REPLICA", ">REVISION", "HOLDS", ""];
    pub(super) const WINS: &str = ">";
    pub(super) const NONE: &str = "-";
    pub(super) const UNSET: &str = "(unset)";
    pub(super) const NOWHERE: &str = "no layer has a value, and there is no default";
    pub(super) const DRIFT: &str = "drift: not what is in force";
    pub(super) const SAME: &str = "as in force";
    pub(super) const UNKNOWN: &str = "not known";

    pub(super) fn takes(key: &ConfigKey) -> String {
        let required = if key.required { "; required" } else { "" };
        let secret = if key.secret { "; secret" } else { "" };
        let owner = key.owner.as_ref().map(|owner| format!("; {owner} answers for it"));
        format!("it takes {}{required}{secret}{}", key.takes, owner.unwrap_or_default())
    }
    pub(super) fn ask(service: &str, asked: &str) -> String {
        match asked {
            "live" => format!("{service} takes it while it runs"),
            "signal" => format!("{service} is told to read its file again"),
            "rolling" => format!("the replicas of {service} are replaced, one at a time"),
            "refused" => format!("refused while {service} runs"),
            other => format!("{service}: {other}"),
        }
    }
    pub(super) fn change(key: &ConfigKey) -> String {
        let (variable, reload) = (&key.variable, &key.reload);
        let colon = if key.asks.is_empty() { "" } else { ":" };
        format!("variable {variable}; a change is {reload}{colon}")
    }
}
