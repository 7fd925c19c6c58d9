//! Values as a set holds them: exact, typed, and secrets by name and version only.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::decimal::Decimal;

/// The value of a key that is no secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// `true`, `false`.
    Bool(bool),
    /// A number, or a duration or size in the unit of its key.
    Number(Decimal),
    /// Text, a URL, or a duration or size whose key has no unit, as written.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// Names and values.
    Map(BTreeMap<String, Value>),
}

impl Value {
    /// Returns it as JSON text, with numbers as they are and names sorted.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    fn write_json(&self, out: &mut String) {
        match self {
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(value) => out.push_str(&value.to_string()),
            Self::Text(value) => out.push_str(&json_string(value)),
            Self::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push_str(", ");
                    }
                    item.write_json(out);
                }
                out.push(']');
            }
            Self::Map(entries) => {
                out.push('{');
                for (at, (name, value)) in entries.iter().enumerate() {
                    if at > 0 {
                        out.push_str(", ");
                    }
                    out.push_str(&json_string(name));
                    out.push_str(": ");
                    value.write_json(out);
                }
                out.push('}');
            }
        }
    }

    /// Returns it as the text of an environment variable: scalars bare, lists and maps as JSON.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            other => other.to_json(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

/// Returns a text in the quotes and escapes of JSON.
pub(crate) fn json_string(text: &str) -> String {
    serde_json::to_string(text).expect("a text is always valid JSON")
}

/// What a set holds for a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// A value that may be seen.
    Value(Value),
    /// A secret, by name and version.
    Secret(SecretRef),
}

/// Which version of which secret: never its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SecretRef {
    /// The name in the store of secrets, or the variable's when the value came from outside of it.
    pub name: String,
    /// Which one.
    pub version: SecretVersion,
}

/// Which value of a secret is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretVersion {
    /// A version of the store.
    Stored(u64),
    /// A value from a file of variables or the environment: the mark that [`crate::Layers::mark`] gave it.
    Outside(String),
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => value.fmt(f),
            Self::Secret(secret) => secret.fmt(f),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            SecretVersion::Stored(version) => write!(f, "*** (secret {}, version {version})", self.name),
            SecretVersion::Outside(_) => write!(f, "*** ({}, not in the store of secrets)", self.name),
        }
    }
}
