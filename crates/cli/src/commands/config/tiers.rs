//! Two environments compared, as the schema and the files have them. Asks no daemon, and knows nothing of any machine.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tend_api::{ApiError, Class, EXIT_OK};
use tend_config::{Diagnostic, Entry, Held, Key, Location, Schema, SecretVersion, named_secrets};

use super::{ROOM_MIN, shown};
use crate::arguments::JsonOption;
use crate::config_folder::{ConfigFolder, mark};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::{Cell, Table, Tone, width};

/// What one environment has, as far as files tell it.
struct Tier {
    name: String,
    entries: BTreeMap<String, Entry>,
    violations: Vec<Diagnostic>,
}

/// What a tier has for a key, as it is compared and shown.
#[derive(PartialEq, Eq)]
enum Has {
    /// This value.
    Value(String),
    /// A secret that stands in a file of variables, with what tells it apart.
    Outside(String),
    /// A secret of this name.
    Named(String),
    /// A value that cannot be told from the files alone.
    Unknown,
    /// Nothing.
    Nothing,
}

/// Compares two environments and shows where they differ.
pub(super) fn compare(
    context: &mut Context<'_>,
    folder: &Path,
    from: &str,
    to: Option<&str>,
    all: bool,
    json: JsonOption,
) -> Result<u8> {
    let folder = ConfigFolder::find(context, folder)?;
    let schema = folder.schema(context)?;
    let to = to.unwrap_or(&folder.environment);
    let mark = mark();
    let mut tiers = Vec::new();
    for name in [from, to] {
        if !schema.environments.iter().any(|known| known == name) {
            let error = ApiError::new(Class::NotFound, text::no_environment(name));
            return Err(Error::Role(error.hint(text::environments(&schema.environments))));
        }
        tiers.push(tier(&folder, &schema, name, &mark)?);
    }
    let (left, right) = (&tiers[0], &tiers[1]);
    let rows: Vec<(&Key, Has, Has)> = schema
        .keys
        .values()
        .map(|key| (key, left.has(key), right.has(key)))
        .filter(|(_, left, right)| all || left != right)
        .collect();
    // The same secret in two environments is worth a word: who has the one has the other.
    let shared: Vec<&str> = schema
        .keys
        .values()
        .filter(|key| matches!(left.has(key), Has::Outside(_)) && left.has(key) == right.has(key))
        .map(|key| key.name.as_str())
        .collect();
    if json.json {
        let text = as_json(left, right, &rows, &shared);
        context.line(&text.to_string())?;
        return Ok(EXIT_OK);
    }
    if rows.is_empty() {
        context.line(&text::same(from, to))?;
    } else {
        for line in lines(context, left, right, &rows) {
            context.line_later(&line)?;
        }
        context.flush()?;
    }
    if !shared.is_empty() {
        context.note(&text::shared(&shared, from, to))?;
    }
    for tier in &tiers {
        // What a key lacks without its machine is no news; what cannot be read is.
        for violation in tier.violations.iter().filter(|one| one.location.line() > 0) {
            context.note(&text::not_told(&tier.name, violation))?;
        }
    }
    Ok(EXIT_OK)
}

fn tier(
    folder: &ConfigFolder,
    schema: &Schema,
    name: &str,
    mark: &dyn Fn(&tend_base::Secret) -> String,
) -> Result<Tier> {
    let mut stand = folder.stand(name)?;
    let sources = &mut stand.sources;
    // `.env` and the variables of the shell are this machine's; a file of variables that is named after the environment is its own.
    sources.process.clear();
    sources
        .dotenv
        .retain(|source| Path::new(&source.path).file_stem().is_some_and(|stem| stem == name));
    sources.secrets = named_secrets(sources.files.iter().filter_map(|source| source.text.as_deref()));
    let (entries, violations) = stand.sketch(schema, mark);
    Ok(Tier {
        name: name.to_owned(),
        entries,
        violations,
    })
}

impl Tier {
    fn has(&self, key: &Key) -> Has {
        let is_wrong = self
            .violations
            .iter()
            .any(|one| one.key.as_deref() == Some(key.name.as_str()) && one.location.line() > 0);
        match self.entries.get(&key.name).map(|entry| &entry.held) {
            _ if is_wrong => Has::Unknown,
            Some(Held::Value(value)) => Has::Value(value.to_string()),
            Some(Held::Secret(secret)) => match &secret.version {
                SecretVersion::Outside(mark) => Has::Outside(mark.clone()),
                SecretVersion::Stored(_) => Has::Named(secret.name.clone()),
            },
            None => Has::Nothing,
        }
    }

    fn place(&self, key: &Key) -> Option<String> {
        self.entries.get(&key.name).map(|entry| entry.whence.to_string())
    }
}

impl Has {
    fn text(&self, columns: usize) -> String {
        match self {
            Has::Value(value) => shown(value, columns),
            Has::Outside(_) => text::OUTSIDE.to_owned(),
            Has::Named(name) => text::named(name),
            Has::Unknown => text::UNKNOWN.to_owned(),
            Has::Nothing => text::NOTHING.to_owned(),
        }
    }

    fn tone(&self) -> Tone {
        match self {
            Has::Value(_) => Tone::Plain,
            Has::Outside(_) | Has::Named(_) | Has::Nothing => Tone::Faint,
            Has::Unknown => Tone::Uneasy,
        }
    }

    fn json(&self) -> Value {
        match self {
            Has::Nothing => Value::Null,
            has => json!(has.text(usize::MAX)),
        }
    }
}

fn lines(context: &Context<'_>, left: &Tier, right: &Tier, rows: &[(&Key, Has, Has)]) -> Vec<String> {
    let key = rows.iter().map(|(key, ..)| width(&key.name)).max().unwrap_or(0);
    let room = (context.columns().saturating_sub(key + 10) / 2).max(ROOM_MIN);
    let mut table = Table::new(&[text::KEY, &left.name, &right.name]);
    for (key, left, right) in rows {
        table.row(vec![
            Cell::new(&key.name),
            Cell::new(left.text(room)).tone(left.tone()),
            Cell::new(right.text(room)).tone(right.tone()),
        ]);
    }
    table.lines(context.paint())
}

fn as_json(left: &Tier, right: &Tier, rows: &[(&Key, Has, Has)], shared: &[&str]) -> Value {
    let keys = rows.iter().map(|(key, from, to)| {
        json!({
            "key": key.name,
            "from": from.json(),
            "from_place": left.place(key),
            "to": to.json(),
            "to_place": right.place(key),
        })
    });
    json!({ "from": left.name, "to": right.name, "keys": keys.collect::<Value>(), "same_secret": shared })
}

mod text {
    use super::{Diagnostic, Location};

    pub(super) const KEY: &str = "KEY";
    pub(super) const OUTSIDE: &str = "*** (its file of variables)";
    pub(super) const UNKNOWN: &str = "(not known here)";
    pub(super) const NOTHING: &str = "-";

    pub(super) fn named(name: &str) -> String {
        format!("*** (secret {name})")
    }
    pub(super) fn same(from: &str, to: &str) -> String {
        format!("{from} and {to} hold the same, as far as files tell it")
    }
    pub(super) fn shared(keys: &[&str], from: &str, to: &str) -> String {
        format!(
            "warning: {} has the same secret value in {from} and {to}",
            keys.join(", ")
        )
    }
    pub(super) fn not_told(tier: &str, violation: &Diagnostic) -> String {
        let place = match &violation.location {
            Location::File { file, line, .. } => format!("{}:{line}", file.display()),
            Location::Elsewhere(what) => what.clone(),
        };
        format!("{tier}: {} ({place})", violation.message)
    }
    pub(super) fn no_environment(name: &str) -> String {
        format!("there is no environment `{name}`")
    }
    pub(super) fn environments(names: &[String]) -> String {
        format!("it is one of {}", names.join(", "))
    }
}
