//! A set: the outcome of all layers, every key with its value, where that stands, and what lies beneath.
//!
//! Knows how a set reads and where two differ; how one is made stands in `build`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use tend_base::Secret;
use tend_text::Diagnostic;

use crate::layers::Layer;
use crate::value::{Held, SecretRef, Value};

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Whence {
    /// The layer.
    pub layer: Layer,
    /// The file, variable, secret or table; of `set` the command.
    pub what: String,
    /// Of a file the line, from 1.
    pub line: Option<u32>,
    /// Of a table the row's key.
    pub row: Option<String>,
    /// Who wrote it, where that is known.
    pub who: Option<String>,
    /// When, where that is known.
    pub when: Option<String>,
}

impl fmt::Display for Whence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.layer, &self.row) {
            (Layer::Process, _) => write!(f, "the variable {} of tend's environment", self.what)?,
            (Layer::Secret, _) => write!(f, "the secret {}", self.what)?,
            (Layer::Table, Some(row)) => write!(f, "the row `{row}` of {}", self.what)?,
            _ => f.write_str(&self.what)?,
        }
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(who) = &self.who {
            write!(f, ", by {who}")?;
        }
        if let Some(when) = &self.when {
            write!(f, ", {when}")?;
        }
        Ok(())
    }
}

/// What one layer says about a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Said {
    /// Where it stands.
    pub whence: Whence,
    /// The value; nothing where it is unset.
    pub held: Option<Held>,
}

/// What a set has for a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The value.
    pub held: Held,
    /// Where it stands.
    pub whence: Whence,
    /// What the layers say that do not count, highest first. An unset that counts is the first of them, above the default.
    pub beneath: Vec<Said>,
}

/// The outcome of all layers. There is no set with a violation.
#[derive(Clone)]
pub struct Set {
    /// The environment it was made for.
    pub environment: String,
    /// Every key that has a value.
    pub entries: BTreeMap<String, Entry>,
    /// What may not be as meant.
    pub warnings: Vec<Diagnostic>,
    /// Values of secrets that stand outside of the store, by key. Not part of what is printed or stored.
    pub(crate) outside: BTreeMap<String, Secret>,
}

impl Set {
    /// Returns what `tend config why KEY` says of the layers; nothing for a key without a value.
    #[must_use]
    pub fn why(&self, key: &str) -> Option<Why<'_>> {
        let (key, entry) = self.entries.get_key_value(key)?;
        Some(Why { key, entry })
    }

    /// Returns the values of secrets that stand outside of the store, by key; those of the store are the store's to give.
    pub fn outside_secrets(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.outside.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Returns which versions of which secrets it names, by key.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &SecretRef)> {
        secrets(&self.entries)
    }
}

/// Returns which versions of which secrets entries name.
pub(crate) fn secrets(entries: &BTreeMap<String, Entry>) -> impl Iterator<Item = (&str, &SecretRef)> {
    entries.iter().filter_map(|(key, entry)| match &entry.held {
        Held::Secret(secret) => Some((key.as_str(), secret)),
        Held::Value(_) => None,
    })
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Set")
            .field("environment", &self.environment)
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}

/// Why a key has its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Why<'a> {
    /// The key.
    pub key: &'a str,
    /// Its value, where that stands, and what lies beneath.
    pub entry: &'a Entry,
}

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = self.entry;
        writeln!(f, "{} = {}", self.key, entry.held)?;
        writeln!(f, "  {:<8} {}", entry.whence.layer.to_string(), entry.whence)?;
        for said in &entry.beneath {
            let held = said.held.as_ref().map_or_else(|| "(unset)".to_owned(), Held::to_string);
            writeln!(f, "  {:<8} {}: {held}", said.whence.layer.to_string(), said.whence)?;
        }
        Ok(())
    }
}

/// One key that two sets hold otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The key.
    pub key: String,
    /// What the first holds.
    pub before: Option<Held>,
    /// What the second holds.
    pub after: Option<Entry>,
}

/// Where two sets differ, by key. Secrets are names and versions, so it may be shown and journalled as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff(pub Vec<Change>);

impl Diff {
    /// Returns where the values of two sets, revisions or tiers differ. Where a value stands is no difference.
    #[must_use]
    pub fn between(before: &BTreeMap<String, Entry>, after: &BTreeMap<String, Entry>) -> Self {
        let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let held = |entries: &BTreeMap<String, Entry>, key: &str| entries.get(key).map(|entry| entry.held.clone());
        let changes = keys
            .into_iter()
            .filter(|key| held(before, key) != held(after, key))
            .map(|key| {
                let after = after.get(key).cloned();
                let became_secret = after
                    .as_ref()
                    .is_some_and(|entry| matches!(entry.held, Held::Secret(_)));
                // What a key held before it was declared secret is not to be shown any more.
                let before = held(before, key).map(|held| match held {
                    Held::Value(_) if became_secret => Held::Value(Value::Text("***".to_owned())),
                    other => other,
                });
                Change {
                    key: key.clone(),
                    before,
                    after,
                }
            })
            .collect();
        Self(changes)
    }

    /// Returns whether there is no difference.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes the second set of the first.
    pub fn apply(&self, entries: &mut BTreeMap<String, Entry>) {
        for change in &self.0 {
            match &change.after {
                Some(entry) => entries.insert(change.key.clone(), entry.clone()),
                None => entries.remove(&change.key),
            };
        }
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.0 {
            let before = change.before.as_ref();
            match (before, &change.after) {
                (Some(before), Some(after)) => writeln!(f, "~ {}: {before} → {}", change.key, after.held)?,
                (None, Some(after)) => writeln!(f, "+ {}: {}", change.key, after.held)?,
                (Some(before), None) => writeln!(f, "- {}: {before}", change.key)?,
                (None, None) => {}
            }
        }
        Ok(())
    }
}
