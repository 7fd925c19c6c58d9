//! The seam between the ledger's rules and a database: statements inside one open transaction.
//!
//! Owns the values that cross the seam and the dialect the statements are written in. Knows nothing of payments.
//!
//! Statements are written for PostgreSQL (`app.transactions`, `$1`, `FOR UPDATE`, times through `app.ts`/`app.ms`);
//! [`sqlite`] rewrites them, see [`sqlite::translate`].

pub mod postgres;
pub mod sqlite;

/// A parameter or a column. The ledger needs no other types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// A BIGINT.
    Int(i64),
    /// A TEXT.
    Text(std::borrow::Cow<'a, str>),
}

impl From<i64> for Value<'_> {
    fn from(int: i64) -> Self {
        Value::Int(int)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(text.into())
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Value::Text(text.as_str().into())
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// One row of a result.
#[derive(Debug)]
pub struct Row(pub Vec<Value<'static>>);

impl Row {
    /// Returns column `index` as an integer.
    ///
    /// # Panics
    /// Where the statement does not select an integer there: a bug in the statement, whatever the data.
    pub fn int(&self, index: usize) -> i64 {
        self.opt_int(index)
            .unwrap_or_else(|| panic!("column {index} of {self:?} is not NULL"))
    }

    /// Returns column `index` as an integer, or none where it is NULL.
    ///
    /// # Panics
    /// As [`Row::int`].
    pub fn opt_int(&self, index: usize) -> Option<i64> {
        match &self.0[index] {
            Value::Int(int) => Some(*int),
            Value::Null => None,
            Value::Text(_) => panic!("column {index} of {self:?} is an integer"),
        }
    }

    /// Returns column `index` as text.
    ///
    /// # Panics
    /// As [`Row::int`].
    pub fn text(&self, index: usize) -> &str {
        self.opt_text(index)
            .unwrap_or_else(|| panic!("column {index} of {self:?} is not NULL"))
    }

    /// Returns column `index` as text, or none where it is NULL.
    ///
    /// # Panics
    /// As [`Row::int`].
    pub fn opt_text(&self, index: usize) -> Option<&str> {
        match &self.0[index] {
            Value::Text(text) => Some(text),
            Value::Null => None,
            Value::Int(_) => panic!("column {index} of {self:?} is text"),
        }
    }
}

/// Which database it is, where that makes a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// Statements of one open transaction.
///
/// Whoever opened the transaction commits or rolls it back; an implementation does neither. Not retried here: an error
/// says by [`crate::Error::is_transient`] whether running the whole transaction again may help. Used by one thread at a
/// time. Every implementation passes the contract suite in `tests/contract.rs`.
pub trait Statements {
    /// Tells which database it is.
    fn dialect(&self) -> Dialect;

    /// Runs a script of several statements, written for this very database; `name` stands for it in an error.
    fn script(&mut self, name: &'static str, sql: &'static str) -> Result<(), crate::Error>;

    /// Runs a statement and returns the number of rows it changed.
    fn execute(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<u64, crate::Error>;

    /// Runs a query and returns all its rows.
    fn query(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<Vec<Row>, crate::Error>;

    /// Runs a query for one row and returns it, or none where there is none.
    fn query_one(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<Option<Row>, crate::Error> {
        Ok(self.query(sql, params)?.pop())
    }
}
