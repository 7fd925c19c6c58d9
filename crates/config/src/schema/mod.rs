//! The schema: every key of a stack's configuration, declared once.
//!
//! Map: `read` goes from the text to [`Schema`] and finds what is wrong with it, `shape` is what values a key takes, `check` judges a
//! value, `json` gives the schema out as JSON Schema and `docs` as a page.

mod check;
mod docs;
mod json;
mod read;
mod read_shape;
mod read_words;
mod shape;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use tend_base::Secret;
use tend_text::{Diagnostic, Findings, Kind, Location, Node, Report, Shows};

pub use docs::docs;
pub use json::json_schema;
pub use shape::{Shape, Type};

pub(crate) use check::Form;

use crate::flatten::Names;
use crate::value::Value;

/// What a change of a key asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reload {
    /// The process takes it while it runs.
    Live,
    /// The process reads its file again at a signal.
    Signal,
    /// The replicas are replaced one at a time. What is not said is taken for this: it is right for every program.
    #[default]
    Rolling,
    /// Not while it runs.
    Refuse,
}

impl Reload {
    pub(crate) const NAMES: [(&'static str, Reload); 4] = [
        ("live", Reload::Live),
        ("signal", Reload::Signal),
        ("rolling", Reload::Rolling),
        ("refuse", Reload::Refuse),
    ];
}

impl fmt::Display for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES
            .iter()
            .find(|(_, one)| one == self)
            .map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

/// Where a key must have a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Required {
    /// Nowhere.
    #[default]
    Never,
    /// Everywhere.
    Always,
    /// In these environments.
    In(Vec<String>),
}

impl Required {
    /// Returns whether it must have one in an environment.
    #[must_use]
    pub fn applies(&self, environment: &str) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::In(environments) => environments.iter().any(|one| one == environment),
        }
    }
}

/// One declared key.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Dotted lower-case words.
    pub name: String,
    /// What values it takes.
    pub shape: Shape,
    /// Its value when no layer has one.
    pub default: Option<Value>,
    /// Where it must have one.
    pub required: Required,
    /// Whether its value is a secret.
    pub secret: bool,
    /// What it is for.
    pub description: Option<String>,
    /// What a change asks for.
    pub reload: Reload,
    /// Who answers for it.
    pub owner: Option<String>,
    /// The variable it is read from and given out as.
    pub variable: String,
    /// Values not allowed, by environment.
    pub forbidden: BTreeMap<String, Vec<Value>>,
    /// Line of the schema it is declared on, from 1.
    pub line: u32,
    /// Line of its default, from 1; that of the key when it has none.
    pub default_line: u32,
}

/// Values that are set together.
#[derive(Clone, Debug, PartialEq)]
pub struct Preset {
    /// What to pass to `set` for each key: its value as text.
    pub values: BTreeMap<String, String>,
}

/// All keys of a stack, their presets and environments.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// As it was handed in.
    pub file: String,
    /// By name.
    pub keys: BTreeMap<String, Key>,
    /// By name.
    pub presets: BTreeMap<String, Preset>,
    /// Environments that are known.
    pub environments: Vec<String>,
    pub(crate) names: Names,
}

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    /// When anything is wrong with it: all of it, with places.
    pub fn parse(file: &str, text: &str) -> Result<Self, Report> {
        read::schema(file, text)
    }

    /// Returns the key of that name, or of that variable: tables and people name both.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Key> {
        self.keys
            .get(name)
            .or_else(|| self.keys.get(self.names.by_variable(name)?))
    }

    /// Returns the help for a name that is no key: the one it is most likely a slip of.
    #[must_use]
    pub fn suggestion(&self, name: &str) -> String {
        self.names.suggestion(name)
    }

    /// Checks a value that somebody typed, as `tend config set` takes it.
    ///
    /// # Errors
    /// When there is no such key or it does not take the value: every reason.
    pub fn check_text(&self, name: &str, text: &str, said_by: &str) -> Result<Value, Report> {
        let location = Location::Elsewhere(said_by.to_owned());
        let mut findings = Findings::default();
        let Some(key) = self.find(name) else {
            findings
                .error_elsewhere(location, format!("the key `{name}` is not known"))
                .key(name)
                .help(self.suggestion(name));
            return Err(Report(findings.into_diagnostics()));
        };
        let place = findings.sources.add(said_by, "", Shows::Names).whole();
        match key
            .shape
            .check(&Node::scalar(place, text, Kind::Text), Form::Text, !key.secret)
        {
            Ok(value) => Ok(value),
            Err(problems) => {
                for problem in problems {
                    findings
                        .error_elsewhere(location.clone(), format!("`{}` {}", key.name, problem.what))
                        .key(&key.name)
                        .help(problem.help);
                }
                Err(Report(findings.into_diagnostics()))
            }
        }
    }
}

impl Key {
    /// Checks the value of a secret; no violation quotes any of it.
    #[must_use]
    pub fn check_secret(&self, value: &Secret, location: &Location) -> Vec<Diagnostic> {
        let mut findings = Findings::default();
        let place = findings.sources.add("", "", Shows::Names).whole();
        let node = Node::scalar(place, value.expose(), Kind::Text);
        for problem in self.shape.check(&node, Form::Text, false).err().unwrap_or_default() {
            findings
                .error_elsewhere(location.clone(), format!("`{}` {}", self.name, problem.what))
                .key(&self.name)
                .help(problem.help);
        }
        findings.into_diagnostics()
    }
}
