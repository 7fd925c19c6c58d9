//! What a service is given, written as its program reads it: variables, dotenv, JSON, YAML, TOML. The same entries give the same bytes.
//!
//! Invariant: what is written may hold secrets, so it is a [`Secret`] itself until it is handed on.

use std::collections::BTreeMap;

use tend_base::Secret;
use tend_core::model::FileFormat;

use crate::ask::Selection;
use crate::error::Error;
use crate::schema::Schema;
use crate::set::Entry;
use crate::value::{Held, Value, json_string};

/// One value that a service is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// One that may be seen.
    Plain(Value),
    /// A secret's.
    Secret(Secret),
}

impl Given {
    fn as_value(&self) -> Value {
        match self {
            Self::Plain(value) => value.clone(),
            Self::Secret(secret) => Value::Text(secret.expose().to_owned()),
        }
    }
}

/// Returns the values that a selection gives, by key. `secrets` are values by key.
///
/// # Errors
/// When the value of a secret that is given is not among them.
pub fn given(
    entries: &BTreeMap<String, Entry>,
    keys: &Selection,
    secrets: &BTreeMap<String, Secret>,
) -> Result<BTreeMap<String, Given>, Error> {
    let mut out = BTreeMap::new();
    for (key, entry) in entries {
        let is_secret = matches!(entry.held, Held::Secret(_));
        if !keys.covers(key, is_secret) {
            continue;
        }
        let value = match &entry.held {
            Held::Value(value) => Given::Plain(value.clone()),
            Held::Secret(_) => Given::Secret(
                secrets
                    .get(key)
                    .cloned()
                    .ok_or_else(|| Error::NoSecret { key: key.clone() })?,
            ),
        };
        out.insert(key.clone(), value);
    }
    Ok(out)
}

/// Returns the variables of what a service is given, by the names the schema has for them.
///
/// # Errors
/// When a value has a zero byte in it.
pub fn environment(schema: &Schema, given: &BTreeMap<String, Given>) -> Result<BTreeMap<String, Secret>, Error> {
    let mut out = BTreeMap::new();
    for (key, value) in given {
        let text = value.as_value().to_text();
        if text.contains('\0') {
            return Err(Error::NotWritable {
                key: key.clone(),
                format: "a variable",
                why: "it has a zero byte in it",
            });
        }
        out.insert(variable(schema, key), Secret::new(text));
    }
    Ok(out)
}

/// Returns the name of the variable that a key is given as.
#[must_use]
pub fn variable(schema: &Schema, key: &str) -> String {
    match schema.keys.get(key) {
        Some(key) => key.variable.clone(),
        None => key.to_uppercase().replace('.', "_"),
    }
}

/// Writes what a service is given as a file.
///
/// # Errors
/// When a value cannot be written in that form.
pub fn render(schema: &Schema, given: &BTreeMap<String, Given>, format: FileFormat) -> Result<Secret, Error> {
    if format == FileFormat::Dotenv {
        let mut out = String::new();
        for (name, value) in environment(schema, given)? {
            out.push_str(&format!("{name}={}\n", dotenv_quoted(value.expose())));
        }
        return Ok(Secret::new(out));
    }
    let mut root = BTreeMap::new();
    for (key, value) in given {
        insert(&mut root, key, value.as_value());
    }
    let mut out = String::new();
    match format {
        FileFormat::Yaml if root.is_empty() => out.push_str("{}\n"),
        FileFormat::Yaml => yaml(&root, 0, &mut out),
        FileFormat::Toml => toml(&root, "", &mut out)?,
        _ => {
            json(&Value::Map(root), 0, &mut out);
            out.push('\n');
        }
    }
    Ok(Secret::new(out))
}

fn insert(root: &mut BTreeMap<String, Value>, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            root.insert(key.to_owned(), value);
        }
        Some((word, rest)) => {
            let below = root
                .entry(word.to_owned())
                .or_insert_with(|| Value::Map(BTreeMap::new()));
            // A key is never a group of others, so what stands there is a group.
            if let Value::Map(below) = below {
                insert(below, rest, value);
            }
        }
    }
}

/// Quotes that Compose reads back as the text, and python-dotenv too, but for a few texts with backslashes: there is no form that both
/// read alike, and Compose's is written.
fn dotenv_quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@+,%=".contains(c);
    if text.chars().all(plain) && !text.is_empty() {
        return text.to_owned();
    }
    // In single quotes everything is as it is, but a backslash before another or before a quote.
    if !text.contains('\r') && !text.contains("\\\\") && !text.contains("\\'") && !text.ends_with('\\') {
        return format!("'{}'", text.replace('\'', "\\'"));
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '$' => out.push_str("\\$"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn json(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Map(entries) if !entries.is_empty() => {
            out.push_str("{\n");
            for (at, (name, value)) in entries.iter().enumerate() {
                out.push_str(&format!("{:width$}{}: ", "", json_string(name), width = indent + 2));
                json(value, indent + 2, out);
                out.push_str(if at + 1 < entries.len() { ",\n" } else { "\n" });
            }
            out.push_str(&format!("{:indent$}}}", ""));
        }
        other => out.push_str(&other.to_json()),
    }
}

/// Texts stand in double quotes always: readers of YAML 1.1 take `no`, `22:22` and `1_000` for something else.
fn yaml(entries: &BTreeMap<String, Value>, indent: usize, out: &mut String) {
    for (name, value) in entries {
        out.push_str(&format!("{:indent$}{}:", "", yaml_name(name)));
        match value {
            Value::Map(below) if !below.is_empty() => {
                out.push('\n');
                yaml(below, indent + 2, out);
            }
            other => {
                out.push(' ');
                out.push_str(&yaml_string(&other.to_json()));
                out.push('\n');
            }
        }
    }
}

/// JSON is YAML, but for characters that only JSON lets stand in a text.
fn yaml_string(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out
}

fn yaml_name(name: &str) -> String {
    let word = matches!(
        name,
        "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null"
    );
    if is_bare(name) && name.starts_with(|c: char| c.is_ascii_alphabetic()) && !word {
        name.to_owned()
    } else {
        yaml_string(&json_string(name))
    }
}

fn is_bare(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Values first, tables after them: what follows a table's head belongs to it.
fn toml(entries: &BTreeMap<String, Value>, path: &str, out: &mut String) -> Result<(), Error> {
    for (name, value) in entries {
        if !matches!(value, Value::Map(_)) {
            out.push_str(&toml_name(name));
            out.push_str(" = ");
            toml_value(value, &format!("{path}{name}"), out)?;
            out.push('\n');
        }
    }
    for (name, value) in entries {
        if let Value::Map(below) = value {
            let head = format!("{path}{}", toml_name(name));
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&format!("[{head}]\n"));
            toml(below, &format!("{head}."), out)?;
        }
    }
    Ok(())
}

fn toml_name(name: &str) -> String {
    if is_bare(name) {
        name.to_owned()
    } else {
        toml_string(name)
    }
}

fn toml_string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn toml_value(value: &Value, key: &str, out: &mut String) -> Result<(), Error> {
    match value {
        Value::Bool(_) => out.push_str(&value.to_json()),
        Value::Number(number) if number.is_whole() && number.as_i64().is_none() => {
            return Err(Error::NotWritable {
                key: key.to_owned(),
                format: "TOML",
                why: "its whole numbers have 64 bits",
            });
        }
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::Text(text) => out.push_str(&toml_string(text)),
        Value::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                toml_value(item, key, out)?;
            }
            out.push(']');
        }
        Value::Map(entries) => {
            out.push('{');
            for (at, (name, value)) in entries.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { " " });
                out.push_str(&format!("{} = ", toml_name(name)));
                toml_value(value, key, out)?;
            }
            out.push_str(" }");
        }
    }
    Ok(())
}
