//! Two environments compared, as the schema and the files have them. Asks no daemon, and knows nothing of any machine.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tend_api::{ApiError, Class, EXIT_OK};
use tend_config::{Entry, Held, Key, Layers, Origin, Schema, SecretVersion, Set, Violation, named_secrets};

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
    violations: Vec<Violation>,
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
        for violation in tier.violations.iter().filter(|one| one.line() > 0) {
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
    let sources = folder.stand(name)?.sources;
    let there = |source: &tend_config::Source| Some((source.path.clone(), source.text.clone()?));
    let files: Vec<_> = sources.files.iter().filter_map(there).collect();
    // `.env` is this machine's; a file of variables that is named after the environment is its own.
    let own = |path: &str| Path::new(path).file_stem().is_some_and(|stem| stem == name);
    let dotenv: Vec<_> = sources.dotenv.iter().filter_map(there).collect();
    let dotenv = dotenv.into_iter().filter(|(path, _)| own(path));
    let secrets = named_secrets(files.iter().map(|(_, text)| text.as_str()));
    let mut origins: Vec<Origin> = vec![Origin::Secrets(secrets)];
    origins.extend(files.into_iter().map(|(path, text)| Origin::File { path, text }));
    origins.extend(dotenv.map(|(path, text)| Origin::Dotenv { path, text }));
    let layers = Layers {
        environment: name.to_owned(),
        origins,
        mark,
    };
    let (entries, violations) = Set::sketch(schema, &layers);
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
            .any(|one| one.key.as_deref() == Some(key.name.as_str()) && one.line() > 0);
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
    use tend_config::Violation;

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
    pub(super) fn not_told(tier: &str, violation: &Violation) -> String {
        format!("{tier}: {} ({})", violation.message, super::place(violation))
    }
    pub(super) fn no_environment(name: &str) -> String {
        format!("there is no environment `{name}`")
    }
    pub(super) fn environments(names: &[String]) -> String {
        format!("it is one of {}", names.join(", "))
    }
}

/// Returns the file and line of a violation.
fn place(violation: &Violation) -> String {
    match &violation.location {
        tend_config::Location::File { file, line, .. } => format!("{}:{line}", file.display()),
        tend_config::Location::Elsewhere(what) => what.clone(),
    }
}

/// Says in which line something is wrong; 0 where it is in none.
trait Line {
    fn line(&self) -> u32;
}

impl Line for Violation {
    fn line(&self) -> u32 {
        self.location.line()
    }
}
