//! Where a stack's configuration comes from, and how each service is given its part.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where a stack's configuration comes from; what the layers mean, lowest first, is told in `docs/reference/config.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigSources {
    /// The file that declares each key; it has to be there.
    pub schema: PathBuf,
    /// Files of values, the later above the earlier; any of them may be missing.
    pub files: Vec<PathBuf>,
    /// Files of variables, above those; any of them may be missing.
    pub dotenv: Vec<PathBuf>,
    /// A table of a database, above all files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<ConfigTable>,
}

/// A table that holds a key and a value in each row.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigTable {
    /// Of the database; may hold a password and is never printed.
    pub url: String,
    /// Its name.
    pub name: String,
    /// The column of the key.
    pub key: String,
    /// The column of the value, as JSON.
    pub value: String,
    /// The column that says whether a row counts; none where all do.
    pub active: Option<String>,
    /// How often it is looked at where the database announces no changes.
    pub every: Duration,
}

/// Shows no URL: it may hold a password.
impl fmt::Debug for ConfigTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigTable")
            .field("url", &"***")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// How a service is given its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// In what form.
    pub form: DeliveryForm,
    /// What it gets: keys, and prefixes that end with `.*`; all that is no secret when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

/// In what form a service is given its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryForm {
    /// As variables, when a replica starts: another value is another start.
    Environment,
    /// As a file of each replica, named in `TEND_CONFIG_FILE` and written anew when something changes.
    File {
        /// What is written.
        format: FileFormat,
        /// The number of the signal a replica is sent then; none where it looks by itself.
        signal: Option<i32>,
    },
    /// By the endpoint named in `TEND_CONFIG_SOCKET`, as it changes.
    Watch,
}

/// What a file of configuration is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// `NAME=value`, as Compose reads `.env`.
    Dotenv,
    /// JSON, nested at the dots of the keys.
    Json,
    /// YAML, nested in the same way.
    Yaml,
    /// TOML, nested in the same way.
    Toml,
}
