//! What a set is made from, handed in: files, variables, secrets by name, rows, and what was set by command.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use tend_base::{Secret, Wall};
use tend_text::{Report, did_you_mean, nearest_name};

use crate::schema::Schema;

/// The layers, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// The schema.
    Default,
    /// `config/environments/ENVIRONMENT.yml`.
    File,
    /// `.env`, then `config/secrets/ENVIRONMENT.env`.
    Dotenv,
    /// tend's own environment when the stack came up.
    Process,
    /// A secret of the key's name.
    Secret,
    /// The user's table, `system_config`.
    Table,
    /// `tend config set`.
    Set,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Dotenv => "dotenv",
            Self::Process => "process",
            Self::Secret => "secret",
            Self::Table => "table",
            Self::Set => "set",
        })
    }
}

/// One source of values. Of several of one layer the later wins.
#[derive(Clone, Debug)]
pub enum Origin {
    /// YAML or JSON, nested or with dots.
    File {
        /// As messages should show it.
        path: String,
        /// What it holds.
        text: String,
    },
    /// Lines as Compose reads `.env`.
    Dotenv {
        /// As messages should show it.
        path: String,
        /// What it holds.
        text: String,
    },
    /// tend's own environment. Variables that no key has are ignored.
    Process(BTreeMap<String, String>),
    /// The store of secrets.
    Secrets(Vec<StoredSecret>),
    /// A table of configuration.
    Table {
        /// Its name, as messages should show it.
        name: String,
        /// Its rows.
        rows: Vec<Row>,
    },
    /// What was set by command.
    Set(SetLayer),
}

/// A secret of the store: which version is current, and its value where it is at hand, for checking.
#[derive(Clone, Debug)]
pub struct StoredSecret {
    /// Its name.
    pub name: String,
    /// The version that is current.
    pub version: u64,
    /// Its value, so that length and form can be checked; nothing is checked without.
    pub value: Option<Secret>,
}

/// A row of the user's table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// A key, or its variable.
    pub key: String,
    /// The value as JSON.
    pub value: String,
    /// Rows that are not are left out.
    pub is_active: bool,
    /// When it was last written, as the database says.
    pub updated_at: Option<String>,
    /// Who wrote it, where the table says.
    pub updated_by: Option<String>,
}

/// Everything a set is made from.
#[derive(Clone)]
pub struct Layers<'a> {
    /// `deploy.environment` of the stack.
    pub environment: String,
    /// In any order; the layers are put in theirs.
    pub origins: Vec<Origin>,
    /// Gives the mark by which two values of a secret that stands outside of the store are told apart: a keyed digest of it, of which
    /// the value cannot be found again. Equal values must give equal marks.
    pub mark: &'a dyn Fn(&Secret) -> String,
}

impl fmt::Debug for Layers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers")
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

/// What somebody set by command, for one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetEntry {
    /// The value as it was typed; nothing unsets what lies beneath.
    pub text: Option<String>,
    /// Who.
    pub who: String,
    /// When.
    pub when: Wall,
}

/// The layer that `tend config set` writes; it stands in the daemon's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetLayer(pub BTreeMap<String, SetEntry>);

impl SetLayer {
    /// Sets a key to a value as it was typed.
    ///
    /// # Errors
    /// When the key is not known, is secret, or does not take the value; nothing is changed then.
    pub fn set(&mut self, schema: &Schema, name: &str, text: &str, who: &str, when: Wall) -> Result<(), Report> {
        let said_by = format!("tend config set, by {who}");
        let name = settable(schema, name, &said_by)?;
        // A reference to another value is judged when the set is built.
        schema.check_text(&name, text, &said_by)?;
        self.insert(name, Some(text.to_owned()), who, when);
        Ok(())
    }

    /// Unsets a key: what lies beneath does not count, and the default answers.
    ///
    /// # Errors
    /// When the key is not known.
    pub fn unset(&mut self, schema: &Schema, name: &str, who: &str, when: Wall) -> Result<(), Report> {
        let name = settable(schema, name, &format!("tend config unset, by {who}"))?;
        self.insert(name, None, who, when);
        Ok(())
    }

    /// Takes back what was set or unset: what lies beneath counts again. Returns whether there was anything.
    pub fn clear(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// Sets all values of a preset.
    ///
    /// # Errors
    /// When there is no such preset; nothing is changed then.
    pub fn preset(&mut self, schema: &Schema, name: &str, who: &str, when: Wall) -> Result<(), Report> {
        let Some(preset) = schema.presets.get(name) else {
            let known = schema.presets.keys().map(String::as_str);
            let help = nearest_name(name, known)
                .map(did_you_mean)
                .unwrap_or_else(|| match schema.presets.len() {
                    0 => "the schema has no presets".to_owned(),
                    _ => format!(
                        "the presets are {}",
                        schema.presets.keys().cloned().collect::<Vec<_>>().join(", ")
                    ),
                });
            return Err(Report::one(
                None,
                &format!("tend config set, by {who}"),
                format!("there is no preset `{name}`"),
                help,
            ));
        };
        for (key, text) in &preset.values {
            self.insert(key.clone(), Some(text.clone()), who, when);
        }
        Ok(())
    }

    fn insert(&mut self, name: String, text: Option<String>, who: &str, when: Wall) {
        let who = who.to_owned();
        self.0.insert(name, SetEntry { text, who, when });
    }
}

/// Returns the key's own name, if it may be set by command.
fn settable(schema: &Schema, name: &str, said_by: &str) -> Result<String, Report> {
    match schema.find(name) {
        None => Err(Report::one(
            Some(name),
            said_by,
            format!("the key `{name}` is not known"),
            schema.suggestion(name),
        )),
        Some(key) if key.secret => Err(Report::one(
            Some(&key.name),
            said_by,
            format!("`{}` is secret", key.name),
            format!(
                "store it with `tend secret set {}`, which reads it without showing it",
                key.name
            ),
        )),
        Some(key) => Ok(key.name.clone()),
    }
}
