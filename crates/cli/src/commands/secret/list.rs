//! `tend secret list`: names, versions and ages; never a value.

use clap::Args;
use tend_api::messages::{SecretList, SecretReport};
use tend_api::{ApiError, Call, Class, EXIT_OK};
use tend_base::{Wall, format_duration};

use super::name;
use crate::arguments::JsonOption;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::{Cell, Table, Tone, harmless};
use crate::target::StackOption;
use crate::when::local_time;

/// List the secrets of a stack: versions, ages, and who holds which
///
/// Lists the secrets of a stack: their versions, how old they are, when they should be rotated, and which replicas hold which version;
/// of those from a Vault, where they are there and how fresh they are. Never a value.
///
/// Example: tend secret list
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only this one
    #[arg(value_name = "NAME", value_parser = name)]
    name: Option<String>,
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

impl List {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        show(context, &self.stack, self.name.as_deref(), self.json).await
    }
}

/// Shows the secrets of a stack, or one of them.
pub(super) async fn show(
    context: &mut Context<'_>,
    stack: &StackOption,
    only: Option<&str>,
    json: JsonOption,
) -> Result<u8> {
    let client = context.client().await?;
    let stack = stack.before_it_is_up(context, &client).await?;
    let (mut list, text) = client.json_with_text::<SecretList>(&Call::Secrets(stack)).await?;
    if let Some(only) = only {
        list.items.retain(|item| item.name == only);
        if list.items.is_empty() {
            let error = ApiError::new(Class::NotFound, format!("there is no secret `{only}`"));
            return Err(Error::Role(error.hint("`tend secret list` names them")));
        }
    }
    if json.json {
        context.line(&match only {
            Some(_) => serde_json::to_string(&list).unwrap_or(text),
            None => text,
        })?;
        return Ok(EXIT_OK);
    }
    if list.items.is_empty() {
        context.note(&text::none(list.stack.as_str()))?;
        return Ok(EXIT_OK);
    }
    for line in lines(context, &list.items) {
        context.line_later(&line)?;
    }
    for line in sources(context, &list.items) {
        context.line_later(&line)?;
    }
    for line in rotations(&list.items) {
        context.line_later(&line)?;
    }
    if list.recovery_keys == 0 {
        context.flush()?;
        context.note(text::LONELY)?;
    }
    Ok(EXIT_OK)
}

fn lines(context: &Context<'_>, items: &[SecretReport]) -> Vec<String> {
    let zone = &context.surroundings.time_zone;
    let now = context.now().wall;
    let day = |at: Wall| -> String { local_time(at, zone).chars().take(10).collect() };
    let mut table = Table::new(&text::HEADINGS);
    for item in items {
        for (index, version) in item.versions.iter().enumerate() {
            let first = |text: &str| if index == 0 { text.to_owned() } else { String::new() };
            let is_current = version.state == "current";
            let age = now.0.saturating_sub(version.made_at.0) / 1000;
            // Days are as fine as an age of secrets is looked at.
            let age = if age > 86_400 { age / 86_400 * 86_400 } else { age };
            let due = item.due_at.filter(|_| is_current);
            table.row(vec![
                Cell::new(first(&item.name)),
                Cell::new(version.version.to_string()),
                Cell::new(version.state.clone()).tone(if is_current { Tone::Good } else { Tone::Faint }),
                Cell::new(format_duration(std::time::Duration::from_secs(age))),
                Cell::new(due.map(day).unwrap_or_default()).tone(if item.overdue { Tone::Bad } else { Tone::Faint }),
                Cell::new(version.made_by.clone()),
                Cell::new(version.held_by.join(", ")),
                Cell::new(first(&item.class)),
                Cell::new(first(&item.granted_to.join(", "))),
            ]);
        }
    }
    table.lines(context.paint())
}

/// Where the rotations under way stand.
fn rotations(items: &[SecretReport]) -> Vec<String> {
    let under_way = items
        .iter()
        .filter_map(|item| Some((&item.name, item.rotation.as_ref()?)));
    let lines: Vec<String> = under_way
        .map(|(name, standing)| format!("{} is being rotated: {}", harmless(name), harmless(standing)))
        .collect();
    match lines.is_empty() {
        true => lines,
        false => std::iter::once(String::new()).chain(lines).collect(),
    }
}

/// Where values come from that are not this machine's own, and how fresh they are.
fn sources(context: &Context<'_>, items: &[SecretReport]) -> Vec<String> {
    let zone = &context.surroundings.time_zone;
    let mut table = Table::new(&text::SOURCE_HEADINGS);
    for item in items {
        let Some(source) = &item.source else { continue };
        let is_fresh = source.state == "fresh";
        let since = source.since.filter(|_| !is_fresh);
        let state = match since {
            Some(since) => format!("{} since {}", source.state, local_time(since, zone)),
            None => source.state.clone(),
        };
        table.row(vec![
            Cell::new(item.name.clone()),
            Cell::new(format!("{} {}", source.path, source.field)),
            Cell::new(source.version.map(|version| version.to_string()).unwrap_or_default()),
            Cell::new(state).tone(if is_fresh { Tone::Good } else { Tone::Bad }),
            Cell::new(source.read_at.map(|at| local_time(at, zone)).unwrap_or_default()),
            Cell::new(source.why.clone().unwrap_or_default()).tone(Tone::Faint),
        ]);
    }
    match items.iter().any(|item| item.source.is_some()) {
        true => std::iter::once(String::new())
            .chain(table.lines(context.paint()))
            .collect(),
        false => Vec::new(),
    }
}

mod text {
    pub(super) const HEADINGS: [&str; 9] = [
        "NAME", "VERSION", "STATE", "AGE", "DUE", "BY", "HELD BY", "CLASS", "GIVEN TO",
    ];
    pub(super) const SOURCE_HEADINGS: [&str; 6] = ["NAME", "IN VAULT", "VERSION", "STATE", "LAST READ", "WHY"];
    pub(super) const LONELY: &str =
        "these secrets open with this machine's key alone; `tend secret recovery-key` makes one to be kept elsewhere";

    pub(super) fn none(stack: &str) -> String {
        format!("{stack} has no secrets; `tend secret set NAME` stores one")
    }
}
