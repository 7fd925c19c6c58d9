//! Which table and which queries are configuration. Opens nothing.

use std::time::Duration;

use crate::Address;

/// How often a database that does not announce changes is looked at.
const POLL: Duration = Duration::from_secs(1);

/// Names of the columns of a table. All but key and value may be missing in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// The key.
    pub key: String,
    /// The value, as JSON or as text that is JSON.
    pub value: String,
    /// Only rows that have true here count.
    pub is_active: String,
    /// When the row was made.
    pub created_at: String,
    /// When it was last changed.
    pub updated_at: String,
    /// By whom.
    pub updated_by: String,
}

impl Default for Columns {
    fn default() -> Self {
        let name = str::to_owned;
        Self {
            key: name("key"),
            value: name("value"),
            is_active: name("is_active"),
            created_at: name("created_at"),
            updated_at: name("updated_at"),
            updated_by: name("updated_by"),
        }
    }
}

/// A table of configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name; with a schema or a database in front of a dot where it needs one.
    pub name: String,
    /// Its columns.
    pub columns: Columns,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            name: "system_config".to_owned(),
            columns: Columns::default(),
        }
    }
}

/// A query whose first two columns are a key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Name for people: rows are told to be from here.
    pub name: String,
    /// One `SELECT`, without a semicolon.
    pub sql: String,
    /// Whether values that are text hold JSON. Otherwise a text is a string; columns of JSON, numbers and booleans are what they are.
    pub text_is_json: bool,
    /// The tables it reads. When they are named and announce their changes ([`crate::install`]), the query is not run every second.
    pub tables: Vec<String>,
}

/// What a [`crate::Source`] reads.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where.
    pub address: Address,
    /// The table, if there is one.
    pub table: Option<Table>,
    /// Queries beside it.
    pub queries: Vec<Query>,
    /// How often a database that does not announce changes is looked at, and one that does is asked whether it is still there.
    pub poll: Duration,
}

impl Settings {
    /// Returns settings for the guides' table `system_config`, looked at every second where changes are not announced.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            table: Some(Table::default()),
            queries: Vec::new(),
            poll: POLL,
        }
    }
}

/// Returns a name, in its parts, quoted for SQL by `quote`, which is doubled within.
pub(crate) fn quoted(name: &str, quote: char) -> String {
    let part = |part: &str| format!("{quote}{}{quote}", part.replace(quote, &format!("{quote}{quote}")));
    name.split('.').map(part).collect::<Vec<_>>().join(".")
}

/// Returns a text as a literal of standard SQL. Not for MySQL, which knows backslashes.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
